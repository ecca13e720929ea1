//! The state in the core's host form, which candle's and CUDA's optimizers read, too.

use super::Hybrid;
use super::hybrid::Member;
use super::restore::Numbers;
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnElement, BurnMatrix};
use burn::tensor::{DType, Device};
use spectra_core::backend::{Backend, Element, Error, ErrorKind, Result};
use spectra_core::optimizer::{
    Missing, RestoreOptions, Restored, STATE_VERSION, SavedRun, Snapshot, SnapshotReader, StateHeader,
};
use std::path::Path;

impl Hybrid {
    /// The whole state, copied to the host: `f32`, or `f64` for a module of that type. Buffers are `out x in` whatever way burn
    /// stores them. Its learning rate is that of the first parameter in the last step.
    ///
    /// # Errors
    /// A parameter of another arithmetic, by its name; those of [`to_bytes`](Self::to_bytes).
    pub fn snapshot<E: BurnElement>(&self) -> Result<Snapshot<E>> {
        self.check_whole("save")?;
        let is_double = E::DTYPE == DType::F64;
        let other =
            |member: &&Member| member.assigned.is_some() && (member.found.dtype == DType::F64) != is_double;
        if let Some(member) = self.members.iter().find(other) {
            let (name, reason) =
                (member.found.name.as_str().into(), "is in another arithmetic than the snapshot");
            return Err(
                Error::new("save", ErrorKind::Name { name, reason }).for_parameter(&member.found.name)
            );
        }
        let states = self.states("save")?;
        let (mut parameters, mut buffers) = (Vec::new(), Vec::new());
        for (member, state) in self.members.iter().zip(&states) {
            parameters.extend(member.saved(&member.signature(), state.as_ref()));
            let Some(state) = state else { continue };
            for (block, name) in member.names().enumerate() {
                for (buffer, _) in state.block(block).1 {
                    let Some(tensor) = state.buffer(block, buffer) else { continue };
                    let data = tensor.try_into_data().map_err(|e| Error::device("save", e.to_string()))?;
                    buffers.push((name, buffer, data.iter::<f64>().map(E::narrow).collect()));
                }
            }
        }
        let run = SavedRun {
            clip_factor: self.factors.clip.value(),
            pre_clip_factor: self.factors.pre_clip.value(),
            settings: self.run(),
        };
        let (element, steps) = (E::NAME.into(), self.steps);
        let header =
            StateHeader { version: STATE_VERSION, element, steps, lr: self.lr, parameters, run: Some(run) };
        Snapshot::new(header, buffers)
    }

    /// Restores a [`snapshot`](Self::snapshot), also one of another framework or of release 0.1. Parameters are found by their
    /// names, [blocks](spectra_core::optimizer::plan::Block) by theirs. All or nothing; see [`load`](Self::load).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_snapshot<E: Element>(&mut self, snapshot: &Snapshot<E>) -> Result<Restored> {
        self.load_snapshot_with(snapshot, &RestoreOptions::default())
    }

    /// [`load_snapshot`](Self::load_snapshot) into a module that has changed; see [`load_with`](Self::load_with). What other
    /// frameworks call a parameter is told by `options.rename`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_snapshot_with<E: Element>(
        &mut self,
        snapshot: &Snapshot<E>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        let header = snapshot.header();
        self.restore(header, options, Host { header, reader: SnapshotReader::new(snapshot)? })
    }
}

impl Hybrid {
    /// Writes the state to a safetensors file, which candle's, CUDA's and the core's optimizers load, too; burn's own records are
    /// written by [`save`](Self::save). Whoever kills the process leaves the old file whole, or the new one.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); those of the file system, with the path.
    pub fn save_safetensors(&self, path: impl AsRef<Path>) -> Result<()> {
        if self.is_double() { self.snapshot::<f64>()?.save(path) } else { self.snapshot::<f32>()?.save(path) }
    }

    /// Restores what [`save_safetensors`](Self::save_safetensors) wrote, here or in another framework.
    ///
    /// # Errors
    /// As [`load`](Self::load); a file that is no safetensors file.
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>) -> Result<Restored> {
        self.load_safetensors_with(path, &RestoreOptions::default())
    }

    /// [`load_safetensors`](Self::load_safetensors) into a module that has changed; see [`load_with`](Self::load_with).
    ///
    /// # Errors
    /// As [`load_safetensors`](Self::load_safetensors).
    pub fn load_safetensors_with(
        &mut self,
        path: impl AsRef<Path>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        if self.is_double() {
            self.load_snapshot_with(&Snapshot::<f64>::load(path)?, options)
        } else {
            self.load_snapshot_with(&Snapshot::<f32>::load(path)?, options)
        }
    }

    /// Whether all that is trained is f64.
    fn is_double(&self) -> bool {
        let mut trained = self.members.iter().filter(|member| member.assigned.is_some());
        trained.all(|member| member.found.dtype == DType::F64)
    }
}

/// The numbers of a snapshot.
struct Host<'s, F> {
    header: &'s StateHeader,
    reader: SnapshotReader<'s, F>,
}

impl<F: Element> Numbers for Host<'_, F> {
    fn matrix<E: Arithmetic>(
        &mut self,
        parameter: &str,
        buffer: &str,
        (rows, cols): (usize, usize),
    ) -> Result<BurnMatrix<E>> {
        self.header.check_element::<E>()?;
        let values = self.reader.values(parameter, buffer, (rows, cols))?;
        let values: Vec<E> = values.iter().map(|x| E::narrow(x.widen())).collect();
        BurnBackend::<E>::new(&Device::flex()).upload(rows, cols, &values)
    }

    fn finish(self, missing: Missing) -> Result<()> {
        self.reader.finish(missing)
    }
}
