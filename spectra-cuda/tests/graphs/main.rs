//! Whole steps as CUDA graphs: the bits of steps without, one launch and one copy each, and what cannot be one is refused by name.

#[allow(dead_code)]
#[path = "../device/device.rs"]
mod device;
mod failures;
mod model;
mod refusals;
mod replays;

use crate::device::Outcome;
use libtest_mimic::{Arguments, Trial, run};
use spectra_cuda_simulator::{Selection, select};

fn main() {
    let mut arguments = Arguments::from_args();
    // The simulated device's accounts belong to the whole process.
    arguments.test_threads = Some(1);
    let skipped = matches!(select(), Selection::Skipped(_));
    type Test = (&'static str, fn() -> Outcome);
    let tests: [Test; 9] = [
        ("replays::have_the_bits_of_single_launches", replays::have_the_bits_of_single_launches),
        ("replays::with_bf16_weights", replays::with_bf16_weights),
        ("replays::follow_what_changes", replays::follow_what_changes),
        ("replays::go_on_after_a_restore", replays::go_on_after_a_restore),
        ("replays::of_products_whose_factors_change", replays::of_products_whose_factors_change),
        ("replays::beside_others", replays::beside_others),
        ("refusals::by_name", refusals::by_name),
        ("failures::leave_everything_as_it_was", failures::leave_everything_as_it_was),
        ("failures::of_a_step_without_a_graph", failures::of_a_step_without_a_graph),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || Ok(test().map_err(|e| e.to_string())?)).with_ignored_flag(skipped)
    });
    run(&arguments, trials.collect()).exit();
}

pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}
