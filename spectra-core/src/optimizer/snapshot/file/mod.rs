//! A state as a safetensors file (feature `safetensors`): the one format of every front-end.
//!
//! Read and written here only; docs/saved-state.md describes it.

mod atomic;
mod description;
mod read;
mod write;

pub use description::StateDescription;

use super::super::{RestoreOptions, Restored};
use super::{SavedBuffer, Snapshot};
use crate::backend::{Backend, Element, Error, ErrorKind, Matrix, Result};
use crate::optimizer::Optimizer;
use crate::optimizer::diagnosis::Diagnoses;
use alloc::vec::Vec;
use atomic::at;
use std::path::Path;

fn refuse(reason: &'static str) -> Error {
    Error::new("load", ErrorKind::State { reason })
}

impl<B: Backend> Optimizer<B> {
    /// Writes the state to a safetensors file, buffer by buffer; whoever kills the process at any moment leaves the old file whole, or
    /// the new one (temporary file in the same folder, flushed to the disk, renamed). A kill may leave the temporary file
    /// `.NAME.*.tmp` behind. **Waits** for the device.
    ///
    /// ```
    /// # use spectra_core::dense::{Dense, DenseMatrix};
    /// # use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("state.safetensors");
    /// # let new = || Optimizer::new(Dense::<f32>::new(), Config::preset("muon")?, [ParameterSpec::new("w", (3, 2), Rule::Spectral)]);
    /// let mut optimizer = new()?;
    /// # let gradient = DenseMatrix::from_fn(3, 2, |i, j| (i + 2 * j) as f32);
    /// optimizer.step(&mut [(&mut gradient.clone(), &gradient)])?;
    /// optimizer.save(&path)?;
    ///
    /// let mut resumed = new()?;
    /// resumed.load(&path)?;
    /// assert_eq!(resumed.snapshot()?, optimizer.snapshot()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); those of the file system, with the path. The old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut buffers = self.buffers();
        write::write(path.as_ref(), &self.header()?, |_, _, values: &mut Vec<B::Element>| {
            // The header lists them in this order.
            let (_, slot, matrix) = buffers.next().ok_or_else(|| refuse("a buffer is missing"))?;
            let (rows, cols) = matrix.shape();
            values.resize(rows * cols, B::Element::narrow(0.0));
            matrix.read(values)?;
            match values.iter().all(|x| x.widen().is_finite()) {
                true => Ok(()),
                false => Err(Error::new("save", ErrorKind::NonFinite { what: slot })),
            }
        })
    }

    /// Restores what [`save`](Self::save) wrote, here, in another front-end or in release 0.1 of `spectra-candle`; see
    /// [`load_snapshot`](Self::load_snapshot).
    ///
    /// # Errors
    /// As [`Snapshot::load`] and [`load_snapshot`](Self::load_snapshot).
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<Restored> {
        self.load_with(path, &RestoreOptions::default())
    }

    /// [`load`](Self::load) into a model that has changed; see [`load_snapshot_with`](Self::load_snapshot_with).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(&mut self, path: impl AsRef<Path>, options: &RestoreOptions<'_>) -> Result<Restored> {
        self.load_snapshot_with(&Snapshot::<B::Element>::load(path)?, options)
    }
}

impl<E: Element> Snapshot<E> {
    /// Writes it to a safetensors file, in the way of [`Optimizer::save`].
    ///
    /// # Errors
    /// A snapshot of version 1, or one whose buffers are not those of its header; those of the file system, with the path. The old
    /// file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let refuse = |reason| Error::new("save", ErrorKind::State { reason });
        if self.header.version < 2 {
            return Err(refuse("a snapshot of version 1 is read, not written"));
        }
        let mut buffers = self.buffers.iter();
        write::write(path.as_ref(), &self.header, |parameter, slot, values| {
            let buffer = buffers.next().filter(|b| *b.parameter == *parameter && b.slot == slot);
            let buffer = buffer.ok_or_else(|| refuse("its buffers are not those of its header"))?;
            values.clone_from(&buffer.values);
            Ok(())
        })
    }

    /// Reads the state of a safetensors file; one in `f32` also as a snapshot in `f64`.
    ///
    /// # Errors
    /// As [`from_safetensors`](Self::from_safetensors); those of the file system, with the path.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_safetensors(&std::fs::read(path).map_err(|error| at("load", path, error))?)
    }
}

impl Diagnoses {
    /// Of the state of a safetensors file, damaged buffers included; see [`from_safetensors`](Self::from_safetensors).
    ///
    /// # Errors
    /// As there; those of the file system, with the path.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_safetensors(&std::fs::read(path).map_err(|error| at("diagnose", path, error))?)
    }
}
