//! What a parameter is stepped with: its rule, and what its group sets.

use super::rules::{BurnRule, OwnRules};
use super::shared::Arithmetic;
use crate::BurnBackend;
use burn::tensor::DType;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::plan::{Group, Rule};
use spectra_core::optimizer::policy::{ModelRates, Place, check_rule};
use spectra_core::optimizer::{Config as Settings, Method, Rates};
use spectra_core::rules::{Rounding, UpdateRule, Weights};
use std::sync::Arc;

/// The recipes that groups set: parameters of one share its rule.
pub(super) type Methods = Vec<(Method, Arc<dyn BurnRule>)>;

/// What a parameter is stepped with.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    rule: Arc<dyn BurnRule>,
    kind: Rule,
    group: Group,
    /// How weights of 16 bits take an update.
    rounding: Rounding,
}

impl Assigned {
    /// A rule of the configuration.
    pub(super) fn new(rule: impl BurnRule + 'static, kind: Rule, rounding: Rounding) -> Self {
        Self { rule: Arc::new(rule), kind, group: Group::default(), rounding }
    }

    /// The same without weight decay.
    pub(super) fn without_decay(self) -> Self {
        Self { group: self.group.weight_decay(0.0), ..self }
    }

    /// The same with what a parameter's group sets.
    ///
    /// # Errors
    /// A rule that is not among these.
    pub(super) fn in_group(&self, group: &Group, rules: &OwnRules, methods: &mut Methods) -> Result<Self> {
        let rule = match (group.own_method(), group.rule_name()) {
            (Some(method), _) => match methods.iter().find(|(known, _)| known == method) {
                Some((_, rule)) => rule.clone(),
                None => {
                    let rule: Arc<dyn BurnRule> = Arc::new(*method);
                    methods.push((*method, rule.clone()));
                    rule
                }
            },
            (None, Some(name)) => rules.get(name).ok_or_else(|| {
                let reason = "is no rule that the optimizer was given";
                Error::new("optimizer", ErrorKind::Name { name: name.into(), reason })
            })?,
            (None, None) => self.rule.clone(),
        };
        let rounding = group.rounding().unwrap_or(self.rounding);
        Ok(Self { rule, kind: self.kind, group: group.clone(), rounding })
    }

    /// The same for all parameters that share a rule.
    pub(super) fn rule_address(&self) -> *const () {
        Arc::as_ptr(&self.rule).cast()
    }

    /// What the plan made of the parameter.
    pub(super) fn kind(&self) -> Rule {
        self.kind
    }

    /// The rule in `E`.
    pub(super) fn rule<E: Arithmetic>(&self) -> &dyn UpdateRule<BurnBackend<E>> {
        E::rule(&*self.rule)
    }

    /// Runs `f` on the rule in `E` as the matrix with this name of a parameter of this type steps by it.
    pub(super) fn with_rule<E: Arithmetic, R>(
        &self,
        dtype: DType,
        name: &str,
        f: impl FnOnce(&dyn UpdateRule<BurnBackend<E>>) -> R,
    ) -> R {
        self.weights(dtype).with_rule(self.rule::<E>(), name, f)
    }

    /// How the weights of a parameter of this type take an update.
    pub(super) fn weights(&self, dtype: DType) -> Weights {
        self.rounding.of(sixteen_bits(dtype))
    }

    /// Where a saved state of a matrix of a parameter of this type goes.
    pub(super) fn place<E: Arithmetic>(
        &self,
        dtype: DType,
        shape: (usize, usize),
    ) -> Place<'_, BurnBackend<E>> {
        Place { shape, rule: Some(self.rule::<E>()), weights: self.weights(dtype) }
    }

    /// The rates of the model's step, from 1.
    pub(super) fn rates(&self, settings: &Settings, model: &ModelRates, model_step: u64) -> Rates {
        model.of_group(settings, (self.kind, &self.group), model_step.saturating_sub(1))
    }

    /// An error if a setting is outside its domain for a parameter of this type, or the rule has two buffers of one name.
    pub(super) fn validate(&self, settings: &Settings, dtype: DType, shape: (usize, usize)) -> Result<()> {
        match dtype {
            DType::F64 => check_rule(self.rule::<f64>(), shape),
            _ => check_rule(self.rule::<f32>(), shape),
        }?;
        let model = ModelRates { lr: 0.0, elementwise_ratio: 1.0, clip_factor: 1.0 };
        self.validate_rates(dtype, self.rates(settings, &model, 1))
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
        self.with_rule::<f32, _>(dtype, "", |rule| rule.state_numbers(shape))
    }
}

/// The 16-bit type that this is.
pub(super) fn sixteen_bits(dtype: DType) -> Option<SixteenBits> {
    match dtype {
        DType::BF16 => Some(SixteenBits::Bf16),
        DType::F16 => Some(SixteenBits::F16),
        _ => None,
    }
}
