//! The optimizer of a whole module, by a plan.

use super::assigned::{Assigned, Methods, sixteen_bits};
use super::blocks::{blocks_of, shapes};
use super::parameters::{Found, parameters};
use super::planned::module_optimizer;
use super::spectral::View;
use super::state::Parameter;
use super::{OwnRules, Spectral, SpectralConfig};
use crate::BurnScalar;
use burn::grad_clipping::GradientClipping;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::DType;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::UnitNorm;
use spectra_core::optimizer::plan::{Block, Plan, PlanBuilder, Rule, StateCost, Table};
use spectra_core::optimizer::{Config as Settings, StepReport};
use std::fmt;

/// The optimizer of a module: hidden matrices by the spectral rule, embeddings, heads, norms and vectors
/// elementwise, as its printed [plan](Self::plan) says.
///
/// A step checks all gradients before anything changes, clips by the norm over the whole model, and says what it
/// refuses. Under a learner of burn use [`optimizer`](Self::optimizer): the same rules as burn's own type.
///
/// Plan and rules see every matrix with its output features as rows: the weight of burn's `Linear`, stored `in x out`, and the
/// factors of a LoRA on it as their transposes, that of `ConvTranspose1d`, `2d` and `3d`, stored `in x (out / groups) x kernel`,
/// as a convolution's `out x (in / groups) x kernel` (the groups follow from its bias; without one they are taken for one).
/// Everything else is taken for `out x in`, unless [`SpectralConfig::layouts`] says otherwise.
///
/// A clone has a state of its own and may step on another thread at the same time; what it shares are temporaries.
#[derive(Clone)]
pub struct Hybrid {
    pub(super) optimizer: ModuleOptimizer,
    pub(super) members: Vec<Member>,
    pub(super) spectral: Spectral,
    pub(super) steps: u64,
    /// The parameter, if it is known, at which a step broke off in its middle.
    pub(super) broken: Option<Box<str>>,
    pub(super) factors: Factors,
    pub(super) settings: Settings,
    pub(super) clipping: Option<GradientClipping>,
    /// The learning rate of the last step.
    pub(super) lr: f64,
    pub(super) norm: Option<UnitNorm<BurnScalar>>,
    /// The places of the parameters without a gradient in the last step.
    pub(super) missing: Vec<usize>,
    pub(super) keeps_reports: bool,
    pub(super) reports: Vec<(Box<str>, StepReport<BurnScalar>)>,
    pub(super) plan: Plan,
    rules: OwnRules,
}

/// The factors of the thresholds beside the settings' schedules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    pub(super) clip: Factor,
    pub(super) pre_clip: Factor,
}

/// What the user has set, or what a restored run had come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor {
    pub(super) set: Option<f64>,
    pub(super) restored: f64,
}

impl Factor {
    const ONE: Self = Self { set: None, restored: 1.0 };

    pub(super) fn value(self) -> f64 {
        self.set.unwrap_or(self.restored)
    }
}

/// A parameter and what the plan decided.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) found: Found,
    pub(super) view: View,
    /// The matrices in it; none if it is one.
    pub(super) blocks: Box<[Block]>,
    /// `None`: frozen.
    pub(super) assigned: Option<Assigned>,
}

impl Member {
    /// The shapes of the matrices that it is stepped as.
    pub(super) fn shapes(&self) -> Vec<(usize, usize)> {
        shapes(&self.blocks, (self.view.rows, self.view.cols))
    }

    /// The names of the matrices that it is stepped as.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let whole = self.blocks.is_empty().then_some(self.found.name.as_str());
        whole.into_iter().chain(self.blocks.iter().map(Block::name))
    }

    /// What a state of it has to fit; `None`: frozen.
    pub(super) fn parameter<'a>(&'a self, shapes: &'a [(usize, usize)]) -> Option<Parameter<'a>> {
        Some(Parameter { assigned: self.assigned.as_ref()?, shapes, dtype: self.found.dtype })
    }
}

impl Hybrid {
    /// The optimizer of `module` by the plan that `builder` makes of its parameters' names and shapes.
    ///
    /// # Errors
    /// An invalid setting; a parameter that the module has twice; a rule that matches nothing or cannot be followed (see
    /// [`PlanBuilder::build`]); a module without a parameter that is not frozen.
    pub fn new<M: Module>(config: &SpectralConfig, module: &M, builder: &PlanBuilder) -> Result<Self> {
        Self::with_rules(config, module, builder, OwnRules::new())
    }

