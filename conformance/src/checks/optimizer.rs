//! The optimizer of a whole model on the backend: determinism, saved states, refusals that change nothing.

use spectra_core::backend::{Backend, ErrorKind};
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::{Config, Method, Optimizer, PreClip, Restored, StateHeader, plan::Rule};

use super::presets::{MODEL, gradients, initial, specs, take_step, upload_all};
use crate::HostMatrix;
use crate::distance::same_bits;
use crate::suite::{Failure, Judge, Outcome, Subject};

const CLIP_NORM: f64 = 5.0;

/// Every preset, the subspace refreshed at every third step, and everything that has a switch.
fn configs() -> Vec<(String, Config)> {
    let configure = |method: Method| Config::new(method).lr(0.02).clip_norm(CLIP_NORM);
    let mut configs: Vec<(String, Config)> =
        Method::presets().map(|(name, method, _)| (name.to_owned(), configure(method))).collect();
    for (name, spectra, _) in Method::presets().filter(|(name, ..)| *name == "spectra") {
        let map =
            SpectralMap::TailShrink(TailShrink { rank_ratio: 0.3, refresh_every: 3, ..TailShrink::PAPER });
        let config = configure(spectra).map(map).pre_clip(PreClip::new(2.0)).elementwise_lr(0.01);
        configs.push((format!("{name}, refreshed at every third step, pre-clip"), config));
    }
    configs
}

/// A run: the optimizer and the weights.
struct Run<B: Backend> {
    optimizer: Optimizer<B>,
    weights: Vec<B::Matrix>,
}

impl<B: Backend> Run<B> {
    fn new(subject: &Subject<B>, config: Config) -> Result<Self, Failure> {
        let optimizer = Optimizer::new(subject.backend().clone(), config, specs())?;
        Ok(Self { optimizer, weights: upload_all(subject, &initial(subject))? })
    }

    fn steps(
        &mut self,
        subject: &Subject<B>,
        steps: core::ops::RangeInclusive<usize>,
    ) -> Result<(), Failure> {
        for step in steps {
            let gradients = upload_all(subject, &gradients(subject, step))?;
            take_step(&mut self.optimizer, &mut self.weights, &gradients)?;
        }
        Ok(())
    }

    /// Everything there is to know: the header, the weights, the buffers.
    fn contents(&self, subject: &Subject<B>) -> Result<Contents, Failure> {
        let weights =
            self.weights.iter().map(|weights| subject.download(weights)).collect::<Result<_, _>>()?;
        let buffers = self
            .optimizer
            .buffers()
            .map(|(name, slot, matrix)| Ok((name.to_owned(), slot, subject.download(matrix)?)))
            .collect::<Result<_, Failure>>()?;
        Ok(Contents { header: self.optimizer.header()?, weights, buffers })
    }
}

/// A run, downloaded.
struct Contents {
    header: StateHeader,
    weights: Vec<HostMatrix>,
    buffers: Vec<(String, &'static str, HostMatrix)>,
}

impl Contents {
    /// Requires the same bits everywhere.
    fn require_same(&self, judge: &mut Judge, what: &str, other: &Self) -> Result<(), Failure> {
        judge
            .require(self.header == other.header, format_args!("{what}: the same steps, rates and rules"))?;
        for ((name, ..), (a, b)) in MODEL.iter().zip(self.weights.iter().zip(&other.weights)) {
            judge.require(same_bits(a, b), format_args!("{what}: weights of `{name}`, bit by bit"))?;
        }
        judge.require(self.buffers.len() == other.buffers.len(), format_args!("{what}: as many buffers"))?;
        for ((name, slot, a), (other_name, other_slot, b)) in self.buffers.iter().zip(&other.buffers) {
            let same = name == other_name && slot == other_slot && same_bits(a, b);
            judge.require(same, format_args!("{what}: {} of `{name}`, bit by bit", slot))?;
        }
        Ok(())
    }

    /// The buffer that a saved state holds under this name.
    fn buffer(&self, name: &str, slot: &str) -> Option<&HostMatrix> {
        let found = self.buffers.iter().find(|(parameter, s, _)| parameter == name && *s == slot);
        found.map(|(.., matrix)| matrix)
    }
}

/// Restores from downloaded contents, as from a file.
fn restore<B: Backend>(
    subject: &Subject<B>,
    run: &mut Run<B>,
    header: &StateHeader,
    saved: &Contents,
) -> spectra_core::backend::Result<Restored> {
    use spectra_core::backend::{Element, Error};
    run.optimizer.restore(header, |name, slot, _, _| {
        let missing = || Error::new("load", ErrorKind::State { reason: "a buffer is missing" });
        let matrix = saved.buffer(name, slot).ok_or_else(missing)?;
        let values: Vec<B::Element> = matrix.data.iter().map(|entry| B::Element::narrow(*entry)).collect();
        subject.backend().upload(matrix.rows, matrix.cols, &values)
    })
}

/// The same run twice: weights and state agree bit by bit.
///
/// Finds: sums whose order depends on threads, random numbers that depend on time, temporaries that are read before they
/// are written.
pub fn optimizer_deterministic<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (name, config) in configs() {
        let (mut first, mut second) = (Run::new(subject, config)?, Run::new(subject, config)?);
        first.steps(subject, 1..=6)?;
        second.steps(subject, 1..=6)?;
        second.contents(subject)?.require_same(&mut judge, &name, &first.contents(subject)?)?;
    }
    judge.finish()
}

