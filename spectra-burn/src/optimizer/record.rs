//! Saving and loading through burn's records, with everything checked.

use super::Hybrid;
use super::hybrid::Member;
use super::shared::Arithmetic;
use super::state::{Buffers, SpectralState, Typed, rule_hash};
use crate::{BurnBackend, BurnMatrix};
use burn::optim::{OptimizerRecord, RecordState, StateSink, StateSource};
use burn::tensor::{Bytes, DType, Device, TensorData};
use burn_pack::{Reader, Scalar, Tensor, Writer};
use spectra_core::backend::{Element, Error, ErrorKind, Matrix, Result};
use spectra_core::directions::Slot;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{
    Config, Optimizer, ParameterSpec, Recipe, STATE_VERSION, SavedParameter, StateHeader,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Metadata: names, one a line, of parameters that had no state yet.
const WITHOUT_STATE: &str = "spectra_without_state";

/// Burn's key for a parameter's rank.
const RANK: &str = "__rank";

impl Hybrid {
    /// The state as a burnpack file, which burn's own `ModuleOptimizer::load` reads, too.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.writer()?.write_to_file(path).map_err(|e| Error::device("save", e))
    }

    /// The same in memory.
    ///
    /// # Errors
    /// Those of burnpack.
    pub fn to_bytes(&self) -> Result<Bytes> {
        self.writer()?.into_bytes().map_err(|e| Error::device("save", e))
    }

    /// Replaces the state by a saved one, also by one that burn's `ModuleOptimizer::save` wrote. Parameters are found by
    /// their names, so the module may have been made anew. All or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a file of another version, model, shape, rule or element type, with a buffer missing or
    /// not finite; each names the parameter. Those of the file system.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.restore(Reader::from_file(path).map_err(|e| Error::device("load", e))?)
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_bytes(&mut self, bytes: Bytes) -> Result<()> {
        self.restore(Reader::from_bytes(bytes).map_err(|e| Error::device("load", e))?)
    }

    /// A copy of one state buffer of a parameter, rows = output features; `None` if it has none. For diagnostics: it
    /// copies the whole state.
    ///
    /// # Errors
    /// Those of burnpack.
    pub fn buffer(&self, parameter: &str, slot: Slot) -> Result<Option<burn::tensor::Tensor<2>>> {
        let mut saved =
            Saved::read(Reader::from_bytes(self.to_bytes()?).map_err(|e| Error::device("buffer", e))?)?;
        let Some(prefix) = saved.prefixes.remove(parameter) else { return Ok(None) };
        let typed = Typed::unflatten(&prefix, &mut saved.source).map_err(refuse)?;
        Ok(match typed {
            Typed::Single(mut buffers) => buffers.slots.place(slot).take().map(BurnMatrix::into_tensor),
            Typed::Double(mut buffers) => buffers.slots.place(slot).take().map(BurnMatrix::into_tensor),
        })
    }

    fn writer(&self) -> Result<Writer> {
        let bytes =
            self.optimizer.to_record().into_bytes().map_err(|e| Error::device("save", e.to_string()))?;
        let reader = Reader::from_bytes(bytes).map_err(|e| Error::device("save", e))?;
        let (scalars, metadata) = (reader.scalars().clone(), reader.metadata().clone());
        let mut writer = Writer::new(reader.into_tensors().map_err(|e| Error::device("save", e))?);
        for (key, value) in &scalars {
            writer = writer.with_scalar(key, *value);
        }
        for (key, value) in &metadata {
            writer = writer.with_metadata(key, value);
        }
        let has_state = |member: &&Member| metadata.values().any(|name| *name == member.found.name);
        let without: Vec<_> =
            self.members.iter().filter(|m| !has_state(m)).map(|m| m.found.name.as_str()).collect();
        Ok(writer.with_metadata(WITHOUT_STATE, &without.join("\n")))
    }

    fn restore(&mut self, reader: Reader) -> Result<()> {
        let mut saved = Saved::read(reader)?;
        let mut writer = Vec::new();
        for member in &self.members {
            if let Some(recipe) = self.spectral.recipe(member.view.rule)
                && let Some(state) =
                    saved.state(member, recipe).map_err(|error| error.for_parameter(&member.found.name))?
            {
                writer.push((member, state));
            }
        }
        if let Some(name) = saved.left_over() {
            let error = refuse("it has a parameter that this model has not, or has frozen");
            return Err(error.for_parameter(name));
        }
        let bytes = pack(&writer).into_bytes().map_err(|e| Error::device("load", e))?;
        let record = OptimizerRecord::from_bytes(bytes).map_err(|e| Error::device("load", e.to_string()))?;
        self.optimizer = self.optimizer.clone().load_record(record);
        Ok(())
    }
}

