//! The optimizer of a model that several ranks train on data of their own.

use super::agree::{self, Rates};
use super::sharded::{settle, to_text};
use super::{Collectives, Division, Gather, Placement, Placing, Reduce, Sharded, ShardedMatrix, Traffic};
use crate::backend::{Backend, Error, ErrorKind, Matrix, Ranks, Result, Scalar, check_shape};
use crate::optimizer::{Config, Optimizer, ParameterSpec, Prepared};
use crate::rules::{Rules, non_finite};
use alloc::{string::String, vec::Vec};

/// What becomes of the ranks' gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Average {
    /// Their mean: each rank's loss is a mean over as many examples.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// An optimizer over several ranks, each with all weights and with gradients of its own data.
///
/// Every matrix is either **owned**: one rank keeps its state and takes its step; or **divided**: each rank keeps the state of its
/// rows, or columns, and the ranks take the step together. A step
///
/// 1. reduces the gradients to where their matrices are stepped, and tells everyone each rank's rates and whether it has met an error;
/// 2. checks them ([`Optimizer::prepare`]): the norm of all, if a clip goes by it, is one more call;
/// 3. steps the divided matrices, with one call for the products of all (two if the columns of some are divided), then the owned ones;
/// 4. gathers the new weights on all ranks.
///
/// That is four calls, one more for the norm clip, and one more if some columns are divided, whatever the number of matrices.
///
/// **All or nothing.** Errors in what a rank gives (shapes, a NaN, other rates) are met on all ranks before anything changes. No weight
/// changes unless every rank has told that its steps succeeded; if one failed, or was lost, after states had begun to change,
/// the optimizer refuses everything until a state is restored ([`Optimizer::check_whole`]). A rank that is lost after the last call
/// began may leave others with new weights: restore a checkpoint, whatever rank reported what.
#[derive(Debug)]
pub struct DistributedOptimizer<B: Backend, C: Collectives<B>> {
    pub(super) optimizer: Optimizer<Sharded<B, C>>,
    placement: Placement,
    pub(super) parts: Vec<Part<B, C>>,
    average: Average,
}

/// What is here of a matrix.
#[derive(Debug)]
pub(super) struct Part<B: Backend, C> {
    /// Who has what; none of a frozen matrix.
    pub(super) division: Option<Division>,
    weights: ShardedMatrix<B, C>,
    pub(super) gradient: ShardedMatrix<B, C>,
}

impl<B: Backend, C> Part<B, C> {
    /// Whether this rank has to do with its step.
    pub(super) fn is_here(&self, rank: usize) -> bool {
        self.division.is_some_and(|division| division.owner().is_none_or(|owner| owner == rank))
    }

    fn is_divided(&self) -> bool {
        self.division.is_some_and(|division| division.owner().is_none())
    }
}

impl<B: Backend, C: Collectives<B>> DistributedOptimizer<B, C> {
    /// An optimizer for these parameters, each where it is [best](Placing::AUTO).
    ///
    /// # Errors
    /// As [`with_rules`](Self::with_rules).
    pub fn new(
        backend: B,
        group: C,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
    ) -> Result<Self> {
        Self::with_rules(backend, group, config, parameters, Rules::new(), &Placing::AUTO)
    }

    /// An optimizer with rules of one's own, and parameters placed as one likes.
    ///
    /// # Errors
    /// As [`Optimizer::with_rules`] and [`Placing::place`]; on all ranks
    /// [`ErrorKind::Disagree`] if one of them has other settings, parameters or places.
    pub fn with_rules(
        backend: B,
        group: C,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
        rules: Rules<Sharded<B, C>>,
        placing: &Placing,
    ) -> Result<Self> {
        let sharded = Sharded::new(backend, group);
        let made = Self::make(&sharded, config, parameters, rules, placing);
        let voted = sharded.vote(made.as_ref().map(|_| ()).map_err(copy_of));
        let made = made?;
        voted?;
        agree::on_settings(&sharded, &made.description())?;
        Ok(made)
    }

    fn make(
        sharded: &Sharded<B, C>,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
        rules: Rules<Sharded<B, C>>,
        placing: &Placing,
    ) -> Result<Self> {
        let optimizer = Optimizer::with_rules(sharded.clone(), config, parameters, rules)?;
        let placement = placing.place(optimizer.work(), sharded.size())?;
        let mut parts = Vec::new();
        for (spec, division) in optimizer.parameters().zip(placement.divisions()) {
            let part = part(sharded, spec, *division);
            parts.push(part.map_err(|error| error.for_parameter(&spec.name))?);
        }
        Ok(Self { optimizer, placement, parts, average: Average::default() })
    }

