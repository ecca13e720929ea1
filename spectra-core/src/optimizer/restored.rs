//! What a restored state was saved under, and how that differs from the settings that now hold.

use super::{Config, Method};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

/// A setting of a run as text: for people and for comparison; nothing is computed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Setting {
    /// Its name, for example `spectral.weight_decay`.
    pub name: Box<str>,
    /// Its value.
    pub value: String,
}

impl Setting {
    /// A setting with the value's `Debug` form, which for numbers is the shortest text that reads back as the same number.
    pub fn new(name: impl Into<Box<str>>, value: impl fmt::Debug) -> Self {
        Self { name: name.into(), value: format!("{value:?}") }
    }
}

/// All settings of a configuration that numbers depend on.
pub fn settings_of(config: &Config) -> Vec<Setting> {
    let mut settings = Vec::from([
        Setting::new("lr", config.lr),
        Setting::new("elementwise_lr", config.elementwise_lr.unwrap_or(config.lr)),
        Setting::new("clip_norm", config.clip_norm),
        Setting::new("pre_clip", config.pre_clip),
    ]);
    let schedules = [
        ("lr_schedule", config.lr_schedule.map(|schedule| format!("{schedule:?}"))),
        ("clip_schedule", config.clip_schedule.map(|schedule| format!("{schedule:?}"))),
        ("pre_clip_schedule", config.pre_clip_schedule.map(|schedule| format!("{schedule:?}"))),
    ];
    settings.extend(schedules.map(|(name, schedule)| Setting::new(name, schedule)));
    for (part, method) in [("spectral", &config.spectral), ("elementwise", &config.elementwise)] {
        match method {
            Method::Recipe(recipe) => {
                settings.push(Setting::new(format!("{part}.direction"), recipe.direction));
                settings.push(Setting::new(format!("{part}.map"), recipe.map));
                settings.push(Setting::new(format!("{part}.scale"), recipe.scale));
                settings.push(Setting::new(format!("{part}.weight_decay"), recipe.weight_decay));
                settings.push(Setting::new(format!("{part}.momentum_format"), recipe.momentum_format));
            }
            Method::Whole(rule) => settings.push(Setting::new(format!("{part}.rule"), rule)),
        }
    }
    settings
}

/// A setting that was another in the run that saved a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The setting's name.
    pub setting: Box<str>,
    /// Its value in the saved run.
    pub saved: String,
    /// Its value now, which holds.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is now {}", self.setting, self.saved, self.now)
    }
}

/// The settings of both lists that differ, by name. One that only a side has is of another version and no difference.
pub fn differences(saved: &[Setting], now: &[Setting]) -> Vec<Difference> {
    let pairs = now.iter().filter_map(|now| Some((saved.iter().find(|saved| saved.name == now.name)?, now)));
    pairs
        .filter(|(saved, now)| saved.value != now.value)
        .map(|(saved, now)| Difference {
            setting: now.name.clone(),
            saved: saved.value.clone(),
            now: now.value.clone(),
        })
        .collect()
}

/// What becomes of a parameter that either the saved state or the model has not, or that was frozen in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The state is refused, naming the parameter.
    #[default]
    Refuse,
    /// The model's begins anew, the state's is left out; [`Restored`] tells which.
    Fresh,
}

/// How a state is restored into a model that may have changed.
///
/// ```
/// use spectra_core::optimizer::{Missing, RestoreOptions};
///
/// let rename = |name: &str| name.replace("transformer.h.", "layers.");
/// let options = RestoreOptions { missing: Missing::Fresh, rename: Some(&rename) };
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Default)]
pub struct RestoreOptions<'a> {
    /// What becomes of parameters that only one side has.
    pub missing: Missing,
    /// From a name in the state to the name in this model; `None`: the same.
    pub rename: Option<&'a dyn Fn(&str) -> String>,
}

impl fmt::Debug for RestoreOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreOptions")
            .field("missing", &self.missing)
            .field("rename", &self.rename.is_some())
            .finish()
    }
}

/// What a restore did: counts and buffers are the saved ones, and everything that is set is as it was set here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Restored {
    /// Steps of the saved run; schedules go on from here.
    pub steps: u64,
    /// The factor of the clip threshold that now holds: the one set here, else the saved run's.
    pub clip_factor: f64,
    /// The factor of the pre-clip's threshold, likewise.
    pub pre_clip_factor: f64,
    /// The settings that were others in the saved run. States of version 1 tell of the current learning rate only.
    pub differences: Vec<Difference>,
    /// The parameters whose state was loaded.
    pub loaded: Vec<Box<str>>,
    /// The parameters of this model that begin anew.
    pub fresh: Vec<Box<str>>,
    /// The parameters of the saved state that were left out.
    pub unused: Vec<Box<str>>,
}

impl Restored {
    /// What a front-end with a format of its own restored.
    pub fn new(steps: u64, (clip_factor, pre_clip_factor): (f64, f64), differences: Vec<Difference>) -> Self {
        let (loaded, fresh, unused) = Default::default();
        Self { steps, clip_factor, pre_clip_factor, differences, loaded, fresh, unused }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restored at step {}", self.steps)?;
        for (what, names) in [("fresh", &self.fresh), ("unused", &self.unused)] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        self.differences.iter().try_for_each(|difference| write!(f, "; {difference}"))
    }
}
