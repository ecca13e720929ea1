//! Several GPUs: NCCL, each rank a thread with a device of its own, against ranks that are threads on the host. As the tests in `device`
//! they run on the simulated device, or with `SPECTRA_CUDA=real` on the machine's own: with one GPU there is one rank, or there are two
//! with `NCCL_MULTI_RANK_GPU_ENABLE=1`.

#[allow(dead_code)]
#[path = "../device/device.rs"]
mod device;
mod losses;
mod parts;
mod ranks;
mod script;
mod sums;
mod training;

use libtest_mimic::{Arguments, Trial, run};
use spectra_cuda_simulator::{Selection, select};

type Test = (&'static str, fn() -> device::Outcome);

fn main() {
    let mut arguments = Arguments::from_args();
    // The simulated device's accounts belong to the whole process.
    arguments.test_threads = Some(1);
    let skipped = matches!(select(), Selection::Skipped(_));
    let tests: [Test; 9] = [
        ("sums_have_the_bits_of_threads", sums::sums_have_the_bits_of_threads),
        ("nan_is_kept", sums::nan_is_kept),
        ("parts_and_wholes_have_the_bits_of_threads", parts::parts_and_wholes_have_the_bits_of_threads),
        ("the_optimizer_has_the_bits_of_threads", training::the_optimizer_has_the_bits_of_threads),
        ("nothing_waits_or_allocates", script::nothing_waits_or_allocates),
        ("a_rank_that_is_lost_is_an_error_on_all", losses::a_rank_that_is_lost_is_an_error_on_all),
        ("reads_and_writes_notice_a_lost_rank", losses::reads_and_writes_notice_a_lost_rank),
        ("other_calls_are_told", losses::other_calls_are_told),
        ("what_is_refused", losses::what_is_refused),
    ];
    let trial = |(name, test): Test| {
        Trial::test(name, move || Ok(test().map_err(|e| e.to_string())?)).with_ignored_flag(skipped)
    };
    run(&arguments, tests.into_iter().map(trial).collect()).exit();
}
