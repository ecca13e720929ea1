//! The table of an ablation, and its picture.

use super::{Grid, SEEDS};
use crate::report::{Figure, Section, Standing, Table};
use crate::statistics::{Interval, mean};
use crate::{Experiment, Results, Row};
use spectra_examples::Failure;
use spectra_examples::pictures::scatter;

/// What a variant came to at every rate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    pub(super) label: &'static str,
    /// Learning rate and losses by seed, infinite where a run diverged; in the order of the rates.
    pub(super) rates: Vec<(f64, Vec<f64>)>,
}

impl Summary {
    /// The rate of the lowest mean loss, and the losses there.
    pub(super) fn best(&self) -> (f64, &[f64]) {
        let least = |a: &&(f64, Vec<f64>), b: &&(f64, Vec<f64>)| mean(&a.1).total_cmp(&mean(&b.1));
        self.rates.iter().min_by(least).map_or((f64::NAN, &[]), |(rate, losses)| (*rate, losses))
    }

    pub(super) fn loss(&self) -> f64 {
        mean(self.best().1)
    }

    /// Loss less the other's seed by seed, both at their best.
    pub(super) fn against(&self, other: &Self) -> Option<Interval> {
        let pairs = self.best().1.iter().zip(other.best().1);
        Interval::of(&pairs.map(|(own, others)| own - others).filter(|d| d.is_finite()).collect::<Vec<_>>())
    }

    /// Octaves of learning rates whose mean loss is at most so much above the best, as far as the rates reach.
    pub(super) fn window(&self, nats: f64) -> f64 {
        let limit = self.loss() + nats;
        let good = || self.rates.iter().filter(|(_, losses)| mean(losses) <= limit).map(|(rate, _)| *rate);
        (good().fold(0.0, f64::max) / good().fold(f64::INFINITY, f64::min)).log2()
    }
}

pub(super) fn section(grid: &Grid, done: &Results) -> Result<Section, Failure> {
    let summary = |variant: &super::Variant| {
        let rates = grid.rates.iter().map(|rate| {
            let rows = grid.rows(variant, *rate, done)?;
            let losses = rows.iter().map(|row| row.loss.unwrap_or(f64::INFINITY)).collect();
            Some((rows.first().map_or(f64::NAN, |row| row.lr), losses))
        });
        Some(Summary { label: variant.label, rates: rates.collect::<Option<_>>()? })
    };
    let summaries: Vec<_> = grid.variants.iter().filter_map(summary).collect();
    let complete = summaries.len() == grid.variants.len();
    let standing = match complete {
        true => (grid.judge)(&summaries),
        false => Standing::Undecided(format!(
            "{} of {} variants are finished",
            summaries.len(),
            grid.variants.len()
        )),
    };
    let rows = done.rows();
    let hours = rows.iter().fold(0.0, |sum, row| sum + row.seconds) / 3600.0;
    let dots = |summary: &Summary| {
        let points = summary.rates.iter().flat_map(|(rate, losses)| losses.iter().map(|loss| (*rate, *loss)));
        (summary.label.to_string(), points.collect())
    };
    let groups: Vec<_> = summaries.iter().map(dots).collect();
    let figures = match groups.is_empty() {
        true => Vec::new(),
        false => vec![Figure {
            caption: "Final loss against the learning rate, a dot a seed.".into(),
            png: scatter("learning rate", "loss", &groups)?,
        }],
    };
    Ok(Section {
        name: grid.name.into(),
        question: format!("{} ({})", grid.question, grid.task.name()),
        null: grid.null.into(),
        standing,
        command: format!("cargo run --release --bin lab -- run {}", grid.name),
        effort: format!("{} of {} runs, {hours:.2} hours of training", rows.len(), grid.total(done)),
        tables: vec![table(grid, &summaries, done)],
        figures,
    })
}

fn table(grid: &Grid, summaries: &[Summary], done: &Results) -> Table {
    let first = summaries.iter().find(|summary| summary.label == grid.variants[0].label);
    let time = |label: &str| {
        let of = |row: &&Row| row.contestant == label;
        let mut times: Vec<_> = done.rows().iter().filter(of).map(|row| row.optimizer_ms).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).map_or_else(String::new, |time| format!("{time:.2}"))
    };
    let line = |summary: &Summary| {
        let (rate, losses) = summary.best();
        let spread = Interval::of(losses).map_or_else(String::new, |i| format!(" ± {:.4}", i.half_width));
        let against =
            first.filter(|first| first.label != summary.label).and_then(|first| summary.against(first));
        vec![
            summary.label.into(),
            rate.to_string(),
            format!("{:.4}{spread}", mean(losses)),
            against.map_or_else(String::new, |i| format!("{:+.4} ± {:.4}", i.mean, i.half_width)),
            format!("{:.1}", summary.window(0.05)),
            time(summary.label),
        ]
    };
    Table {
        title: format!(
            "Each at the best of {} learning rates, {} seeds (mean ± half of the 95 % interval); difference to the first line by seed; octaves \
             of rates within 0.05 nats of the best; median milliseconds of an optimizer's step, other runs beside it.",
            grid.rates.len(),
            SEEDS.count()
        ),
        titles: vec!["variant", "best lr", "loss", "against the first", "window, octaves", "ms a step"],
        rows: summaries.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let rates = [(1e-3, 2.0), (2e-3, 1.6), (4e-3, 1.62), (8e-3, f64::INFINITY)];
        Summary {
            label: "a",
            rates: rates.map(|(rate, loss)| (rate, vec![loss, loss + 0.01, loss - 0.01])).into(),
        }
    }

    #[test]
    fn best_and_window_are_of_the_mean() {
        let summary = summary();
        assert_eq!(summary.best().0, 2e-3);
        assert!((summary.loss() - 1.6).abs() < 1e-12 && (summary.window(0.05) - 1.0).abs() < 1e-12);
        assert_eq!(summary.against(&summary).map(|i| i.mean), Some(0.0));
    }
}
