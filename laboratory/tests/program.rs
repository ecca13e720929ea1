//! `lab` as a user calls it, in a folder of its own.

use std::path::Path;
use std::process::{Command, Output};

fn lab(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("the program")
}

/// Exit code and last line of stderr.
fn refusal(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    let output = lab(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said.lines().last().unwrap_or_default().to_string())
}

#[test]
fn runs_become_rows_that_can_be_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("laboratory/results/digits.csv");
    for (most, rows) in [(1, 1), (2, 3)] {
        let output = lab(folder.path(), &format!("run digits --most {most}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A line of titles.
        assert_eq!(std::fs::read_to_string(&results).expect("rows").lines().count(), rows + 1);
    }
    let again = lab(folder.path(), "rerun digits:2");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let text = std::fs::read_to_string(&results).expect("rows");
    // A twentieth of the steps.
    std::fs::write(&results, text.replacen("--network=mlp", "--network=mlp --steps=33", 1))
        .expect("another command");
    let (code, said) = refusal(folder.path(), "rerun digits:1");
    assert!(code == Some(1) && said.contains("differ"), "{said}");
    for (arguments, named) in [
        ("run nothing", "language, digits"),
        ("rerun digits:9", "digits:9"),
        ("rerun digits", "EXPERIMENT:NUMBER"),
        ("report", "docs/laboratory.md"),
        ("digits --network mlp --optimizer sgd", "sgd"),
        ("train --optimizer adamw,muon", "one --optimizer"),
        ("diagnose nothing", "gradient-spectra"),
    ] {
        let (code, said) = refusal(folder.path(), arguments);
        assert!(code == Some(2) && said.contains(named), "{arguments}: {code:?} {said}");
    }
    let held = spectra_examples::Folder::take(&folder.path().join("out/lab/digits")).expect("a free folder");
    let (code, said) = refusal(folder.path(), "run digits --most 1");
    assert!(code == Some(2) && said.contains("another process"), "{said}");
    drop(held);
}
