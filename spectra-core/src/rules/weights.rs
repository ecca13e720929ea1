//! How weights take an update: those of 16 bits with a master of the arithmetic type, or rounded at random.

use super::{BatchItem, Batching, Dots, GradientLimits, Sharding, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Fused, Gradient, Matrix, Result};
use crate::linalg::{SixteenBits, Workspace, seed_of};
use crate::optimizer::Checksum;
use crate::state::{BufferSpec, MASTER, State};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// How weights of 16 bits take an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rounding {
    /// The state keeps the weights in the arithmetic type; what the model has is that, rounded to nearest. One more number of state for
    /// each weight.
    #[default]
    Master,
    /// The weights themselves are updated and rounded to nearest: an update below half a unit in their last place is lost, and
    /// with it everything that it would have added up to. A bf16 weight of 1 does not feel updates below 0.002.
    Nearest,
    /// The weights themselves are updated and rounded at random to one of their two neighbours, so that the mean is the exact update: small
    /// updates add up, with the noise of a random walk, and no state is needed. The draws depend on the seed, the matrix's name, its step and
    /// the entry alone: the same seed gives the same bits on every backend and after a restore.
    ///
    /// On a device without a form of its own for it (burn's and candle's GPUs; CUDA has one) the host rounds, and **waits**. Under burn's own
    /// groups matrices have no names: those of equal shape get equal draws.
    Stochastic {
        /// Another seed, other draws.
        seed: u64,
    },
}

impl Rounding {
    /// What it means for weights kept in this 16-bit type; `None`: in the arithmetic type.
    pub fn of(self, format: Option<SixteenBits>) -> Weights {
        match (self, format) {
            (Self::Nearest, _) | (_, None) => Weights::Plain,
            (Self::Master, Some(_)) => Weights::Master,
            (Self::Stochastic { seed }, Some(format)) => Weights::Stochastic { format, seed },
        }
    }
}

/// How the weights of one matrix take an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// Where they are, each result rounded to nearest.
    #[default]
    Plain,
    /// By a [master](Rounding::Master).
    Master,
    /// [At random](Rounding::Stochastic).
    Stochastic {
        /// The type they are kept in.
        format: SixteenBits,
        /// The optimizer's seed.
        seed: u64,
    },
}

impl Weights {
    /// Runs `f` on `rule` as the matrix with this name steps by it.
    pub fn with_rule<B: Backend, R>(
        self,
        rule: &dyn UpdateRule<B>,
        name: &str,
        f: impl FnOnce(&dyn UpdateRule<B>) -> R,
    ) -> R {
        match self {
            Self::Plain => f(rule),
            Self::Master | Self::Stochastic { .. } => f(&Rounded { rule, weights: self, name }),
        }
    }

    /// The word for it in a printed plan.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Master => "master",
            Self::Stochastic { .. } => "stochastic rounding",
        }
    }
}

/// A rule on weights in the arithmetic type, which are then rounded.
///
/// With a master, `X' <- step(X')`, `X = round(X')`: the first step takes the master from the weights; from then on it is what counts, and
/// weights that somebody else changes are overwritten. The [signature](UpdateRule::signature) is the rule's: a state without a master, of
/// release 0.1 or of another [`Rounding`], goes on with one. At random, `X = round(step(X))` by way of a temporary.
struct Rounded<'a, B: Backend> {
    rule: &'a dyn UpdateRule<B>,
    weights: Weights,
    name: &'a str,
}

impl<B: Backend> fmt::Debug for Rounded<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rounded").field(&self.rule).field(&self.weights).finish()
    }
}

impl<B: Backend> UpdateRule<B> for Rounded<'_, B> {
    fn signature(&self) -> String {
        self.rule.signature()
    }

    fn signature_in(&self, version: u32) -> String {
        self.rule.signature_in(version)
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = self.rule.buffers(shape);
        if self.weights == Weights::Master {
            buffers.push(BufferSpec::made_by_rule(MASTER, shape));
        }
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule.flops(shape)
    }

    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        self.rule.sharding(shape)
    }

    fn weight_decay(&self) -> f64 {
        self.rule.weight_decay()
    }

    fn validate(&self) -> Result<()> {
        self.rule.validate()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.rule.check_clip_factor(factor)
    }

    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        self.rule.gradient_limits(shape, dots)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        self.rule.resize(wanted, saved, backend)
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let mut whole = self.begin(weights, state, workspace)?;
        let done = self.rule.step(&mut whole, gradient, state, rates, workspace).and_then(|info| {
            self.round(&mut whole, weights, (self.name, rates.step), workspace)?;
            Ok(info)
        });
        self.end(whole, state, workspace);
        done
    }

    fn batching(&self) -> Batching {
        self.rule.batching()
    }

    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        let mut wholes = Vec::with_capacity(blocks.len());
        for block in blocks.iter_mut() {
            wholes.push(self.begin(block.weights, block.state, workspace)?);
        }
        let inner = blocks.iter_mut().zip(&mut wholes).map(|(block, weights)| BatchItem {
            weights,
            state: &mut *block.state,
            info: None,
            ..*block
        });
        let mut inner: Vec<_> = inner.collect();
        let mut done = self.rule.step_batch(&mut inner, workspace);
        let infos: Vec<_> = inner.into_iter().map(|item| item.info).collect();
        for ((block, mut whole), info) in blocks.iter_mut().zip(wholes).zip(infos) {
            if info.is_some() && done.is_ok() {
                done = self.round(&mut whole, block.weights, (block.name, block.rates.step), workspace);
            }
            block.info = info.filter(|_| done.is_ok());
            self.end(whole, block.state, workspace);
        }
        done
    }
}

impl<B: Backend> Rounded<'_, B> {
    /// The weights in the arithmetic type: the master, taken out of the state, or a temporary.
    fn begin(
        &self,
        weights: &B::Matrix,
        state: &mut State<B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        if self.weights != Weights::Master {
            let mut whole = workspace.take_like(weights, weights.shape().1)?;
            whole.copy_from(weights)?;
            return Ok(whole);
        }
        match state.take(MASTER) {
            Some(master) => Ok(master),
            None => {
                let (rows, cols) = weights.shape();
                let mut copy = workspace.backend().zeros(rows, cols, Some(weights))?;
                copy.copy_from(weights)?;
                Ok(copy)
            }
        }
    }

    /// `X = round(X')`
    fn round(
        &self,
        whole: &mut B::Matrix,
        weights: &mut B::Matrix,
        (name, step): (&str, u64),
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        if let Weights::Stochastic { format, seed } = self.weights {
            let mut sum = Checksum::new();
            sum.bytes(name.as_bytes());
            whole.round_stochastic(format, seed_of(seed, sum.finish(), step), &mut workspace.scratch)?;
        }
        weights.copy_from(whole)
    }

    /// Puts them back to where they came from.
    fn end(&self, whole: B::Matrix, state: &mut State<B::Matrix>, workspace: &mut Workspace<B>) {
        if self.weights == Weights::Master {
            state.put(MASTER, whole);
        } else {
            workspace.give(whole);
        }
    }
}
