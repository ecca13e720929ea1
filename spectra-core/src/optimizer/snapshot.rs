//! The whole state as one serializable value (feature `serde`).

#[cfg(feature = "safetensors")]
pub(super) mod file;
mod reader;
mod version_1;

pub use reader::SnapshotReader;

use super::saved::Checked;
use super::{BlockState, Checksum, Optimizer, RestoreOptions, Restored, StateHeader};
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
    /// The state that a header speaks of: each buffer's parameter, its own name and its values, row by row.
    ///
    /// # Errors
    /// A NaN or an infinity, naming the parameter: such a state could not be restored.
    pub fn new<'n>(
        header: StateHeader,
        buffers: impl IntoIterator<Item = (&'n str, &'static str, Vec<E>)>,
    ) -> Result<Self> {
        let saved = |(parameter, slot, values): (&str, &'static str, Vec<E>)| {
            if !values.iter().all(|x| x.widen().is_finite()) {
                let error = Error::new("save", ErrorKind::NonFinite { what: slot });
                return Err(error.for_parameter(parameter));
            }
            Ok(SavedBuffer { parameter: parameter.into(), slot: slot.into(), values })
        };
        let buffers = buffers.into_iter().map(saved).collect::<Result<_>>()?;
        let mut snapshot = Self { format: FORMAT.into(), header, buffers, checksum: 0 };
        snapshot.checksum = snapshot.sum();
        Ok(snapshot)
    }

    /// What it says of itself.
    pub fn header(&self) -> &StateHeader {
        &self.header
    }

    /// Every buffer: its parameter's name, its own, its values.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &str, &[E])> {
        self.buffers.iter().map(|buffer| (&*buffer.parameter, buffer.slot.as_str(), buffer.values.as_slice()))
    }

    /// The checksum that it has.
    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
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
            buffers.push((parameter, slot, values));
        }
        Snapshot::new(header, buffers)
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
        let checked = self.check_snapshot(snapshot, options, |_, block| Ok(block))?;
        Ok(self.take_state(&snapshot.header, checked))
    }

    /// The first half of [`load_snapshot_with`](Self::load_snapshot_with), which changes nothing; `keep` keeps what is to be here.
    pub(crate) fn check_snapshot<E: Element>(
        &self,
        snapshot: &Snapshot<E>,
        options: &RestoreOptions<'_>,
        keep: impl FnMut(usize, BlockState<B::Matrix>) -> Result<BlockState<B::Matrix>>,
    ) -> Result<Checked<B>> {
        let mut reader = SnapshotReader::new(snapshot)?;
        let backend = self.backend().clone();
        let load = |parameter: &str, buffer: &str, rows, cols| {
            let values = reader.values(parameter, buffer, (rows, cols))?;
            let values: Vec<_> = values.iter().map(|x| B::Element::narrow(x.widen())).collect();
            backend.upload(rows, cols, &values)
        };
        let checked = self.check_state(&snapshot.header, options, load, keep)?;
        reader.finish(options.missing)?;
        Ok(checked)
    }
}
