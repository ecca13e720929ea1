//! What a parameter is stepped with: its rule, and what its group sets.

use super::rules::{BurnRule, BurnRules};
use super::shared::Arithmetic;
use crate::BurnBackend;
use burn::optim::LearningRate;
use burn::tensor::DType;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::Rates;
use spectra_core::optimizer::plan::Group;
use spectra_core::rules::{Rounding, UpdateRule, Weights};
use spectra_core::schedules::ClipSchedule;
use std::sync::Arc;

/// What a parameter is stepped with.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    rule: Arc<dyn BurnRule>,
    /// Its learning rate over that of the step.
    lr_factor: f64,
    /// `None`: the rule's own.
    weight_decay: Option<f64>,
    clip_schedule: Option<ClipSchedule>,
    /// How weights of 16 bits take an update.
    rounding: Rounding,
}

impl Assigned {
    /// A rule of the configuration.
    pub(super) fn new(
        rule: impl BurnRule + 'static,
        lr_factor: f64,
        clip_schedule: Option<ClipSchedule>,
        rounding: Rounding,
    ) -> Self {
        Self { rule: Arc::new(rule), lr_factor, weight_decay: None, clip_schedule, rounding }
    }

    /// The same with what a parameter's group sets.
    ///
    /// # Errors
    /// A rule that is not among these.
    pub(super) fn in_group(&self, group: &Group, rules: &BurnRules) -> Result<Self> {
        let rule = match (group.own_method(), group.rule_name()) {
            (Some(method), _) => Arc::new(*method) as Arc<dyn BurnRule>,
            (None, Some(name)) => rules.get(name).ok_or_else(|| {
                let reason = "is no rule that the optimizer was given";
                Error::new("optimizer", ErrorKind::Name { name: name.into(), reason })
            })?,
            (None, None) => self.rule.clone(),
        };
        Ok(Self {
            rule,
            lr_factor: self.lr_factor * group.lr_factor(),
            weight_decay: group.decay().or(self.weight_decay),
            clip_schedule: group.own_clip_schedule().or(self.clip_schedule),
            rounding: group.rounding().unwrap_or(self.rounding),
        })
    }

    /// The rule in `E`.
    pub(super) fn rule<E: Arithmetic>(&self) -> &dyn UpdateRule<BurnBackend<E>> {
        E::rule(&*self.rule)
    }

    /// Runs `f` on the rule in `E` of a parameter of this type, with a master of its weights if the state keeps one.
    pub(super) fn with_rule<E: Arithmetic, R>(
        &self,
        dtype: DType,
        f: impl FnOnce(&dyn UpdateRule<BurnBackend<E>>) -> R,
    ) -> R {
        let rule = self.rule::<E>();
        self.rounding.of(sixteen_bits(dtype)).with_rule(rule, "", f)
    }

    /// Whether the state of a parameter of this type keeps a master of its weights.
    pub(super) fn has_master(&self, dtype: DType) -> bool {
        self.rounding.of(sixteen_bits(dtype)) == Weights::Master
    }

    /// The rates of a step at the learning rate of the hidden matrices and the model's step, from 1.
    pub(super) fn rates(&self, lr: LearningRate, model_step: u64, clip_factor: Option<f64>) -> Rates {
        let scheduled = scheduled(self.clip_schedule, model_step);
        Rates {
            lr: lr * self.lr_factor,
            weight_decay: self.weight_decay,
            clip_factor: scheduled * clip_factor.unwrap_or(1.0),
        }
    }

    /// An error if a setting is outside its domain for a parameter of this type, or the rule has two buffers of one name.
    pub(super) fn validate(&self, dtype: DType, shape: (usize, usize)) -> Result<()> {
        match dtype {
            DType::F64 => self.rule::<f64>().validate(),
            _ => self.rule::<f32>().validate(),
        }?;
        self.validate_rates(dtype, self.rates(0.0, 1, None))?;
        let buffers = self.with_rule::<f32, _>(dtype, |rule| rule.buffers(shape));
        let twice = |(at, name)| buffers[..at].iter().any(|other| other.name == name);
        if buffers.iter().map(|buffer| buffer.name).enumerate().any(twice) {
            let (name, reason) = (self.rule::<f32>().signature().into(), "keeps two buffers of one name");
            return Err(Error::new("optimizer", ErrorKind::Name { name, reason }));
        }
        Ok(())
    }

    /// An error if a rate is outside its domain for a parameter of this type.
    pub(super) fn validate_rates(&self, dtype: DType, rates: Rates) -> Result<()> {
        match dtype {
            DType::F64 => rates.validate(self.rule::<f64>()),
            _ => rates.validate(self.rule::<f32>()),
        }
    }

    /// Numbers of state of a parameter of this type and shape.
    pub(super) fn state_numbers(&self, dtype: DType, shape: (usize, usize)) -> usize {
        self.with_rule::<f32, _>(dtype, |rule| rule.state_numbers(shape))
    }
}

/// The factor of a schedule at the model's step, from 1; 1 without one.
pub(super) fn scheduled(schedule: Option<ClipSchedule>, model_step: u64) -> f64 {
    schedule.map_or(1.0, |schedule| schedule.factor(model_step.saturating_sub(1)))
}

/// The 16-bit type that this is.
pub(super) fn sixteen_bits(dtype: DType) -> Option<SixteenBits> {
    match dtype {
        DType::BF16 => Some(SixteenBits::Bf16),
        DType::F16 => Some(SixteenBits::F16),
        _ => None,
    }
}
