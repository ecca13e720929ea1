//! The state of one parameter.

use super::assigned::Assigned;
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use burn::optim::DynState;
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{self, Element, Error, ErrorKind, Matrix};
use spectra_core::optimizer::{BlockState, STATE_VERSION};
use spectra_core::rules::{UpdateRule, Weights};
use spectra_core::state::MASTER;

/// The state of one parameter of rank `D`: the buffers of its rule and the number of its steps.
///
/// In a record every buffer is a tensor of its own name, of the type it has here, beside the scalars
/// `version`, `steps`, `model_step` (the step of the whole model that it took part in last, counted from 1), `rule` (a hash of
/// the rule's [signature](UpdateRule::signature)), for a buffer stored `in x out` `<buffer>_transposed`, and a `checksum` over all
/// of these. The blocks after the first of a parameter that is split have theirs as `block1_steps`, `block1_<buffer>`, and so on.
/// Version 1 (0.1 of this library) had neither `model_step` nor `checksum`.
#[derive(Debug, Clone)]
pub struct SpectralState<const D: usize>(pub(super) Typed);

impl<const D: usize> SpectralState<D> {
    /// Steps this parameter has taken.
    pub fn steps(&self) -> u64 {
        match &self.0 {
            Typed::Single(buffers) => buffers.steps(),
            Typed::Double(buffers) => buffers.steps(),
        }
    }
}

/// The state in the arithmetic of its parameter.
#[derive(Debug, Clone)]
pub(super) enum Typed {
    Single(Buffers<f32>),
    Double(Buffers<f64>),
}

#[derive(Debug, Clone)]
pub(super) struct Buffers<E> {
    /// Of each block; one if the parameter is not split.
    pub(super) blocks: Vec<BlockState<BurnMatrix<E>>>,
    /// The step of the whole model that it took part in last, counted from 1.
    pub(super) model_step: u64,
    pub(super) rule: WrittenRule,
}

/// The rule that wrote a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenRule {
    /// Version of the writer.
    pub(super) version: u32,
    /// FNV-1a of the rule's signature: records hold numbers, no text.
    pub(super) hash: u64,
}

impl WrittenRule {
    pub(super) fn new<E: Arithmetic>(rule: &dyn UpdateRule<BurnBackend<E>>, version: u32) -> Self {
        let bytes = rule.signature_in(version).into_bytes();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { version, hash }
    }

    /// The same rule as this version writes it.
    pub(super) fn renewed<E: Arithmetic>(self, rule: &dyn UpdateRule<BurnBackend<E>>) -> Self {
        if self.version == STATE_VERSION { self } else { Self::new(rule, STATE_VERSION) }
    }

    /// Whether a rule can go on with it.
    pub(super) fn is_of<E: Arithmetic>(self, rule: &dyn UpdateRule<BurnBackend<E>>) -> bool {
        Self::new(rule, self.version).hash == self.hash
    }
}

impl<E> Buffers<E> {
    /// Steps taken, of the block that took most.
    fn steps(&self) -> u64 {
        self.blocks.iter().map(|block| block.steps).max().unwrap_or(0)
    }
}

impl<E: Arithmetic> Buffers<E> {
    pub(super) fn new(rule: &dyn UpdateRule<BurnBackend<E>>) -> Self {
        let rule = WrittenRule::new(rule, STATE_VERSION);
        Self { blocks: vec![BlockState::default()], model_step: 0, rule }
    }

    /// The same without a master that a parameter of this type does not keep; an error unless they are finite buffers of its rule.
    fn verified(mut self, Parameter { assigned, shapes, dtype }: Parameter<'_>) -> backend::Result<Self> {
        for (BlockState { state, steps }, shape) in self.blocks.iter_mut().zip(shapes) {
            if assigned.weights(dtype) != Weights::Master {
                state.take(MASTER);
            }
            if *steps > 0 || !state.is_empty() {
                state.check(&assigned.with_rule::<E, _>(dtype, "", |rule| rule.buffers(*shape)))?;
            }
        }
        Ok(self)
    }

    fn moved_to(self, device: &Device) -> Self {
        self.on(&BurnBackend::new(device))
    }

