//! Iterates in 16 bits and symmetric products, on the simulated device or with `SPECTRA_CUDA=real` on the machine's own.

#[path = "../device/device.rs"]
mod device;
mod polar;
mod storage;
mod symmetric;

use device::Outcome;
use libtest_mimic::{Arguments, Trial, run};
use spectra_cuda_simulator::{Selection, select};

/// A name and what is run.
type Test = (&'static str, fn() -> Outcome);

fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // The simulated device's accounts belong to the whole process.
    arguments.test_threads = Some(1);
    let tests: [Test; 8] = [
        ("storage::every_fp16", storage::every_fp16),
        ("storage::products", storage::products),
        ("symmetric::by_blocks", symmetric::by_blocks),
        ("symmetric::by_triangles", symmetric::by_triangles),
        ("symmetric::of_stacks", symmetric::of_stacks),
        ("polar::costs", polar::costs),
        ("polar::errors", polar::errors),
        ("polar::soft_clip", polar::soft_clip),
    ];
    let skipped = matches!(select(), Selection::Skipped(_));
    let trial = |(name, test): Test| {
        Trial::test(name, move || Ok(test().map_err(|e| e.to_string())?)).with_ignored_flag(skipped)
    };
    run(&arguments, tests.into_iter().map(trial).collect()).exit();
}
