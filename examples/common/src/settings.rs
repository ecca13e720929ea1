//! What the numbers of one optimizer's run depend on: saved with its results, compared before they are reused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command_line::ApplyTo;
use crate::optimizers::Choice;
use crate::text::Text;
use crate::{CommandLine, Failure, ModelSizes};

/// Settings of one run. Two runs with equal settings give the same numbers, except for times.
///
/// Each field is named like the flag that sets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Preset name.
    pub optimizer: String,
    /// Peak learning rate of the hidden matrices.
    pub lr: f64,
    /// Peak learning rate of everything else.
    pub elementwise_lr: f64,
    /// Whether the optimizer's own rule updates everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apply_to_all: bool,
    /// Adam's decay of the squared gradient.
    pub beta2: f64,
    /// Share of the singular directions taken for the spike, where there is tail shrink.
    pub rank_ratio: Option<f64>,
    /// Threshold of the spectral clip, where there is one.
    pub clip: Option<f64>,
    /// Whether that threshold stays as it is in the warm-up.
    pub fixed_clip: bool,
    /// The curve on which it falls at the end.
    pub clip_decay: Option<String>,
    /// Threshold of the pre-clip.
    pub pre_clip: Option<f64>,
    /// The curve on which it falls at the end.
    pub pre_clip_decay: Option<String>,
    /// Title, length and fingerprint of the text.
    pub text: String,
    /// Training steps.
    pub steps: usize,
    /// Seed of weights, data order and sample.
    pub seed: u64,
    /// Seed of the unit in the last place by which every initial weight is off, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ulp: Option<u64>,
    /// Decoder blocks.
    pub layers: usize,
    /// Features of the residual stream.
    pub width: usize,
    /// Features inside the SwiGLU.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Bytes in a sequence.
    pub context: usize,
    /// Sequences in a batch.
    pub batch: usize,
    /// Share of steps with rising learning rate.
    pub warmup: f64,
    /// Share of steps with falling learning rate.
    pub decay: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Longest gradient.
    pub clip_norm: f64,
    /// Steps between validation losses.
    pub eval_every: usize,
    /// Matrix whose spectrum is drawn.
    pub spectrum: String,
    /// Batches over which the validation loss is averaged.
    #[serde(default = "usual_validation_batches", skip_serializing_if = "is_usual")]
    pub validation_batches: usize,
    /// Whether queries, keys and values are optimized head by head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_head: bool,
    /// Share of the steps that the average of the weights remembers, if it is what is validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Fields of the optimizer's configuration set by name, `path=value`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// As many as there always were before the flag.
pub(crate) const VALIDATION_BATCHES: usize = 4;

fn usual_validation_batches() -> usize {
    VALIDATION_BATCHES
}

fn is_usual(batches: &usize) -> bool {
    *batches == VALIDATION_BATCHES
}

impl Settings {
    /// The settings of `choice` under a command line, checked.
    pub fn new(command_line: &CommandLine, choice: &Choice, text: &Text) -> Result<Self, Failure> {
        let line = command_line.clone();
        let settings = Self {
            optimizer: choice.name.clone(),
            lr: choice.lr,
            elementwise_lr: choice.elementwise_lr,
            apply_to_all: line.apply_to == ApplyTo::All,
            beta2: choice.beta2,
            rank_ratio: choice.rank_ratio,
            clip: choice.clip,
            fixed_clip: line.fixed_clip && choice.clip.is_some(),
            clip_decay: line.clip_decay.filter(|_| choice.clip.is_some()),
            pre_clip: line.pre_clip,
            pre_clip_decay: line.pre_clip_decay,
            text: format!("{} ({} bytes, {:016x})", text.title, text.bytes.len(), text.fingerprint()),
            steps: line.steps,
            seed: line.seed,
            ulp: line.ulp,
            layers: line.layers,
            width: line.width,
            hidden: line.hidden,
            heads: line.heads,
            context: line.context,
            batch: line.batch,
            warmup: line.warmup,
            decay: line.decay,
            weight_decay: line.weight_decay,
            clip_norm: line.clip_norm,
            eval_every: line.eval_every,
            spectrum: line
                .spectrum
                .unwrap_or_else(|| format!("layers.{}.attention.output.weight", line.layers / 2)),
            validation_batches: line.validation_batches,
            by_head: line.by_head,
            average: line.average,
            set: crate::overrides::of(&choice.name, &line.set),
        };
        settings.sizes().check()?;
        crate::memory::check(&settings)?;
        settings.check_spectrum()?;
        settings.check_by_head()?;
        crate::schedule::ClipFactors::new(&settings)?;
        crate::optimizers::config(&settings)?;
        Ok(settings)
    }

    /// The sizes of the model.
    pub fn sizes(&self) -> ModelSizes {
        ModelSizes {
            layers: self.layers,
            width: self.width,
            hidden: self.hidden,
            heads: self.heads,
            context: self.context,
        }
    }

