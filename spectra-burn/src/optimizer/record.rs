//! Saving through burn's records.

use super::hybrid::Member;
use super::saved::{Kept, RANK, Saved};
use super::state::{SpectralState, Typed, refuse};
use super::{Hybrid, sealed};
use burn::optim::{RecordState, StateSink};
use burn::tensor::{Bytes, DType};
use burn_pack::{Reader, Scalar, Tensor, Writer};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::{Setting, settings_of};
use std::collections::BTreeMap;
use std::path::Path;

/// Metadata: names, one a line, of parameters that had no state yet, and of those that were frozen.
pub(super) const WITHOUT_STATE: &str = "spectra_without_state";
pub(super) const FROZEN: &str = "spectra_frozen";

/// Scalars: the steps of the whole model, and the factors that were set.
pub(super) const STEPS: &str = "spectra_steps";
pub(super) const CLIP_FACTOR: &str = "spectra_clip_factor";
pub(super) const PRE_CLIP_FACTOR: &str = "spectra_pre_clip_factor";

/// Metadata: before a setting's name.
pub(super) const SETTING: &str = "spectra_setting.";

impl Hybrid {
    /// The state as a burnpack file with a checksum over all its bytes, which burn's own `ModuleOptimizer::load` reads, too.
    /// A failure leaves a file that was there.
    ///
    /// # Errors
    /// Those of the file system; as [`to_bytes`](Self::to_bytes).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        sealed::write(path.as_ref(), &self.sealed()?)
    }

    /// The same in memory.
    ///
    /// # Errors
    /// After a step that broke off; a state with a NaN or an infinity, by its parameter's name; those of burnpack.
    pub fn to_bytes(&self) -> Result<Bytes> {
        Ok(Bytes::from_bytes_vec(self.sealed()?))
    }

    /// A copy of one state buffer of a parameter, or of a [block](spectra_core::optimizer::plan::Block) of one, by its name, such as
    /// [`MOMENTUM`](spectra_core::state::MOMENTUM), rows = output features; `None` if it has none. For diagnostics: it copies the
    /// whole state.
    ///
    /// # Errors
    /// Those of burnpack.
    pub fn buffer(&self, parameter: &str, buffer: &str) -> Result<Option<burn::tensor::Tensor<2>>> {
        let found = self.members.iter().enumerate().find_map(|(at, member)| {
            let block = member.names().position(|name| name == parameter);
            block.or((member.found.name == parameter).then_some(0)).map(|block| (at, block))
        });
        let Some((at, block)) = found else { return Ok(None) };
        Ok(self.states("buffer")?[at].as_ref().and_then(|state| state.buffer(block, buffer)))
    }

    /// A copy of the state of each parameter, on the CPU device; `None` for one that has none.
    pub(super) fn states(&self, operation: &'static str) -> Result<Vec<Option<Typed>>> {
        let bytes = self.optimizer.to_record().into_bytes();
        let bytes = bytes.map_err(|e| Error::device(operation, e.to_string()))?;
        let mut saved = Saved::read(Reader::from_bytes(bytes).map_err(|e| Error::device(operation, e))?)?;
        let mut kept: BTreeMap<_, _> = saved.parameters.into_iter().collect();
        let mut state = |member: &Member| {
            let Kept::State(prefix) = kept.remove(&member.found.name)? else { return None };
            let shapes = member.shapes();
            Some(Typed::unflatten(&prefix, &mut saved.source, Some(member.parameter(&shapes)?)))
        };
        self.members.iter().map(|member| state(member).transpose().map_err(refuse)).collect()
    }

    /// The container with its seal.
    fn sealed(&self) -> Result<Vec<u8>> {
        self.check_whole("save")?;
        let bytes =
            self.optimizer.to_record().into_bytes().map_err(|e| Error::device("save", e.to_string()))?;
        let reader = Reader::from_bytes(bytes).map_err(|e| Error::device("save", e))?;
        let (scalars, metadata) = (reader.scalars().clone(), reader.metadata().clone());
        let tensors = reader.into_tensors().map_err(|e| Error::device("save", e))?;
        let mut writer = Writer::new(finite(tensors, &metadata)?);
        for (key, value) in &scalars {
            writer = writer.with_scalar(key, *value);
        }
        for (key, value) in &metadata {
            writer = writer.with_metadata(key, value);
        }
        let has_state = |member: &&Member| metadata.values().any(|name| *name == member.found.name);
        for (key, is_live) in [(WITHOUT_STATE, true), (FROZEN, false)] {
            let members = self.members.iter().filter(|m| !has_state(m) && m.assigned.is_some() == is_live);
            let names: Vec<_> = members.map(|member| member.found.name.as_str()).collect();
            writer = writer.with_metadata(key, &names.join("\n"));
        }
        for Setting { name, value } in self.run() {
            writer = writer.with_metadata(&format!("{SETTING}{name}"), &value);
        }
        writer = writer.with_scalar(STEPS, self.steps.into());
        for (key, factor) in [(CLIP_FACTOR, self.factors.clip), (PRE_CLIP_FACTOR, self.factors.pre_clip)] {
            writer = writer.with_scalar(key, factor.value().into());
        }
        sealed::seal(writer)
    }

    /// The settings as text. The learning rate comes with every step, and is none.
    pub(super) fn run(&self) -> Vec<Setting> {
        let mut settings = settings_of(&self.settings);
        settings.retain(|setting| !["lr", "elementwise_lr"].contains(&&*setting.name));
        let ratio = self.settings.elementwise_lr;
        settings.push(Setting::new("elementwise_lr_ratio", ratio.unwrap_or(1.0)));
        settings
    }
}

/// The tensors of a record, if all numbers in them are finite.
fn finite(tensors: Vec<Tensor>, names: &BTreeMap<String, String>) -> Result<Vec<Tensor>> {
    let mut checked = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(|e| Error::device("save", e))?;
        let all_finite = match dtype {
            DType::F64 => bytes
                .chunks_exact(8)
                .all(|x| f64::from_le_bytes(x.try_into().unwrap_or_default()).is_finite()),
            _ => bytes
                .chunks_exact(4)
                .all(|x| f32::from_le_bytes(x.try_into().unwrap_or_default()).is_finite()),
        };
        if !all_finite {
            let error = Error::new("save", ErrorKind::NonFinite { what: "state" });
            let parameter = id.and_then(|id| names.get(&id.to_string()));
            return Err(error.for_parameter(parameter.unwrap_or(&name)));
        }
        checked.push(Tensor::new(name, dtype, shape, id, bytes));
    }
    Ok(checked)
}

/// The verified states under the numbers of this module's parameters.
pub(super) fn pack(states: &[(&Member, Typed)]) -> Writer {
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
