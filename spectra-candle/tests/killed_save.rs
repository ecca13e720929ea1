//! A process killed at random moments while it saves: the file is always a whole one.
#![cfg(unix)]

mod common;

use candle_core::{DType, Device};
use candle_nn::{Optimizer as _, VarMap};
use common::gradients;
use spectra_candle::{Config, Optimizer};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The environment variable that tells the child where to save.
const FOLDER: &str = "SPECTRA_KILLED_SAVE";

fn optimizer() -> Result<(VarMap, Optimizer), Box<dyn std::error::Error>> {
    let varmap = VarMap::new();
    varmap.get((512, 512), "mlp.weight", candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
    let optimizer = Optimizer::from_varmap(&varmap, Config::preset("adamw")?)?;
    Ok((varmap, optimizer))
}

/// Not a test by itself: the child of the test below, which saves for ever.
#[test]
#[ignore = "started by the other test"]
fn child() -> TestResult {
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let path = Path::new(&folder).join("state");
    let (varmap, mut optimizer) = optimizer()?;
    let grads = gradients(&varmap, 0)?;
    loop {
        optimizer.step(&grads)?;
        optimizer.save(&path)?;
    }
}

#[test]
fn the_file_is_whole_after_every_kill() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let (_varmap, mut optimizer) = optimizer()?;
    let mut interrupted = 0;
    for round in 0..12u64 {
        std::fs::remove_file(&path).or_else(|e| if round == 0 { Ok(()) } else { Err(e) })?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "child", "--ignored"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let started = Instant::now();
        while !path.exists() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Somewhere in the milliseconds of a later save.
        std::thread::sleep(Duration::from_micros(10_000 + 1_700 * round));
        child.kill()?;
        child.wait()?;
        optimizer.load(&path)?;
        assert!(optimizer.steps() > 0);
        let files = std::fs::read_dir(folder.path())?.collect::<Result<Vec<_>, _>>()?;
        interrupted += files.len() - 1;
        for file in files.iter().filter(|file| file.path() != path) {
            std::fs::remove_file(file.path())?;
        }
    }
    // Else the test would prove nothing: some kills must have come in the middle of a save.
    assert!(interrupted > 0, "no kill came while a file was being written");
    Ok(())
}
