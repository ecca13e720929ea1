//! A diagnosis in 80 columns: a table of the blocks, then what was found, and what to do.

use super::{Diagnoses, Diagnosis, Finding, FindingKind, Origin, Severity};
use crate::optimizer::plan::{name_of, without_indices, write_lines};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};
use core::cmp::Reverse;
use core::fmt;

const WIDTH: usize = 80;

/// The longest text of a name, of a run's block and of a saved state's, and of a reason or a rule's signature, in the table.
const NAME: usize = 27;
const SAVED_NAME: usize = 23;
const REASON: usize = 17;
const SIGNATURE: usize = 22;

/// Blocks of one kind of finding that are listed by name.
const LISTED: usize = 8;

/// The first is a mark where something was found.
const OF_RUN: [(&str, bool); 6] =
    [("", false), ("block", false), ("rule", false), ("because", false), ("step/w", true), ("rms(w)", true)];

const OF_STATE: [(&str, bool); 6] =
    [("", false), ("block", false), ("shape", false), ("rule", false), ("steps", true), ("rms(m)", true)];

/// A line: one block, or several that differ in nothing but the indices of their names and of which nothing was found.
struct Line<'a> {
    first: &'a Diagnosis,
    stem: String,
    indices: Vec<BTreeSet<u64>>,
    ratio: Option<f64>,
    rms: Option<f64>,
}

/// Findings with the names of their blocks, the gravest first.
type ByKind<'a> = BTreeMap<(Reverse<Severity>, FindingKind), Vec<(Option<&'a str>, &'a Finding)>>;

impl fmt::Display for Diagnoses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |line: &Line<'_>| match self.origin {
            Origin::Run => line.of_run(),
            Origin::SavedState => line.of_state(),
        };
        let columns = if self.origin == Origin::Run { OF_RUN } else { OF_STATE };
        write_lines(f, columns, self.lines().iter().map(cells).collect())?;
        for ((_, kind), found) in self.by_kind() {
            write_kind(f, kind, &found)?;
        }
        let count = |severity| self.all().filter(|(_, finding)| finding.severity == severity).count();
        let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
            .into_iter()
            .map(|severity| (severity, count(severity)))
            .filter(|(_, count)| *count > 0)
            .map(|(severity, count)| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }))
            .collect();
        let found = if counts.is_empty() { "nothing found".into() } else { counts.join(", ") };
        let (blocks, steps) = (self.blocks.len(), self.steps);
        let s = |count: u64| if count == 1 { "" } else { "s" };
        write!(f, "\n{blocks} block{} after {steps} step{}: {found}", s(blocks as u64), s(steps))
    }
}

impl Diagnoses {
    /// What there is to print, in the order of the blocks; of equal layers the largest figures.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut healthy = BTreeMap::new();
        for block in &self.blocks {
            let (stem, indices) = without_indices(&block.block);
            let key =
                (stem.clone(), block.shape, block.signature.as_str(), block.reason.as_str(), block.steps);
            let at = match block.findings.is_empty() {
                true => *healthy.entry(key).or_insert(lines.len()),
                false => lines.len(),
            };
            if at == lines.len() {
                let indices = indices.iter().map(|_| BTreeSet::new()).collect();
                lines.push(Line { first: block, stem, indices, ratio: None, rms: None });
            }
            if let Some(line) = lines.get_mut(at) {
                line.indices.iter_mut().zip(indices).for_each(|(seen, index)| {
                    seen.insert(index);
                });
                line.ratio = larger(line.ratio, block.figures.update_ratio());
                line.rms = larger(line.rms, block.shown_rms(self.origin));
            }
        }
        lines
    }

    /// Findings of one kind and severity together, the worst first.
    fn by_kind(&self) -> ByKind<'_> {
        let mut kinds = BTreeMap::new();
        for (block, finding) in self.all() {
            let key = (Reverse(finding.severity), finding.kind);
            kinds.entry(key).or_insert_with(Vec::new).push((block, finding));
        }
        kinds
    }
}

impl Diagnosis {
    /// A saved state has no weights.
    fn shown_rms(&self, origin: Origin) -> Option<f64> {
        if origin == Origin::Run { self.figures.weight_rms } else { self.figures.momentum_rms }
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

impl Line<'_> {
    fn name(&self, width: usize) -> String {
        let name = name_of(&self.stem, &self.indices);
        if name.chars().count() <= width {
            return name;
        }
        // The module and its layer tell more than what all names have in common.
        let short = name.strip_suffix(".weight").unwrap_or(&name);
        match short.chars().count().checked_sub(width) {
            None | Some(0) => short.into(),
            Some(more) => String::from("..") + &short.chars().skip(more + 2).collect::<String>(),
        }
    }

    fn mark(&self) -> String {
        let mark = match self.first.worst() {
            None => "",
            Some(Severity::Note) => ".",
            Some(Severity::Warning) => "!",
            Some(Severity::Error) => "X",
        };
        mark.into()
    }

    fn of_run(&self) -> [String; 6] {
        let rule = self.first.rule.map_or(String::new(), |rule| rule.to_string());
        let reason = shortened(&self.first.reason, REASON);
        [self.mark(), self.name(NAME), rule, reason, number(self.ratio), number(self.rms)]
    }

    fn of_state(&self) -> [String; 6] {
        let (rows, cols) = self.first.shape;
        let signature = shortened(&self.first.signature, SIGNATURE);
        let (shape, steps) = (format!("{rows}x{cols}"), self.first.steps.to_string());
        [self.mark(), self.name(SAVED_NAME), shape, signature, steps, number(self.rms)]
    }
}

/// Two digits.
fn number(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| if x == 0.0 { "0".into() } else { format!("{x:.1e}") })
}

/// At most so many characters, without its middle.
fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.into();
    }
    let tail = (width - 2) / 2;
    let head: String = text.chars().take(width - 2 - tail).collect();
    head + ".." + &text.chars().skip(count - tail).collect::<String>()
}

/// `warning: dead rows`, each block with its figures, and what to do.
fn write_kind(
    f: &mut fmt::Formatter<'_>,
    kind: FindingKind,
    found: &[(Option<&str>, &Finding)],
) -> fmt::Result {
    let Some((_, first)) = found.first() else { return Ok(()) };
    writeln!(f, "\n{}: {kind}", first.severity)?;
    for (block, finding) in found.iter().take(LISTED) {
        let text = match block {
            Some(block) => format!("{block}: {}", finding.what),
            None => finding.what.clone(),
        };
        write_wrapped(f, "  ", "    ", &text)?;
    }
    if found.len() > LISTED {
        writeln!(f, "  and {} more", found.len() - LISTED)?;
    }
    write_wrapped(f, "  -> ", "     ", &first.advice)
}

/// The words in lines of [`WIDTH`], the first behind `first`, the others behind `other`; a longer word has a line of its own.
fn write_wrapped(f: &mut fmt::Formatter<'_>, first: &str, other: &str, text: &str) -> fmt::Result {
    let (mut line, mut is_empty) = (String::from(first), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            (line, is_empty) = (other.into(), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_in_their_middle() {
        assert_eq!(shortened("embedding by name", REASON), "embedding by name");
        let reason = shortened("user pattern `model.*.head`", REASON);
        assert_eq!((&*reason, reason.len()), ("user pat..*.head`", 17));
    }

    #[test]
    fn numbers_have_two_digits() {
        let texts = [None, Some(0.0), Some(0.0123), Some(4.56e-11)].map(number);
        assert_eq!(texts, ["-", "0", "1.2e-2", "4.6e-11"]);
    }
}
