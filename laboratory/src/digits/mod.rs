//! The second task: handwritten digits.

mod data;
mod network;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use candle_core::Var;
use candle_nn::Optimizer as _;
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use spectra_candle::Optimizer;
use spectra_decoder::Average;
use spectra_examples::optimizers::{choose, config};
use spectra_examples::schedule::{ClipFactors, schedule};
use spectra_examples::{CommandLine, Failure, Settings, Text};

use self::data::Images;
use self::network::{Kind, Network};
use crate::Outcome;

/// One run on handwritten digits; the flags that train_lm has mean what they mean there.
#[derive(Parser)]
#[command(name = "lab digits")]
struct Line {
    /// What learns
    #[arg(long, value_enum)]
    network: Kind,
    #[arg(long)]
    optimizer: String,
    #[arg(long)]
    lr: Option<String>,
    /// Of head and biases
    #[arg(long)]
    elementwise_lr: Option<String>,
    #[arg(long)]
    weight_decay: Option<String>,
    #[arg(long)]
    warmup: Option<String>,
    #[arg(long)]
    beta2: Option<String>,
    #[arg(long)]
    rank_ratio: Option<String>,
    #[arg(long)]
    clip: Option<String>,
    #[arg(long)]
    average: Option<String>,
    #[arg(long)]
    set: Vec<String>,
    #[arg(long, default_value = "1")]
    seed: String,
    #[arg(long, default_value = "660")]
    steps: String,
    /// Images of a step
    #[arg(long, default_value = "64")]
    batch: String,
    /// Taken, since every run is given one; there are no checkpoints in so short a run
    #[arg(long, hide = true)]
    out: Option<String>,
}

impl Line {
    /// The same as flags of `train_lm`.
    fn flags(&self) -> Vec<OsString> {
        let optional = [
            ("lr", &self.lr),
            ("elementwise-lr", &self.elementwise_lr),
            ("weight-decay", &self.weight_decay),
            ("warmup", &self.warmup),
            ("beta2", &self.beta2),
            ("rank-ratio", &self.rank_ratio),
            ("clip", &self.clip),
            ("average", &self.average),
        ];
        let always = [
            ("optimizer", &self.optimizer),
            ("seed", &self.seed),
            ("steps", &self.steps),
            ("batch", &self.batch),
        ];
        let given = optional.iter().filter_map(|(name, value)| Some((*name, (*value).as_ref()?)));
        let set = self.set.iter().map(|value| ("set", value));
        always
            .into_iter()
            .chain(given)
            .chain(set)
            .map(|(name, value)| format!("--{name}={value}").into())
            .collect()
    }
}

/// Trains on digits by these flags.
///
/// # Errors
/// Those of the flags. A run that diverges is no error.
pub fn digits(arguments: Vec<OsString>) -> Result<Option<Outcome>, Failure> {
    let given = std::iter::once("lab digits".into()).chain(arguments);
    let line = Line::try_parse_from(given).map_err(Failure::input)?;
    let Some(flags) = CommandLine::read("lab digits", line.flags())? else { return Ok(None) };
    let choices = choose(&flags)?;
    let [choice] = &choices[..] else { return Err(Failure::input("one run has one --optimizer")) };
    let bytes = data::bytes()?;
    let (train, validation) = data::images(&bytes)?;
    let title = format!("digits, {:?}", line.network).to_lowercase();
    let settings = Settings::new(&flags, choice, &Text { title, bytes })?;
    let mut run = Run::new(&settings, line.network)?;
    let begun = Instant::now();
    let trained = run.train(&settings, &train);
    let seconds = begun.elapsed().as_secs_f64();
    let (loss, accuracy) = match trained {
        Ok(()) => run.measure(&validation).map(|(loss, accuracy)| (Some(loss), Some(accuracy)))?,
        Err(Failure::Diverged(message)) => {
            eprintln!("{message}");
            (None, None)
        }
        Err(failure) => return Err(failure),
    };
    run.times.sort_unstable();
    Ok(Some(Outcome {
        seed: settings.seed,
        steps: settings.steps,
        lr: settings.lr,
        elementwise_lr: settings.elementwise_lr,
        weight_decay: settings.weight_decay,
        warmup: settings.warmup,
        loss,
        accuracy,
        curve: loss.map(|loss| (settings.steps, loss)).into_iter().collect(),
        optimizer_ms: run.times.get(run.times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3),
        seconds,
        state_bytes: run.optimizer.state_bytes(),
        data: settings.text,
    }))
}

struct Run {
    network: Network,
    average: Option<Averaged>,
    optimizer: Optimizer,
    times: Vec<Duration>,
}

/// An average of the weights, which is measured in their place.
struct Averaged {
    /// The weights by name.
    named: Vec<(String, Var)>,
    average: Average,
    /// Of the average.
    network: Network,
}

impl Run {
    fn new(settings: &Settings, kind: Kind) -> Result<Self, Failure> {
        let network = Network::new(kind, settings.seed).map_err(Failure::run)?;
        let optimizer = Optimizer::from_varmap(&network.weights, config(settings)?).map_err(Failure::run)?;
        let averaged = |share| {
            let named = network.named()?;
            let average = Average::new(&named, share, settings.steps)?;
            let network = Network::of(kind, average.weights()?)?;
            Ok(Averaged { named, average, network })
        };
        let average = settings
            .average
            .map(averaged)
            .transpose()
            .map_err(|error: candle_core::Error| Failure::run(error))?;
        Ok(Self { network, average, optimizer, times: Vec::with_capacity(settings.steps) })
    }

