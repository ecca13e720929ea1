//! The state of one parameter, and its form in burn's records.

use crate::{BurnBackend, BurnElement, BurnMatrix};
use burn::optim::{DynState, RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_pack::Scalar;
use spectra_core::backend::{self, Element, Error, ErrorKind};
use spectra_core::directions::{Slot, Slots};
use spectra_core::optimizer::{Checksum, Recipe, STATE_VERSION};

/// The most steps that a record may count, as in the core: one more is no overflow.
pub(super) const MOST_STEPS: u64 = 1 << 53;

/// The state of one parameter of rank `D`: the buffers of its recipe and the number of its steps.
///
/// In a record every buffer is a tensor named after its slot, of the type it has here, beside the scalars
/// `version`, `steps`, `model_step` (the step of the whole model that it took part in last, counted from 1), `rule` (a hash of
/// the recipe's [signature](Recipe::signature)), for a buffer stored `in x out` `<slot>_transposed`, and a `checksum` over all
/// of these. Version 1 (0.1 of this library) had neither `model_step` nor `checksum`.
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
    /// The step of the whole model that it took part in last, counted from 1.
    pub(super) model_step: u64,
    pub(super) rule: WrittenRule,
}

/// The rule that wrote a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenRule {
    /// Version of the writer.
    version: u32,
    /// FNV-1a of the recipe's signature: records hold numbers, no text.
    hash: u64,
}

impl WrittenRule {
    fn new(recipe: &Recipe, version: u32) -> Self {
        let bytes = recipe.signature_in(version).into_bytes();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { version, hash }
    }

    /// The same rule as this version writes it.
    pub(super) fn renewed(self, recipe: &Recipe) -> Self {
        if self.version == STATE_VERSION { self } else { Self::new(recipe, STATE_VERSION) }
    }

    /// Whether a recipe can go on with it.
    pub(super) fn is_of(self, recipe: &Recipe) -> bool {
        Self::new(recipe, self.version).hash == self.hash
    }
}

impl<E: BurnElement> Buffers<E> {
    pub(super) fn new(recipe: &Recipe) -> Self {
        let rule = WrittenRule::new(recipe, STATE_VERSION);
        Self { slots: Slots::default(), steps: 0, model_step: 0, rule }
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
        let mut tensors = Vec::new();
        for slot in Slot::ALL {
            if let Some((tensor, transposed)) = self.slots.get(slot).map(BurnMatrix::stored) {
                tensors.push((slot, tensor.into_data(), transposed));
            }
        }
        let counts = Counts { version: self.rule.version, steps: self.steps, model_step: self.model_step };
        let sum = checksum(counts, self.rule.hash, &tensors);
        out.push_scalar(prefix, "version", u64::from(counts.version).into());
        out.push_scalar(prefix, "steps", counts.steps.into());
        out.push_scalar(prefix, "model_step", counts.model_step.into());
        out.push_scalar(prefix, "rule", self.rule.hash.into());
        out.push_scalar(prefix, "checksum", sum.into());
        for (slot, data, transposed) in tensors {
            out.push_tensor(prefix, slot.name(), data);
            if transposed {
                out.push_scalar(prefix, &transposed_key(slot), true.into());
            }
        }
    }
}

impl Typed {
    /// The rule that wrote it.
    pub(super) fn rule(&self) -> WrittenRule {
        match self {
            Self::Single(buffers) => buffers.rule,
            Self::Double(buffers) => buffers.rule,
        }
    }

    /// An error unless this recipe can go on with it in this arithmetic.
    pub(super) fn check(&self, recipe: &Recipe, element: &'static str) -> backend::Result<()> {
        let refuse = |reason| Err(Error::new("step", ErrorKind::State { reason }));
        if !self.rule().is_of(recipe) {
            return refuse("it is of another rule");
        }
        if self.element() == element { Ok(()) } else { refuse("it holds numbers of another type") }
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

    /// Rebuilds a state on the CPU device; the reason if it cannot be.
    pub(super) fn unflatten(prefix: &str, src: &mut StateSource) -> Result<Self, &'static str> {
        let number = |src: &mut StateSource, leaf| {
            src.take_scalar(prefix, leaf).and_then(|scalar: Scalar| u64::try_from(scalar).ok())
        };
        let version = number(src, "version").ok_or("it is not a state of this library")?;
        let version = u32::try_from(version).ok().filter(|version| (1..=STATE_VERSION).contains(version));
        let version = version.ok_or("it was written by another version")?;
        let steps = number(src, "steps").ok_or("its number of steps is missing")?;
        let hash = number(src, "rule").ok_or("its rule is missing")?;
        // Version 1 counted a parameter's own steps only.
        let model_step = number(src, "model_step").or((version == 1).then_some(steps));
        let model_step = model_step.ok_or("the model's number of steps is missing")?;
        if steps.max(model_step) > MOST_STEPS {
            return Err("it counts more steps than can be");
        }
        let sum = number(src, "checksum");
        let mut tensors = Vec::new();
        for slot in Slot::ALL {
            if let Some(data) = src.take_tensor(prefix, slot.name()) {
                let transposed = src.take_scalar(prefix, &transposed_key(slot)) == Some(true.into());
                tensors.push((slot, data, transposed));
            }
        }
        let counts = Counts { version, steps, model_step };
        match sum {
            Some(sum) if sum != checksum(counts, hash, &tensors) => {
                return Err("its checksum is wrong: the file is damaged");
            }
            None if version > 1 => return Err("its checksum is missing"),
            _ => {}
        }
        let rule = WrittenRule { version, hash };
        match tensors.first().map(|(_, data, _)| data.dtype()) {
            None => Err("it has no buffers"),
            Some(DType::F32) => Ok(Self::Single(Buffers { slots: slots(tensors)?, steps, model_step, rule })),
            Some(DType::F64) => Ok(Self::Double(Buffers { slots: slots(tensors)?, steps, model_step, rule })),
            Some(_) => Err("it holds numbers of another type"),
        }
    }
}

/// The numbers of a record beside its buffers.
#[derive(Clone, Copy)]
struct Counts {
    version: u32,
    steps: u64,
    model_step: u64,
}

/// Over everything that a record says of a parameter.
fn checksum(counts: Counts, rule: u64, tensors: &[(Slot, TensorData, bool)]) -> u64 {
    let mut sum = Checksum::new();
    for word in [u64::from(counts.version), counts.steps, counts.model_step, rule] {
        sum.word(word);
    }
    for (slot, data, transposed) in tensors {
        sum.bytes(slot.name().as_bytes());
        sum.word(u64::from(*transposed));
        sum.bytes(data.dtype().name().as_bytes());
        for &side in data.shape().iter() {
            sum.word(side as u64);
        }
        sum.bytes(data.as_bytes());
    }
    sum.finish()
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
