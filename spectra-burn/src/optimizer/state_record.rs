//! The form of a parameter's state in burn's records.

use super::shared::Arithmetic;
use super::state::{Buffers, Parameter, SpectralState, Typed, WrittenRule, refuse};
use crate::{BurnBackend, BurnElement, BurnMatrix};
use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_pack::Scalar;
use spectra_core::backend;
use spectra_core::optimizer::{BlockState, Checksum, STATE_VERSION};
use spectra_core::state::{LAST_GRADIENT, MASTER, MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM, SUBSPACE};

/// The most steps that a record may count, as in the core: one more is no overflow.
pub(super) const MOST_STEPS: u64 = 1 << 53;

/// The buffers of the core's own rules, which a record is searched for beside those of its parameter's rule.
const KNOWN: [&str; 6] = [MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM, LAST_GRADIENT, SUBSPACE, MASTER];

impl<E: Arithmetic> Buffers<E> {
    fn flatten(&self, prefix: &str, out: &mut StateSink) {
        let blocks = self.blocks.iter().enumerate();
        let buffers = blocks.flat_map(|(block, BlockState { state, .. })| {
            state.iter().map(move |(name, matrix)| (key(block, name), matrix))
        });
        let tensors = buffers.map(|(key, matrix)| {
            let (tensor, transposed) = matrix.stored();
            (key, tensor.into_data(), transposed)
        });
        let mut tensors: Vec<_> = tensors.collect();
        let steps: Vec<_> = self.blocks.iter().map(|block| block.steps).collect();
        let counts = Counts { rule: self.rule, steps: &steps, model_step: self.model_step };
        let sum = counts.checksum(&mut tensors);
        out.push_scalar(prefix, "version", u64::from(self.rule.version).into());
        for (block, steps) in steps.iter().enumerate() {
            out.push_scalar(prefix, &key(block, "steps"), (*steps).into());
        }
        out.push_scalar(prefix, "model_step", self.model_step.into());
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

impl Typed {
    /// A state with which this parameter can go on, on the CPU device.
    ///
    /// # Errors
    /// One that cannot be read, of another rule, or with buffers that are not the rule's or not finite.
    pub(super) fn load(
        prefix: &str,
        src: &mut StateSource,
        parameter: Parameter<'_>,
    ) -> backend::Result<Self> {
        Self::unflatten(prefix, src, Some(parameter)).map_err(refuse)?.verified(parameter)
    }

    /// Rebuilds a state on the CPU device from the buffers of the core's rules and of the parameter's own; the reason if it
    /// cannot be.
    pub(super) fn unflatten(
        prefix: &str,
        src: &mut StateSource,
        parameter: Option<Parameter<'_>>,
    ) -> Result<Self, &'static str> {
        let number = |src: &mut StateSource, leaf: &str| {
            src.take_scalar(prefix, leaf).and_then(|scalar: Scalar| u64::try_from(scalar).ok())
        };
        let version = number(src, "version").ok_or("it is not a state of this library")?;
        let version = u32::try_from(version).ok().filter(|version| (1..=STATE_VERSION).contains(version));
        let version = version.ok_or("it was written by another version")?;
        let first = number(src, "steps").ok_or("its number of steps is missing")?;
        let hash = number(src, "rule").ok_or("its rule is missing")?;
        let rule = WrittenRule { version, hash };
        // Of another rule not even the names of all buffers are known.
        if parameter.is_some_and(|parameter| !rule.is_of(parameter.assigned.rule::<f32>())) {
            return Err("the parameter has another rule there");
        }
        // Version 1 counted a parameter's own steps only.
        let model_step = number(src, "model_step").or((version == 1).then_some(first));
        let model_step = model_step.ok_or("the model's number of steps is missing")?;
        let shapes = parameter.map_or(&[(1, 1)][..], |parameter| parameter.shapes);
        let steps = (0..shapes.len()).map(|block| number(src, &key(block, "steps")));
        let steps: Option<Vec<_>> = steps.collect();
        let steps = steps.ok_or("it has no state of each of the parameter's blocks")?;
        if steps.iter().chain([&model_step]).any(|steps| *steps > MOST_STEPS) {
            return Err("it counts more steps than can be");
        }
        let sum = number(src, "checksum");
        let (mut tensors, mut places) = (Vec::new(), Vec::new());
        for (block, shape) in shapes.iter().enumerate() {
            let own = parameter.map(|parameter| parameter.assigned.rule::<f32>().buffers(*shape));
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
        let counts = Counts { rule, steps: &steps, model_step };
        match sum {
            Some(sum) if sum != counts.checksum(&mut tensors) => {
                return Err("its checksum is wrong: the file is damaged");
            }
            None if version > 1 => return Err("its checksum is missing"),
            _ => {}
        }
        // A rule without buffers has the parameter's arithmetic.
        let dtype = tensors.first().map(|(_, data, _)| data.dtype());
        match dtype.or(parameter.map(|parameter| parameter.dtype)) {
            None => Err("it has no buffers"),
            Some(DType::F64) => {
                Ok(Self::Double(Buffers { blocks: blocks(tensors, &places, &steps)?, model_step, rule }))
            }
            Some(DType::F32 | DType::BF16 | DType::F16) => {
                Ok(Self::Single(Buffers { blocks: blocks(tensors, &places, &steps)?, model_step, rule }))
            }
            Some(_) => Err("it holds numbers of another type"),
        }
    }
}

/// The numbers of a record beside its buffers.
#[derive(Clone, Copy)]
struct Counts<'a> {
    rule: WrittenRule,
    /// Of each block.
    steps: &'a [u64],
    model_step: u64,
}

/// A buffer's key, its values as they are stored, and whether that is the transpose.
type Stored = (String, TensorData, bool);

/// A buffer's key, its block and its name.
type Places = [(String, (usize, &'static str))];

impl Counts<'_> {
    /// Over everything that a record says of a parameter, the buffers by their names in alphabetical order.
    fn checksum(self, tensors: &mut [Stored]) -> u64 {
        let Self { rule: WrittenRule { version, hash }, steps, model_step } = self;
        let (first, later) = steps.split_first().map_or((0, &[][..]), |(first, later)| (*first, later));
        let mut sum = Checksum::new();
        for word in [u64::from(version), first, model_step, hash].iter().chain(later) {
            sum.word(*word);
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
}

fn blocks<E: BurnElement>(
    tensors: Vec<Stored>,
    places: &Places,
    steps: &[u64],
) -> Result<Vec<BlockState<BurnMatrix<E>>>, &'static str> {
    let backend = BurnBackend::<E>::new(&Device::flex());
    let begun = |steps: &u64| BlockState { steps: *steps, ..BlockState::default() };
    let mut blocks: Vec<_> = steps.iter().map(begun).collect();
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
            && let Some(block) = blocks.get_mut(*block)
        {
            block.state.put(name, matrix);
        }
    }
    Ok(blocks)
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