    /// The same as matrices of this backend.
    pub(super) fn on(mut self, backend: &BurnBackend<E>) -> Self {
        let adopt = |BlockState { state, steps }: BlockState<_>| {
            let state = state.map(|matrix| backend.adopt(matrix));
            BlockState { state, steps }
        };
        self.blocks = self.blocks.into_iter().map(adopt).collect();
        self
    }
}

/// A buffer's name, rows and columns.
type NamedShape = (&'static str, (usize, usize));

/// What has to be known of a parameter to read a state of it.
#[derive(Clone, Copy)]
pub(super) struct Parameter<'a> {
    pub(super) assigned: &'a Assigned,
    /// Of its matrices.
    pub(super) shapes: &'a [(usize, usize)],
    pub(super) dtype: DType,
}

/// The error of a state that cannot be loaded.
pub(super) fn refuse(reason: &'static str) -> Error {
    Error::new("load", ErrorKind::State { reason })
}

impl Typed {
    /// An error unless this rule can go on with it in `E`.
    pub(super) fn check<E: Arithmetic>(&self, rule: &dyn UpdateRule<BurnBackend<E>>) -> backend::Result<()> {
        let refuse = |reason| Err(Error::new("step", ErrorKind::State { reason }));
        let written = match self {
            Self::Single(buffers) => buffers.rule,
            Self::Double(buffers) => buffers.rule,
        };
        if !written.is_of(rule) {
            return refuse("it is of another rule");
        }
        if self.element() == E::NAME { Ok(()) } else { refuse("it holds numbers of another type") }
    }

    /// A buffer of a block, rows = output features.
    pub(super) fn buffer(&self, block: usize, name: &str) -> Option<Tensor<2>> {
        fn of<E: Arithmetic>(buffers: &Buffers<E>, block: usize, name: &str) -> Option<Tensor<2>> {
            buffers.blocks.get(block)?.state.get(name).cloned().map(BurnMatrix::into_tensor)
        }
        match self {
            Self::Single(buffers) => of(buffers, block, name),
            Self::Double(buffers) => of(buffers, block, name),
        }
    }

    /// The steps of a block, and its buffers, rows = output features.
    pub(super) fn block(&self, block: usize) -> (u64, Vec<NamedShape>) {
        fn of<E: Arithmetic>(buffers: &Buffers<E>, block: usize) -> (u64, Vec<NamedShape>) {
            let Some(BlockState { state, steps }) = buffers.blocks.get(block) else {
                return Default::default();
            };
            (*steps, state.iter().map(|(name, matrix)| (name, matrix.shape())).collect())
        }
        match self {
            Self::Single(buffers) => of(buffers, block),
            Self::Double(buffers) => of(buffers, block),
        }
    }

    /// The step of the whole model that it took part in last, counted from 1.
    pub(super) fn model_step(&self) -> u64 {
        match self {
            Self::Single(buffers) => buffers.model_step,
            Self::Double(buffers) => buffers.model_step,
        }
    }

    /// As burn keeps the state of a parameter of this rank.
    pub(super) fn of_rank(self, rank: usize) -> Option<DynState> {
        macro_rules! of_rank {
            ($($d:literal)*) => {
                match rank {
                    $($d => Some(DynState::create(SpectralState::<$d>(self), $d)),)*
                    _ => None,
                }
            };
        }
        of_rank!(0 1 2 3 4 5 6 7 8)
    }

    /// Its arithmetic: `"f32"` or `"f64"`.
    pub(super) fn element(&self) -> &'static str {
        match self {
            Self::Single(_) => f32::NAME,
            Self::Double(_) => f64::NAME,
        }
    }

    pub(super) fn moved_to(self, device: &Device) -> Self {
        match self {
            Self::Single(buffers) => Self::Single(buffers.moved_to(device)),
            Self::Double(buffers) => Self::Double(buffers.moved_to(device)),
        }
    }

    /// The same, verified; see [`Buffers::verified`].
    pub(super) fn verified(self, parameter: Parameter<'_>) -> backend::Result<Self> {
        Ok(match self {
            Self::Single(buffers) => Self::Single(buffers.verified(parameter)?),
            Self::Double(buffers) => Self::Double(buffers.verified(parameter)?),
        })
    }
}
