//! One run of the language model, as `train_lm` has it, that tells what it came to in one line.

use std::ffi::OsString;
use std::path::PathBuf;

use spectra_core::distributed::{Alone, Communicator};
use spectra_decoder::CandleLearner;
use spectra_examples::checkpoints::Checkpoints;
use spectra_examples::optimizers::choose;
use spectra_examples::training::{Saving, train};
use spectra_examples::{CommandLine, Failure, Folder, Settings, Text};

use crate::Outcome;

/// Trains by the flags of `train_lm`, of which one optimizer must be named; goes on from what is in `--out`.
///
/// # Errors
/// Those of the flags and of the disk. A run that diverges is no error.
pub fn language_model(arguments: Vec<OsString>) -> Result<Option<Outcome>, Failure> {
    let Some(line) = CommandLine::read("lab train", arguments)? else { return Ok(None) };
    let choices = choose(&line)?;
    let [choice] = &choices[..] else {
        return Err(Failure::input("one run has one --optimizer"));
    };
    let text = line.text.as_deref().map_or_else(Text::king_james, Text::read)?;
    let settings = Settings::new(&line, choice, &text)?;
    let folder: PathBuf = line.out.join(&choice.name);
    let _held = Folder::take(&folder)?;
    let saving = Saving { checkpoints: Checkpoints::new(folder), every: line.checkpoint_every, resume: true };
    let split = text.split(line.context)?;
    let mut alone = Communicator::new(Alone);
    let trained = train::<CandleLearner, _>(&settings, split, Some(&saving), false, &choice.name, &mut alone);
    let record = match trained {
        Ok((_, record)) => Some(record),
        Err(Failure::Diverged(message)) => {
            eprintln!("{message}");
            None
        }
        Err(failure) => return Err(failure),
    };
    let known = record.as_ref();
    Ok(Some(Outcome {
        seed: settings.seed,
        steps: settings.steps,
        lr: settings.lr,
        elementwise_lr: settings.elementwise_lr,
        weight_decay: settings.weight_decay,
        warmup: settings.warmup,
        loss: known.and_then(spectra_examples::Record::final_loss),
        accuracy: None,
        curve: known.map_or_else(Vec::new, |r| r.validations().map(|(step, _, loss)| (step, loss)).collect()),
        optimizer_ms: known.map_or(0.0, spectra_examples::Record::optimizer_ms),
        seconds: known.map_or(0.0, spectra_examples::Record::seconds),
        state_bytes: known.map_or(0, |record| record.state_bytes),
        data: settings.text,
    }))
}
