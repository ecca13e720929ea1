//! Configurations and schedules.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spectra_core::maps::SoftClip;
use spectra_core::optimizer::{Config, Method, PreClip, Recipe, StepScale};
use spectra_core::schedules::{ClipSchedule, LearningRateSchedule};

use crate::model::{fresh, step};

/// A configuration or one of the schedules, as JSON. What parses is written and read again; what also validates takes a
/// step.
pub fn config(data: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return false };
    let schedule = round_trip::<LearningRateSchedule>(&value);
    for step in [0, 1, 99, u64::MAX] {
        if let Some(schedule) = &schedule {
            let factor = schedule.factor(step);
            assert!(factor.is_finite() && factor >= 0.0, "factor {factor} at {step}");
        }
    }
    let threshold = round_trip::<ClipSchedule>(&value);
    for step in [0, 1, 99, u64::MAX] {
        if let Some(threshold) = &threshold {
            let at = threshold.factor(step);
            assert!(at > 0.0, "threshold {at} at {step}");
        }
    }
    let method = round_trip::<Method>(&value).is_some_and(|method| takes_a_step(Config::new(method)));
    let config = round_trip::<Config>(&value).is_some_and(takes_a_step);
    schedule.is_some() || threshold.is_some() || method || config
}

/// What the value says, if it says a `T`; written and read again it is the same.
fn round_trip<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(value: &Value) -> Option<T> {
    let parsed = T::deserialize(value).ok()?;
    let text = serde_json::to_string(&parsed).expect("what came from JSON can go back");
    let again: T = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(again, parsed);
    Some(parsed)
}

/// Whether the configuration is valid. If it is, it makes an optimizer, which takes a step on gradients of size one.
fn takes_a_step(config: Config) -> bool {
    let Ok(mut optimizer) = fresh(config) else {
        assert!(config.validate::<f32>().is_err(), "valid, and refused");
        return false;
    };
    step(&mut optimizer).expect("settings in their domains, and ordinary gradients");
    true
}

/// Named configurations that use every kind of setting.
pub fn config_seeds() -> Vec<(String, String)> {
    let mut seeds = Vec::new();
    let mut push = |name: &str, value: serde_json::Result<String>| {
        seeds.push((name.to_owned(), value.expect("settings have a JSON form")));
    };
    for (name, method, ..) in Method::presets() {
        push(name, serde_json::to_string(&method));
    }
    let scale = StepScale::MaxDimension { factor: 0.2 };
    let mut config = Config::new(Recipe { scale, ..Recipe::adamw() }).elementwise_lr(1e-3).clip_norm(1.0);
    config.pre_clip = Some(PreClip { threshold: 2.0, clip: SoftClip::default(), all: true });
    push("config", serde_json::to_string(&config));
    push("learning_rate", serde_json::to_string(&LearningRateSchedule::constant()));
    push("clip_schedule", serde_json::to_string(&ClipSchedule::constant()));
    seeds
}
