//! Tests on a device: the simulated one, or with `SPECTRA_CUDA=real` the machine's own. Where there is neither, every test
//! is listed as ignored and the reason is printed.

mod blocks;
mod buffers;
mod conformance;
mod costs;
mod device;
mod diagnoses;
mod files;
mod golden;
mod graphs;
mod masters;
mod matrices;
mod optimizer;
mod precision;
mod refusals;
mod small;
mod threads;

use libtest_mimic::{Arguments, Trial, run};
use spectra_cuda_simulator::{Selection, select};
use std::process::{Child, Command, ExitCode, Stdio};

/// The tests but for those of the conformance suite.
macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($(
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), || Ok($module::$name().map_err(|e| e.to_string())?)),
        )*)*]
    };
}

/// A half of the tests by time.
const HALF: &str = "conformance::f64";

/// Where all run on the simulated device, half of them in a second process: its accounts belong to a process, which therefore does one test after
/// the other. They are skipped
/// here.
fn second_process() -> std::io::Result<Option<Child>> {
    if std::env::args().len() > 1 || !matches!(select(), Selection::Simulated(_)) {
        return Ok(None);
    }
    Command::new(std::env::current_exe()?).arg(HALF).stdout(Stdio::piped()).spawn().map(Some)
}

fn main() -> std::io::Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let second = second_process()?;
    if second.is_some() {
        arguments.skip.push(HALF.into());
    }
    let skipped = matches!(select(), Selection::Skipped(_));
    let mut trials = conformance::trials();
    trials.extend(tests! {
        matrices: large_symmetric_products weight_updates_of_high_rank weight_updates_by_whole_tiles borrowed_with_gaps
            bf16_storage;
        blocks: they_step_as_separate_matrices_do sixteen_bits_are_turned_as_they_are what_is_turned_costs_three_launches
            reports_of_blocks;
        diagnoses: figures_are_the_cpus_and_nothing_changes each_buffer_is_looked_at_as_it_lies;
        files: a_state_goes_from_candle_to_cuda_to_the_core_and_back a_damaged_file_is_refused_by_name;
        masters: a_bf16_weight_decays_with_a_master_and_not_without the_master_is_restored
            stochastic_rounding_has_the_bits_of_the_cpu;
        golden: baselines spectra_wrapper spectral_maps frank_wolfe;
        optimizer: follows_the_portable_backend a_larger_matrix_follows_too bf16_is_f32_rounded_once gaps_between_rows resumes_to_the_bit
            resumes_with_rates_of_its_own a_captured_step_replays;
        costs: of_every_preset;
        precision: products_are_as_exact_as_they_say;
        refusals: small_buffers foreign_streams foreign_devices wrong_counts_and_values missing_gradients out_of_memory half_a_step
            no_such_device impossible_sizes operations_change_nothing;
        small: columns_whose_squares_vanish factors_of_nan_are_written empty_matrices;
        graphs: coefficients_follow_the_device working_memory_that_others_outgrow numbers_of_others_are_left_alone
            what_a_graph_cannot_repeat;
        threads: optimizers_on_clones parameters_side_by_side;
    });
    if skipped {
        trials = trials.into_iter().map(|trial| trial.with_ignored_flag(true)).collect();
    }
    let mut conclusion = run(&arguments, trials).exit_code();
    if let Some(second) = second {
        let output = second.wait_with_output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            conclusion = ExitCode::FAILURE;
        }
    }
    Ok(conclusion)
}
