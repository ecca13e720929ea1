//! The optimizer of a model that several ranks train on data of their own.

use super::agree::{self, Rates};
use super::sharded::{settle, to_text};
use super::{Collectives, Division, Gather, Reduce, Sharded, ShardedMatrix, Traffic};
use crate::backend::{Backend, Error, Matrix, Ranks, Result, Scalar, check_shape};
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
    pub(super) parts: Vec<Part<B, C>>,
    average: Average,
}

/// What is here of a matrix.
#[derive(Debug)]
pub(super) struct Part<B: Backend, C> {
    /// Who has what; none of a frozen matrix.
    pub(super) division: Option<Division>,
    weights: ShardedMatrix<B, C>,
    gradient: ShardedMatrix<B, C>,
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
    /// An optimizer for these parameters, with this division of each; `None` for frozen ones.
    ///
    /// # Errors
    /// As [`Optimizer::with_rules`]; a division of another shape or number of ranks; on all ranks
    /// [`ErrorKind::Disagree`](crate::backend::ErrorKind::Disagree) if one of them has other settings, parameters or divisions.
    pub fn with_divisions(
        backend: B,
        group: C,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
        rules: Rules<Sharded<B, C>>,
        divisions: impl IntoIterator<Item = Option<Division>>,
    ) -> Result<Self> {
        let sharded = Sharded::new(backend, group);
        let made = Self::make(&sharded, config, parameters, rules, divisions);
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
        divisions: impl IntoIterator<Item = Option<Division>>,
    ) -> Result<Self> {
        let optimizer = Optimizer::with_rules(sharded.clone(), config, parameters, rules)?;
        let mut parts = Vec::new();
        let mut divisions = divisions.into_iter();
        for (index, spec) in optimizer.parameters().enumerate() {
            let division = divisions.next().flatten().filter(|_| optimizer.rule(index).is_some());
            let part = part(sharded, spec, division, optimizer.rule(index).is_some());
            parts.push(part.map_err(|error| error.for_parameter(&spec.name))?);
        }
        Ok(Self { optimizer, parts, average: Average::default() })
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

    /// One step over `(X, G)` of every parameter in order: X the same on all ranks, G this rank's. What a frozen parameter has as gradient is
    /// ignored.
    ///
    /// # Errors
    /// On all ranks, before anything changes: shapes, a number of parameters, a non-finite or too large gradient (with
    /// [`Config::check_finite`]), rates that differ, an earlier step that is not whole. Later: those of the device, and
    /// [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost); see the type.
    pub fn step(&mut self, parameters: &mut [(&mut B::Matrix, &B::Matrix)]) -> Result<()> {
        let bound = self.reduce(parameters)?;
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

    /// The gradients to where they are wanted; an upper bound of the norm of all.
    fn reduce(&mut self, parameters: &[(&mut B::Matrix, &B::Matrix)]) -> Result<Option<f64>> {
        let sharded = self.optimizer.backend().clone();
        let looked = self.look(parameters);
        let (norm, outcome) = match looked {
            Ok(norm) => (norm, Ok(())),
            Err(error) => (f64::NAN, Err(error)),
        };
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let rates = Rates::of(&self.optimizer);
        let mut words = Vec::from([text.len() as u64, norm.to_bits()]);
        words.extend(rates.words());
        // In the place of those whose shapes are wrong.
        let mut stand_ins = Vec::new();
        let fits = parameters.len() == self.parts.len()
            && parameters
                .iter()
                .zip(self.optimizer.parameters())
                .all(|((_, gradient), spec)| gradient.shape() == (spec.rows, spec.cols));
        if !fits {
            for spec in self.optimizer.parameters() {
                stand_ins.push(sharded.local().zeros(spec.rows, spec.cols, None)?);
            }
        }
        let gradient = |index: usize| {
            stand_ins.get(index).or_else(|| parameters.get(index).map(|(_, gradient)| *gradient))
        };
        let mut pieces = Vec::new();
        for (index, part) in self.parts.iter_mut().enumerate() {
            if let (Some(division), Some(whole)) = (&part.division, gradient(index)) {
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
    fn look(&self, parameters: &[(&mut B::Matrix, &B::Matrix)]) -> Result<f64> {
        self.optimizer.check_whole("step")?;
        if parameters.len() != self.parts.len() {
            let (given, wanted) = (parameters.len(), self.parts.len());
            return Err(Error::shape("step (number of parameters)", (wanted, 1), (given, 1)));
        }
        for ((weights, gradient), spec) in parameters.iter().zip(self.optimizer.parameters()) {
            check_shape("step", (spec.rows, spec.cols), weights.shape())
                .and_then(|()| check_shape("step", (spec.rows, spec.cols), gradient.shape()))
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        if !self.optimizer.config().check_finite {
            return Ok(f64::INFINITY);
        }
        let mut squares = 0.0;
        let live = parameters.iter().zip(&self.parts).zip(self.optimizer.parameters());
        for (((_, gradient), _), spec) in live.filter(|((_, part), _)| part.division.is_some()) {
            let square = gradient.dot(gradient)?.read()?;
            // Also where squares vanish or leave the range.
            if !(square.is_finite() && square > 0.0) {
                let largest = gradient.max_abs()?.read()?;
                if !largest.is_finite() {
                    return Err(non_finite().for_parameter(&spec.name));
                }
                let entries = (spec.rows * spec.cols) as f64;
                squares += largest * largest * entries;
            } else {
                squares += square;
            }
        }
        Ok(libm::sqrt(squares))
    }

    /// The steps of what is here: first what the ranks step together.
    fn update(
        &mut self,
        parameters: &mut [(&mut B::Matrix, &B::Matrix)],
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
    fn gather(&mut self, parameters: &mut [(&mut B::Matrix, &B::Matrix)], outcome: Result<()>) -> Result<()> {
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
    is_live: bool,
) -> Result<Part<B, C>> {
    let shape = (spec.rows, spec.cols);
    let Some(division) = division else {
        if is_live {
            let requirement = "given for every parameter that is not frozen";
            return Err(Error::argument("optimizer", "division", f64::NAN, requirement));
        }
        let nothing = || sharded.elsewhere(spec.rows, spec.cols);
        return Ok(Part { division: None, weights: nothing()?, gradient: nothing()? });
    };
    check_shape("division", shape, division.shape())?;
    if division.ranks() != sharded.size() {
        let ranks = division.ranks() as f64;
        return Err(Error::argument("optimizer", "ranks of a division", ranks, "the group's size"));
    }
    let room = || {
        let (rows, cols) = division.part(sharded.rank());
        let local = sharded.local().zeros(rows, cols, None)?;
        match division.owner() {
            Some(_) => Ok(sharded.whole(local)),
            None => sharded.divided(shape, division.axis(), local),
        }
    };
    Ok(Part { division: Some(division), weights: room()?, gradient: room()? })
}

fn elsewhere() -> Error {
    Error::new("step", crate::backend::ErrorKind::State { reason: "the step failed on a rank" })
}

/// An error to be told while the original is kept.
pub(super) fn copy_of(error: &Error) -> Error {
    Error::device(error.operation(), alloc::format!("{error}"))
}
