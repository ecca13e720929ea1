//! The whole state as one serializable value (feature `serde`).

use super::{Optimizer, StateHeader};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result};
use crate::directions::Slot;
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// The state of an [`Optimizer`], for any serde format; floats must survive the format exactly (binary formats
/// do, JSON does with a writer that prints shortest round-trip digits).
///
/// A checksum over header and numbers tells a flipped bit; [`Optimizer::load_snapshot`] verifies it and
/// everything else before it changes anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot<E> {
    format: String,
    header: StateHeader,
    buffers: Vec<SavedBuffer<E>>,
    checksum: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBuffer<E> {
    parameter: Box<str>,
    slot: String,
    values: Vec<E>,
}

const FORMAT: &str = "spectra optimizer state";

/// FNV-1a, 64 bits: tells accidents, not attacks.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl<E: Element> Snapshot<E> {
    fn sum(&self) -> u64 {
        let mut sum = Fnv(0xcbf2_9ce4_8422_2325);
        sum.add(alloc::format!("{:?}", self.header).as_bytes());
        for buffer in &self.buffers {
            sum.add(buffer.parameter.as_bytes());
            sum.add(buffer.slot.as_bytes());
            for x in &buffer.values {
                sum.add(&x.widen().to_bits().to_le_bytes());
            }
        }
        sum.0
    }
}

impl<B: Backend> Optimizer<B> {
    /// The whole state, copied to the host. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn snapshot(&self) -> Result<Snapshot<B::Element>> {
        let mut buffers = Vec::new();
        for (parameter, slot, matrix) in self.buffers() {
            let (rows, cols) = matrix.shape();
            let mut values = vec![B::Element::narrow(0.0); rows * cols];
            matrix.read(&mut values)?;
            buffers.push(SavedBuffer { parameter: parameter.into(), slot: slot.name().into(), values });
        }
        let mut snapshot = Snapshot { format: FORMAT.into(), header: self.header(), buffers, checksum: 0 };
        snapshot.checksum = snapshot.sum();
        Ok(snapshot)
    }

    /// Restores a [`snapshot`](Self::snapshot): training continues with the same bits. All or nothing.
    ///
    /// # Errors
    /// As [`restore`](Self::restore); also a foreign format or a wrong checksum.
    pub fn load_snapshot(&mut self, snapshot: &Snapshot<B::Element>) -> Result<()> {
        let refuse = |reason| Error::new("load_snapshot", ErrorKind::State { reason });
        if snapshot.format != FORMAT {
            return Err(refuse("it is not an optimizer state of this library"));
        }
        if snapshot.checksum != snapshot.sum() {
            return Err(refuse("its checksum is wrong: the file is damaged"));
        }
        let backend = self.backend().clone();
        let mut buffers = snapshot.buffers.iter();
        let checked = self.check_state(&snapshot.header, |name, slot: Slot, rows, cols| {
            let next = buffers.next().filter(|b| &*b.parameter == name && b.slot == slot.name());
            let buffer = next.ok_or_else(|| refuse("a buffer is missing"))?;
            backend.upload(rows, cols, &buffer.values)
        })?;
        if buffers.next().is_some() {
            return Err(refuse("it has more buffers than its header speaks of"));
        }
        self.take_state(&snapshot.header, checked)
    }
}
