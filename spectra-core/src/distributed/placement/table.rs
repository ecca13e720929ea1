//! A placement as a table.

use super::{Placement, Work, mean_words};
use crate::distributed::{Axis, Division, traffic};
use crate::optimizer::plan::{name_of, shape_text, thousands, without_indices, write_indices, write_lines};
use crate::rules::Sharding;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The columns, and whether each is aligned to the right. Flops and words are those of all matrices of the line; the words are what a rank
/// sends in a step, in the mean over the ranks.
const COLUMNS: [(&str, bool); 8] = [
    ("parameter", false),
    ("count", true),
    ("shape", false),
    ("rule", false),
    ("where", false),
    ("crossover", true),
    ("flops", true),
    ("words per rank", true),
];

/// So many ranks are listed one by one.
const LISTED: usize = 16;

/// Matrices that differ in nothing but the indices of their names and in their owners.
struct Line<'a> {
    first: &'a Work,
    division: Option<&'a Division>,
    stem: String,
    indices: Vec<BTreeSet<u64>>,
    owners: BTreeSet<u64>,
    count: usize,
    flops: f64,
    words: f64,
}

impl Line<'_> {
    /// `rows / 8`, `rank 3`, `ranks {0..5,7}`, `low rank`.
    fn place(&self) -> String {
        match self.division {
            None => "-".into(),
            Some(division) if division.is_shared() => "low rank".into(),
            Some(division) if division.owner().is_some() => {
                let mut text = String::from(if self.owners.len() == 1 { "rank " } else { "ranks " });
                write_indices(&mut text, &self.owners);
                text
            }
            Some(division) => {
                let axis = if division.axis() == Axis::Rows { "rows" } else { "columns" };
                format!("{axis} / {}", division.ranks())
            }
        }
    }

    /// Of tail shrink.
    fn crossover(&self) -> String {
        match self.first.sharding {
            Some(Sharding::Sweeps { rank, sweeps }) => {
                format!("{:.0}", traffic::crossover(self.first.shape, rank, sweeps))
            }
            _ => "-".into(),
        }
    }

    fn cells(&self, total: f64) -> [String; 8] {
        let share = 100.0 * self.flops / total;
        [
            name_of(&self.stem, &self.indices),
            format!("{} x", self.count),
            shape_text(&[self.first.shape.0, self.first.shape.1]),
            self.first.rule.to_string(),
            self.place(),
            self.crossover(),
            if total > 0.0 { format!("{share:.1} %") } else { "-".into() },
            thousands(libm::round(self.words) as u64),
        ]
    }
}

impl Placement {
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut by_key = BTreeMap::new();
        for (work, division) in self.work.iter().zip(&self.divisions) {
            let (stem, indices) = without_indices(&work.name);
            let owner = division.as_ref().and_then(Division::owner);
            let place = division.map(|division| (division.is_divided(), division.is_shared()));
            let words = division.as_ref().map_or(0.0, |division| mean_words(work, division));
            // What matrices of one rule and shape, placed alike, send is equal.
            let key = (stem.clone(), work.shape, &work.rule, words.to_bits(), place);
            let at = *by_key.entry(key).or_insert(lines.len());
            if at == lines.len() {
                lines.push(Line {
                    first: work,
                    division: division.as_ref(),
                    stem,
                    indices: indices.iter().map(|_| BTreeSet::new()).collect(),
                    owners: BTreeSet::new(),
                    count: 0,
                    flops: 0.0,
                    words: 0.0,
                });
            }
            if let Some(line) = lines.get_mut(at) {
                line.count += 1;
                line.flops += work.flops;
                line.owners.extend(owner.map(|owner| owner as u64));
                line.words += words;
                for (seen, index) in line.indices.iter_mut().zip(indices) {
                    seen.insert(index);
                }
            }
        }
        lines
    }
}

/// One line for each matrix, or for each group of matrices whose names differ in indices only; then loads, words and collectives.
impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: f64 = self.loads.iter().sum();
        write_lines(f, COLUMNS, self.lines().iter().map(|line| line.cells(total)).collect())?;
        let count = |is: fn(&Division) -> bool| self.live().filter(|(_, division)| is(division)).count();
        let (divided, shared) = (count(Division::is_divided), count(Division::is_shared));
        let owned = count(|division| division.owner().is_some());
        let frozen = self.work.len() - divided - shared - owned;
        write!(f, "{} ranks: {divided} divided, {owned} owned, {frozen} frozen", self.ranks)?;
        writeln!(f, "{}", if shared > 0 { format!(", {shared} at low rank") } else { String::new() })?;
        let words: Vec<_> = (0..self.ranks).map(|rank| self.words(rank).total()).collect();
        if self.ranks <= LISTED {
            let list = |values: &[f64], text: fn(f64) -> String| {
                values.iter().map(|value| text(*value)).collect::<Vec<_>>().join(" ")
            };
            writeln!(f, "flops of each rank: {}", list(&self.loads, |flops| format!("{flops:.2e}")))?;
            writeln!(f, "words of each rank: {}", list(&words, |words| format!("{words:.3e}")))?;
        }
        let largest = words.iter().copied().fold(0.0, f64::max);
        let mean = words.iter().sum::<f64>() / self.ranks as f64;
        writeln!(
            f,
            "flops of a rank: {:.3e} in the mean, {:.3} times as many at most",
            total / self.ranks as f64,
            self.imbalance()
        )?;
        writeln!(
            f,
            "words of a rank: {} in the mean, {} at most; summed by tail shrink: {}{}",
            thousands(libm::round(mean) as u64),
            thousands(libm::round(largest) as u64),
            thousands(libm::round(self.words(0).sums) as u64),
            if shared > 0 {
                format!(", by Dion: {}", thousands(libm::round(self.words(0).low_rank) as u64))
            } else {
                String::new()
            }
        )?;
        write!(f, "collectives: {}", self.collectives())
    }
}
