//! `lab`: the experiments of spectra.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spectra_examples::Failure;
use spectra_laboratory::diagnosis::{DIAGNOSES, Diagnosis};

/// Experiments, their results and the report on them. Call it in the folder of the workspace.
#[derive(Parser)]
#[command(version, name = "lab")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures what the papers measure of gradients, updates and weights, and judges their claims; without a name lists what there is
    Diagnose {
        /// Names, or `all`
        names: Vec<String>,
        /// Where observed runs are kept
        #[arg(long, default_value = "out/diagnoses")]
        runs: PathBuf,
        /// Where the tables go
        #[arg(long, default_value = "laboratory/results")]
        results: PathBuf,
    },
}

fn main() -> ExitCode {
    spectra_decoder::keep_freed();
    let Task::Diagnose { names, runs, results } = CommandLine::parse().task;
    spectra_examples::report(diagnose(&names, &runs, &results))
}

fn diagnose(names: &[String], runs: &std::path::Path, results: &std::path::Path) -> Result<(), Failure> {
    if names.is_empty() {
        DIAGNOSES.iter().for_each(|diagnosis| println!("{:18} {}", diagnosis.name, diagnosis.question));
    }
    let all = DIAGNOSES.iter().map(|diagnosis| diagnosis.name.to_string());
    let names = if names.iter().any(|name| name == "all") { all.collect() } else { names.to_vec() };
    for name in names {
        println!("{}\n", Diagnosis::named(&name)?.make(runs, results)?);
    }
    Ok(())
}
