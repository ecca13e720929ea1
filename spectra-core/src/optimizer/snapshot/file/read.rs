//! Reading: everything is checked before it is believed, and no more memory asked for than the bytes given.

use super::description::{StateDescription, sum_of};
use super::{SavedBuffer, Snapshot, refuse};
use crate::backend::{Element, Result};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};

impl<E: Element> Snapshot<E> {
    /// The state in the bytes of a safetensors file; one in `f32` also as a snapshot in `f64`.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::backend::ErrorKind::State) for bytes that are no state, truncated or damaged ones, naming the
    /// parameter if it is a buffer of one, and for a state in `f64` where `f32` is asked for.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let damaged = || refuse("it is no safetensors file, or a truncated or damaged one");
        let (len, tensors) = SafeTensors::read_metadata(bytes).map_err(|_| damaged())?;
        let data = bytes.get(size_of::<u64>() + len..).ok_or_else(damaged)?;
        let values_of = |info: &TensorInfo| data.get(info.data_offsets.0..info.data_offsets.1);
        let description = tensors.info(StateDescription::NAME);
        let description = description.ok_or_else(|| refuse("it holds no optimizer state"))?;
        let description = Some(description).filter(|info| info.dtype == Dtype::U8).and_then(values_of);
        let description = description.ok_or_else(|| refuse("its description is damaged"))?;
        let description = StateDescription::decode(description)?;
        let metadata = tensors.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
        if metadata.collect::<BTreeMap<_, _>>() != description.metadata() {
            return Err(refuse("its metadata are damaged"));
        }
        if tensors.offset_keys().len() != description.checksums.len() + 1 {
            return Err(refuse("it has more tensors than its description speaks of"));
        }
        let dtype = if description.header().element == f32::NAME { Dtype::F32 } else { Dtype::F64 };
        Self::from_tensors(&description, |key| {
            let Some(info) = tensors.info(key) else { return Ok(None) };
            let bytes = values_of(info).filter(|_| info.dtype == dtype);
            let bytes = bytes.ok_or_else(|| refuse("a buffer has another shape or type"))?;
            Ok(Some((info.shape.clone(), numbers(bytes, dtype))))
        })
    }

    /// The state in tensors of one's own, under a [description](StateDescription). `load(key)` gives the shape and the numbers of the tensor
    /// of this name, `f32` widened if `E` is `f64`; `None` if there is none.
    ///
    /// # Errors
    /// As [`from_safetensors`](Self::from_safetensors), and whatever `load` returns.
    pub fn from_tensors(
        description: &StateDescription,
        mut load: impl FnMut(&str) -> Result<Option<(Vec<usize>, Vec<E>)>>,
    ) -> Result<Self> {
        let header = description.header();
        // `f32` is contained in both.
        if header.element != f32::NAME && header.element != E::NAME {
            return Err(refuse("it holds numbers of another type"));
        }
        // Each once, whatever the header says.
        let mut checksums: BTreeMap<&str, &str> =
            description.checksums.iter().map(|(key, sum)| (key.as_str(), sum.as_str())).collect();
        let mut buffers = Vec::with_capacity(checksums.len());
        for saved in &header.parameters {
            for (slot, shape) in description.buffers_of(saved) {
                let refuse = |reason| refuse(reason).for_parameter(&saved.name);
                let key = StateDescription::key(&saved.name, slot);
                let checksum = checksums.remove(&*key).ok_or_else(|| refuse("a buffer is missing"))?;
                let loaded = load(&key).map_err(|error| error.for_parameter(&saved.name))?;
                let (found, values) = loaded.ok_or_else(|| refuse("a buffer is missing"))?;
                let fits = match (&*found, shape) {
                    ([m, n], Some(shape)) => (*m, *n) == shape,
                    ([m, _], None) => *m == saved.cols,
                    _ => false,
                };
                if !fits {
                    return Err(refuse("a buffer has another shape or type"));
                }
                if sum_of(&values) != checksum {
                    return Err(refuse("the numbers of a buffer are damaged"));
                }
                buffers.push(SavedBuffer { parameter: saved.name.clone(), slot: slot.into(), values });
            }
        }
        if !checksums.is_empty() {
            return Err(refuse("it has more buffers than its header speaks of"));
        }
        let (format, header) = (super::super::FORMAT.into(), header.clone());
        let mut snapshot = Self { format, header, buffers, checksum: 0 };
        snapshot.checksum = snapshot.sum();
        Ok(snapshot)
    }
}

/// Little-endian numbers.
fn numbers<E: Element>(bytes: &[u8], dtype: Dtype) -> Vec<E> {
    if dtype == Dtype::F32 {
        let (chunks, _) = bytes.as_chunks();
        chunks.iter().map(|x| E::narrow(f32::from_le_bytes(*x).into())).collect()
    } else {
        let (chunks, _) = bytes.as_chunks();
        chunks.iter().map(|x| E::narrow(f64::from_le_bytes(*x))).collect()
    }
}
