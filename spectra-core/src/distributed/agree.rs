//! What all ranks must have in common.

use super::{Average, Collectives, Division, Sharded, put_text, texts};
use crate::backend::{Backend, Element, Error, ErrorKind, Result};
use crate::optimizer::{Optimizer, settings_of};
use alloc::{format, string::String, vec, vec::Vec};

/// Model, settings and divisions of a rank, line by line.
pub(super) fn description<B: Backend, C: Collectives<B>>(
    optimizer: &Optimizer<Sharded<B, C>>,
    divisions: impl Iterator<Item = Option<Division>>,
    average: Average,
) -> Vec<String> {
    let mut lines = vec![
        format!("version of the library: {}", env!("CARGO_PKG_VERSION")),
        format!("arithmetic type: {}", B::Element::NAME),
        format!("average of gradients: {average:?}"),
    ];
    lines.extend(settings_of(optimizer.config()).iter().map(|s| format!("setting {}: {}", s.name, s.value)));
    lines.push(format!("setting check_finite: {}", optimizer.config().check_finite));
    for ((index, spec), division) in optimizer.parameters().enumerate().zip(divisions) {
        let rule = optimizer.rule(index).map_or_else(|| "frozen".into(), |rule| rule.signature());
        let (rows, cols) = (spec.rows, spec.cols);
        let place = match division {
            None => "nowhere".into(),
            Some(division) if division.is_shared() => "low rank".into(),
            Some(division) => match division.owner() {
                Some(owner) => format!("rank {owner}"),
                None => format!("{:?}", division.axis()),
            },
        };
        let group = format!("{:?} {:?}", spec.group, spec.weights);
        lines.push(format!("parameter {index}: `{}` {rows} x {cols}, {rule}, {place}, {group}", spec.name));
    }
    lines
}

/// An error on all ranks, with the first line that differs, unless all have the same.
pub(super) fn on_settings<B: Backend, C: Collectives<B>>(
    sharded: &Sharded<B, C>,
    lines: &[String],
) -> Result<()> {
    let text = lines.join("\n");
    sharded.with_group(|group| {
        let lens = group.words(&[text.len() as u64])?;
        let longest = lens.iter().copied().max().unwrap_or(0) as usize;
        let mut words = vec![0; longest.div_ceil(8)];
        put_text(&mut words, &text);
        let all = group.words(&words)?;
        let all: Vec<String> = texts(&all, words.len()).collect();
        let lines_of = |rank: usize| {
            let text = all.get(rank).map(String::as_str).unwrap_or_default();
            text.trim_end_matches('\0').split('\n').map(Some).chain(core::iter::repeat(None))
        };
        for rank in 1..all.len() {
            // Both at their ends: equal.
            let pairs = lines_of(0).zip(lines_of(rank)).take_while(|(a, b)| a.is_some() || b.is_some());
            if let Some((here, there)) = { pairs }.find(|(a, b)| a != b) {
                let line = |line: Option<&str>| String::from(line.unwrap_or("nothing more"));
                let what = format!("plan or settings (`{}`, rank 0: `{}`)", line(there), line(here));
                return Err(Error::new(
                    "distributed optimizer",
                    ErrorKind::Disagree { rank, what: what.into() },
                ));
            }
        }
        Ok(())
    })
}

/// What may be set between steps, which all ranks must have set alike.
pub(super) struct Rates([u64; NAMES.len()]);

const NAMES: [&str; 6] = [
    "number of steps",
    "learning rate",
    "learning rate of elementwise parameters",
    "clip factor",
    "pre-clip factor",
    "learning rate of a group",
];

impl Rates {
    pub(super) fn of<B: Backend>(optimizer: &Optimizer<B>) -> Self {
        Self(optimizer.words_of_rates())
    }

    pub(super) fn words(&self) -> [u64; NAMES.len()] {
        self.0
    }
}

/// An error that names the first rate which a rank has set otherwise.
pub(super) fn on_rates<'a>(mut ranks: impl Iterator<Item = &'a [u64]>) -> Result<()> {
    let Some(first) = ranks.next() else { return Ok(()) };
    for (rank, words) in (1..).zip(ranks) {
        if let Some(at) = first.iter().zip(words).position(|(a, b)| a != b) {
            let what = NAMES.get(at).copied().unwrap_or("rate").into();
            return Err(Error::new("step", ErrorKind::Disagree { rank, what }));
        }
    }
    Ok(())
}
