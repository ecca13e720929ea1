//! Runs that are looked at: what the optimizer makes of the gradients at certain steps, kept in files.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_nn::Optimizer as _;
use spectra_candle::plan::Plan;
use spectra_candle::{Observation, Optimizer};
use spectra_examples::batches::training_batch;
use spectra_examples::optimizers::{choose, config};
use spectra_examples::schedule::{ClipFactors, schedule};
use spectra_examples::{CommandLine, Failure, Settings, Split, Text};

use super::model::{Model, Tensors};

/// A run of `train_lm` by some of its flags.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Of its folder.
    pub(super) name: String,
    /// What is not as `train_lm` has it unless told.
    pub(super) flags: Vec<String>,
    /// Steps, from 0, at which matrices are observed, with the matrices; the gradients and updates are those of that step.
    pub(super) looks: Vec<(usize, Vec<String>)>,
    /// What is kept of an observation; everything if empty.
    pub(super) parts: &'static [&'static str],
    /// Steps before which the weights are kept.
    pub(super) keeps: Vec<usize>,
    /// After how many steps it may end.
    pub(super) until: usize,
}

/// Where files are, and the text.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    pub(super) text: &'a Text,
}

impl Place<'_> {
    /// The settings of a run's flags.
    pub(super) fn settings(&self, flags: &[String]) -> Result<Settings, Failure> {
        let line = CommandLine::read("lab instruments", flags.iter().map(OsString::from))?;
        let line = line.ok_or_else(|| Failure::input("a run of an instrument asks for help"))?;
        let choices = choose(&line)?;
        let [choice] = &choices[..] else { return Err(Failure::input("a run has one --optimizer")) };
        Settings::new(&line, choice, self.text)
    }

    pub(super) fn split(&self, settings: &Settings) -> Result<Split<'_>, Failure> {
        self.text.split(settings.context)
    }

    fn of(&self, run: &Run) -> PathBuf {
        self.folder.join(&run.name)
    }

    /// The weights before a step.
    pub(super) fn weights(&self, run: &Run, step: usize) -> Result<Tensors, Failure> {
        load(&self.of(run).join(format!("weights-{step}.safetensors")))
    }

    /// What was seen at a step, under `matrix/quantity`.
    pub(super) fn seen(&self, run: &Run, step: usize) -> Result<Tensors, Failure> {
        load(&self.of(run).join(format!("seen-{step}.safetensors")))
    }

    /// Makes the run, unless it has been made with the same flags.
    pub(super) fn ensure(&self, run: &Run) -> Result<(), Failure> {
        let folder = self.of(run);
        let settings = self.settings(&run.flags)?;
        let made = folder.join("made");
        let recipe = format!("{:?}\n{settings:?}\n", (&run.looks, &run.keeps, run.until));
        if fs::read_to_string(&made).is_ok_and(|found| found == recipe) {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(Failure::run)?;
        self.train(run, &settings, &folder)?;
        spectra_examples::write_whole(&made, recipe.as_bytes())
    }

    fn train(&self, run: &Run, settings: &Settings, folder: &Path) -> Result<(), Failure> {
        let (model, split) = (Model::new(settings)?, self.split(settings)?);
        let vars = model.variables().iter().cloned();
        let optimizer = Optimizer::from_named_vars(vars, config(settings)?, &Plan::builder());
        let mut optimizer = optimizer.map_err(Failure::run)?;
        let (schedule, clip) = (schedule(settings)?, ClipFactors::new(settings)?);
        let begun = Instant::now();
        for step in 0..run.until {
            if run.keeps.contains(&step) {
                save(&folder.join(format!("weights-{step}.safetensors")), &model.tensors()?)?;
            }
            let batch = training_batch(split.train, settings.batch, settings.context, settings.seed, step);
            let gradients = model.gradients(&batch)?;
            optimizer.set_learning_rate(settings.lr * schedule.factor(step as u64));
            if let Some((clip, pre_clip)) = clip.at(step as u64) {
                let set = optimizer.set_clip_factor(clip);
                set.and_then(|()| optimizer.set_pre_clip_factor(pre_clip)).map_err(Failure::run)?;
            }
            if let Some((_, names)) = run.looks.iter().find(|(at, _)| *at == step) {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let mut seen = Tensors::new();
                for name in &names {
                    // What the map began with, which the step replaces.
                    if let Some(before) = optimizer.state_tensor(name, "subspace").map_err(Failure::run)? {
                        seen.insert(format!("{name}/subspace_before"), before);
                    }
                }
                let observed = optimizer.observe(&gradients, &names).map_err(Failure::run)?;
                for (name, observation) in names.iter().zip(observed) {
                    let wanted = |part: &str| run.parts.is_empty() || run.parts.contains(&part);
                    let kept = parts(observation).filter(|(part, _)| wanted(part));
                    seen.extend(kept.map(|(part, tensor)| (format!("{name}/{part}"), tensor)));
                }
                save(&folder.join(format!("seen-{step}.safetensors")), &seen)?;
            }
            optimizer.step(&gradients).map_err(Failure::run)?;
            let done = step + 1;
            if done.is_multiple_of(50) {
                let left = begun.elapsed().as_secs_f64() / done as f64 * (run.until - done) as f64;
                eprintln!("{} step {done}/{}: {left:.0} s left", run.name, run.until);
            }
        }
        if run.keeps.contains(&run.until) {
            save(&folder.join(format!("weights-{}.safetensors", run.until)), &model.tensors()?)?;
        }
        Ok(())
    }
}

/// The tensors of an observation by name.
fn parts(
    Observation { gradient, direction, update, weights, state, .. }: Observation<candle_core::Tensor>,
) -> impl Iterator<Item = (&'static str, candle_core::Tensor)> {
    let buffers: Vec<_> = state.iter().map(|(name, buffer)| (name, buffer.clone())).collect();
    let own = [("gradient", gradient), ("update", update), ("weights", weights)];
    own.into_iter().chain(direction.map(|d| ("direction", d))).chain(buffers)
}

fn save(path: &Path, tensors: &Tensors) -> Result<(), Failure> {
    candle_core::safetensors::save(tensors, path)
        .map_err(|error| Failure::run(format!("cannot write {}: {error}", path.display())))
}

fn load(path: &Path) -> Result<Tensors, Failure> {
    candle_core::safetensors::load(path, &candle_core::Device::Cpu)
        .map_err(|error| Failure::run(format!("cannot read {}: {error}", path.display())))
}
