//! A record as it was read, and its checks.

use super::assigned::Assigned;
use super::hybrid::{Factors, Member};
use super::record::{CLIP_FACTOR, PRE_CLIP_FACTOR, SETTING, STEPS, WITHOUT_STATE};
use super::state::{MOST_STEPS, Typed, refuse};
use burn::optim::StateSource;
use burn::tensor::{DType, TensorData};
use burn_pack::{Reader, Scalar};
use spectra_core::backend::{Element, Error, Result};
use spectra_core::optimizer::Setting;
use std::collections::BTreeMap;

/// Burn's key for a parameter's rank.
pub(super) const RANK: &str = "__rank";

/// A record as it was read.
pub(super) struct Saved {
    pub(super) source: StateSource,
    /// From a parameter's name to its prefix in the record.
    pub(super) prefixes: BTreeMap<String, String>,
    /// Steps of the whole model; only our own files have them.
    pub(super) steps: Option<u64>,
    pub(super) factors: Factors,
    pub(super) settings: Vec<Setting>,
    without_state: Vec<String>,
}

impl Saved {
    pub(super) fn read(reader: Reader) -> Result<Self> {
        let scalar = |key| reader.scalars().get(key).copied();
        let number = |key| {
            scalar(key).and_then(|x: Scalar| f64::try_from(x).ok()).filter(|x| *x > 0.0 && x.is_finite())
        };
        let steps = scalar(STEPS).and_then(|steps| u64::try_from(steps).ok());
        if steps > Some(MOST_STEPS) {
            return Err(refuse("it counts more steps than can be"));
        }
        let factors = Factors { clip: number(CLIP_FACTOR), pre_clip: number(PRE_CLIP_FACTOR) };
        let mut source = StateSource::new(reader.scalars().clone());
        let mut metadata = reader.metadata().clone();
        let without_state = metadata.remove(WITHOUT_STATE).unwrap_or_default();
        let settings = metadata.iter().filter_map(|(key, value)| {
            Some(Setting { name: key.strip_prefix(SETTING)?.into(), value: value.clone() })
        });
        let settings = settings.collect();
        let prefixes = metadata.into_iter().filter(|(id, _)| id.parse::<u64>().is_ok());
        let prefixes = prefixes.map(|(id, name)| (name, id)).collect();
        for tensor in reader.into_tensors().map_err(|e| Error::device("load", e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| Error::device("load", e))?;
            source.insert_tensor(name, TensorData::from_bytes(bytes, shape, dtype));
        }
        let without_state = without_state.lines().map(str::to_owned).collect();
        Ok(Self { source, prefixes, steps, factors, settings, without_state })
    }

    /// The verified state of a parameter; `None` if it had none.
    pub(super) fn state(&mut self, member: &Member, assigned: &Assigned) -> Result<Option<Typed>> {
        let Some(prefix) = self.prefixes.remove(&member.found.name) else {
            if self.without_state.contains(&member.found.name) {
                return Ok(None);
            }
            return Err(refuse(
                "it has no state of this parameter: it belongs to another model or optimizer",
            ));
        };
        let typed = Typed::load(&prefix, &mut self.source, assigned, (&member.shapes(), member.found.dtype))?;
        let element = if member.found.dtype == DType::F64 { f64::NAME } else { f32::NAME };
        if typed.element() != element {
            return Err(refuse("it holds numbers of another type"));
        }
        Ok(Some(typed))
    }

    pub(super) fn left_over(&self) -> Option<&str> {
        self.prefixes.keys().next().map(String::as_str)
    }
}
