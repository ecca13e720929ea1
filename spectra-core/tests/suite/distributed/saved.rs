//! States saved by some ranks and loaded by others.

use super::model::{self, Weights, bits, difference, gradients, pairs, pairs_alone, start};
use super::on_ranks;
use spectra_core::dense::Dense;
use spectra_core::distributed::{Mode, Placing};
use spectra_core::optimizer::{Config, Optimizer, Snapshot};

/// What is divided under a preset: SOAP takes whole matrices.
fn divided(preset: &str) -> &'static [&'static str] {
    if preset == "spectra" { &["tall", "wide", "few", "embedding"] } else { &["embedding"] }
}

/// Three steps of `size` ranks; weights and state after them.
pub(crate) fn trained(config: &Config, placing: &Placing, size: usize) -> (Weights<f64>, Snapshot<f64>) {
    let results = on_ranks(size, |rank, group| {
        let mut optimizer = model::placed(group, config, placing).unwrap();
        let mut weights = start::<f64>();
        for step in 0..3 {
            let gradients = gradients(&weights, step, rank, size);
            optimizer.step(&mut pairs(&mut weights, &gradients)).unwrap();
        }
        (weights, optimizer.snapshot(0).unwrap())
    });
    let mut states = results.into_iter();
    let (weights, state) = states.next().unwrap();
    assert!(states.all(|(_, state)| state.is_none()), "only the root has it");
    (weights, state.unwrap())
}

#[test]
fn any_number_of_ranks_loads_what_another_has_saved() {
    for preset in ["spectra", "soap", "dion"] {
        let config = Config::preset(preset).unwrap().lr(0.02);
        let placing = match preset {
            // Of the ranks' momenta the sum is saved.
            "dion" => Placing::new(Mode::LowRank).matching("embedding", Mode::Divided),
            _ => model::placing(divided(preset)),
        };
        let (weights, state) = trained(&config, &placing, 4);
        // One process.
        let mut alone = Optimizer::new(Dense::new(), config, model::specs()).unwrap();
        alone.load_snapshot(&state).unwrap();
        assert_eq!(alone.snapshot().unwrap(), state, "{preset}");
        let mut wanted = weights.clone();
        let next = gradients(&wanted, 3, 0, 1);
        alone.step(&mut pairs_alone(&mut wanted, &next)).unwrap();
        for size in [1, 2, 3, 6] {
            let results = on_ranks(size, |rank, group| {
                let mut optimizer = model::placed(group, &config, &placing).unwrap();
                let restored = optimizer.load_snapshot(&state).unwrap();
                assert_eq!((restored.steps, restored.differences.len()), (3, 0));
                let again = optimizer.snapshot(size - 1).unwrap();
                let mut weights = weights.clone();
                let gradients = gradients(&weights, 3, rank, size);
                optimizer.step(&mut pairs(&mut weights, &gradients)).unwrap();
                (again, weights)
            });
            for (rank, (again, after)) in results.iter().enumerate() {
                let is_root = rank == size - 1;
                assert_eq!(again.as_ref(), is_root.then_some(&state), "{preset} {size}: the same bits");
                assert!(bits(after) == bits(&results[0].1));
                // SOAP's first bases depend on rounding where eigenvalues are close; its state here is the same.
                let apart = difference(after, &wanted, &weights);
                assert!(apart <= 1e-12, "{preset} {size}: {apart:e}");
            }
        }
    }
}

#[test]
fn a_state_that_does_not_fit_one_rank_is_refused_by_all() {
    let config = Config::preset("spectra").unwrap().lr(0.02);
    let placing = model::placing(divided("spectra"));
    let (_, state) = trained(&config, &placing, 2);
    let (_, other) = trained(&config.lr(0.03), &placing, 2);
    let damaged: Snapshot<f64> = {
        let mut json = serde_json::to_value(&state).unwrap();
        json["buffers"][0]["values"][0] = 0.123.into();
        serde_json::from_value(json).unwrap()
    };
    for (of_one, word) in [(&damaged, "damaged"), (&other, "saved state")] {
        let errors = on_ranks(3, |rank, group| {
            let mut optimizer = model::optimizer::<f64, _>(group, &config, divided("spectra"));
            let error = optimizer.load_snapshot(if rank == 1 { of_one } else { &state }).unwrap_err();
            assert_eq!(optimizer.optimizer().steps(), 0);
            // Nothing is broken.
            optimizer.load_snapshot(&state).unwrap();
            error.to_string()
        });
        assert!(errors.iter().all(|error| error.contains(word)), "{errors:?}");
    }
}