fn refuse(reason: &'static str) -> Error {
    Error::new("load", ErrorKind::State { reason })
}

/// A record as it was read.
struct Saved {
    source: StateSource,
    /// From a parameter's name to its prefix in the record.
    prefixes: BTreeMap<String, String>,
    without_state: Vec<String>,
}

impl Saved {
    fn read(reader: Reader) -> Result<Self> {
        let mut source = StateSource::new(reader.scalars().clone());
        let mut metadata = reader.metadata().clone();
        let without_state = metadata.remove(WITHOUT_STATE).unwrap_or_default();
        let prefixes = metadata.into_iter().filter(|(id, _)| id.parse::<u64>().is_ok());
        let prefixes = prefixes.map(|(id, name)| (name, id)).collect();
        for tensor in reader.into_tensors().map_err(|e| Error::device("load", e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| Error::device("load", e))?;
            source.insert_tensor(name, TensorData::from_bytes(bytes, shape, dtype));
        }
        let without_state = without_state.lines().map(str::to_owned).collect();
        Ok(Self { source, prefixes, without_state })
    }

    /// The verified state of a parameter; `None` if it had none.
    fn state(&mut self, member: &Member, recipe: &Recipe) -> Result<Option<Typed>> {
        let Some(prefix) = self.prefixes.remove(&member.found.name) else {
            if self.without_state.contains(&member.found.name) {
                return Ok(None);
            }
            return Err(refuse(
                "it has no state of this parameter: it belongs to another model or optimizer",
            ));
        };
        let typed = Typed::unflatten(&prefix, &mut self.source).map_err(refuse)?;
        let element = if member.found.dtype == DType::F64 { f64::NAME } else { f32::NAME };
        if typed.element() != element {
            return Err(refuse("it holds numbers of another type"));
        }
        match typed.clone() {
            Typed::Single(buffers) => verify(buffers, member, recipe)?,
            Typed::Double(buffers) => verify(buffers, member, recipe)?,
        }
        Ok(Some(typed))
    }

    fn left_over(&self) -> Option<&str> {
        self.prefixes.keys().next().map(String::as_str)
    }
}

/// The checks of the core's own loading, on this one parameter.
fn verify<E: Arithmetic>(mut buffers: Buffers<E>, member: &Member, recipe: &Recipe) -> Result<()> {
    let Member { found, view } = member;
    let (rows, cols) = match &buffers.slots.momentum {
        Some(momentum) => momentum.shape(),
        None => (view.rows, view.cols),
    };
    let rule = if buffers.rule == rule_hash(recipe) { recipe.signature() } else { "another rule".to_owned() };
    let name: Box<str> = found.name.as_str().into();
    let header = StateHeader {
        version: STATE_VERSION,
        element: E::NAME.to_owned(),
        steps: buffers.steps,
        lr: 1.0,
        parameters: vec![SavedParameter { name: name.clone(), rows, cols, rule, steps: buffers.steps }],
        run: None,
    };
    let spec = ParameterSpec { name, rows: view.rows, cols: view.cols, rule: Rule::Spectral };
    let mut optimizer = Optimizer::new(BurnBackend::<E>::new(&Device::flex()), Config::new(*recipe), [spec])?;
    optimizer.restore(&header, |_, slot, _, _| {
        buffers.slots.place(slot).take().ok_or_else(|| refuse("a buffer is missing"))
    })?;
    if Slot::ALL.iter().any(|slot| buffers.slots.get(*slot).is_some()) {
        return Err(refuse("it has a buffer that its rule has not"));
    }
    Ok(())
}

/// The verified states under the numbers of this module's parameters.
fn pack(states: &[(&Member, Typed)]) -> Writer {
    let mut tensors = Vec::new();
    let mut scalars: Vec<(String, Scalar)> = Vec::new();
    for (member, state) in states {
        let id = member.found.id.val();
        let mut sink = StateSink::default();
        // The rank is a label only.
        SpectralState::<2>(state.clone()).state_flatten(&id.to_string(), &mut sink);
        for (name, data) in sink.tensors {
            let (bytes, shape, dtype) = data.into_parts();
            tensors.push(Tensor::new(name, dtype, shape, Some(id), bytes));
        }
        scalars.extend(sink.scalars);
        scalars.push((format!("{id}.{RANK}"), member.found.shape.len().into()));
    }
    let mut writer = Writer::new(tensors);
    for (key, value) in scalars {
        writer = writer.with_scalar(&key, value);
    }
    for (member, _) in states {
        writer = writer.with_metadata(&member.found.id.val().to_string(), &member.found.name);
    }
    writer
}
