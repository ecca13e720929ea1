//! Equal layers of a plan, brought together for printing.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::entry::{Entry, Reason, Rule};
use super::names::{HOLE, without_indices};

/// Parameters that differ in nothing but the layer indices of their names.
pub(super) struct Layers<'a> {
    /// The first of them.
    pub(super) first: &'a Entry,
    /// How many they are.
    pub(super) count: usize,
    stem: String,
    indices: Vec<BTreeSet<u64>>,
}

impl Layers<'_> {
    /// Their names as one: `layers.{0..31}.mlp.up.weight`, ends included.
    pub(super) fn name(&self) -> String {
        let mut name = String::new();
        let mut indices = self.indices.iter();
        for (i, part) in self.stem.split(HOLE).enumerate() {
            if i > 0
                && let Some(values) = indices.next()
            {
                write_indices(&mut name, values);
            }
            name.push_str(part);
        }
        name
    }
}

/// `3`, `{0..31}`, `{0,2..5,9}`.
fn write_indices(out: &mut String, values: &BTreeSet<u64>) {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &value in values {
        match runs.last_mut() {
            Some((_, last)) if value - *last == 1 => *last = value,
            _ => runs.push((value, value)),
        }
    }
    let braces = values.len() > 1;
    out.push_str(if braces { "{" } else { "" });
    for (i, (first, last)) in runs.into_iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = match last - first {
            0 => write!(out, "{comma}{first}"),
            1 => write!(out, "{comma}{first},{last}"),
            _ => write!(out, "{comma}{first}..{last}"),
        };
    }
    out.push_str(if braces { "}" } else { "" });
}

/// The groups in the order of their first parameters.
pub(super) fn layers(entries: &[Entry]) -> Vec<Layers<'_>> {
    let mut groups: Vec<Layers<'_>> = Vec::new();
    let mut by_key: BTreeMap<(String, &[usize], Rule, &Reason, String), usize> = BTreeMap::new();
    for entry in entries {
        let (stem, indices) = without_indices(entry.name());
        let key = (stem.clone(), entry.shape(), entry.rule(), entry.reason(), entry.group().to_string());
        let at = *by_key.entry(key).or_insert(groups.len());
        if at == groups.len() {
            let empty = indices.iter().map(|_| BTreeSet::new()).collect();
            groups.push(Layers { first: entry, count: 0, stem, indices: empty });
        }
        if let Some(group) = groups.get_mut(at) {
            group.count += 1;
            for (seen, index) in group.indices.iter_mut().zip(indices) {
                seen.insert(index);
            }
        }
    }
    groups
}
