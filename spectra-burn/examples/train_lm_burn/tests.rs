//! The whole program on a tiny model: the losses of candle's program, and a kill.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use spectra_examples::run;

use crate::learner::BurnLearner;

/// Holds the arguments of the program in a process that a test has started.
const ARGUMENTS: &str = "TRAIN_LM_ARGUMENTS";

/// A model that takes milliseconds for a step; paths must have no blanks.
fn arguments(out: &Path, more: &str) -> Vec<OsString> {
    let tiny = "--layers 1 --width 16 --hidden 24 --heads 2 --context 16 --batch 4 --sample 4";
    format!("--out {} {tiny} {more}", out.display()).split_whitespace().map(Into::into).collect()
}

/// The measurements of `metrics.csv` that a clock does not enter, by line.
fn measurements(out: &Path) -> Vec<Vec<String>> {
    let csv = fs::read_to_string(out.join("metrics.csv")).expect("metrics.csv");
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names = lines.next().expect("names of the columns");
    let timeless = |line: Vec<String>| {
        let cells = names.iter().zip(line);
        cells.filter(|(name, _)| !["seconds", "optimizer_ms"].contains(&name.as_str())).map(|x| x.1).collect()
    };
    lines.map(timeless).collect()
}

#[test]
fn losses_are_those_of_candles_program() {
    // spectra-candle's train_lm with the same flags.
    let expected = [
        (
            "adamw",
            [5.55562162399292, 5.531126022338867, 5.4718146324157715, 5.461721420288086, 5.381883144378662],
        ),
        (
            "spectra-adamw",
            [5.55562162399292, 5.5314741134643555, 5.473629951477051, 5.465328693389893, 5.389944076538086],
        ),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rates = "--lr 0.001 --elementwise-lr 0.004 --beta2 0.95";
    let flags = &format!("--steps 6 --eval-every 3 --optimizer adamw,spectra-adamw {rates}");
    run::<BurnLearner>("train_lm_burn", arguments(folder.path(), flags)).expect("a run");
    let found = measurements(folder.path());
    for (optimizer, losses) in expected {
        let lines: Vec<_> = found.iter().filter(|line| line[0] == optimizer).collect();
        for (step, loss) in losses.into_iter().enumerate() {
            let found: f64 = lines[step][3].parse().expect("a loss");
            // About 40 operations one after the other make half a unit of error each; the update of Adam changes a
            // loss by no more than the gradients' own rounding times the learning rate, which is far less.
            let tolerance = 40.0 * f64::from(f32::EPSILON) / 2.0 * loss;
            assert!((found - loss).abs() < tolerance, "{optimizer}, step {step}: {found} for {loss}");
        }
    }
}

#[test]
fn the_same_command_again_keeps_the_checkpoints() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let again = |more: &str| {
        let flags = format!("--steps 2 --optimizer adamw {more}");
        run::<BurnLearner>("train_lm_burn", arguments(folder.path(), &flags))
    };
    again("").expect("a run");
    let checkpoint = folder.path().join("adamw/step-00000002");
    let refused = again("").expect_err("the same again").to_string();
    assert!(refused.contains("--resume") && checkpoint.exists(), "{refused}");
    let refused = again("--width 4000000000000").expect_err("no machine has the memory").to_string();
    assert!(refused.contains("--width"), "{refused}");
    again("--resume").expect("a run that is finished already");
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let flags = "--steps 60 --eval-every 10 --checkpoint-every 3 --optimizer spectra";
    run::<BurnLearner>("train_lm_burn", arguments(&whole, flags)).expect("a whole run");
    let mut kills = 0;
    for round in 1_u64.. {
        let arguments = arguments(&killed, &format!("{flags} --resume"));
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::child", "--ignored"])
            .env(ARGUMENTS, arguments.join(" ".as_ref()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        std::thread::sleep(Duration::from_millis(40 * round));
        if let Some(status) = child.try_wait().expect("a status") {
            assert!(status.success(), "the child was refused");
            break;
        }
        child.kill().expect("a kill");
        child.wait().expect("a status");
        kills += 1;
    }
    assert!(kills > 0, "the child was never killed");
    assert_eq!(measurements(&killed), measurements(&whole));
}

/// The program, in a process that may be killed.
#[test]
#[ignore = "started by a_killed_run_resumes_to_the_same_bits"]
fn child() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    run::<BurnLearner>("train_lm_burn", arguments.split_whitespace().map(Into::into)).expect("a run");
}
