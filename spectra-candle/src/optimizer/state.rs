//! Saving and restoring the state, as a file of its own or among the tensors of a checkpoint.

use super::{Engine, Optimizer, Typed, with_core};
use crate::backend::{CandleElement, CandleMatrix};
use candle_core::{DType, Device, Tensor};
use spectra_core::backend::{Element, Error, ErrorKind, Result};
use spectra_core::optimizer::{RestoreOptions, Restored, Snapshot, StateDescription};
use std::collections::HashMap;
use std::path::Path;

impl Optimizer {
    /// Writes the state to a safetensors file, which `spectra-burn`, `spectra-cuda` and the core read as well; whoever kills the
    /// process at any moment leaves the old file whole, or the new one (temporary file in the same folder, flushed to the disk, renamed). A kill may leave the
    /// temporary file `.NAME.*.tmp` behind.
    ///
    /// # Errors
    /// Variables without names; a NaN or an infinity in the state, naming the variable; an earlier step that failed half-way. Those
    /// of the file system and of the device. The old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check_named("save")?;
        with_core!(&self.engine, core => core.save(path))
    }

    /// Restores what [`save`](Self::save) wrote, here, in another front-end or in release 0.1; under the same settings training continues with the same bits
    /// on the CPU. All or nothing: after an error the optimizer is as it was.
    ///
    /// Step counts and buffers become the saved ones. Everything that is set stays as it is set here: learning rates, weight decay,
    /// clips and the rest of the recipes; what was another in the saved run is returned. The factors of the clip thresholds become
    /// the saved run's unless they have been set here. A schedule goes on at [`steps`](Self::steps).
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use spectra_candle::{Config, Optimizer};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (varmap, folder) = (VarMap::new(), tempfile::tempdir()?);
    /// # let path = folder.path().join("state.safetensors");
    /// # varmap.get((4, 3), "w", candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
    /// Optimizer::from_varmap(&varmap, Config::preset("spectra")?.lr(0.02))?.save(&path)?;
    ///
    /// let mut optimizer = Optimizer::from_varmap(&varmap, Config::preset("spectra")?.lr(0.01))?;
    /// let restored = optimizer.load(&path)?;
    /// assert!(restored.differences.iter().any(|d| d.to_string() == "lr was 0.02 and is now 0.01"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a corrupt or truncated file, for the state of another model or recipe, naming the
    /// parameter where there is one, and for variables without names; those of the file system.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<Restored> {
        self.load_with(path, &RestoreOptions::default())
    }

    /// [`load`](Self::load) into a model that has changed: variables are found by their names, and `options` say what becomes of
    /// those that only one side has. The state of an f32 model may be given to an f64 one, and a tail shrink may have
    /// another rank.
    ///
    /// ```
    /// # use candle_core::{DType, Device, Var};
    /// # use spectra_candle::plan::Plan;
    /// # use spectra_candle::{Config, Optimizer};
    /// use spectra_candle::{Missing, RestoreOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("state.safetensors");
    /// # let var = |name: &str| Ok::<_, candle_core::Error>((name.to_owned(), Var::ones((4, 3), DType::F32, &Device::Cpu)?));
    /// # let new = |vars| Optimizer::from_named_vars(vars, Config::preset("spectra")?, &Plan::builder());
    /// new(vec![var("up.weight")?])?.save(&path)?;
    ///
    /// // The same model with a new head, and a module of another name.
    /// let mut optimizer = new(vec![var("mlp.up.weight")?, var("gate.weight")?])?;
    /// let rename = |name: &str| format!("mlp.{name}");
    /// let options = RestoreOptions { missing: Missing::Fresh, rename: Some(&rename) };
    /// let restored = optimizer.load_with(&path, &options)?;
    /// assert_eq!((&*restored.loaded[0], &*restored.fresh[0]), ("mlp.up.weight", "gate.weight"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(&mut self, path: impl AsRef<Path>, options: &RestoreOptions<'_>) -> Result<Restored> {
        self.check_named("load")?;
        with_core!(&mut self.engine, core => core.load_with(path, options))
    }

    /// The state as tensors whose names begin with `optimizer.`, to be stored with the model's in one file.
    /// They are not copied now: the next step copies each buffer once before it changes.
    ///
    /// ```
    /// # use candle_core::{DType, Device, Tensor, Var};
    /// # use candle_nn::VarMap;
    /// # use spectra_candle::{Config, Optimizer};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (varmap, folder) = (VarMap::new(), tempfile::tempdir()?);
    /// # let path = folder.path().join("checkpoint.safetensors");
    /// # varmap.get((4, 3), "w", candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
    /// # let mut optimizer = Optimizer::from_varmap(&varmap, Config::preset("spectra")?)?;
    /// let mut checkpoint = optimizer.state_tensors()?;
    /// for (name, var) in varmap.data().lock().unwrap().iter() {
    ///     checkpoint.insert(name.clone(), var.as_tensor().clone());
    /// }
    /// candle_core::safetensors::save(&checkpoint, &path)?;
    ///
    /// optimizer.load_state_tensors(&candle_core::safetensors::load(&path, &Device::Cpu)?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save`](Self::save), but for the file system's.
    pub fn state_tensors(&self) -> Result<HashMap<String, Tensor>> {
        self.check_named("state_tensors")?;
        let bytes = match &self.engine {
            Engine::F32(engine) => engine.description()?.encode()?,
            Engine::F64(engine) => engine.description()?.encode()?,
        };
        let mut tensors: HashMap<String, Tensor> = with_core!(&self.engine, core => {
            let named = |(name, slot, matrix): (&str, &str, &CandleMatrix<_>)| (StateDescription::key(name, slot), matrix.share());
            core.buffers().map(named).collect()
        });
        let description = Tensor::from_slice(&bytes, bytes.len(), &Device::Cpu);
        let description = description.map_err(|e| Error::device("save", e))?;
        tensors.insert(StateDescription::NAME.to_owned(), description);
        Ok(tensors)
    }

    /// Restores [`state_tensors`](Self::state_tensors) as [`load`](Self::load) does a file; other tensors in the map are ignored. All or
    /// nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> Result<Restored> {
        self.load_state_tensors_with(tensors, &RestoreOptions::default())
    }

    /// [`load_state_tensors`](Self::load_state_tensors) into a model that has changed; see [`load_with`](Self::load_with).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_state_tensors_with(
        &mut self,
        tensors: &HashMap<String, Tensor>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        self.check_named("load")?;
        match &mut self.engine {
            Engine::F32(engine) => engine.load(tensors, options),
            Engine::F64(engine) => engine.load(tensors, options),
        }
    }

    /// A state belongs to names. The place in a list is none: `VarMap::all_vars` has another order in every process.
    fn check_named(&self, operation: &'static str) -> Result<()> {
        if self.named {
            return Ok(());
        }
        let reason = "the variables have no names, only places in a list, whose order may be another in the next process: \
            make the optimizer by Optimizer::from_varmap, with_plan or from_named_vars";
        Err(Error::new(operation, ErrorKind::State { reason }))
    }
}

