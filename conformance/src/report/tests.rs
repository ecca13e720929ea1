use std::fs;
use std::path::{Path, PathBuf};

use super::{Candidate, CommandLine, Outputs, run};
use crate::suite::Report;

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("spectra-conformance-{}-{name}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

fn line(report: &Path, json: &Path) -> CommandLine {
    let arguments = ["x".into(), "--report".into(), report.into(), "--json".into(), json.into()];
    CommandLine::read(arguments).unwrap()
}

fn empty() -> Candidate {
    Candidate::known("empty", || Ok(Report { entries: Vec::new() }))
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_the_run() {
    let folder = folder("before");
    let (page, json) = (folder.join("page.html"), folder.join("all.json"));
    fs::write(&json, "of yesterday").unwrap();
    let refused = Outputs::of(&line(&folder.join("nowhere/page.html"), &json)).unwrap_err();
    assert!(refused.contains("--report") && refused.contains("nowhere"), "{refused}");
    let refused = Outputs::of(&line(&page, &folder)).unwrap_err();
    assert!(refused.starts_with("--json"), "{refused}");
    assert!(Outputs::of(&line(&json, &json)).unwrap_err().contains("same file"));
    assert!(!page.exists(), "nothing is left behind");
    assert!(Outputs::of(&line(&page, &json)).is_ok());
    assert_eq!(fs::read_to_string(&json).unwrap(), "of yesterday");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_can_be_written_is_written() {
    let folder = folder("after");
    let (page, json) = (folder.join("page.html"), folder.join("all.json"));
    let line = line(&page, &json);
    let outputs = Outputs::of(&line).unwrap();
    // It became impossible in the meantime.
    fs::create_dir(&page).unwrap();
    let errors = run(&line, &[&empty()], &outputs).unwrap_err();
    assert!(errors.len() == 1 && errors[0].contains("page.html"), "{errors:?}");
    assert!(fs::read_to_string(&json).unwrap().contains("empty"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_backend_that_cannot_be_made_takes_no_other_with_it() {
    let folder = folder("made");
    let (page, json) = (folder.join("page.html"), folder.join("all.json"));
    let line = line(&page, &json);
    let broken = Candidate::known("broken", || Err("no device".into()));
    let errors = run(&line, &[&broken, &empty()], &Outputs::of(&line).unwrap()).unwrap_err();
    assert_eq!(errors, ["broken f32: no device"]);
    assert!(page.exists() && fs::read_to_string(&json).unwrap().contains("empty"));
    fs::remove_dir_all(folder).unwrap();
}
