//! One optimizer's run, from its first or its last saved step to the end.

use std::time::Instant;

use crate::batches::{training_batch, validation_batches};
use crate::checkpoints::Checkpoints;
use crate::norms::Norms;
use crate::schedule::{ClipFactors, last_step_at_peak, schedule};
use crate::{Failure, Learner, Progress, Record, Row, Settings, Spectrum, Split};
use spectra_core::distributed::{Communicator, Transport};

/// Where a run keeps its checkpoints and how often.
pub struct Saving {
    /// The place.
    pub checkpoints: Checkpoints,
    /// Steps between two.
    pub every: usize,
    /// Go on from the newest.
    pub resume: bool,
}

/// Trains until the last step of `settings`, taking norms of updates and weights if `with_norms`. `name` is shown with
/// the progress.
///
/// All ranks of `group` train one model: each its share of every batch. The first saves, shows progress and takes norms.
///
/// An update larger than the spectral clip allows is an error.
pub fn train<L: Learner, T: Transport + 'static>(
    settings: &Settings,
    split: Split<'_>,
    saving: Option<&Saving>,
    with_norms: bool,
    name: &str,
    group: &mut Communicator<T>,
) -> Result<(L, Record), Failure> {
    let (rank, ranks) = (group.rank(), group.size());
    let mut initial = crate::model::initial_parameters(&settings.sizes(), settings.seed);
    if let Some(seed) = settings.ulp {
        crate::model::move_by_an_ulp(&mut initial, seed);
    }
    let mut learner = L::new(settings, &initial)?;
    learner.join(group.split(0).map_err(Failure::run)?)?;
    drop(initial);
    let mut record = Record { state_bytes: learner.state_bytes(), ..Record::default() };
    if let Some(saving) = saving.filter(|saving| saving.resume)
        && let Some((folder, saved)) = saving.checkpoints.latest(settings)?
    {
        learner.load(&folder)?;
        record = saved;
        if rank == 0 {
            eprintln!("{name} goes on from step {} of {}", record.step(), settings.steps);
        }
    }
    let steps = group.gather_words(&[record.step() as u64]).map_err(Failure::run)?;
    if steps.iter().any(|step| *step != steps[0]) {
        return Err(Failure::input(format!(
            "--resume: the ranks' checkpoints are of steps {steps:?}; --out must be one folder for all"
        )));
    }

    let Settings { batch, context, steps, .. } = *settings;
    let validation = validation_batches(split.validation, batch, context, settings.validation_batches);
    let watched_step = last_step_at_peak(settings);
    let schedule = schedule(settings)?;
    let clip = ClipFactors::new(settings)?;
    let mut norms = match with_norms && rank == 0 {
        true => learner.weights()?.map(|weights| Norms::new(settings, weights)).transpose()?,
        false => None,
    };
    let progress =
        (rank == 0).then(|| Progress::start(name, steps, record.step(), record.seconds(), batch * context));
    for step in record.step()..steps {
        let begun = Instant::now();
        let seen = training_batch(split.train, batch, context, settings.seed, step).share(rank, ranks);
        let rate = settings.lr * schedule.factor(step as u64);
        let factors = clip.at(step as u64);
        if let Some((clip, pre_clip)) = factors {
            learner.set_clip_factors(clip, pre_clip)?;
        }
        let mut done = if step == watched_step {
            let (done, observation) = learner.train_watched(&seen, rate, &settings.spectrum)?;
            record.spectrum = Some(Spectrum::of(&settings.spectrum, step + 1, &observation)?);
            done
        } else {
            learner.train(&seen, rate)?
        };
        done.loss = mean(done.loss * seen.weight(ranks), group)?;
        let seconds = record.seconds() + begun.elapsed().as_secs_f64();
        if !done.loss.is_finite() || !done.gradient_norm.is_finite() {
            return Err(Failure::diverged(format!(
                "{name}: the loss is {} and the gradient's norm {} at step {step}; pass a smaller --lr",
                done.loss, done.gradient_norm
            )));
        }

        let last = step + 1 == steps;
        let measured = last || (step + 1).is_multiple_of(settings.eval_every);
        let mut updates = None;
        if let (Some(norms), Some(weights)) = (&mut norms, learner.weights()?) {
            let clip_factor = factors.map_or(1.0, |(clip, _)| clip);
            let taken = norms.step(weights, rate, clip_factor);
            updates =
                Some(taken.map_err(|error| Failure::run(format!("{name}, step {}: {error}", step + 1)))?);
        }
        record.rows.push(Row {
            step: step + 1,
            seconds,
            learning_rate: rate,
            training_loss: done.loss,
            gradient_norm: done.gradient_norm,
            optimizer_ms: done.optimizer_time.as_secs_f64() * 1e3,
            validation_loss: measured.then(|| mean_loss(&learner, &validation, group)).transpose()?,
            updates,
            weights: norms.as_ref().filter(|_| measured).map(Norms::weights).transpose()?,
        });
        if let (Some(progress), Some(row)) = (&progress, record.rows.last()) {
            progress.step(row);
        }
        if let Some(saving) = saving
            && (last || (step + 1).is_multiple_of(saving.every))
        {
            match rank {
                0 => saving.checkpoints.save(settings, &record, |folder| learner.save(Some(folder)))?,
                _ => learner.save(None)?,
            }
        }
    }
    if let Some(progress) = &progress {
        progress.finish();
    }
    Ok((learner, record))
}

/// Every byte counts the same, though the last batch may be shorter. The ranks take turns.
fn mean_loss<L: Learner, T: Transport>(
    learner: &L,
    batches: &[crate::Batch],
    group: &mut Communicator<T>,
) -> Result<f64, Failure> {
    let mut sum = [0.0];
    for batch in batches.iter().skip(group.rank()).step_by(group.size()) {
        sum[0] += learner.loss(batch)? * batch.sequences as f64;
    }
    group.sum::<f64>(&mut [], &mut sum).map_err(Failure::run)?;
    Ok(sum[0] / batches.iter().map(|batch| batch.sequences).sum::<usize>() as f64)
}

/// Of all ranks' numbers.
fn mean<T: Transport>(number: f64, group: &mut Communicator<T>) -> Result<f64, Failure> {
    let mut sum = [number];
    group.sum::<f64>(&mut [], &mut sum).map_err(Failure::run)?;
    Ok(sum[0] / group.size() as f64)
}