fn refuse(reason: &'static str) -> Error {
    Error::new("load", ErrorKind::State { reason })
}

impl<E: CandleElement> Typed<E> {
    fn description(&self) -> Result<StateDescription> {
        let mut description = StateDescription::new(self.0.header()?);
        for (name, slot, matrix) in self.0.buffers() {
            let finite = matrix.with_values(|values| {
                description.add(name, slot, values);
                values.iter().all(|x| x.is_finite())
            })?;
            if !finite {
                return Err(Error::new("save", ErrorKind::NonFinite { what: slot }).for_parameter(name));
            }
        }
        Ok(description)
    }

    fn load(&mut self, tensors: &HashMap<String, Tensor>, options: &RestoreOptions<'_>) -> Result<Restored> {
        self.0.load_snapshot_with(&snapshot_of::<E>(tensors)?, options)
    }
}

/// The state among these tensors.
pub(super) fn snapshot_of<E: CandleElement>(tensors: &HashMap<String, Tensor>) -> Result<Snapshot<E>> {
    let description = tensors.get(StateDescription::NAME);
    let description = description.ok_or_else(|| refuse("it holds no optimizer state"))?;
    let bytes = description.to_device(&Device::Cpu).and_then(|t| t.flatten_all()?.to_vec1::<u8>());
    let bytes = bytes.map_err(|_| refuse("its description is damaged"))?;
    let description = StateDescription::decode(&bytes)?;
    let dtype = if description.header().element == f32::NAME { DType::F32 } else { DType::F64 };
    Snapshot::<E>::from_tensors(&description, |key| {
        let Some(tensor) = tensors.get(key) else { return Ok(None) };
        if tensor.dtype() != dtype {
            return Err(refuse("a buffer has another shape or type"));
        }
        let values = tensor.to_dtype(E::DTYPE).and_then(|t| t.flatten_all()?.to_vec1());
        Ok(Some((tensor.dims().to_vec(), values.map_err(|e| Error::device("load", e))?)))
    })
}