    /// The same with rules of one's own, which the plan's groups [name](spectra_core::optimizer::plan::Group::named).
    ///
    /// # Errors
    /// As [`new`](Self::new); a rule that `rules` has not, or a group's setting outside its domain, with the parameter's name.
    pub fn with_rules<M: Module>(
        config: &SpectralConfig,
        module: &M,
        builder: &PlanBuilder,
        rules: OwnRules,
    ) -> Result<Self> {
        config.validate()?;
        if config.decay_vectors.is_some() {
            let reason =
                "is set, but a plan's groups say what is decayed: `group(\"*\", |g| g.weight_decay(wd))`";
            return Err(Error::new("optimizer", ErrorKind::Name { name: "decay_vectors".into(), reason }));
        }
        let spectral = Spectral::new(config);
        let found = parameters(module, config.layouts.as_deref().unwrap_or_default())?;
        let plan = builder.build(found.iter().map(|found| (found.name.as_str(), found.out_by_in())))?;
        let format = |at: usize| found.get(at).and_then(|found| sixteen_bits(found.dtype));
        let plan = plan.with_rounding(config.rounding.unwrap_or_default(), format);
        let (mut members, mut methods) = (Vec::with_capacity(found.len()), Methods::new());
        for (found, entry) in found.into_iter().zip(plan.entries()) {
            let named = |error: Error| error.for_parameter(entry.name());
            let ((rows, cols), blocks) = (entry.view(), blocks_of(entry));
            let view = View { rule: entry.rule(), rows, cols, layout: found.layout };
            let assigned = spectral
                .of_rule(view.rule)
                .map(|assigned| assigned.in_group(entry.group(), &rules, &mut methods));
            let assigned = assigned.transpose().map_err(named)?;
            if let Some(assigned) = &assigned {
                shapes(&blocks, (rows, cols))
                    .into_iter()
                    .try_for_each(|shape| assigned.validate(spectral.settings(), found.dtype, shape))
                    .map_err(named)?;
            }
            members.push(Member { found, view, blocks, assigned });
        }
        if members.iter().all(|member| member.assigned.is_none()) {
            let requirement = "at least one that is not frozen";
            return Err(Error::argument("optimizer", "parameters", 0.0, requirement));
        }
        let settings = config.settings();
        let clipping = config.grad_clipping.as_ref().map(|clipping| clipping.init());
        Ok(Self {
            optimizer: module_optimizer(&spectral, &members, clipping.as_ref()),
            members,
            spectral,
            steps: 0,
            broken: None,
            factors: Factors { clip: Factor::ONE, pre_clip: Factor::ONE },
            settings,
            clipping,
            lr: settings.lr,
            norm: None,
            missing: Vec::new(),
            keeps_reports: false,
            reports: Vec::new(),
            plan,
            rules,
        })
    }

    /// The same optimizer, before its first step and before a state is loaded, with the CPU device treated as any other: by tensor operations, and matrices
    /// of one shape together. To test the path of the GPUs; it is slower there.
    #[must_use]
    pub fn by_tensor_operations(mut self) -> Self {
        self.spectral = self.spectral.by_tensor_operations();
        self.optimizer = module_optimizer(&self.spectral, &self.members, self.clipping.as_ref());
        self
    }

    /// Who got which rule and why; [`plan_table`](Self::plan_table) prints it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan as a printable table with what the state costs, rules of one's own included.
    pub fn plan_table(&self) -> Table<'_, &Self> {
        self.plan.table(self)
    }

    /// The settings, at a learning rate of 1.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Bytes of state once every parameter has taken a step.
    pub fn state_bytes(&self) -> usize {
        let bytes = |member: &Member| {
            let assigned = member.assigned.as_ref()?;
            let size = if member.found.dtype == DType::F64 { 8 } else { 4 };
            let numbers = |shape| assigned.state_numbers(member.found.dtype, shape);
            Some(size * member.shapes().into_iter().map(numbers).sum::<usize>())
        };
        self.members.iter().filter_map(bytes).sum()
    }
}

/// Four bytes a number, or eight where every parameter is f64.
impl StateCost for &Hybrid {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.settings.state_numbers(rule, rows, cols)
    }

    fn named_numbers(&self, rule: &str, rows: usize, cols: usize) -> usize {
        self.rules.get(rule).map_or(0, |rule| rule.single().state_numbers((rows, cols)))
    }

    fn bytes_per_number(&self) -> usize {
        if self.members.iter().all(|member| member.found.dtype == DType::F64) { 8 } else { 4 }
    }
}

impl fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spectral = self.members.iter().filter(|member| member.view.rule == Rule::Spectral).count();
        f.debug_struct("Hybrid")
            .field("settings", &self.settings)
            .field("parameters", &self.members.len())
            .field("spectral", &spectral)
            .finish()
    }
}
