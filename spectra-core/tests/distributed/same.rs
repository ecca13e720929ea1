//! The same weights as one process.

use super::model::{self, alone, bits, difference, gradients, pairs, start};
use super::on_ranks;
use spectra_core::backend::Element;
use spectra_core::distributed::Traffic;
use spectra_core::optimizer::Config;
use std::sync::{Arc, Mutex};

const ALL: [&str; 4] = ["tall", "wide", "square", "few"];

/// The weights of each rank after 20 steps; their bits are compared at every step.
fn together<E: Element>(config: &Config, size: usize, divided: &[&str]) -> Vec<(model::Weights<E>, Traffic)> {
    let seen = Arc::new(Mutex::new(std::collections::BTreeMap::<u64, Vec<u64>>::new()));
    on_ranks(size, |rank, group| {
        let mut optimizer = model::optimizer(group, config, divided);
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
        let wanted = alone::<E>(&config, 20);
        for size in [1, 2, 3, 4, 7] {
            let found = together::<E>(&config, size, divided);
            let apart = difference(&found[0].0, &wanted, &start());
            println!("{preset} {size}: {apart:e}");
            assert!(apart <= tolerance, "{preset} {size}: {apart:e}");
            if size == 1 {
                assert!(bits(&found[0].0) == bits(&wanted), "{preset}: one rank is one process");
            }
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
