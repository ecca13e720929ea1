//! `train_lm` of spectra-candle with its ranks as processes: the same model, learner and loop.

use std::process::ExitCode;
use std::time::Duration;

use spectra_decoder::CandleLearner;
use spectra_examples::Failure;
use spectra_mpi::Mpi;

/// How long a rank waits for another: the first alone samples, draws and writes while the others wait.
const DEADLINE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    spectra_decoder::keep_freed();
    let connect = || {
        let mpi = Mpi::init(DEADLINE).map_err(Failure::run)?;
        mpi.abort_on_panic();
        Ok(mpi)
    };
    let arguments = std::env::args_os().skip(1);
    spectra_examples::report(|| {
        spectra_examples::run_as_rank::<CandleLearner, _>("train_lm_mpi", arguments, connect)
    })
}
