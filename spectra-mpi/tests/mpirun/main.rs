//! Starts itself under mpirun, and alone, and looks at what becomes of it.
//!
//! `SPECTRA_MPI` unset: if there is no mpirun the tests are skipped, and say so. `SPECTRA_MPI=1`: that is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod claims;
mod faults;
mod rank;

use faults::Fault;
use std::path::Path;
use std::process::{Command, Output};

/// What a started program is to do.
const CASE: &str = "SPECTRA_MPI_CASE";
/// Where its ranks say what they found.
const FOLDER: &str = "SPECTRA_MPI_FOLDER";
/// When `timeout` ends everything, with code 124.
const LIMIT_SECONDS: &str = "60";

fn main() {
    if let Ok(case) = std::env::var(CASE) {
        return rank::run(&case);
    }
    let asked = match std::env::var("SPECTRA_MPI").as_deref() {
        Ok("1") => true,
        Ok(other) => panic!("SPECTRA_MPI={other}: must be `1` or unset"),
        Err(_) => false,
    };
    let has_mpirun = Command::new("mpirun").arg("--version").output().is_ok_and(|done| done.status.success());
    if !has_mpirun {
        assert!(!asked, "SPECTRA_MPI=1, and mpirun does not start");
        // Without mpirun, too: a world of one has Open MPI start a helper of the same package.
        println!("\nSKIPPED: mpirun does not start here\n\n0 passed, 0 failed, 1 skipped");
        return;
    }
    let mut outcomes = vec![test("claims, without mpirun", &alone, "claims", 1, claims::hold)];
    for size in [1, 2, 3, 4] {
        outcomes.push(test(&format!("claims, {size} ranks"), &mpirun, "claims", size, claims::hold));
    }
    for fault in Fault::ALL {
        let found = |done: &Output, said: &[String]| fault.is_met(done, said);
        outcomes.push(test(&format!("{fault:?}, 3 ranks"), &mpirun, &format!("{fault:?}"), 3, found));
    }
    let failed = outcomes.iter().filter(|passed| !**passed).count();
    println!("\n{} passed, {failed} failed", outcomes.len() - failed);
    std::process::exit(i32::from(failed > 0));
}

/// Whether a case ends as it should; `right` is given the end of the program and what each rank has said, if it has.
fn test(
    name: &str,
    start: &dyn Fn(usize) -> Command,
    case: &str,
    size: usize,
    right: impl Fn(&Output, &[String]) -> Result<(), String>,
) -> bool {
    let folder = std::env::temp_dir().join(format!("spectra-mpi-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of our own");
    let done = start(size).env(CASE, case).env(FOLDER, &folder).output().expect("a program that starts");
    let said: Vec<_> = (0..size).map(|rank| read(&folder, rank)).collect();
    std::fs::remove_dir_all(&folder).expect("our own folder");
    let verdict = match done.status.code() {
        Some(124) => Err("it hung".into()),
        _ => right(&done, &said),
    };
    match &verdict {
        Ok(()) => println!("test {name} ... ok"),
        Err(reason) => println!(
            "test {name} ... FAILED: {reason}\n{}\n{said:#?}\n{}\n{}",
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        ),
    }
    verdict.is_ok()
}

fn read(folder: &Path, rank: usize) -> String {
    std::fs::read_to_string(folder.join(rank.to_string())).unwrap_or_default()
}

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().expect("this program")
}

fn alone(_: usize) -> Command {
    Command::new(this_program())
}

/// More ranks than cores, and as root: by the variables of Open MPI 4 and 5, which others do not read.
fn mpirun(size: usize) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", LIMIT_SECONDS, "mpirun", "-n", &size.to_string()]).arg(this_program()).envs([
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
    ]);
    command
}
