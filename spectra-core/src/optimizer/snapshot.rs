//! The whole state as one serializable value (feature `serde`).

#[cfg(feature = "safetensors")]
pub(super) mod file;
mod version_1;

use super::{Checksum, Missing, Optimizer, RestoreOptions, Restored, StateHeader};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result};
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// The state of an [`Optimizer`], for any serde format; floats must survive the format exactly (binary formats
/// do, JSON does with a writer that prints shortest round-trip digits).
///
/// A checksum over header and numbers tells damage; [`Optimizer::load_snapshot`] verifies it and everything else before it
/// changes anything. Snapshots of version 1 are read, too.
///
/// # The checksum
///
/// It is a [`Checksum`] over 64-bit words, whose form does not depend on the serde format:
///
/// 1. the text `spectra optimizer state`, as bytes;
/// 2. the header, as [`StateHeader::add_to`] says;
/// 3. the number of buffers, and of each the parameter's name and the slot's name as bytes, and the
///    [values](Checksum::values).
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

impl<E: Element> Snapshot<E> {
    /// What it says of itself.
    pub fn header(&self) -> &StateHeader {
        &self.header
    }

    /// The checksum that it should have.
    fn sum(&self) -> u64 {
        if self.header.version < 2 {
            return self.sum_in_version_1();
        }
        let mut sum = Checksum::new();
        sum.bytes(self.format.as_bytes());
        self.header.add_to(&mut sum);
        sum.word(self.buffers.len() as u64);
        for SavedBuffer { parameter, slot, values } in &self.buffers {
            sum.bytes(parameter.as_bytes());
            sum.bytes(slot.as_bytes());
            sum.values(values);
        }
        sum.finish()
    }
}

impl<B: Backend> Optimizer<B> {
    /// The whole state, copied to the host. **Waits** for the device.
    ///
    /// # Errors
    /// A NaN or an infinity in a buffer, naming the parameter: such a state could not be restored. An earlier step that is
    /// [not whole](Self::check_whole); those of the backend.
    pub fn snapshot(&self) -> Result<Snapshot<B::Element>> {
        let header = self.header()?;
        let mut buffers = Vec::new();
        for (parameter, slot, matrix) in self.buffers() {
            let (rows, cols) = matrix.shape();
            let mut values = vec![B::Element::narrow(0.0); rows * cols];
            matrix.read(&mut values)?;
            if !values.iter().all(|x| x.widen().is_finite()) {
                let error = Error::new("save", ErrorKind::NonFinite { what: slot });
                return Err(error.for_parameter(parameter));
            }
            buffers.push(SavedBuffer { parameter: parameter.into(), slot: slot.into(), values });
        }
        let mut snapshot = Snapshot { format: FORMAT.into(), header, buffers, checksum: 0 };
        snapshot.checksum = snapshot.sum();
        Ok(snapshot)
    }

    /// Restores a [`snapshot`](Self::snapshot), and tells under which other settings it was saved; under the same ones training
    /// continues with the same bits. What is restored and what is not: see [`restore`](Self::restore). All or nothing.
    ///
    /// # Errors
    /// As [`restore`](Self::restore); also a foreign format or a wrong checksum.
    pub fn load_snapshot<E: Element>(&mut self, snapshot: &Snapshot<E>) -> Result<Restored> {
        self.load_snapshot_with(snapshot, &RestoreOptions::default())
    }

    /// [`load_snapshot`](Self::load_snapshot) into a model that has changed; see [`restore_with`](Self::restore_with).
    ///
    /// # Errors
    /// As there.
    pub fn load_snapshot_with<E: Element>(
        &mut self,
        snapshot: &Snapshot<E>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        let refuse = |reason| Error::new("load_snapshot", ErrorKind::State { reason });
        if snapshot.format != FORMAT {
            return Err(refuse("it is not an optimizer state of this library"));
        }
        if snapshot.checksum != snapshot.sum() {
            return Err(refuse("its checksum is wrong: the file is damaged"));
        }
        let backend = self.backend().clone();
        let mut used = 0;
        let checked = self.check_state(&snapshot.header, options, |name, slot, rows, cols| {
            let named = |b: &&SavedBuffer<E>| *b.parameter == *name && b.slot == slot;
            let buffer = snapshot.buffers.iter().find(named).ok_or_else(|| refuse("a buffer is missing"))?;
            used += 1;
            // Before memory is asked for.
            if rows.checked_mul(cols) != Some(buffer.values.len()) {
                return Err(refuse("a buffer has another length than its header says"));
            }
            let values: Vec<_> = buffer.values.iter().map(|x| B::Element::narrow(x.widen())).collect();
            backend.upload(rows, cols, &values)
        })?;
        // Version 1 does not say which there are, nor can those of a parameter that is left out be counted.
        let spoken_of: usize = snapshot.header.parameters.iter().map(|saved| saved.buffers.len()).sum();
        let expected = match (snapshot.header.version < 2, options.missing) {
            (true, Missing::Refuse) => used,
            (true, Missing::Fresh) => snapshot.buffers.len(),
            (false, _) => spoken_of,
        };
        let speaks_of = |b: &SavedBuffer<E>| {
            let parameter = snapshot.header.parameters.iter().find(|saved| saved.name == b.parameter);
            parameter.is_some_and(|saved| saved.buffers.iter().any(|shape| *shape.name == *b.slot))
        };
        let all_known = snapshot.header.version < 2 || snapshot.buffers.iter().all(speaks_of);
        if snapshot.buffers.len() != expected || !all_known {
            return Err(refuse("it has more buffers than its header speaks of"));
        }
        Ok(self.take_state(&snapshot.header, options, checked))
    }
}