/// Four steps, saved, restored into a fresh optimizer, three more: the same bits as without the interruption.
///
/// Finds: values that change on the way to the host and back, a count of steps that is not restored, a subspace refreshed
/// at another step.
pub fn saved_state_round_trip<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (name, config) in configs() {
        let mut whole = Run::new(subject, config)?;
        whole.steps(subject, 1..=2)?;
        whole.optimizer.set_learning_rate(0.01)?;
        whole.steps(subject, 3..=4)?;
        let saved = whole.contents(subject)?;
        let mut resumed = Run::new(subject, config)?;
        restore(subject, &mut resumed, &saved.header, &saved)?;
        // Rates are the new run's.
        resumed.optimizer.set_learning_rate(0.01)?;
        resumed.weights = upload_all(subject, &saved.weights)?;
        resumed.contents(subject)?.require_same(&mut judge, &format!("{name}, restored"), &saved)?;
        whole.steps(subject, 5..=7)?;
        resumed.steps(subject, 5..=7)?;
        let (resumed, whole) = (resumed.contents(subject)?, whole.contents(subject)?);
        resumed.require_same(&mut judge, &format!("{name}, continued"), &whole)?;
    }
    judge.finish()
}

/// States of another version, type, model or rule, and with damaged numbers, are refused, and the optimizer goes on as if
/// nothing had been tried.
///
/// Finds: a state taken over in part, a check of finiteness that lets NaN pass, a buffer of another shape accepted.
pub fn foreign_state_is_refused<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let config = Config::preset("spectra")?.lr(0.02);
    let mut source = Run::new(subject, config)?;
    source.steps(subject, 4..=6)?;
    let saved = source.contents(subject)?;
    let mut target = Run::new(subject, config)?;
    target.steps(subject, 1..=2)?;
    let before = target.contents(subject)?;

    type Change = fn(&mut StateHeader);
    let headers: [(&str, Change); 10] = [
        ("another version", |header| header.version += 1),
        ("another element type", |header| header.element.push('x')),
        ("a parameter less", |header| drop(header.parameters.pop())),
        ("another name", |header| header.parameters[0].name = "other".into()),
        ("another shape", |header| header.parameters[1].rows += 1),
        ("another rule", |header| header.parameters[2].rule.push('x')),
        ("names exchanged", |header| {
            let name = header.parameters[0].name.clone();
            header.parameters[0].name = std::mem::replace(&mut header.parameters[1].name, name);
        }),
        ("a name twice", |header| header.parameters[1].name = header.parameters[0].name.clone()),
        ("a learning rate that is no number", |header| header.lr = f64::NAN),
        ("a frozen parameter that is not", |header| {
            header.parameters[3].rule = header.parameters[2].rule.clone()
        }),
    ];
    let mut attempts: Vec<(String, StateHeader, Contents)> = Vec::new();
    let copy =
        || Contents { header: saved.header.clone(), weights: Vec::new(), buffers: saved.buffers.clone() };
    for (what, change) in headers {
        let mut header = saved.header.clone();
        change(&mut header);
        attempts.push((what.to_owned(), header, copy()));
    }
    for index in 0..saved.buffers.len() {
        let (name, slot, matrix) = &saved.buffers[index];
        let last = matrix.data.len() - 1;
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut damaged = copy();
            damaged.buffers[index].2.data[last] = value;
            attempts.push((format!("{value} in {} of `{name}`", slot), saved.header.clone(), damaged));
        }
        let (mut turned, mut missing) = (copy(), copy());
        turned.buffers[index].2 = HostMatrix::zeros(matrix.rows + 1, matrix.cols);
        missing.buffers.remove(index);
        attempts.push((format!("{} of `{name}` a row longer", slot), saved.header.clone(), turned));
        attempts.push((format!("{} of `{name}` missing", slot), saved.header.clone(), missing));
    }
    for (what, header, contents) in &attempts {
        let refused = match restore(subject, &mut target, header, contents) {
            Err(error) => matches!(error.kind(), ErrorKind::State { .. }),
            Ok(_) => false,
        };
        judge.require(refused, format_args!("a saved state with {what} is refused as a state"))?;
        target.contents(subject)?.require_same(&mut judge, &format!("after refusing {what}"), &before)?;
    }
    let mut untouched = Run::new(subject, config)?;
    untouched.steps(subject, 1..=4)?;
    target.steps(subject, 3..=4)?;
    target.contents(subject)?.require_same(&mut judge, "continued", &untouched.contents(subject)?)?;
    judge.finish()
}

/// A NaN or an infinity in a gradient is refused with the parameter's name, before anything has changed; in the gradient
/// of a frozen parameter it does not matter.
///
/// Finds: a finite check that passes, a momentum that was updated before it.
pub fn non_finite_gradient_is_refused<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (index, (name, (rows, cols), rule)) in MODEL.into_iter().enumerate() {
            let mut run = Run::new(subject, Config::preset("spectra")?.clip_norm(CLIP_NORM))?;
            run.steps(subject, 1..=1)?;
            let before = run.contents(subject)?;
            let mut bad = gradients(subject, 2);
            bad[index].data[rows * cols - 1] = value;
            let bad = upload_all(subject, &bad)?;
            let outcome = take_step(&mut run.optimizer, &mut run.weights, &bad);
            let what = format!("{value} in the gradient of `{name}`");
            if rule == Rule::Frozen {
                outcome?;
                let mut clean = Run::new(subject, Config::preset("spectra")?.clip_norm(CLIP_NORM))?;
                clean.steps(subject, 1..=2)?;
                run.contents(subject)?.require_same(&mut judge, &what, &clean.contents(subject)?)?;
                continue;
            }
            let named = outcome.is_err_and(|error| {
                matches!(error.kind(), ErrorKind::NonFinite { .. }) && error.parameter() == Some(name)
            });
            judge.require(named, format_args!("{what} is refused with its name"))?;
            run.contents(subject)?.require_same(&mut judge, &what, &before)?;
        }
    }
    judge.finish()
}
