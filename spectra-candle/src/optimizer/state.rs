//! Saving and restoring the state, as a file of its own or among the tensors of a checkpoint.

use super::checksum::Checksum;
use super::header::{Header, refuse};
use super::{Engine, Optimizer, Typed, with_core};
use crate::backend::CandleElement;
use crate::files::{self, Content};
use candle_core::{Device, Tensor};
use spectra_core::backend::{Error, Result};
use spectra_core::directions::Slot;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The tensor that describes the others.
const HEADER: &str = "optimizer.state";

fn key(parameter: &str, slot: Slot) -> String {
    format!("optimizer.{parameter}.{}", slot.name())
}

impl Optimizer {
    /// Writes the state to a safetensors file; whoever kills the process at any moment leaves the old file whole,
    /// or the new one (temporary file in the same folder, flushed to the disk, renamed). A kill may leave the
    /// temporary file `.NAME.*.tmp` behind.
    ///
    /// # Errors
    /// Those of the file system and of the device; the old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        match &self.engine {
            Engine::F32(engine) => engine.save(path.as_ref()),
            Engine::F64(engine) => engine.save(path.as_ref()),
        }
    }

    /// Restores what [`save`](Self::save) wrote; training continues with the same bits on the CPU. All or nothing: after an error the optimizer is as it was.
    ///
    /// # Errors
    /// [`ErrorKind::State`](spectra_core::backend::ErrorKind::State) for a corrupt or truncated file and for the
    /// state of another model or recipe, naming the parameter where there is one; those of the file system.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| files::at("load", path, e))?;
        let damaged = |_| refuse("it is no safetensors file, or a truncated or damaged one");
        let metadata = files::metadata(&bytes).map_err(damaged)?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|_| refuse("it is no safetensors file, or a truncated or damaged one"))?;
        drop(bytes);
        if metadata != header_of(&tensors)?.metadata() {
            return Err(refuse("its metadata are damaged"));
        }
        self.load_state_tensors(&tensors)
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
    /// Those of the device.
    pub fn state_tensors(&self) -> Result<HashMap<String, Tensor>> {
        let header = match &self.engine {
            Engine::F32(engine) => engine.header()?,
            Engine::F64(engine) => engine.header()?,
        };
        let bytes = header.encode()?;
        let mut tensors: HashMap<String, Tensor> = with_core!(&self.engine, core => {
            core.buffers().map(|(name, slot, matrix)| (key(name, slot), matrix.share())).collect()
        });
        let description = Tensor::from_slice(&bytes, bytes.len(), &Device::Cpu);
        tensors.insert(HEADER.to_owned(), description.map_err(|e| Error::device("save", e))?);
        Ok(tensors)
    }

    /// Restores [`state_tensors`](Self::state_tensors); other tensors in the map are ignored. All or nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        match &mut self.engine {
            Engine::F32(engine) => engine.load(tensors)?,
            Engine::F64(engine) => engine.load(tensors)?,
        }
        self.refused_lr = None;
        Ok(())
    }
}

fn header_of(tensors: &HashMap<String, Tensor>) -> Result<Header> {
    let description = tensors.get(HEADER).ok_or_else(|| refuse("it holds no optimizer state"))?;
    let bytes = description.to_device(&Device::Cpu).and_then(|t| t.flatten_all()?.to_vec1::<u8>());
    Header::decode(&bytes.map_err(|_| refuse("its description is damaged"))?)
}

impl<E: CandleElement> Typed<E> {
    fn header(&self) -> Result<Header> {
        let mut checksums = BTreeMap::new();
        for (name, slot, matrix) in self.0.buffers() {
            checksums.insert(key(name, slot), matrix.with_values(checksum)?);
        }
        Ok(Header { state: self.0.header(), checksums })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let header = self.header()?;
        let mut contents: Vec<Content<'_>> = Vec::new();
        for (name, slot, matrix) in self.0.buffers() {
            contents.push(Content::matrix(key(name, slot), matrix));
        }
        contents.push(Content::bytes(HEADER.to_owned(), header.encode()?));
        files::save(path, &contents, header.metadata())
    }

    fn load(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let header = header_of(tensors)?;
        let backend = self.0.backend().clone();
        self.0.restore(&header.state, |name, slot, rows, cols| {
            let key = key(name, slot);
            let tensor = tensors.get(&key).ok_or_else(|| refuse("a buffer is missing"))?;
            if tensor.dtype() != E::DTYPE || tensor.dims() != [rows, cols] {
                return Err(refuse("a buffer has another shape or type"));
            }
            let tensor = tensor.to_device(backend.device()).map_err(|e| Error::device("load", e))?;
            let matrix = backend.matrix(&tensor, (rows, cols))?;
            if header.checksums.get(&key) != Some(&matrix.with_values(checksum)?) {
                return Err(refuse("the numbers of a buffer are damaged"));
            }
            Ok(matrix)
        })
    }
}

fn checksum<E: CandleElement>(values: &[E]) -> String {
    let mut checksum = Checksum::new();
    checksum.values(values);
    checksum.hex()
}
