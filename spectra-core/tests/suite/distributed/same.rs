//! The same weights as one process.

use super::model::{self, alone, bits, difference, gradients, pairs, start};
use super::on_ranks;
use spectra_core::backend::{Element, Error, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{Axis, Division, Placing, Sharded, Traffic};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, PreClip};
use std::sync::{Arc, Mutex};

const ALL: [&str; 4] = ["tall", "wide", "square", "few"];

/// The weights of each rank after 20 steps; their bits are compared at every step.
pub(crate) fn together<E: Element>(
    config: &Config,
    size: usize,
    placing: &Placing,
) -> Vec<(model::Weights<E>, Traffic)> {
    let seen = Arc::new(Mutex::new(std::collections::BTreeMap::<u64, Vec<u64>>::new()));
    on_ranks(size, |rank, group| {
        let mut optimizer = model::placed(group, config, placing).unwrap();
        let mut weights = start::<E>();
        for step in 0..20 {
            let gradients = gradients(&weights, step, rank, size);
            optimizer.step(&mut pairs(&mut weights, &gradients)).unwrap();
            let mut seen = seen.lock().unwrap();
            let first = seen.entry(step).or_insert_with(|| bits(&weights));
            assert!(*first == bits(&weights), "rank {rank} has other weights after step {step}");
        }
        (weights, optimizer.traffic().unwrap())
    })
}

fn config(preset: &str) -> Config {
    Config::preset(preset).unwrap().lr(0.02).weight_decay(0.1)
}

fn compare<E: Element>(preset: &str, divided: &[&str], tolerance: f64) {
    for config in [config(preset), config(preset).clip_norm(1.0)] {
        compare_placed::<E>(&config, &model::placing(divided), tolerance);
    }
}

/// Of 1, 2, 3, 4 and 7 ranks with one process, whose bits one rank has.
pub(crate) fn compare_placed<E: Element>(config: &Config, placing: &Placing, tolerance: f64) {
    let wanted = alone::<E>(config, 20);
    for size in [1, 2, 3, 4, 7] {
        let found = together::<E>(config, size, placing);
        let apart = difference(&found[0].0, &wanted, &start());
        let rule = config.spectral.signature();
        println!("{rule} {size}: {apart:e}");
        assert!(apart <= tolerance, "{rule} {size}: {apart:e}");
        if size == 1 {
            assert!(bits(&found[0].0) == bits(&wanted), "{rule}: one rank is one process");
        }
    }
}

#[test]
fn divided_tail_shrink_in_f32() {
    compare::<f32>("spectra", &ALL, 1e-4);
}

#[test]
fn divided_tail_shrink_in_f64() {
    compare::<f64>("spectra", &ALL, 1e-12);
}

#[test]
fn divided_and_owned_matrices_side_by_side() {
    compare::<f64>("spectra", &["tall", "embedding"], 1e-12);
    compare::<f64>("adamw", &["tall", "embedding", "wide"], 1e-12);
}

#[test]
fn owned_matrices_of_other_rules() {
    for preset in ["muon", "soap", "dion", "spectra-adamw"] {
        compare::<f64>(preset, &["embedding"], 1e-9);
    }
}

/// Without owners: a polar factor by products along the divided rows, each with a message; one that would need another distribution is refused.
#[test]
fn a_polar_factor_of_divided_rows() {
    let config = config("muon");
    for (shape, fits) in [((23, 8), true), ((8, 23), false)] {
        let spec = || [ParameterSpec::new("w", shape, Rule::Spectral)];
        let whole = |seed| DenseMatrix::<f64>::from_fn(shape.0, shape.1, |i, j| uniform(seed, i, j));
        let mut alone = Optimizer::new(Dense::new(), config, spec()).unwrap();
        let mut wanted = whole(1);
        (2..5).for_each(|seed| alone.step(&mut [(&mut wanted, &whole(seed))]).unwrap());
        let found = on_ranks(3, |rank, group| {
            let backend = Sharded::new(Dense::<f64>::new(), group);
            let part = |whole: DenseMatrix<f64>| {
                let rows = Division::even(shape, Axis::Rows, 3).range(rank);
                let values = &whole.values()[rows.start * shape.1..];
                let part = DenseMatrix::from_fn(rows.len(), shape.1, |i, j| values[i * shape.1 + j]);
                backend.divided(shape, Axis::Rows, part).unwrap()
            };
            let mut optimizer = Optimizer::new(backend.clone(), config, spec()).unwrap();
            let mut weights = part(whole(1));
            for seed in 2..5 {
                optimizer.step(&mut [(&mut weights, &part(whole(seed)))])?;
            }
            let mut values = vec![0.0; shape.0 * shape.1];
            weights.read(&mut values)?;
            Ok::<_, Error>(values)
        });
        for values in found {
            match values {
                Ok(values) => {
                    let apart =
                        values.iter().zip(wanted.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    assert!(fits && apart < 1e-12, "{apart:e}");
                }
                Err(error) => {
                    assert!(!fits && error.to_string().contains("distributed over ranks"), "{error}")
                }
            }
        }
    }
}

#[test]
fn a_clip_of_divided_gradients_is_refused() {
    let config = config("spectra").pre_clip(PreClip::new(1.0));
    let errors = on_ranks(2, |_, group| {
        let backend = Sharded::new(Dense::<f64>::new(), group);
        let part = || {
            backend.divided((4, 3), Axis::Rows, DenseMatrix::from_fn(2, 3, |i, j| (i + j) as f64)).unwrap()
        };
        let spec = [ParameterSpec::new("w", (4, 3), Rule::Spectral)];
        let mut optimizer = Optimizer::new(backend.clone(), config, spec).unwrap();
        optimizer.step(&mut [(&mut part(), &part())]).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("raw gradients")), "{errors:?}");
}
