//! Saved states, and the program that looks into them.

use super::*;
use program::run as program;
use spectra_core::optimizer::diagnosis::{Origin, Severity};
use std::path::{Path, PathBuf};

const UP: &str = "layers.0.mlp.up.weight";

/// A state of a matrix with two dead rows and of a norm, which has skipped steps, in a file.
fn state(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let shapes: [(&str, &[usize]); 2] = [(UP, &[12, 20]), ("norm.weight", &[20])];
    let mut run = Run::new(Config::preset("spectra")?.lr(0.01).rank_ratio(0.25), &Plan::builder(), &shapes)?;
    for t in 0..6 {
        let mut gradients = run.gradients(t);
        if let Some(g) = &mut gradients[0] {
            g.values_mut()[..40].fill(0.0);
        }
        gradients[1] = gradients[1].take().filter(|_| t == 0);
        run.step(&gradients)?;
    }
    let path = folder.join("state.safetensors");
    run.optimizer.save(&path)?;
    let of_snapshot = Diagnoses::of_snapshot(&run.optimizer.snapshot()?)?;
    assert_eq!(of_snapshot, Diagnoses::of_file(&path)?);
    Ok(path)
}

#[test]
fn a_state_tells_of_dead_rows_skipped_steps_and_its_subspace() -> TestResult {
    let folder = tempfile::tempdir()?;
    let seen = Diagnoses::of_file(state(folder.path())?)?;
    assert_eq!((seen.origin, seen.steps), (Origin::SavedState, 6));
    let dead = only(&seen, UP)?;
    assert_eq!((dead.kind, dead.severity), (FindingKind::DeadRows, Severity::Warning));
    assert_eq!(dead.what, "2 of 12 rows (17 %) have had no gradient so far");
    assert_eq!(only(&seen, "norm.weight")?.what, "it took 1 of 6 steps");
    let up = seen.block(UP).ok_or("no block")?;
    let subspace = up.figures.subspace.ok_or("no subspace")?;
    assert!(subspace.rank == 3 && subspace.captured > 0.3 && subspace.captured <= subspace.possible);
    assert!(up.figures.momentum_rms > Some(0.5) && up.figures.weight_rms.is_none());
    assert_eq!((&*up.signature, up.shape, up.steps), ("momentum + tail shrink", (12, 20), 6));
    Ok(())
}

#[test]
fn the_state_of_a_healthy_model_is_silent() -> TestResult {
    let mut run = Run::new(Config::preset("spectra")?, &Plan::builder(), &[(UP, &[12, 20])])?;
    for t in 0..5 {
        run.step(&run.gradients(t))?;
    }
    assert_eq!(kinds(&Diagnoses::of_snapshot(&run.optimizer.snapshot()?)?), []);
    Ok(())
}

#[test]
fn the_program_prints_the_state_and_says_what_is_wrong_with_a_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = state(folder.path())?;
    let name = path.to_string_lossy().into_owned();
    let good = program(std::slice::from_ref(&name));
    assert_eq!((good.code, &*good.err), (0, ""));
    for line in [
        "layers.0.mlp.up.weight  12x20  momentum + tail shrink",
        "warning: dead rows",
        "2 blocks after 6 steps",
    ] {
        assert!(good.out.contains(line), "{line}: {}", good.out);
    }
    assert!(good.out.lines().skip(1).all(|line| line.chars().count() <= 80), "{}", good.out);

    let bytes = std::fs::read(&path)?;
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("empty", Vec::new(), "it is no safetensors file, or a truncated or damaged one"),
        (
            "cut",
            bytes[..bytes.len() / 2].to_vec(),
            "it is no safetensors file, or a truncated or damaged one",
        ),
        ("text", b"weights".to_vec(), "it is no safetensors file, or a truncated or damaged one"),
        ("other", other_file()?, "it holds no optimizer state"),
    ];
    for (file, bytes, reason) in cases {
        let path = folder.path().join(file);
        std::fs::write(&path, bytes)?;
        let path = path.to_string_lossy().into_owned();
        let bad = program(&[path.clone(), name.clone()]);
        assert_eq!(bad.code, 1);
        assert!(bad.err.starts_with(&path) && bad.err.contains(reason), "{}", bad.err);
        assert_eq!(bad.out, good.out, "the other file is still told of");
    }
    let missing = program(&["/no/such/file".to_owned()]);
    assert!(missing.code == 1 && missing.err.contains("/no/such/file"), "{}", missing.err);
    let folder = program(&[folder.path().to_string_lossy().into_owned()]);
    assert_eq!(folder.code, 1, "{}", folder.err);
    Ok(())
}

#[test]
fn damaged_buffers_are_named_and_the_others_are_told_of() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = state(folder.path())?;
    let mut bytes = std::fs::read(&path)?;
    let len = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len])?;
    let start = |key: &str| header[key]["data_offsets"][0].as_u64().ok_or("no tensor").map(|at| at as usize);
    let at = 8 + len + start("optimizer.layers.0.mlp.up.weight.momentum")? + 100;
    bytes[at] ^= 0x10;
    std::fs::write(&path, &bytes)?;
    let seen = Diagnoses::of_file(&path)?;
    let corrupt = only(&seen, UP)?;
    assert_eq!((corrupt.kind, corrupt.severity), (FindingKind::Corrupt, Severity::Error));
    assert_eq!(corrupt.what, "momentum: the numbers of a buffer are damaged");
    assert_eq!(only(&seen, "norm.weight")?.kind, FindingKind::SkippedSteps);
    let told = program(&[path.to_string_lossy().into_owned()]);
    assert!(told.code == 1 && told.out.contains("error: corrupt"), "{told:?}");
    Ok(())
}

#[test]
fn wrong_use_is_told_with_another_code() {
    let none = program(&[]);
    assert!(none.code == 2 && none.err.starts_with("usage") && none.out.is_empty());
    let option = program(&["--frob".to_owned()]);
    assert!(option.code == 2 && option.err.starts_with("unknown option --frob\nusage"));
    let help = program(&["--help".to_owned()]);
    assert!(help.code == 0 && help.out.starts_with("usage") && help.err.is_empty());
}

/// A safetensors file of weights.
fn other_file() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}      "#;
    let mut bytes = Vec::from((header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&[0; 4]);
    Ok(bytes)
}
