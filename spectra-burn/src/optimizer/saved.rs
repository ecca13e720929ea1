//! A record as it was read.

use super::record::{CLIP_FACTOR, FROZEN, PRE_CLIP_FACTOR, SETTING, STEPS, WITHOUT_STATE};
use super::state::refuse;
use super::state_record::MOST_STEPS;
use burn::optim::StateSource;
use burn::tensor::TensorData;
use burn_pack::{Reader, Scalar};
use spectra_core::backend::{Error, Result};
use spectra_core::optimizer::{SavedRun, Setting};

/// Burn's key for a parameter's rank.
pub(super) const RANK: &str = "__rank";

/// A record as it was read.
pub(super) struct Saved {
    pub(super) source: StateSource,
    /// The parameters' names, and what there is of each.
    pub(super) parameters: Vec<(String, Kept)>,
    /// Steps of the whole model; only our own files have them.
    pub(super) steps: Option<u64>,
    pub(super) run: SavedRun,
}

/// What a record holds of a parameter.
pub(super) enum Kept {
    /// Its state, under this prefix.
    State(String),
    /// Nothing: it had taken no step.
    Nothing,
    /// Nothing: it was frozen. Version 0.1 did not tell that.
    Frozen,
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
        let factor = |key| number(key).unwrap_or(1.0);
        let (clip_factor, pre_clip_factor) = (factor(CLIP_FACTOR), factor(PRE_CLIP_FACTOR));
        let mut source = StateSource::new(reader.scalars().clone());
        let mut metadata = reader.metadata().clone();
        let [nothing, frozen] = [WITHOUT_STATE, FROZEN].map(|key| metadata.remove(key).unwrap_or_default());
        let settings = metadata.iter().filter_map(|(key, value)| {
            Some(Setting { name: key.strip_prefix(SETTING)?.into(), value: value.clone() })
        });
        let run = SavedRun { clip_factor, pre_clip_factor, settings: settings.collect() };
        let states = metadata.into_iter().filter(|(id, _)| id.parse::<u64>().is_ok());
        let states = states.map(|(id, name)| (name, Kept::State(id)));
        let nothing = nothing.lines().map(|name| (name.to_owned(), Kept::Nothing));
        let frozen = frozen.lines().map(|name| (name.to_owned(), Kept::Frozen));
        let parameters = states.chain(nothing).chain(frozen).collect();
        for tensor in reader.into_tensors().map_err(|e| Error::device("load", e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| Error::device("load", e))?;
            source.insert_tensor(name, TensorData::from_bytes(bytes, shape, dtype));
        }
        Ok(Self { source, parameters, steps, run })
    }
}
