//! The job of the training examples: train, compare, write.

use std::ffi::OsString;
use std::fmt::Write;

use crate::generate::generate;
use crate::optimizers::choose;
use crate::output::{Existing, Output};
use crate::sweep::sweep;
use crate::training::{Saving, train};
use crate::{CommandLine, Failure, Learner, Record, Settings, Text, metrics, pictures, table};

/// Runs the whole program for a framework. `program` is the name the help shows, `arguments` what follows it on the
/// command line.
pub fn run<L: Learner>(
    program: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(), Failure> {
    let Some(command_line) = CommandLine::read(program, arguments)? else { return Ok(()) };
    let choices = choose(&command_line)?;
    let text = match &command_line.text {
        Some(path) => Text::read(path)?,
        None => Text::king_james()?,
    };
    let runs = choices
        .iter()
        .map(|choice| Settings::new(&command_line, choice, &text))
        .collect::<Result<Vec<_>, _>>()?;
    let split = text.split(command_line.context)?;
    let existing = match (command_line.resume, command_line.overwrite) {
        (true, _) => Existing::Resume,
        (false, true) => Existing::Replace,
        (false, false) => Existing::Refuse,
    };
    if command_line.sweep {
        let output = Output::open(&command_line.out.join("sweep"), existing, &runs)?;
        return sweep::<L>(&command_line, &choices, &text, split, &output);
    }
    let output = Output::open(&command_line.out, existing, &runs)?;

    let mut done: Vec<(Settings, Record)> = Vec::new();
    let mut samples = String::new();
    for settings in runs {
        let name = settings.optimizer.clone();
        let saving = Saving {
            checkpoints: output.checkpoints(&name),
            every: command_line.checkpoint_every,
            resume: command_line.resume,
        };
        let (learner, record) = train::<L>(&settings, split, Some(&saving), true, &name)?;
        let sample =
            generate(command_line.sample, settings.context, settings.seed, |bytes| learner.logits(bytes))?;
        // Writing to a string cannot fail.
        let _ = writeln!(samples, "--- {name}\n{sample}\n");
        done.push((settings, record));
    }

    let summary = table::comparison(&done);
    println!("{samples}{summary}");
    output.write("sample.txt", samples.as_bytes())?;
    output.write("table.txt", format!("{summary}\n").as_bytes())?;
    let csv = metrics::csv(done.iter().map(|(settings, record)| (settings.optimizer.as_str(), record)));
    output.write("metrics.csv", csv.as_bytes())?;
    output.write("loss.png", &pictures::loss(&done)?)?;
    output.write("spectrum.png", &pictures::spectrum(&done)?)?;
    output.write("weights.png", &pictures::weights(&done)?)?;
    println!("written to {}", command_line.out.display());
    Ok(())
}
