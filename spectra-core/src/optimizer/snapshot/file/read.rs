//! Reading: everything is checked before it is believed, and no more memory asked for than the bytes given.

use super::description::{StateDescription, sum_of};
use super::{SavedBuffer, Snapshot, refuse};
use crate::backend::{Element, Result};
use crate::optimizer::SavedParameter;
use crate::optimizer::diagnosis::Diagnoses;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use safetensors::tensor::{Dtype, Metadata, SafeTensors};

impl<E: Element> Snapshot<E> {
    /// The state in the bytes of a safetensors file; one in `f32` also as a snapshot in `f64`.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::backend::ErrorKind::State) for bytes that are no state, truncated or damaged ones, naming the
    /// parameter if it is a buffer of one, and for a state in `f64` where `f32` is asked for.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let opened = Opened::new(bytes)?;
        Self::from_tensors(&opened.description, |key| opened.tensor(key))
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
                let key = StateDescription::key(&saved.name, slot);
                let checksum = checksums.remove(&*key);
                let values = checked(saved, shape, checksum, || load(&key));
                let values = values.map_err(|error| error.for_parameter(&saved.name))?;
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

/// The numbers of a parameter's buffer of this shape, unless they are damaged.
fn checked<E: Element>(
    saved: &SavedParameter,
    shape: Option<(usize, usize)>,
    checksum: Option<&str>,
    load: impl FnOnce() -> Result<Option<(Vec<usize>, Vec<E>)>>,
) -> Result<Vec<E>> {
    let checksum = checksum.ok_or_else(|| refuse("a buffer is missing"))?;
    let (found, values) = load()?.ok_or_else(|| refuse("a buffer is missing"))?;
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
    Ok(values)
}

/// The bytes of a file whose description is whole.
struct Opened<'b> {
    description: StateDescription,
    tensors: Metadata,
    data: &'b [u8],
}

impl<'b> Opened<'b> {
    fn new(bytes: &'b [u8]) -> Result<Self> {
        let damaged = || refuse("it is no safetensors file, or a truncated or damaged one");
        let (len, tensors) = SafeTensors::read_metadata(bytes).map_err(|_| damaged())?;
        let data = bytes.get(size_of::<u64>() + len..).ok_or_else(damaged)?;
        let description = tensors.info(StateDescription::NAME);
        let description = description.ok_or_else(|| refuse("it holds no optimizer state"))?;
        let description = Some(description).filter(|info| info.dtype == Dtype::U8);
        let description = description.and_then(|info| data.get(info.data_offsets.0..info.data_offsets.1));
        let description = description.ok_or_else(|| refuse("its description is damaged"))?;
        let description = StateDescription::decode(description)?;
        let metadata = tensors.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
        if metadata.collect::<BTreeMap<_, _>>() != description.metadata() {
            return Err(refuse("its metadata are damaged"));
        }
        if tensors.offset_keys().len() != description.checksums.len() + 1 {
            return Err(refuse("it has more tensors than its description speaks of"));
        }
        Ok(Self { description, tensors, data })
    }

    /// The shape and the numbers of a tensor, if there is one of this name.
    fn tensor<E: Element>(&self, key: &str) -> Result<Option<(Vec<usize>, Vec<E>)>> {
        let Some(info) = self.tensors.info(key) else { return Ok(None) };
        let single = self.description.header().element == f32::NAME;
        let dtype = if single { Dtype::F32 } else { Dtype::F64 };
        let bytes = self.data.get(info.data_offsets.0..info.data_offsets.1);
        let bytes = bytes.filter(|_| info.dtype == dtype);
        let bytes = bytes.ok_or_else(|| refuse("a buffer has another shape or type"))?;
        Ok(Some((info.shape.clone(), numbers(bytes, dtype))))
    }
}

impl Diagnoses {
    /// Of the state in the bytes of a safetensors file, also of one in which some buffers are damaged: each is a
    /// [finding](crate::optimizer::diagnosis::FindingKind::Corrupt). See [`of_snapshot`](Self::of_snapshot).
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::backend::ErrorKind::State) for bytes that are no state, or whose description, which says what there should
    /// be, is damaged.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let opened = Opened::new(bytes)?;
        let description = &opened.description;
        let of_parameter = |saved: &SavedParameter| {
            let buffer = |(slot, shape): (&str, _)| {
                let key = StateDescription::key(&saved.name, slot);
                let checksum = description.checksums.get(&key).map(String::as_str);
                (slot.to_owned(), checked(saved, shape, checksum, || opened.tensor(&key)))
            };
            description.buffers_of(saved).into_iter().map(buffer).collect()
        };
        Self::of_state(description.header(), of_parameter)
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
