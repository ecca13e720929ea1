//! The table of a comparison: losses over fresh seeds, and differences by seed.

use super::{Comparison, Contestant, SEEDS};
use crate::report::{Figure, Section, Standing, Table};
use crate::statistics::{Interval, holm, mean};
use crate::{Experiment, Results, Row};
use spectra_examples::Failure;
use spectra_examples::pictures::{self, intervals, scatter};

/// Whom the others are compared with.
const RIVALS: [&str; 2] = ["adamw", "muon"];
/// A difference that chance gives with this probability or less, after Holm's correction, is one.
const LEVEL: f64 = 0.05;

/// A contestant all of whose runs are there.
struct Finished<'a> {
    who: &'a Contestant,
    /// By seed; none where the run diverged.
    losses: Vec<Option<f64>>,
    runs: Vec<&'a Row>,
}

impl Finished<'_> {
    fn mean(&self) -> f64 {
        // A diverged run is no number that could be averaged: last place.
        self.losses.iter().copied().collect::<Option<Vec<_>>>().map_or(f64::INFINITY, |losses| mean(&losses))
    }

    /// Loss less the other's, seed by seed, where both have one.
    fn against(&self, other: &Finished<'_>) -> Vec<f64> {
        let pairs = self.losses.iter().zip(&other.losses);
        pairs.filter_map(|(own, others)| Some((*own)? - (*others)?)).collect()
    }
}

pub(super) fn section(experiment: &Comparison, results: &Results) -> Result<Section, Failure> {
    let mut finished: Vec<_> =
        experiment.contestants.iter().filter_map(|who| finished(experiment, who, results)).collect();
    finished.sort_by(|a, b| a.mean().total_cmp(&b.mean()));
    let table = table(&finished);
    let rows = results.rows();
    let hours = rows.iter().fold(0.0, |sum, row| sum + row.seconds) / 3600.0;
    Ok(Section {
        name: experiment.name.into(),
        question: experiment.question.into(),
        null: "seeds alone move the loss of one and the same optimizer; a difference counts if the interval of the \
               differences by seed excludes 0, Holm's correction over the column included."
            .into(),
        standing: standing(&finished, experiment.contestants.len()),
        command: format!("cargo run --release --bin lab -- run {}", experiment.name),
        effort: format!(
            "{} of {} runs, {hours:.2} hours of training; {} of {} optimizers are finished",
            rows.len(),
            experiment.total(results),
            finished.len(),
            experiment.contestants.len()
        ),
        tables: vec![table],
        figures: figures(experiment, &finished, results)?,
    })
}

/// None if a run is missing.
fn finished<'a>(experiment: &Comparison, who: &'a Contestant, results: &'a Results) -> Option<Finished<'a>> {
    let trials = experiment.of(who, results);
    let seeds: Vec<_> = trials.iter().filter(|trial| trial.phase == "seeds").collect();
    if seeds.len() != SEEDS.count() {
        return None;
    }
    let runs: Vec<_> = seeds.iter().map(|trial| results.of(&trial.command)).collect::<Option<_>>()?;
    Some(Finished { who, losses: runs.iter().map(|row| row.loss).collect(), runs })
}

