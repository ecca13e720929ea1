//! The state of one parameter, and its form in burn's records.

use super::assigned::Assigned;
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnElement, BurnMatrix};
use burn::optim::{DynState, RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_pack::Scalar;
use spectra_core::backend::{self, Element, Error, ErrorKind};
use spectra_core::optimizer::{Checksum, STATE_VERSION};
use spectra_core::rules::UpdateRule;
use spectra_core::state::{LAST_GRADIENT, MASTER, MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM, SUBSPACE, State};

/// The most steps that a record may count, as in the core: one more is no overflow.
pub(super) const MOST_STEPS: u64 = 1 << 53;

/// The buffers of the core's own rules, which a record is searched for beside those of its parameter's rule.
const KNOWN: [&str; 6] = [MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM, LAST_GRADIENT, SUBSPACE, MASTER];

/// The state of one parameter of rank `D`: the buffers of its rule and the number of its steps.
///
/// In a record every buffer is a tensor of its own name, of the type it has here, beside the scalars
/// `version`, `steps`, `model_step` (the step of the whole model that it took part in last, counted from 1), `rule` (a hash of
/// the rule's [signature](UpdateRule::signature)), for a buffer stored `in x out` `<buffer>_transposed`, and a `checksum` over all
/// of these. The blocks after the first of a parameter that is split have theirs as `block1_<buffer>`, and so on. Version 1 (0.1 of
/// this library) had neither `model_step` nor `checksum`.
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
    /// Of each block; one if the parameter is not split.
    pub(super) states: Vec<State<BurnMatrix<E>>>,
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
    /// FNV-1a of the rule's signature: records hold numbers, no text.
    hash: u64,
}

impl WrittenRule {
    fn new<E: Arithmetic>(rule: &dyn UpdateRule<BurnBackend<E>>, version: u32) -> Self {
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
    fn is_of<E: Arithmetic>(self, rule: &dyn UpdateRule<BurnBackend<E>>) -> bool {
        Self::new(rule, self.version).hash == self.hash
    }
}

impl<E: Arithmetic> Buffers<E> {
    pub(super) fn new(rule: &dyn UpdateRule<BurnBackend<E>>) -> Self {
        let rule = WrittenRule::new(rule, STATE_VERSION);
        Self { states: vec![State::default()], steps: 0, model_step: 0, rule }
    }

    /// The same without a master that a parameter of this type does not keep; an error unless they are finite buffers of its rule.
    fn verified(
        mut self,
        assigned: &Assigned,
        (shapes, dtype): (&[(usize, usize)], DType),
    ) -> backend::Result<Self> {
        for (state, shape) in self.states.iter_mut().zip(shapes) {
            if !assigned.has_master(dtype) {
                state.take(MASTER);
            }
            state.check(&assigned.with_rule::<E, _>(dtype, |rule| rule.buffers(*shape)))?;
        }
        Ok(self)
    }

    fn moved_to(mut self, device: &Device) -> Self {
        let backend = BurnBackend::<E>::new(device);
        let adopt = |state: State<_>| state.map(|matrix| backend.adopt(matrix));
        self.states = self.states.into_iter().map(adopt).collect();
        self
    }