    /// The first flag in which `self` and `other` differ, as `--flag was A and is now B`.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let there = fields(other);
        let here = fields(self);
        let flags: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
        // A setting that may be left out, and is, is none.
        let value = |fields: &serde_json::Map<String, Value>, flag: &str| {
            fields.get(flag).cloned().unwrap_or(Value::Null)
        };
        flags
            .into_iter()
            .map(|flag| (flag, value(&here, flag), value(&there, flag)))
            .find(|(_, was, now)| was != now)
            .map(|(flag, was, now)| format!("--{flag} was {was} and is now {now}"))
    }

    /// The matrices that `--by-head` cuts, as a pattern of names.
    pub const BY_HEAD: [&str; 3] =
        ["*.attention.query.weight", "*.attention.key.weight", "*.attention.value.weight"];

    fn check_by_head(&self) -> Result<(), Failure> {
        if self.by_head && self.clip.is_some() {
            return Err(Failure::input(format!(
                "--by-head: the bound of {}'s updates is checked on whole matrices; leave it out, or take a preset that does not clip",
                self.optimizer
            )));
        }
        let is_cut = Self::BY_HEAD.iter().any(|pattern| self.spectrum.ends_with(&pattern[1..]));
        if self.by_head && is_cut {
            return Err(Failure::input(format!(
                "--by-head: {} is no matrix then; pass another --spectrum",
                self.spectrum
            )));
        }
        Ok(())
    }

    fn check_spectrum(&self) -> Result<(), Failure> {
        let shapes = crate::model::parameter_shapes(&self.sizes());
        if shapes.iter().any(|(name, shape)| *name == self.spectrum && shape.len() == 2) {
            return Ok(());
        }
        let of_one_layer = crate::model::parameter_shapes(&ModelSizes { layers: 1, ..self.sizes() });
        let matrices: Vec<_> = of_one_layer
            .iter()
            .filter(|(_, shape)| shape.len() == 2)
            .map(|(name, _)| name.as_str())
            .collect();
        Err(Failure::input(format!(
            "--spectrum {} is no matrix of the model; pass one of {}, or the same of another of the {} layers",
            self.spectrum,
            matrices.join(", "),
            self.layers
        )))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings {
            optimizer: "adamw".into(),
            lr: 1e-3,
            elementwise_lr: 1e-3,
            apply_to_all: false,
            beta2: 0.95,
            rank_ratio: None,
            clip: None,
            fixed_clip: false,
            clip_decay: None,
            pre_clip: None,
            pre_clip_decay: None,
            text: "a text".into(),
            steps: 20,
            seed: 1,
            ulp: None,
            layers: 2,
            width: 8,
            hidden: 12,
            heads: 2,
            context: 4,
            batch: 2,
            warmup: 0.2,
            decay: 0.5,
            weight_decay: 0.1,
            clip_norm: 1.0,
            eval_every: 5,
            spectrum: "head.weight".into(),
            validation_batches: VALIDATION_BATCHES,
            by_head: false,
            average: None,
            set: Vec::new(),
        }
    }

    #[test]
    fn differences_name_the_flag() {
        assert_eq!(settings().difference(&settings()), None);
        let longer = Settings { steps: 30, ..settings() };
        assert_eq!(settings().difference(&longer).as_deref(), Some("--steps was 20 and is now 30"));
        let moved = Settings { ulp: Some(3), ..settings() };
        assert_eq!(settings().difference(&moved).as_deref(), Some("--ulp was null and is now 3"));
        assert_eq!(moved.difference(&settings()).as_deref(), Some("--ulp was 3 and is now null"));
    }

    #[test]
    fn heads_are_apart_only_where_that_can_be_checked() {
        let apart = || Settings { by_head: true, ..settings() };
        assert!(apart().check_by_head().is_ok());
        assert!(Settings { clip: Some(1.0), ..apart() }.check_by_head().is_err());
        assert!(
            Settings { spectrum: "layers.0.attention.key.weight".into(), ..apart() }.check_by_head().is_err()
        );
        let shapes = crate::model::parameter_shapes(&apart().sizes());
        for pattern in Settings::BY_HEAD {
            assert_eq!(
                shapes.iter().filter(|(name, _)| name.ends_with(&pattern[1..])).count(),
                2,
                "{pattern}"
            );
        }
    }

    #[test]
    fn the_learning_rate_rises_stays_and_falls() {
        let schedule = crate::schedule::schedule(&settings()).expect("a schedule");
        let factors: Vec<_> = (0..20).map(|step| schedule.factor(step)).collect();
        assert_eq!(factors[0], 0.25);
        assert!(factors[4..=10].iter().all(|factor| *factor == 1.0));
        assert!(factors[10..].windows(2).all(|pair| pair[1] < pair[0]) && factors[19] > 0.0);
        assert_eq!(crate::schedule::last_step_at_peak(&settings()), 9);
    }

    #[test]
    fn the_clip_threshold_makes_up_for_the_warm_up_and_falls_where_asked() {
        let factors = |settings: &Settings| -> Vec<_> {
            let factors = crate::schedule::ClipFactors::new(settings).expect("a schedule");
            (0..20).map(|step| factors.at(step)).collect()
        };
        assert_eq!(factors(&settings())[0], None);
        let clipped = Settings { clip: Some(10.0), ..settings() };
        let rate = crate::schedule::schedule(&clipped).expect("a schedule");
        for (step, factors) in factors(&clipped).into_iter().enumerate() {
            let expected = if step < 4 { 1.0 / rate.factor(step as u64) } else { 1.0 };
            assert_eq!(factors, Some((expected, 1.0)), "{step}");
        }
        let fixed = Settings { fixed_clip: true, ..clipped.clone() };
        assert!(factors(&fixed).iter().all(|factors| *factors == Some((1.0, 1.0))));
        let curve = Some("linear".to_string());
        let falling =
            Settings { clip_decay: curve.clone(), pre_clip: Some(1.0), pre_clip_decay: curve, ..clipped };
        let falling = factors(&falling);
        assert_eq!((falling[0], falling[9]), (Some((4.0, 1.0)), Some((1.0, 1.0))));
        assert!(falling[11..].iter().flatten().all(|(clip, pre)| clip == pre && *clip < 1.0 && *clip > 0.0));
    }
}