fn table(finished: &[Finished<'_>]) -> Table {
    let columns: Vec<Vec<String>> = RIVALS.iter().map(|rival| differences(finished, rival)).collect();
    let mut titles = vec!["optimizer", "loss", "accuracy, %"];
    titles.extend([
        "against adamw",
        "against muon",
        "ms a step",
        "state, bytes",
        "lr",
        "of the rest",
        "decay",
        "warm-up",
        "own",
    ]);
    let mut rows = Vec::new();
    for (place, one) in finished.iter().enumerate() {
        let first = one.runs[0];
        let losses: Vec<f64> = one.losses.iter().flatten().copied().collect();
        let accuracies: Vec<f64> = one.runs.iter().filter_map(|row| row.accuracy).collect();
        let diverged = one.losses.len() - losses.len();
        let loss = Interval::of(&losses)
            .map_or_else(String::new, |i| format!("{:.4} ± {:.4}", i.mean, i.half_width));
        let mut times: Vec<f64> = one.runs.iter().map(|row| row.optimizer_ms).collect();
        times.sort_by(f64::total_cmp);
        let own = first.command.rsplit(' ').next().unwrap_or_default();
        let mut row = vec![
            one.who.name.to_string(),
            if diverged > 0 { format!("{loss}, {diverged} diverged") } else { loss },
            if accuracies.is_empty() { String::new() } else { format!("{:.1}", 100.0 * mean(&accuracies)) },
        ];
        row.extend(columns.iter().map(|column| column[place].clone()));
        row.extend([
            format!("{:.1}", times[times.len() / 2]),
            first.state_bytes.to_string(),
            first.lr.to_string(),
            first.elementwise_lr.to_string(),
            first.weight_decay.to_string(),
            first.warmup.to_string(),
            own.trim_start_matches('-').replace("set=spectral.direction.", "").to_string(),
        ]);
        rows.push(row);
    }
    Table {
        title: "Validation loss over eight seeds that the search has not seen: mean ± half of its 95 % interval; differences by seed \
                (negative: lower than the other's), in bold where they are told from 0. The time is the median of an optimizer's step while \
                other runs went on beside it: no benchmark."
            .into(),
        titles,
        rows,
    }
}

/// The cells of one column.
fn differences(finished: &[Finished<'_>], rival: &str) -> Vec<String> {
    let Some(other) = finished.iter().find(|one| one.who.name == rival) else {
        return vec![String::new(); finished.len()];
    };
    let intervals: Vec<_> = finished
        .iter()
        .map(|one| {
            Some(one).filter(|one| one.who.name != rival).and_then(|one| Interval::of(&one.against(other)))
        })
        .collect();
    let p: Vec<f64> = intervals.iter().flatten().map(|interval| interval.p).collect();
    let mut corrected = holm(&p).into_iter();
    let cell = |interval: &Option<Interval>| {
        let Some(interval) = interval else { return String::new() };
        let p = corrected.next().unwrap_or(1.0);
        let text = format!("{:+.4} ± {:.4}", interval.mean, interval.half_width);
        if p <= LEVEL { format!("**{text}**") } else { text }
    };
    intervals.iter().map(cell).collect()
}

/// Whether a spectral optimizer of either paper is ahead of tuned Muon and AdamW.
fn standing(finished: &[Finished<'_>], all: usize) -> Standing {
    let rivals: Vec<_> =
        RIVALS.iter().filter_map(|rival| finished.iter().find(|one| one.who.name == *rival)).collect();
    let ours: Vec<_> = finished.iter().filter(|one| one.who.name.starts_with("spectra")).collect();
    let (Some(best), true) = (ours.first(), rivals.len() == RIVALS.len()) else {
        return Standing::Undecided(format!("{} of {all} optimizers are finished", finished.len()));
    };
    // One of ours is chosen among several for its loss, which the correction has to allow for.
    let against: Vec<_> = rivals
        .iter()
        .filter_map(|rival| Interval::of(&best.against(rival)).map(|i| (rival.who.name, i)))
        .collect();
    let told = |interval: &Interval| interval.p * (ours.len() * RIVALS.len()) as f64 <= LEVEL;
    let words: Vec<_> = against
        .iter()
        .map(|(name, i)| format!("{:+.4} ± {:.4} against {name}", i.mean, i.half_width))
        .collect();
    let words = format!("the best of ours is {}, {}", best.who.name, words.join(", "));
    if finished.len() < all {
        return Standing::Undecided(format!(
            "{} of {all} optimizers are finished; so far {words}",
            finished.len()
        ));
    }
    if against.iter().all(|(_, interval)| told(interval) && interval.mean < 0.0) {
        Standing::Shown(words)
    } else if against.iter().any(|(_, interval)| told(interval) && interval.mean > 0.0) {
        Standing::Refuted(words)
    } else {
        Standing::Undecided(words)
    }
}

fn figures(
    experiment: &Comparison,
    finished: &[Finished<'_>],
    results: &Results,
) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    if let Some(adamw) = finished.iter().find(|one| one.who.name == RIVALS[0]) {
        let rows: Vec<_> = finished
            .iter()
            .filter(|one| one.who.name != RIVALS[0])
            .filter_map(|one| {
                let points = one.against(adamw);
                let interval = Interval::of(&points)?;
                let name = one.who.name.into();
                Some(pictures::Interval {
                    name,
                    points,
                    mean: interval.mean,
                    half_width: interval.half_width,
                })
            })
            .collect();
        if !rows.is_empty() {
            let png = intervals("loss less AdamW's, seed by seed", "nats", &rows)?;
            let caption =
                "Differences by seed to AdamW, with the 95 % interval of their mean; left is better.".into();
            figures.push(Figure { caption, png });
        }
    }
    let searched = |who: &Contestant| {
        let of = results.rows().iter().filter(|row| row.phase == "search" && row.contestant == who.name);
        (who.name.to_string(), of.filter_map(|row| Some((row.lr, row.loss?))).collect::<Vec<_>>())
    };
    let groups: Vec<_> =
        experiment.contestants.iter().map(searched).filter(|(_, points)| !points.is_empty()).collect();
    if !groups.is_empty() {
        let caption = "Every run of the search: final loss against the learning rate; the other settings differ from dot to dot.".into();
        figures.push(Figure { caption, png: scatter("learning rate", "loss", &groups)? });
    }
    Ok(figures)
}
