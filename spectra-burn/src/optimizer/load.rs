//! Loading burn's records, with everything checked.

use super::assigned::Assigned;
use super::hybrid::Member;
use super::restore::Numbers;
use super::saved::{Kept, Saved};
use super::shared::Arithmetic;
use super::state::{Typed, refuse};
use super::{Hybrid, sealed};
use crate::{BurnBackend, BurnMatrix};
use burn::tensor::{Bytes, DType, Device};
use burn_pack::Reader;
use spectra_core::backend::{Element, Result};
use spectra_core::optimizer::{
    Missing, RestoreOptions, Restored, STATE_VERSION, SavedParameter, SavedShape, StateHeader,
};
use std::collections::BTreeMap;
use std::path::Path;

impl Hybrid {
    /// Replaces the state by a saved one, also by one that burn's `ModuleOptimizer::save` or version 0.1 wrote. Parameters are
    /// found by their names, so the module may have been made anew. All or nothing.
    ///
    /// Counts and buffers are the saved ones; every setting stays as it is set here, and what comes back says which were others
    /// then. Factors of clip thresholds that were set on this optimizer stay, others go on from the saved ones.
    ///
    /// # Errors
    /// [`ErrorKind::State`](spectra_core::backend::ErrorKind::State) for a damaged file, one of another version, model, shape,
    /// rule or element type, with a buffer missing or not finite; each names the parameter. Those of the file system.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<Restored> {
        self.load_with(path, &RestoreOptions::default())
    }

    /// [`load`](Self::load) into a module that has changed: `options` say what becomes of parameters that only one side has, and
    /// what those of a renamed module were called. The state of an f32 module may be loaded into an f64 one, and a tail shrink of
    /// another rank takes the saved subspace, with columns left out or random ones added.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(&mut self, path: impl AsRef<Path>, options: &RestoreOptions<'_>) -> Result<Restored> {
        self.load_bytes_with(sealed::read(path.as_ref())?, options)
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_bytes(&mut self, bytes: Bytes) -> Result<Restored> {
        self.load_bytes_with(bytes, &RestoreOptions::default())
    }

    /// As [`load_with`](Self::load_with), from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_bytes_with(&mut self, bytes: Bytes, options: &RestoreOptions<'_>) -> Result<Restored> {
        let (header, record) = self.read(sealed::open(bytes)?, options)?;
        // The names are this model's by now.
        self.restore(&header, &RestoreOptions { missing: options.missing, rename: None }, record)
    }

    /// What a record holds, under the names of this model's matrices.
    fn read(&self, reader: Reader, options: &RestoreOptions<'_>) -> Result<(StateHeader, Record)> {
        let Saved { mut source, parameters: saved, steps, run } = Saved::read(reader)?;
        let mut names = BTreeMap::new();
        for (name, kept) in saved {
            let name = options.rename.map_or_else(|| name.clone(), |rename| rename(&name));
            if names.insert(name.clone(), kept).is_some() {
                return Err(refuse("the state has two parameters of this name").for_parameter(&name));
            }
        }
        let (mut parameters, mut record, mut latest) = (Vec::new(), Record::default(), 0);
        for member in &self.members {
            let (name, shapes) = (&member.found.name, member.shapes());
            let (mut rule, mut state) = (member.signature(), None);
            match (names.remove(name), member.parameter(&shapes)) {
                (Some(Kept::State(prefix)), Some(parameter)) => {
                    let found = Typed::unflatten(&prefix, &mut source, Some(parameter));
                    let found = found.map_err(|reason| refuse(reason).for_parameter(name))?;
                    latest = latest.max(found.model_step());
                    state = Some(found);
                }
                (Some(Kept::State(_)), None) => rule = "trained".into(),
                (Some(Kept::Frozen), _) => rule = FROZEN.into(),
                // Burn's own record does not speak of a parameter that was never stepped.
                (None, Some(_)) => continue,
                (Some(Kept::Nothing), _) | (None, None) => {}
            }
            parameters.extend(member.saved(&rule, state.as_ref()));
            if let Some(state) = state {
                let states = member.names().enumerate().map(|(block, name)| (name.to_owned(), block));
                record.0.extend(states.map(|(name, block)| (name, (state.clone(), block))));
            }
        }
        parameters.extend(names.into_keys().map(|name| SavedParameter {
            name: name.into(),
            rows: 0,
            cols: 0,
            rule: String::new(),
            steps: 0,
            buffers: Vec::new(),
        }));
        let header = StateHeader {
            version: STATE_VERSION,
            element: f32::NAME.into(),
            steps: steps.unwrap_or(latest),
            lr: self.lr,
            parameters,
            run: Some(run),
        };
        Ok((header, record))
    }
}

/// The rule of a frozen parameter.
const FROZEN: &str = "frozen";

impl Member {
    /// Its rule as a header names it.
    pub(super) fn signature(&self) -> String {
        let signature = |assigned: &Assigned| assigned.rule::<f32>().signature_in(STATE_VERSION);
        self.assigned.as_ref().map_or_else(|| FROZEN.into(), signature)
    }

    /// What a header says of each of its matrices.
    pub(super) fn saved(&self, rule: &str, state: Option<&Typed>) -> Vec<SavedParameter> {
        let matrices = self.names().zip(self.shapes()).enumerate();
        let saved = matrices.map(|(block, (name, (rows, cols)))| {
            let (steps, buffers) = state.map_or((0, Vec::new()), |state| state.block(block));
            let buffers =
                buffers.into_iter().map(|(name, (rows, cols))| SavedShape { name: name.into(), rows, cols });
            let (name, rule, buffers) = (name.into(), rule.into(), buffers.collect());
            SavedParameter { name, rows, cols, rule, steps, buffers }
        });
        saved.collect()
    }
}

/// The states of a record, by the names of their matrices: of which parameter, and which block of it.
#[derive(Default)]
struct Record(BTreeMap<String, (Typed, usize)>);

impl Numbers for Record {
    fn matrix<E: Arithmetic>(
        &mut self,
        parameter: &str,
        buffer: &str,
        shape: (usize, usize),
    ) -> Result<BurnMatrix<E>> {
        let found = self.0.get(parameter).and_then(|(state, block)| state.buffer(*block, buffer));
        let tensor = found.ok_or_else(|| refuse("a buffer is missing"))?;
        if tensor.dtype() == DType::F64 && E::DTYPE != DType::F64 {
            return Err(refuse("it holds numbers of another type"));
        }
        BurnBackend::new(&Device::flex()).matrix(tensor, shape)
    }

    fn finish(self, _: Missing) -> Result<()> {
        Ok(())
    }
}