    /// Whole epochs, each in an order of its own that depends on seed and epoch alone; a last batch that is not full is left out.
    fn train(&mut self, settings: &Settings, images: &Images) -> Result<(), Failure> {
        let (schedule, clip) = (schedule(settings)?, ClipFactors::new(settings)?);
        let batches = images.count() / settings.batch;
        if batches == 0 {
            return Err(Failure::input(format!(
                "--batch {}: there are {} images",
                settings.batch,
                images.count()
            )));
        }
        let mut order: Vec<usize> = (0..images.count()).collect();
        for step in 0..settings.steps {
            if step.is_multiple_of(batches) {
                let epoch = (step / batches) as u64;
                order.sort_unstable();
                order.shuffle(&mut StdRng::seed_from_u64(settings.seed.rotate_left(32) ^ epoch));
            }
            let place = step % batches * settings.batch;
            let batch = images.pick(&order[place..place + settings.batch]);
            if let Some((clip, pre_clip)) = clip.at(step as u64) {
                self.optimizer.set_clip_factor(clip).map_err(Failure::run)?;
                self.optimizer.set_pre_clip_factor(pre_clip).map_err(Failure::run)?;
            }
            self.optimizer.set_learning_rate(settings.lr * schedule.factor(step as u64));
            self.step(&batch, step)?;
        }
        Ok(())
    }

    fn step(&mut self, batch: &Images, step: usize) -> Result<(), Failure> {
        let loss = self.network.loss(batch).map_err(Failure::run)?;
        let gradients = loss.backward().map_err(Failure::run)?;
        let value = loss.to_scalar::<f32>().map_err(Failure::run)?;
        let mut square = 0.0;
        for var in self.network.weights.all_vars() {
            if let Some(gradient) = gradients.get(&var) {
                let sum = gradient.sqr().and_then(|squares| squares.sum_all()?.to_scalar::<f32>());
                square += f64::from(sum.map_err(Failure::run)?);
            }
        }
        if !value.is_finite() || !square.is_finite() {
            return Err(Failure::diverged(format!(
                "the loss is {value} and the gradient's norm {} at step {step}",
                square.sqrt()
            )));
        }
        let begun = Instant::now();
        self.optimizer.step(&gradients).map_err(Failure::run)?;
        self.times.push(begun.elapsed());
        if let Some(Averaged { named, average, .. }) = &mut self.average {
            average.take_in(named).map_err(Failure::run)?;
        }
        Ok(())
    }

    /// Mean loss, in nats an image, and the share classified rightly.
    fn measure(&self, images: &Images) -> Result<(f64, f64), Failure> {
        let network = self.average.as_ref().map_or(&self.network, |averaged| &averaged.network);
        let measured = || -> candle_core::Result<(f64, f64)> {
            let found = network.logits(&images.pixels)?.argmax(1)?.to_vec1::<u32>()?;
            let right = found.iter().zip(&images.classes).filter(|(found, class)| found == class).count();
            Ok((network.loss(images)?.to_scalar::<f32>()?.into(), right as f64 / images.count() as f64))
        };
        measured().map_err(Failure::run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(flags: &str) -> Result<Option<Outcome>, Failure> {
        digits(flags.split_whitespace().map(Into::into).collect())
    }

    #[test]
    fn digits_are_learnt_by_both_networks() {
        for network in ["mlp", "conv"] {
            let run = || outcome(&format!("--network {network} --optimizer muon --lr 0.01 --steps 60"));
            let first = run().expect("a run").expect("an outcome");
            // One in ten by chance.
            assert!(first.accuracy.is_some_and(|accuracy| accuracy > 0.6), "{first:?}");
            assert_eq!(run().expect("a run").expect("an outcome").loss, first.loss);
        }
    }

    #[test]
    fn an_average_of_the_weights_is_measured_in_their_place() {
        let run =
            |flags: &str| outcome(&format!("--network mlp --optimizer muon --lr 0.01 --steps 60 {flags}"));
        let loss = |flags| run(flags).expect("a run").expect("an outcome").loss.expect("a loss");
        // A memory of one step is the last weights.
        assert_eq!(loss("--average 0.01"), loss(""));
        assert_ne!(loss("--average 0.5"), loss(""));
        assert!(matches!(run("--average 2"), Err(Failure::Input(_))));
    }

    #[test]
    fn what_diverges_is_an_outcome_and_what_is_wrong_is_not() {
        let far = outcome(
            "--network mlp --optimizer sgd-m --lr 4e9 --elementwise-lr 4e9 --weight-decay 0 --steps 30",
        );
        assert_eq!(far.expect("a run").expect("an outcome").loss, None);
        for wrong in
            ["--network mlp", "--network mlp --optimizer sgd", "--network mlp --optimizer muon --layers 3"]
        {
            assert!(matches!(outcome(wrong), Err(Failure::Input(_))), "{wrong}");
        }
    }
}
