//! A2: what of the spike is frequency, and what is order. 2602.11185, figures 2 and 12.

use faer::{Mat, Scale};
use spectra_examples::Failure;
use spectra_examples::batches::training_batch;

use super::gradients::REFERENCE;
use super::model::Model;
use super::runs::{STAGES, STEPS, all, of_preset};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{
    frobenius, inverse_frequencies, mean_and_deviation, shuffled_bytes, shuffled_words, singular_values,
};

const A2: &str = "A2";
/// Groups of batches, of which each is left out once (jackknife).
const GROUPS: usize = 8;
const BATCHES_A_GROUP: usize = 8;
/// Directions of the spike: 1.5 % of 128.
const SPIKE: usize = 2;
/// Of every group, the gradients of every matrix.
type Gradients<'a> = &'a [Vec<Mat<f64>>];

const VARIANTS: [&str; 3] = ["FreqNorm", "Shuffle bytes", "Shuffle words"];

pub(super) fn a2(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let names = all();
    let settings = place.settings(&run.flags)?;
    let (model, split) = (Model::new(&settings)?, place.split(&settings)?);
    let weights = inverse_frequencies(split.train);
    let texts = [shuffled_bytes(split.train, REFERENCE), shuffled_words(split.train, REFERENCE)];
    let mut findings = Findings::default();
    for stage in [STAGES[0], STEPS] {
        model.set(&place.weights(&run, stage)?)?;
        // Plain, FreqNorm, bytes, words; of each the mean gradients of each group.
        let mut groups: Vec<Vec<Vec<Mat<f64>>>> = vec![Vec::new(); 1 + VARIANTS.len()];
        for group in 0..GROUPS {
            let numbers = || group * BATCHES_A_GROUP..(group + 1) * BATCHES_A_GROUP;
            let drawn = |text: &[u8]| -> Vec<_> {
                // The same windows of each text.
                numbers().map(|i| training_batch(text, 16, settings.context, REFERENCE + 3, i)).collect()
            };
            let plain = drawn(split.train);
            let weighted =
                plain.iter().map(|batch| model.of(&model.weighted_gradients(batch, &weights)?, &names));
            let weighted = mean(&weighted.collect::<Result<Vec<_>, Failure>>()?);
            groups[0].push(model.mean_gradients(plain.into_iter(), &names)?);
            groups[1].push(weighted);
            for (at, text) in texts.iter().enumerate() {
                groups[2 + at].push(model.mean_gradients(drawn(text).into_iter(), &names)?);
            }
            eprintln!("A2: {} of {GROUPS} groups of batches at step {stage}", group + 1);
        }
        for (at, name) in names.iter().enumerate() {
            for (variant, changed) in VARIANTS.iter().zip(&groups[1..]) {
                add(&mut findings, (stage, name), variant, at, (&groups[0], changed))?;
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

/// Of the lists, item by item.
fn mean(lists: &[Vec<Mat<f64>>]) -> Vec<Mat<f64>> {
    let sum = |at: usize| {
        let mut sum = lists[0][at].clone();
        lists[1..].iter().for_each(|list| sum += &list[at]);
        sum * Scale(1.0 / lists.len() as f64)
    };
    (0..lists[0].len()).map(sum).collect()
}

/// The relative changes of spike and tail.
struct Change {
    /// `Delta sigma_1 / sigma_1`.
    first: f64,
    /// The mean of `Delta sigma_k / sigma_k` over the spike, and of its size.
    spike: f64,
    spike_size: f64,
    /// The mean size over the last half.
    tail_size: f64,
    /// As `first`, of spectra over their Frobenius norms.
    first_of_norm: f64,
}

fn change(plain: &Mat<f64>, changed: &Mat<f64>) -> Result<Change, Failure> {
    let (a, b) = (singular_values(plain.as_ref())?, singular_values(changed.as_ref())?);
    let relative: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (b - a) / a).collect();
    let mean = |list: &[f64], f: fn(f64) -> f64| list.iter().map(|x| f(*x)).sum::<f64>() / list.len() as f64;
    let norms = frobenius(plain.as_ref()) / frobenius(changed.as_ref());
    Ok(Change {
        first: relative[0],
        spike: mean(&relative[..SPIKE], |x| x),
        spike_size: mean(&relative[..SPIKE], f64::abs),
        tail_size: mean(&relative[relative.len() / 2..], f64::abs),
        first_of_norm: (1.0 + relative[0]) * norms - 1.0,
    })
}

fn add(
    findings: &mut Findings,
    (stage, name): (usize, &str),
    variant: &str,
    at: usize,
    (plain, changed): (Gradients<'_>, Gradients<'_>),
) -> Result<(), Failure> {
    // Means over all groups, and over all but one.
    let without = |groups: Gradients<'_>, left_out: Option<usize>| {
        let kept: Vec<_> = (0..GROUPS).filter(|group| Some(*group) != left_out).collect();
        let mut sum = groups[kept[0]][at].clone();
        kept[1..].iter().for_each(|group| sum += &groups[*group][at]);
        sum * Scale(1.0 / kept.len() as f64)
    };
    let found = change(&without(plain, None), &without(changed, None))?;
    let parts = (0..GROUPS).map(|out| {
        let change = change(&without(plain, Some(out)), &without(changed, Some(out)))?;
        Ok((change.spike, change.spike_size / change.tail_size))
    });
    let parts = parts.collect::<Result<Vec<_>, Failure>>()?;
    // The jackknife's standard error: (n - 1) / sqrt(n) times the parts' deviation.
    let error = |f: fn(&(f64, f64)) -> f64| {
        let (_, deviation) = mean_and_deviation(&parts.iter().map(f).collect::<Vec<_>>());
        (GROUPS as f64 - 1.0) / (GROUPS as f64).sqrt() * deviation
    };
    for (quantity, value) in [
        ("change of sigma_1", found.first),
        ("change of sigma_1 over the Frobenius norm", found.first_of_norm),
        ("change of the spike", found.spike),
        ("change of the spike, standard error", error(|part| part.0)),
        ("size of change, spike", found.spike_size),
        ("size of change, tail", found.tail_size),
        ("spike over tail", found.spike_size / found.tail_size),
        ("spike over tail, standard error", error(|part| part.1)),
    ] {
        findings.add((A2, stage, name), quantity, (value, None), variant);
    }
    Ok(())
}

fn judge(findings: &mut Findings) {
    for (variant, sign, claim) in [
        ("FreqNorm", -1.0, "without the frequency of tokens the spike is smaller, and the tail is not"),
        ("Shuffle bytes", 1.0, "without the order of bytes the spike is larger, and the tail is not"),
        ("Shuffle words", 1.0, "without the order of words the spike is larger, and the tail is not"),
    ] {
        let of = |stage: usize, quantity: &str| -> Vec<f64> {
            let rows = findings.rows.iter().filter(|row| row.stage == stage && row.settings == variant);
            rows.filter(|row| row.quantity == quantity).map(|row| row.value).collect()
        };
        let holds = |stage: usize| {
            let (ratios, changes) = (of(stage, "spike over tail"), of(stage, "change of the spike"));
            share(ratios.iter().zip(&changes).map(|(ratio, change)| *ratio >= 3.0 && change * sign > 0.0))
        };
        let value = holds(STEPS);
        findings.verdicts.push(Verdict {
            experiment: A2,
            claim,
            criterion: "share of matrices at step 400 where the spike's relative change is 3 times the tail's and of the sign claimed; the null is step 0",
            value,
            threshold: 0.8,
            null: Some(holds(STAGES[0])),
            verdict: at_least(value, 0.8),
        });
    }
}
