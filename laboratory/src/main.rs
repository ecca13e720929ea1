//! `lab`: the experiments of spectra.
//!
//! `cargo run --release --bin lab -- --help`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spectra_examples::{Failure, write_whole};
use spectra_laboratory::diagnosis::{DIAGNOSES, Diagnosis};
use spectra_laboratory::{
    Experiment, Manner, Outcome, Results, all, digits, execute, file, language_model, report, run,
};

/// Experiments, their results and the report on them. Call it in the folder of the workspace.
#[derive(Parser)]
#[command(version, name = "lab")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Experiments, what each asks and how far it is
    List,
    /// Makes the runs of an experiment that are not in its results yet; may be stopped at any time and called again
    Run {
        /// Its name, as in `lab list`
        experiment: String,
        /// Runs at a time
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
        jobs: u16,
        /// Threads of each
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        threads: u16,
        /// No more than so many runs now
        #[arg(long)]
        most: Option<usize>,
        /// Runs of this one only, as the tables call it; may be given several times
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Writes the page with everything, and the tables of the document
    Report {
        /// The page
        #[arg(long, default_value = "out/laboratory.html")]
        page: PathBuf,
        /// The document whose tables are filled in
        #[arg(long, default_value = "docs/laboratory.md")]
        document: PathBuf,
    },
    /// Runs a row again and compares
    Rerun {
        /// Experiment and number of the row, counted from 1: `language:3`
        row: String,
    },
    /// One run on handwritten digits; prints what it came to as JSON
    #[command(disable_help_flag = true)]
    Digits {
        /// See lab digits --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
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
    /// One run of the language model by the flags of train_lm; prints what it came to as JSON
    #[command(disable_help_flag = true)]
    Train {
        /// See train_lm --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    spectra_decoder::keep_freed();
    spectra_examples::report(|| execute_task(CommandLine::parse().task))
}

fn execute_task(task: Task) -> Result<(), Failure> {
    match task {
        Task::List => list(),
        Task::Run { experiment, jobs, threads, most, only } => {
            let experiment = named(&experiment)?;
            let mut results = Results::read(&file(experiment.name()))?;
            let most = most.unwrap_or(usize::MAX);
            let manner = Manner { jobs: jobs.into(), threads: threads.into(), most, only: &only };
            run(&*experiment, &mut results, manner)
        }
        Task::Rerun { row } => rerun(&row),
        Task::Report { page, document } => write_report(&page, &document),
        Task::Digits { flags } => print(digits(flags)?),
        Task::Diagnose { names, runs, results } => diagnose(&names, &runs, &results),
        Task::Train { flags } => print(language_model(flags)?),
    }
}

fn print(outcome: Option<Outcome>) -> Result<(), Failure> {
    if let Some(outcome) = outcome {
        println!("{}", serde_json::to_string(&outcome).map_err(Failure::run)?);
    }
    Ok(())
}

fn write_report(page: &Path, document: &Path) -> Result<(), Failure> {
    let sections = report::sections()?;
    let refused = |error: std::io::Error| Failure::input(format!("{}: {error}", document.display()));
    let text = std::fs::read_to_string(document).map_err(refused)?;
    let filled = report::fill(&text, &sections)?;
    if let Some(folder) = page.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::run)?;
    }
    write_whole(page, report::page(&sections).as_bytes())?;
    write_whole(document, filled.as_bytes())?;
    for section in &sections {
        println!("{:14} {}", section.name, section.standing.text());
    }
    println!("written to {} and {}", page.display(), document.display());
    Ok(())
}

fn diagnose(names: &[String], runs: &Path, results: &Path) -> Result<(), Failure> {
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

fn named(name: &str) -> Result<Box<dyn Experiment + Sync>, Failure> {
    let mut all = all();
    let place = all.iter().position(|experiment| experiment.name() == name).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|experiment| experiment.name()).collect();
        Failure::input(format!("there is no experiment named {name}; there are {}", names.join(", ")))
    })?;
    Ok(all.swap_remove(place))
}

fn list() -> Result<(), Failure> {
    for experiment in all() {
        let results = Results::read(&file(experiment.name()))?;
        let total = experiment.total(&results);
        println!(
            "{:12} {:4} of {total:4} runs   {}",
            experiment.name(),
            results.rows().len(),
            experiment.question()
        );
    }
    Ok(())
}

/// Losses of the same command differ by rounding alone.
const TOLERANCE: f64 = 0.01;

fn rerun(row: &str) -> Result<(), Failure> {
    let refused = || Failure::input(format!("{row} names no row; pass EXPERIMENT:NUMBER, as language:3"));
    let (experiment, number) = row.split_once(':').ok_or_else(refused)?;
    let experiment = named(experiment)?;
    let results = Results::read(&file(experiment.name()))?;
    let number = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).ok_or_else(refused)?;
    let row = results.rows().get(number).ok_or_else(refused)?;
    println!("lab {}", row.command);
    let outcome = execute(&row.command, row.threads)?;
    let shown = |loss: Option<f64>| loss.map_or_else(|| "diverged".into(), |loss| format!("{loss:.5}"));
    println!("then {}, now {}", shown(row.loss), shown(outcome.loss));
    match (row.loss, outcome.loss) {
        (Some(then), Some(now)) if (then - now).abs() <= TOLERANCE => Ok(()),
        (None, None) => Ok(()),
        _ => Err(Failure::run(format!("the losses differ by more than {TOLERANCE}"))),
    }
}