    /// Sets what becomes of the ranks' gradients.
    #[must_use]
    pub fn average(self, average: Average) -> Self {
        Self { average, ..self }
    }

    /// This rank's part of the optimizer: rates, reports, what is here of the state.
    pub fn optimizer(&self) -> &Optimizer<Sharded<B, C>> {
        &self.optimizer
    }

    /// The same, to set rates. All ranks must set the same ones.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer<Sharded<B, C>> {
        &mut self.optimizer
    }

    /// Where everything is stepped, with loads and words: a table to print.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Where parameter `index` is stepped; `None` if frozen or unknown.
    pub fn division(&self, index: usize) -> Option<Division> {
        self.parts.get(index).and_then(|part| part.division)
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.optimizer.backend().rank()
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.optimizer.backend().size()
    }

    /// What this rank has sent so far.
    ///
    /// # Errors
    /// If the group is in use.
    pub fn traffic(&self) -> Result<Traffic> {
        self.optimizer.backend().with_group(|group| Ok(group.traffic()))
    }

    /// One step over `(X, G)` of every parameter in order: X the same on all ranks, G this rank's. A frozen parameter needs none.
    ///
    /// # Errors
    /// On all ranks, before anything changes: shapes, a number of parameters, a gradient that is missing, non-finite or too large (with
    /// [`Config::check_finite`]), rates that differ, an earlier step that is not whole. Later: those of the device, and
    /// [`ErrorKind::Lost`]; see the type.
    pub fn step(&mut self, parameters: &mut [(&mut B::Matrix, Option<&B::Matrix>)]) -> Result<()> {
        let looked = self.look(parameters);
        let bound = self.reduce(looked, parameters)?;
        let sharded = self.optimizer.backend().clone();
        let rank = sharded.rank();
        let here = self.parts.iter().enumerate().filter(|(_, part)| part.is_here(rank));
        sharded.set_bound(bound);
        let prepared = self.optimizer.prepare(here.map(|(index, part)| (index, &part.gradient)));
        sharded.set_bound(None);
        let prepared = if self.optimizer.steps() == 0 {
            // Memory for the state is had, or not, by each rank alone.
            let voted = sharded.vote(prepared.as_ref().map(|_| ()).map_err(copy_of));
            let prepared = prepared?;
            voted?;
            prepared
        } else {
            prepared?
        };
        let outcome = self.update(parameters, &prepared);
        self.gather(parameters, outcome)?;
        for (index, part) in self.parts.iter().enumerate() {
            if part.division.is_some() && !part.is_here(rank) {
                self.optimizer.count_elsewhere(index, |rows, cols| sharded.elsewhere(rows, cols))?;
            }
        }
        self.optimizer.finish(prepared);
        Ok(())
    }

    /// Gives all ranks the weights of rank `root`: before the first step, if they may have begun differently. All ranks must call it.
    ///
    /// # Errors
    /// Shapes; those of the backend; [`ErrorKind::Lost`].
    pub fn broadcast(&self, root: usize, weights: &mut [&mut B::Matrix]) -> Result<()> {
        let (sharded, rank) = (self.optimizer.backend(), self.rank());
        let mut parts = Vec::with_capacity(weights.len());
        let mut divisions = Vec::with_capacity(weights.len());
        for weights in &*weights {
            let (rows, cols) = weights.shape();
            let mut part = sharded.local().zeros(if root == rank { rows } else { 0 }, cols, None)?;
            if root == rank {
                part.copy_from(weights)?;
            }
            parts.push(part);
            divisions.push(Division::owned((rows, cols), root, sharded.size()));
        }
        let pieces = weights.iter_mut().zip(&parts).zip(&divisions);
        let pieces = pieces.map(|((whole, part), division)| Gather { part, whole: &mut **whole, division });
        let mut pieces: Vec<_> = pieces.collect();
        sharded.with_group(|group| group.gather(&[], &mut pieces, &mut |_| Ok(())))
    }

    /// The norm of what all gradients came to in the last step, before the clips; all ranks must ask for it. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the backend; [`ErrorKind::Lost`].
    pub fn gradient_norm(&self) -> Result<f64> {
        let sharded = self.optimizer.backend();
        let mut squares = 0.0;
        for part in self.parts.iter().filter(|part| part.is_here(sharded.rank())) {
            let local = part.gradient.local();
            squares += local.dot(local)?.read()?;
        }
        Ok(libm::sqrt(sharded.sum(sharded.local().scalar(squares)?)?.read()?))
    }

    /// In the place of a [`step`](Self::step) that this rank cannot take, because it has no gradients: tells the others, which meet the error in
    /// their step, and returns it, or that of the first rank that has one.
    pub fn refuse(&mut self, error: Error) -> Error {
        match self.reduce(Err(error), &[]) {
            Err(error) => error,
            Ok(_) => elsewhere(),
        }
    }

    /// `Ok` if every rank has that; the error of the first that has one on all: for what front-ends do beside. All ranks must call it.
    ///
    /// # Errors
    /// That one; [`ErrorKind::Lost`].
    pub fn agree_on(&self, outcome: core::result::Result<(), &Error>) -> Result<()> {
        self.optimizer.backend().vote(outcome.map_err(copy_of))
    }

    /// The gradients to where they are wanted, if this rank's are as `looked` says; an upper bound of the norm of all.
    fn reduce(
        &mut self,
        looked: Result<f64>,
        parameters: &[(&mut B::Matrix, Option<&B::Matrix>)],
    ) -> Result<Option<f64>> {
        let sharded = self.optimizer.backend().clone();
        let (norm, outcome) = match looked {
            Ok(norm) => (norm, Ok(())),
            Err(error) => (f64::NAN, Err(error)),
        };
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let mut words = Vec::from([text.len() as u64, norm.to_bits()]);
        words.extend(Rates::of(&self.optimizer).words());
        // In the place of gradients that are missing or have other shapes, in a step that all refuse.
        let mut stand_ins = Vec::new();
        if outcome.is_err() {
            for spec in self.optimizer.parameters() {
                stand_ins.push(sharded.local().zeros(spec.rows, spec.cols, None)?);
            }
        }
        let given = |index: usize| parameters.get(index).and_then(|(_, gradient)| *gradient);
        let mut pieces = Vec::new();
        for (index, part) in self.parts.iter_mut().enumerate() {
            if let (Some(division), Some(whole)) =
                (&part.division, stand_ins.get(index).or_else(|| given(index)))
            {
                pieces.push(Reduce { whole, part: part.gradient.local_mut(), division });
            }
        }
        let factor = match self.average {
            Average::Mean => 1.0 / sharded.size() as f64,
            Average::Sum => 1.0,
        };
        let all = sharded.with_group(|group| group.reduce(&words, factor, &mut pieces))?;
        let of_ranks = || all.chunks_exact(words.len());
        let lens: Vec<u64> = of_ranks().map(|words| words[0]).collect();
        settle(&sharded, outcome, &text, &lens)?;
        agree::on_rates(of_ranks().map(|words| &words[2..]))?;
        let sum: f64 = of_ranks().map(|words| f64::from_bits(words[1])).sum();
        // Rounded up: a sum of squares is off by no more than one part in 2^20.
        let bound = factor * sum * (1.0 + 1.0 / f64::from(1 << 20));
        Ok(self.optimizer.config().check_finite.then_some(bound))
    }

    /// What this rank finds wrong with what it is given; the norm of all its gradients.
    fn look(&self, parameters: &[(&mut B::Matrix, Option<&B::Matrix>)]) -> Result<f64> {
        self.optimizer.check_whole("step")?;
        if parameters.len() != self.parts.len() {
            let (given, wanted) = (parameters.len(), self.parts.len());
            return Err(Error::shape("step (number of parameters)", (wanted, 1), (given, 1)));
        }
        let mut squares = 0.0;
        for (((weights, gradient), part), spec) in
            parameters.iter().zip(&self.parts).zip(self.optimizer.parameters())
        {
            if part.division.is_some() {
                let square = self.look_at(spec, weights, *gradient);
                squares += square.map_err(|error| error.for_parameter(&spec.name))?;
            }
        }
        Ok(libm::sqrt(squares))
    }

    /// The same of one; the square of an upper bound of its norm.
    fn look_at(
        &self,
        spec: &ParameterSpec,
        weights: &B::Matrix,
        gradient: Option<&B::Matrix>,
    ) -> Result<f64> {
        let hint = "all ranks need one for every parameter that is not frozen";
        let gradient = gradient.ok_or_else(|| Error::new("step", ErrorKind::MissingGradient { hint }))?;
        let shape = (spec.rows, spec.cols);
        check_shape("step", shape, weights.shape())?;
        check_shape("step", shape, gradient.shape())?;
        if !self.optimizer.config().check_finite {
            return Ok(f64::INFINITY);
        }
        let square = gradient.dot(gradient)?.read()?;
        if square.is_finite() && square > 0.0 {
            return Ok(square);
        }
        // Squares may have left the range, or vanished.
        let largest = gradient.max_abs()?.read()?;
        if largest.is_finite() {
            Ok(largest * largest * (spec.rows * spec.cols) as f64)
        } else {
            Err(non_finite())
        }
    }

    /// The steps of what is here: first what the ranks step together.
    fn update(
        &mut self,
        parameters: &mut [(&mut B::Matrix, Option<&B::Matrix>)],
        prepared: &Prepared<Sharded<B, C>>,
    ) -> Result<()> {
        let sharded = self.optimizer.backend().clone();
        let rank = sharded.rank();
        for ((weights, _), part) in parameters.iter().zip(&mut self.parts) {
            if part.is_here(rank)
                && let Some(division) = part.division
            {
                let local = part.weights.local_mut();
                sharded.with_group(|group| group.part(weights, &division, local))?;
            }
        }
        for divided in [true, false] {
            let parts = self.parts.iter_mut().enumerate();
            let wanted = parts.filter(|(_, part)| part.is_here(rank) && part.is_divided() == divided);
            let mut pairs: Vec<_> =
                wanted.map(|(index, part)| (index, &mut part.weights, &part.gradient)).collect();
            self.optimizer.update_all(&mut pairs, prepared)?;
        }
        Ok(())
    }

    /// The new weights to all ranks, if all have made theirs.
    fn gather(
        &mut self,
        parameters: &mut [(&mut B::Matrix, Option<&B::Matrix>)],
        outcome: Result<()>,
    ) -> Result<()> {
        let sharded = self.optimizer.backend().clone();
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let mut pieces = Vec::new();
        for ((whole, _), part) in parameters.iter_mut().zip(&self.parts) {
            if let Some(division) = &part.division {
                pieces.push(Gather { part: part.weights.local(), whole: &mut **whole, division });
            }
        }
        let mut lens = Vec::new();
        let mut accept = |words: &[u64]| {
            lens.extend_from_slice(words);
            if words.iter().all(|len| *len == 0) { Ok(()) } else { Err(elsewhere()) }
        };
        let gathered =
            sharded.with_group(|group| group.gather(&[text.len() as u64], &mut pieces, &mut accept));
        if lens.iter().any(|len| *len > 0) {
            return settle(&sharded, outcome, &text, &lens);
        }
        outcome.and(gathered)
    }

    /// What all ranks must have in common, line by line.
    fn description(&self) -> Vec<String> {
        agree::description(&self.optimizer, self.parts.iter().map(|part| part.division), self.average)
    }
}

/// Room for what is here of a matrix.
fn part<B: Backend, C: Collectives<B>>(
    sharded: &Sharded<B, C>,
    spec: &ParameterSpec,
    division: Option<Division>,
) -> Result<Part<B, C>> {
    let Some(division) = division else {
        let nothing = || sharded.elsewhere(spec.rows, spec.cols);
        return Ok(Part { division: None, weights: nothing()?, gradient: nothing()? });
    };
    let room = || {
        let (rows, cols) = division.part(sharded.rank());
        let local = sharded.local().zeros(rows, cols, None)?;
        match division.owner() {
            Some(_) => Ok(sharded.whole(local)),
            None => sharded.divided(division.shape(), division.axis(), local),
        }
    };
    Ok(Part { division: Some(division), weights: room()?, gradient: room()? })
}

fn elsewhere() -> Error {
    Error::new("step", ErrorKind::State { reason: "the step failed on a rank" })
}

/// An error to be told while the original is kept.
pub(super) fn copy_of(error: &Error) -> Error {
    Error::device(error.operation(), alloc::format!("{error}"))
}
