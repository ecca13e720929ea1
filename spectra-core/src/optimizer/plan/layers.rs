//! Equal layers of a plan, brought together for printing.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::Block;
use super::entry::{Entry, Reason, Rule};
use super::names::{HOLE, without_indices};
use super::split::Suffix;

/// Parameters that differ in nothing but the layer indices of their names.
pub(super) struct Layers<'a> {
    /// The first of them.
    pub(super) first: &'a Entry,
    /// Its block.
    pub(super) block: &'a Block,
    /// How many they are.
    pub(super) count: usize,
    stem: String,
    indices: Vec<BTreeSet<u64>>,
}

impl Layers<'_> {
    /// Their names as one: `layers.{0..31}.mlp.up.weight`, ends included.
    pub(super) fn name(&self) -> String {
        name_of(&self.stem, &self.indices)
    }
}

/// A name whose indices were [cut out](without_indices) with these in their places.
pub(crate) fn name_of(stem: &str, indices: &[BTreeSet<u64>]) -> String {
    let mut name = String::new();
    let mut indices = indices.iter();
    for (i, part) in stem.split(HOLE).enumerate() {
        if i > 0
            && let Some(values) = indices.next()
        {
            write_indices(&mut name, values);
        }
        name.push_str(part);
    }
    name
}

/// `3`, `{0..31}`, `{0,2..5,9}`.
pub(crate) fn write_indices(out: &mut String, values: &BTreeSet<u64>) {
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

/// The layers in the order of their first blocks.
pub(super) fn layers(entries: &[Entry]) -> Vec<Layers<'_>> {
    let mut layers: Vec<Layers<'_>> = Vec::new();
    let mut by_key: BTreeMap<(String, Shapes<'_>, Rule, &Reason, String), usize> = BTreeMap::new();
    for (entry, block) in entries.iter().flat_map(|entry| entry.blocks().iter().map(move |b| (entry, b))) {
        let (mut stem, mut indices) = without_indices(entry.name());
        match &block.suffix {
            Suffix::Index(i) => {
                stem.push('[');
                stem.push(HOLE);
                stem.push(']');
                indices.push(*i as u64);
            }
            suffix => stem.push_str(&suffix.to_string()),
        }
        let shapes = (entry.shape(), block.shape());
        let key = (stem.clone(), shapes, entry.rule(), entry.reason(), group_text(entry));
        let at = *by_key.entry(key).or_insert(layers.len());
        if at == layers.len() {
            let empty = indices.iter().map(|_| BTreeSet::new()).collect();
            layers.push(Layers { first: entry, block, count: 0, stem, indices: empty });
        }
        if let Some(layer) = layers.get_mut(at) {
            layer.count += 1;
            for (seen, index) in layer.indices.iter_mut().zip(indices) {
                seen.insert(index);
            }
        }
    }
    layers
}

/// What is not the model's, and how weights are rounded.
pub(super) fn group_text(entry: &Entry) -> String {
    let (group, weights) = (entry.group().to_string(), entry.weights().word());
    let comma = if group.is_empty() || weights.is_empty() { "" } else { ", " };
    group + comma + weights
}

/// Of a parameter and of its block.
type Shapes<'a> = (&'a [usize], (usize, usize));
