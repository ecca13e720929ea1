//! Where a measurement comes from: processor, commit, date.

use std::fs;
use std::process::Command;

use crate::Failure;

/// The processor's name, where a file tells it (Linux).
pub fn cpu() -> String {
    let name = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
        Some(line.trim_start_matches([' ', '\t', ':']).to_string())
    };
    fs::read_to_string("/proc/cpuinfo").ok().and_then(name).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The commit of the source in the working folder, with `+changes` if tracked files differ from it, and its date.
pub fn commit() -> Result<(String, String), Failure> {
    let changes =
        if git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() { "" } else { "+changes" };
    Ok((git(&["log", "-1", "--format=%h"])? + changes, git(&["log", "-1", "--format=%cs"])?))
}

fn git(arguments: &[&str]) -> Result<String, Failure> {
    let failed = |what: String| Failure::run(format!("git {}: {what}", arguments.join(" ")));
    let output = Command::new("git").args(arguments).output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().into()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().into())),
    }
}

/// The day, as `2026-11-30`, in UTC.
pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}
