//! The optimizer of a model that several ranks train on data of their own.

mod step;

use super::agree;
use super::{Collectives, Division, Gather, Placement, Placing, Sharded, ShardedMatrix, Traffic};
use crate::backend::{Backend, Error, ErrorKind, Matrix, Ranks, Result, Scalar};
use crate::optimizer::{Config, Optimizer, ParameterSpec};
use crate::rules::Rules;
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
/// rows, or columns, and the ranks take the step together; or, under Dion and if [asked for](super::Mode::LowRank), exchanged **at low rank**: each rank keeps
/// the momentum of its own gradients, takes the whole step, and sends products of few columns instead of gradient and weights. A step
///
/// 1. reduces the gradients to where their matrices are stepped, and tells everyone each rank's rates and whether it has met an error;
/// 2. checks them ([`Optimizer::prepare`]): the norm of all, if a clip goes by it, is one more call;
/// 3. steps the divided matrices, with one call for the products of all (two if the columns of some are divided), and those at low rank, with two
///    calls for all; then the owned ones;
/// 4. gathers the new weights on all ranks.
///
/// That is three calls with divided matrices, one more for the norm clip, and one more if some columns are divided, whatever the number of matrices.
///
/// **At low rank** M is the sum of the ranks' momenta: those of one step lie within rounding errors of one process's, and the weights have the same bits on
/// all ranks, as every rank computes them from the same sums (on equal CPUs: nothing repairs a last bit in which unlike ones differ). Saved is
/// the sum; restored, the first rank has it and the others zeros. A run that goes on from there differs by rounding errors from one that was not
/// interrupted. There is no norm clip: that of the mean gradient is known to nobody.
///
/// **All or nothing.** Errors in what a rank gives (shapes, a NaN, other rates) are met on all ranks before anything changes. No weight
/// changes unless every rank has told that its steps succeeded; if one failed, or was lost, after states had begun to change,
/// the optimizer refuses everything until a state is restored ([`Optimizer::check_whole`]). A rank that is lost after the last call
/// began may leave others with new weights: restore a checkpoint, whatever rank reported what.
///
/// Errors of a device are told by the call that comes next: those of the copies before a step, of what owners do, and of whatever follows the last sum. One before
/// a sum of step 3 ends the group: the others wait in a call that this rank does not make. Over a [`Communicator`](super::Communicator) all learn it at once
/// as [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost), over NCCL the others at their deadline.
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

    /// Whether all ranks take its step together.
    fn is_common(&self) -> bool {
        self.division.is_some_and(|division| division.owner().is_none())
    }

    pub(super) fn is_shared(&self) -> bool {
        self.division.is_some_and(|division| division.is_shared())
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
    /// As [`Optimizer::with_rules`] and [`Placing::place`]; [`Config::clip_norm`] beside a matrix at low rank; on all ranks
    /// [`ErrorKind::Disagree`](crate::backend::ErrorKind::Disagree) if one of them has other settings, parameters or places.
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
        let clips = optimizer.config().clip_norm.is_some();
        let mut parts = Vec::new();
        for (spec, division) in optimizer.parameters().zip(placement.divisions()) {
            if clips && division.is_some_and(|division| division.is_shared()) {
                let what =
                    "clip_norm with a low-rank exchange, in which no rank learns the norm of the gradient";
                let error = Error::new("distributed optimizer", ErrorKind::Unsupported { what });
                return Err(error.for_parameter(&spec.name));
            }
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

    /// Gives all ranks the weights of rank `root`: before the first step, if they may have begun differently. All ranks must call it.
    ///
    /// # Errors
    /// Shapes; those of the backend; [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost).
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

    /// The norm of what all gradients came to in the last step, before the clips; all ranks must ask for it. Those at low rank are summed for it, which
    /// is what their exchange has saved. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the backend; [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost).
    pub fn gradient_norm(&self) -> Result<f64> {
        let sharded = self.optimizer.backend();
        let mut squares = 0.0;
        for part in self.parts.iter().filter(|part| part.is_here(sharded.rank())) {
            let total = if part.is_shared() { Some(part.gradient.total()?) } else { None };
            // One rank counts what all have.
            if total.is_none() || sharded.rank() == 0 {
                let local = total.as_ref().unwrap_or(part.gradient.local());
                squares += local.dot(local)?.read()?;
            }
        }
        Ok(libm::sqrt(sharded.sum(sharded.local().scalar(squares)?)?.read()?))
    }

    /// `Ok` if every rank has that; the error of the first that has one on all: for what front-ends do beside. All ranks must call it.
    ///
    /// # Errors
    /// That one; [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost).
    pub fn agree_on(&self, outcome: core::result::Result<(), &Error>) -> Result<()> {
        self.optimizer.backend().vote(outcome.map_err(copy_of))
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
        if division.is_divided() {
            sharded.divided(division.shape(), division.axis(), local)
        } else {
            Ok(sharded.whole(local))
        }
    };
    let (weights, mut gradient) = (room()?, room()?);
    if division.is_shared() {
        gradient = gradient.into_summand();
    }
    Ok(Part { division: Some(division), weights, gradient })
}

/// An error to be told while the original is kept.
pub(super) fn copy_of(error: &Error) -> Error {
    Error::device(error.operation(), alloc::format!("{error}"))
}
