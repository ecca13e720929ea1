//! The papers' claims, one line each, with what came of them here.

use std::path::Path;

use serde::Deserialize;
use spectra_examples::Failure;

use super::{Section, Standing, Table};

/// A line of a diagnosis' file of verdicts.
#[derive(Debug, Deserialize)]
struct Verdict {
    experiment: String,
    claim: String,
    criterion: String,
    value: f64,
    threshold: f64,
    null: Option<f64>,
    verdict: String,
}

/// What is decided by no experiment of the laboratory but by a test or a benchmark of the repository: claim, verdict, where.
const ELSEWHERE: &[[&str; 3]] = &[
    [
        "2602.11185, inequality (2): P H P <= H for a projection P",
        "refuted: false unless they commute; a counterexample is a test",
        "docs/lemmas.md",
    ],
    ["2602.11185, inequalities (1) and (3)", "shown, by Monte Carlo and directly", "docs/lemmas.md"],
    [
        "2602.11185, Table 1: state mn + nk, about half of AdamW's",
        "shown: counted",
        "README, plans and memory",
    ],
    [
        "2602.11185, Table 2: a step is 5.1 times faster than Newton-Schulz",
        "not decidable here for a GPU; on the CPU see the benchmark",
        "bench/peers/README.md",
    ],
    ["2602.11185, Table 4: downstream tasks", "not decidable here: models of 0.6B and 8B", ""],
    [
        "2603.14315, Proposition 1: the clip is a composite Frank-Wolfe step",
        "shown: both recursions agree",
        "docs/lemmas.md",
    ],
    [
        "2603.14315, Figures F.1 and F.4: Frank-Wolfe converges with whole gradients and with those of batches, psi shrinks the norm",
        "shown: the gap falls like k^-1.7 to k^-2.1 (whole) and k^-0.37 to k^-0.99 (batches)",
        "docs/lemmas.md",
    ],
    ["2603.14315, lemmas that the text at hand has", "shown, each as a test", "docs/lemmas.md"],
    ["2603.14315, Tables of 124M to 820M models", "not decidable here", ""],
];

/// The section of all claims: those of the diagnoses from their files in `folder`, then those that `sections` decide, then the rest.
///
/// # Errors
/// Those of the files.
pub(super) fn section(folder: &Path, sections: &[Section]) -> Result<Section, Failure> {
    let measured = measured(folder)?;
    let count = |word: &str| {
        let of_sections = sections.iter().filter(|section| section.standing.text().starts_with(word)).count();
        of_sections + measured.iter().filter(|verdict| verdict.verdict.starts_with(word)).count()
    };
    let (shown, refuted) = (count("shown"), count("refuted"));
    let lines = measured.iter().map(|verdict| {
        vec![
            verdict.claim.clone(),
            verdict.verdict.clone(),
            format!("{:.3}", verdict.value),
            format!("{:.3}", verdict.threshold),
            verdict.null.map_or_else(String::new, |null| format!("{null:.3}")),
            verdict.criterion.clone(),
            verdict.experiment.clone(),
        ]
    });
    let by_runs = sections
        .iter()
        .map(|section| vec![section.question.clone(), section.standing.text(), section.name.clone()]);
    let elsewhere = ELSEWHERE.iter().map(|line| line.map(String::from).to_vec());
    Ok(Section {
        name: "claims".into(),
        question: "What do the papers claim, and what of it holds at our size?".into(),
        null: "each line has its own.".into(),
        standing: Standing::Undecided(format!(
            "{shown} lines are shown, {refuted} refuted at our size, of the others each says why"
        )),
        command: "cargo run --release --bin lab -- diagnose all".into(),
        effort: format!("{} measured claims", measured.len()),
        tables: vec![
            Table {
                title: "Measured on gradients, updates and weights of the byte model.".into(),
                titles: vec!["claim", "verdict", "found", "needed", "of noise", "criterion", "of"],
                rows: lines.collect(),
            },
            Table {
                title: "By training runs; see the sections below.".into(),
                titles: vec!["question", "verdict", "experiment"],
                rows: by_runs.collect(),
            },
            Table {
                title: "By tests and benchmarks of the repository, or not at all.".into(),
                titles: vec!["claim", "verdict", "where"],
                rows: elsewhere.collect(),
            },
        ],
        figures: Vec::new(),
    })
}

/// Of all files of verdicts, in the order of their names.
fn measured(folder: &Path) -> Result<Vec<Verdict>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::run(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(|error| failed(&error))?;
    let mut files: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|e| failed(&e))?;
    files.retain(|path| path.to_string_lossy().ends_with("-verdicts.csv"));
    files.sort();
    let mut verdicts = Vec::new();
    for path in files {
        let mut reader = csv::Reader::from_path(&path).map_err(|error| failed(&error))?;
        for verdict in reader.deserialize() {
            verdicts.push(verdict.map_err(|error| Failure::run(format!("{}: {error}", path.display())))?);
        }
    }
    Ok(verdicts)
}