    fn flatten(&self, prefix: &str, out: &mut StateSink) {
        let buffers =
            self.states.iter().enumerate().flat_map(|(block, state)| {
                state.iter().map(move |(name, matrix)| (key(block, name), matrix))
            });
        let tensors = buffers.map(|(key, matrix)| {
            let (tensor, transposed) = matrix.stored();
            (key, tensor.into_data(), transposed)
        });
        let mut tensors: Vec<_> = tensors.collect();
        let counts = Counts { version: self.rule.version, steps: self.steps, model_step: self.model_step };
        let sum = checksum(counts, self.rule.hash, &mut tensors);
        out.push_scalar(prefix, "version", u64::from(counts.version).into());
        out.push_scalar(prefix, "steps", counts.steps.into());
        out.push_scalar(prefix, "model_step", counts.model_step.into());
        out.push_scalar(prefix, "rule", self.rule.hash.into());
        out.push_scalar(prefix, "checksum", sum.into());
        for (name, data, transposed) in tensors {
            out.push_tensor(prefix, &name, data);
            if transposed {
                out.push_scalar(prefix, &transposed_key(&name), true.into());
            }
        }
    }
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
    pub(super) fn take(self, block: usize, name: &str) -> Option<Tensor<2>> {
        match self {
            Self::Single(mut buffers) => {
                buffers.states.get_mut(block)?.take(name).map(BurnMatrix::into_tensor)
            }
            Self::Double(mut buffers) => {
                buffers.states.get_mut(block)?.take(name).map(BurnMatrix::into_tensor)
            }
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

    /// A state with which this parameter can go on, on the CPU device.
    ///
    /// # Errors
    /// One that cannot be read, of another rule, or with buffers that are not the rule's or not finite.
    pub(super) fn load(
        prefix: &str,
        src: &mut StateSource,
        assigned: &Assigned,
        (shapes, dtype): (&[(usize, usize)], DType),
    ) -> backend::Result<Self> {
        Ok(match Self::unflatten(prefix, src, Some((assigned, shapes))).map_err(refuse)? {
            Self::Single(buffers) => Self::Single(buffers.verified(assigned, (shapes, dtype))?),
            Self::Double(buffers) => Self::Double(buffers.verified(assigned, (shapes, dtype))?),
        })
    }

    /// Rebuilds a state on the CPU device from the buffers of the core's rules and of the parameter's own; the reason if it
    /// cannot be.
    pub(super) fn unflatten(
        prefix: &str,
        src: &mut StateSource,
        rule: Option<(&Assigned, &[(usize, usize)])>,
    ) -> Result<Self, &'static str> {
        let number = |src: &mut StateSource, leaf| {
            src.take_scalar(prefix, leaf).and_then(|scalar: Scalar| u64::try_from(scalar).ok())
        };
        let version = number(src, "version").ok_or("it is not a state of this library")?;
        let version = u32::try_from(version).ok().filter(|version| (1..=STATE_VERSION).contains(version));
        let version = version.ok_or("it was written by another version")?;
        let steps = number(src, "steps").ok_or("its number of steps is missing")?;
        let hash = number(src, "rule").ok_or("its rule is missing")?;
        let written = WrittenRule { version, hash };
        // Of another rule not even the names of all buffers are known.
        if rule.is_some_and(|(assigned, _)| !written.is_of(assigned.rule::<f32>())) {
            return Err("the parameter has another rule there");
        }
        // Version 1 counted a parameter's own steps only.
        let model_step = number(src, "model_step").or((version == 1).then_some(steps));
        let model_step = model_step.ok_or("the model's number of steps is missing")?;
        if steps.max(model_step) > MOST_STEPS {
            return Err("it counts more steps than can be");
        }
        let sum = number(src, "checksum");
        let shapes = rule.map_or(&[(1, 1)][..], |(_, shapes)| shapes);
        let (mut tensors, mut places) = (Vec::new(), Vec::new());
        for (block, shape) in shapes.iter().enumerate() {
            let own = rule.map(|(assigned, _)| assigned.rule::<f32>().buffers(*shape));
            let own = own.iter().flatten().map(|buffer| buffer.name).filter(|name| !KNOWN.contains(name));
            for name in KNOWN.into_iter().chain(own) {
                let key = key(block, name);
                if let Some(data) = src.take_tensor(prefix, &key) {
                    let transposed = src.take_scalar(prefix, &transposed_key(&key)) == Some(true.into());
                    places.push((key.clone(), (block, name)));
                    tensors.push((key, data, transposed));
                }
            }
        }
        let counts = Counts { version, steps, model_step };
        match sum {
            Some(sum) if sum != checksum(counts, hash, &mut tensors) => {
                return Err("its checksum is wrong: the file is damaged");
            }
            None if version > 1 => return Err("its checksum is missing"),
            _ => {}
        }
        match tensors.first().map(|(_, data, _)| data.dtype()) {
            None => Err("it has no buffers"),
            Some(DType::F32) => {
                let states = states(tensors, &places, shapes.len())?;
                Ok(Self::Single(Buffers { states, steps, model_step, rule: written }))
            }
            Some(DType::F64) => {
                let states = states(tensors, &places, shapes.len())?;
                Ok(Self::Double(Buffers { states, steps, model_step, rule: written }))
            }
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

/// A buffer's key, its values as they are stored, and whether that is the transpose.
type Stored = (String, TensorData, bool);

/// A buffer's key, its block and its name.
type Places = [(String, (usize, &'static str))];

/// Over everything that a record says of a parameter, the buffers by their names in alphabetical order.
fn checksum(counts: Counts, rule: u64, tensors: &mut [Stored]) -> u64 {
    let mut sum = Checksum::new();
    for word in [u64::from(counts.version), counts.steps, counts.model_step, rule] {
        sum.word(word);
    }
    tensors.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
    for (name, data, transposed) in tensors {
        sum.bytes(name.as_bytes());
        sum.word(u64::from(*transposed));
        sum.bytes(data.dtype().name().as_bytes());
        for &side in data.shape().iter() {
            sum.word(side as u64);
        }
        sum.bytes(data.as_bytes());
    }
    sum.finish()
}

fn states<E: BurnElement>(
    tensors: Vec<Stored>,
    places: &Places,
    blocks: usize,
) -> Result<Vec<State<BurnMatrix<E>>>, &'static str> {
    let backend = BurnBackend::<E>::new(&Device::flex());
    let mut states: Vec<_> = (0..blocks).map(|_| State::default()).collect();
    for (key, data, transposed) in tensors {
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
        let matrix = matrix.map_err(|_| "a buffer cannot be read")?;
        if let Some((_, (block, name))) = places.iter().find(|(known, _)| *known == key)
            && let Some(state) = states.get_mut(*block)
        {
            state.put(name, matrix);
        }
    }
    Ok(states)
}

/// The name of a buffer in a record: its own, for the blocks after the first `block1_momentum`.
fn key(block: usize, name: &str) -> String {
    if block == 0 { name.to_owned() } else { format!("block{block}_{name}") }
}

fn transposed_key(name: &str) -> String {
    format!("{name}_transposed")
}

impl<const D: usize> RecordState for SpectralState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        match &self.0 {
            Typed::Single(buffers) => buffers.flatten(prefix, out),
            Typed::Double(buffers) => buffers.flatten(prefix, out),
        }
    }

    /// A group's optimizer has recipes only, whose buffers are known. The state stays on the CPU device until its first step moves
    /// it to the parameter's.
    fn state_unflatten(prefix: &str, src: &mut StateSource, _: &Device) -> Option<Self> {
        Typed::unflatten(prefix, src, None).ok().map(Self)
    }
}
