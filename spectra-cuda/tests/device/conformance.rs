//! The conformance suite, in `f32` and `f64`. On the simulated device threads run from the first to the last in one and from the
//! last to the first in the other: a missing barrier gives different results.

use crate::device::{backend, check_violations, simulator};
use libtest_mimic::{Failed, Trial};
use spectra_conformance::suite::{Subject, checks, minimum_executed};
use spectra_cuda::{CudaBackend, CudaElement};
use spectra_cuda_simulator::ThreadOrder;

/// Matrices have no second handles.
const SKIPPED: [&str; 1] = ["second_handles_are_untouched"];

/// They decompose hundreds of matrices again and again, or go through millions of entries or thousands of launches, which takes
/// the simulated device up to minutes each: there they run with `--include-ignored` only.
const SLOW: [&str; 28] = [
    "hard_clip_auto",
    "hard_clip_many_above",
    "soft_threshold",
    "elastic_threshold",
    "bang_bang_threshold",
    "schatten_threshold",
    "frank_wolfe_minimizers",
    "frank_wolfe_schatten",
    "large_transfers",
    "scale_add_large",
    "product_add_large",
    "quotient_add_large",
    "sign_add_large",
    "copy_from_large",
    "gemm_large",
    "gemm_every_remainder",
    "gemm_symmetric_large",
    "gemm_symmetric_every_remainder",
    "dot_large",
    "max_abs_large",
    "adam_add_large",
    "entrywise_add_large",
    "power_sweep_large",
    "low_rank_add_large",
    "power_iteration_large",
    "orthonormalize_large",
    "repeated_calls",
    "two_threads",
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = of_element::<f32>("f32", ThreadOrder::Forward);
    trials.extend(of_element::<f64>("f64", ThreadOrder::Reverse));
    trials
}

fn of_element<E: CudaElement>(element: &'static str, order: ThreadOrder) -> Vec<Trial> {
    let all = checks::<CudaBackend<E>>();
    let total = all.len();
    let left_out: Vec<&str> = match std::env::var("SPECTRA_CUDA").as_deref() {
        Ok("real") => SKIPPED.to_vec(),
        _ => [&SKIPPED[..], &SLOW].concat(),
    };
    assert!(
        left_out.iter().all(|name| all.iter().any(|check| check.name == *name)),
        "a check that is left out is none"
    );
    assert!(total - left_out.len() >= minimum_executed(total));
    all.into_iter()
        .map(|check| {
            let test = move || -> Result<(), Failed> {
                if let Some(simulator) = simulator() {
                    simulator.set_thread_order(order);
                }
                let subject = Subject::new(backend::<E>()?).on_threads();
                (check.run)(&subject).map_err(|failure| Failed::from(failure.to_string()))?;
                Ok(check_violations().map_err(|e| e.to_string())?)
            };
            let trial = Trial::test(format!("conformance::{element}::{}", check.name), test);
            trial.with_ignored_flag(left_out.contains(&check.name))
        })
        .collect()
}
