//! The state of one parameter, and its form in burn's records.

use crate::{BurnBackend, BurnElement, BurnMatrix};
use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_pack::Scalar;
use spectra_core::backend::Element;
use spectra_core::directions::{Slot, Slots};
use spectra_core::optimizer::{Recipe, STATE_VERSION};

/// The state of one parameter of rank `D`: the buffers of its recipe and the number of its steps.
///
/// In a record every buffer is a tensor named after its slot, of the type it has here, beside the scalars
/// `version`, `steps`, `rule` (a hash of the recipe's [signature](Recipe::signature)) and, for a buffer stored `in x out`,
/// `<slot>_transposed`.
#[derive(Debug, Clone)]
pub struct SpectralState<const D: usize>(pub(super) Typed);

impl<const D: usize> SpectralState<D> {
    /// Steps this parameter has taken.
    pub fn steps(&self) -> u64 {
        match &self.0 {
            Typed::Single(buffers) => buffers.steps,
            Typed::Double(buffers) => buffers.steps,
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
    pub(super) slots: Slots<BurnMatrix<E>>,
    pub(super) steps: u64,
    /// [`rule_hash`] of the recipe that wrote it.
    pub(super) rule: u64,
}

impl<E: BurnElement> Buffers<E> {
    pub(super) fn new(recipe: &Recipe) -> Self {
        Self { slots: Slots::default(), steps: 0, rule: rule_hash(recipe) }
    }

    fn moved_to(mut self, device: &Device) -> Self {
        let backend = BurnBackend::<E>::new(device);
        for slot in Slot::ALL {
            let place = self.slots.place(slot);
            *place = place.take().map(|matrix| backend.adopt(matrix));
        }
        self
    }

    fn flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "version", u64::from(STATE_VERSION).into());
        out.push_scalar(prefix, "steps", self.steps.into());
        out.push_scalar(prefix, "rule", self.rule.into());
        for slot in Slot::ALL {
            if let Some((tensor, transposed)) = self.slots.get(slot).map(BurnMatrix::stored) {
                out.push_tensor(prefix, slot.name(), tensor.into_data());
                if transposed {
                    out.push_scalar(prefix, &transposed_key(slot), true.into());
                }
            }
        }
    }
}

impl Typed {
    /// [`rule_hash`] of the recipe that wrote it.
    pub(super) fn rule(&self) -> u64 {
        match self {
            Self::Single(buffers) => buffers.rule,
            Self::Double(buffers) => buffers.rule,
        }
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

    /// Rebuilds a state on the CPU device; the reason if it cannot be.
    pub(super) fn unflatten(prefix: &str, src: &mut StateSource) -> Result<Self, &'static str> {
        let number = |src: &mut StateSource, leaf| {
            src.take_scalar(prefix, leaf).and_then(|scalar: Scalar| u64::try_from(scalar).ok())
        };
        let version = number(src, "version").ok_or("it is not a state of this library")?;
        if version != u64::from(STATE_VERSION) {
            return Err("it was written by another version");
        }
        let steps = number(src, "steps").ok_or("its number of steps is missing")?;
        let rule = number(src, "rule").ok_or("its rule is missing")?;
        let mut tensors = Vec::new();
        for slot in Slot::ALL {
            if let Some(data) = src.take_tensor(prefix, slot.name()) {
                let transposed = src.take_scalar(prefix, &transposed_key(slot)) == Some(true.into());
                tensors.push((slot, data, transposed));
            }
        }
        match tensors.first().map(|(_, data, _)| data.dtype()) {
            None => Err("it has no buffers"),
            Some(DType::F32) => Ok(Self::Single(Buffers { slots: slots(tensors)?, steps, rule })),
            Some(DType::F64) => Ok(Self::Double(Buffers { slots: slots(tensors)?, steps, rule })),
            Some(_) => Err("it holds numbers of another type"),
        }
    }
}

fn slots<E: BurnElement>(
    tensors: Vec<(Slot, TensorData, bool)>,
) -> Result<Slots<BurnMatrix<E>>, &'static str> {
    let backend = BurnBackend::<E>::new(&Device::flex());
    let mut slots = Slots::default();
    for (slot, data, transposed) in tensors {
        if data.dtype() != E::DTYPE {
            return Err("it holds numbers of two types");
        }
        if data.rank() != 2 {
            return Err("a buffer is not a matrix");
        }
        // Named type: burn would make f32 of it.
        let tensor = Tensor::<2>::from_data(data, (backend.device(), E::DTYPE));
        let [rows, cols] = tensor.dims();
        let matrix = if transposed {
            backend.transposed(tensor, (cols, rows))
        } else {
            backend.matrix(tensor, (rows, cols))
        };
        *slots.place(slot) = Some(matrix.map_err(|_| "a buffer cannot be read")?);
    }
    Ok(slots)
}

fn transposed_key(slot: Slot) -> String {
    format!("{}_transposed", slot.name())
}

/// FNV-1a of the recipe's signature: records hold numbers, no text.
pub(super) fn rule_hash(recipe: &Recipe) -> u64 {
    let bytes = recipe.signature().into_bytes();
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl<const D: usize> RecordState for SpectralState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        match &self.0 {
            Typed::Single(buffers) => buffers.flatten(prefix, out),
            Typed::Double(buffers) => buffers.flatten(prefix, out),
        }
    }

    /// The state stays on the CPU device until its first step moves it to the parameter's.
    fn state_unflatten(prefix: &str, src: &mut StateSource, _: &Device) -> Option<Self> {
        Typed::unflatten(prefix, src).ok().map(Self)
    }
}
