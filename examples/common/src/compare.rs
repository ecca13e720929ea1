//! The job of the training examples: train, compare, write.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::Duration;

use spectra_core::distributed::{Alone, Communicator, Threads, Transport};

use crate::checkpoints::Checkpoints;
use crate::generate::generate;
use crate::optimizers::{Choice, choose};
use crate::output::Output;
use crate::sweep::sweep;
use crate::training::{Saving, train};
use crate::workers::{on_threads, whole_batch};
use crate::{CommandLine, Failure, Learner, Record, Settings, Text, metrics, pictures, table};

/// How long a worker waits for another: the first alone samples, draws and writes while the others wait.
const DEADLINE: Duration = Duration::from_secs(600);

/// Runs the whole program for a framework, on one thread or several. `program` is the name the help shows, `arguments` what follows
/// it on the command line.
pub fn run<L: Learner>(
    program: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(), Failure> {
    let Some(job) = Job::new(program, arguments)? else { return Ok(()) };
    let line = &job.line;
    whole_batch(line.workers, line.batch)?;
    if line.sweep {
        let output = Output::open(&line.out.join("sweep"), line.existing(), &job.runs)?;
        return sweep::<L>(line, &job.choices, &job.text, job.text.split(line.context)?, &output);
    }
    let output = job.open()?;
    if line.workers == 1 {
        return job.work::<L, _>(Some(&output), &mut Communicator::new(Alone));
    }
    on_threads(Threads::group(line.workers, DEADLINE), |group| {
        let output = (group.rank() == 0).then_some(&output);
        job.work::<L, _>(output, group)
    })
}

/// Runs the program as one rank of a group that is connected once the command line is found sound. The first rank writes; all read
/// checkpoints from the same folder.
pub fn run_as_rank<L: Learner, T: Transport + 'static>(
    program: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    connect: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    let Some(job) = Job::new(program, arguments)? else { return Ok(()) };
    if job.line.workers != 1 || job.line.sweep {
        return Err(Failure::input(
            "--workers and --sweep are for one process; the launcher says how many ranks there are",
        ));
    }
    let mut group = Communicator::new(connect()?);
    whole_batch(group.size(), job.line.batch)?;
    let output = if group.rank() == 0 { Some(job.open()?) } else { None };
    job.work::<L, _>(output.as_ref(), &mut group)
}

/// What the command line asks for.
struct Job {
    line: CommandLine,
    choices: Vec<Choice>,
    text: Text,
    runs: Vec<Settings>,
}

impl Job {
    /// `None`: help or version was asked for.
    fn new(
        program: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Self>, Failure> {
        let Some(line) = CommandLine::read(program, arguments)? else { return Ok(None) };
        let choices = choose(&line)?;
        let text = match &line.text {
            Some(path) => Text::read(path)?,
            None => Text::king_james()?,
        };
        let settings = |choice| Settings::new(&line, choice, &text);
        let runs = choices.iter().map(settings).collect::<Result<_, _>>()?;
        text.split(line.context)?;
        Ok(Some(Self { line, choices, text, runs }))
    }

    fn open(&self) -> Result<Output, Failure> {
        Output::open(&self.line.out, self.line.existing(), &self.runs)
    }

    /// Trains with each optimizer; who has the output folder writes what comes of it.
    fn work<L: Learner, T: Transport + 'static>(
        &self,
        output: Option<&Output>,
        group: &mut Communicator<T>,
    ) -> Result<(), Failure> {
        let split = self.text.split(self.line.context)?;
        let mut done: Vec<(Settings, Record)> = Vec::new();
        let mut samples = String::new();
        for settings in self.runs.clone() {
            let name = settings.optimizer.clone();
            let saving = Saving {
                checkpoints: Checkpoints::new(self.line.out.join(&name)),
                every: self.line.checkpoint_every,
                resume: self.line.resume,
            };
            let (learner, record) = train::<L, _>(&settings, split, Some(&saving), true, &name, group)?;
            if output.is_none() {
                continue;
            }
            let sample =
                generate(self.line.sample, settings.context, settings.seed, |bytes| learner.logits(bytes))?;
            // Writing to a string cannot fail.
            let _ = writeln!(samples, "--- {name}\n{sample}\n");
            done.push((settings, record));
        }
        output.map_or(Ok(()), |output| write(output, &done, &samples))?;
        if output.is_some() {
            println!("written to {}", self.line.out.display());
        }
        Ok(())
    }
}

fn write(output: &Output, done: &[(Settings, Record)], samples: &str) -> Result<(), Failure> {
    let summary = table::comparison(done);
    println!("{samples}{}", table::on_screen(&summary, table::screen()));
    output.write("sample.txt", samples.as_bytes())?;
    output.write("table.txt", format!("{summary}\n").as_bytes())?;
    let csv = metrics::csv(done.iter().map(|(settings, record)| (settings.optimizer.as_str(), record)));
    output.write("metrics.csv", csv.as_bytes())?;
    output.write("loss.png", &pictures::loss(done)?)?;
    output.write("spectrum.png", &pictures::spectrum(done)?)?;
    output.write("weights.png", &pictures::weights(done)?)
}
