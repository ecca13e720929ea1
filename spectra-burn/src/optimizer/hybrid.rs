//! The optimizer of a whole module, by a plan.

use super::assigned::{Assigned, sixteen_bits};
use super::blocks::{blocks_of, shapes};
use super::gradients::{self, Measured};
use super::overflow::overflow;
use super::parameters::{Found, parameters};
use super::planned::module_optimizer;
use super::present::missing_gradients;
use super::shared::Prepared;
use super::spectral::View;
use super::{BurnRules, Refused, Spectral, SpectralConfig};
use crate::BurnScalar;
use burn::grad_clipping::GradientClipping;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::DType;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::UnitNorm;
use spectra_core::optimizer::Config as Settings;
use spectra_core::optimizer::plan::{Block, Plan, PlanBuilder, Rule, StateCost, Table};
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
    plan: Plan,
    rules: BurnRules,
    norm: Option<UnitNorm<BurnScalar>>,
    missing: Vec<usize>,
}

/// The factors of the thresholds that the user's own schedules set; `None` until then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Factors {
    pub(super) clip: Option<f64>,
    pub(super) pre_clip: Option<f64>,
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
}

impl Hybrid {
    /// The optimizer of `module` by the plan that `builder` makes of its parameters' names and shapes.
    ///
    /// # Errors
    /// An invalid setting; a parameter that the module has twice; a rule that matches nothing or cannot be followed (see
    /// [`PlanBuilder::build`]); a module without a parameter that is not frozen.
    pub fn new<M: Module>(config: &SpectralConfig, module: &M, builder: &PlanBuilder) -> Result<Self> {
        Self::with_rules(config, module, builder, BurnRules::new())
    }

    /// The same with rules of one's own, which the plan's groups [name](spectra_core::optimizer::plan::Group::named).
    ///
    /// # Errors
    /// As [`new`](Self::new); a rule that `rules` has not, or a group's setting outside its domain, with the parameter's name.
    pub fn with_rules<M: Module>(
        config: &SpectralConfig,
        module: &M,
        builder: &PlanBuilder,
        rules: BurnRules,
    ) -> Result<Self> {
        config.validate()?;
        let spectral = Spectral::new(config);
        let found = parameters(module, config.layouts.as_deref().unwrap_or_default())?;
        let plan = builder.build(found.iter().map(|found| (found.name.as_str(), found.out_by_in())))?;
        let format = |at: usize| found.get(at).and_then(|found| sixteen_bits(found.dtype));
        let plan = plan.with_rounding(config.rounding.unwrap_or_default(), format);
        let mut members = Vec::with_capacity(found.len());
        for (found, entry) in found.into_iter().zip(plan.entries()) {
            let named = |error: Error| error.for_parameter(entry.name());
            let ((rows, cols), blocks) = (entry.view(), blocks_of(entry));
            let view = View { rule: entry.rule(), rows, cols, layout: found.layout };
            let assigned =
                spectral.of_rule(view.rule).map(|assigned| assigned.in_group(entry.group(), &rules));
            let assigned = assigned.transpose().map_err(named)?;
            if let Some(assigned) = &assigned {
                shapes(&blocks, (rows, cols))
                    .into_iter()
                    .try_for_each(|shape| assigned.validate(found.dtype, shape))
                    .map_err(named)?;
            }
            members.push(Member { found, view, blocks, assigned });
        }
        if members.iter().all(|member| member.assigned.is_none()) {
            let requirement = "at least one that is not frozen";
            return Err(Error::argument("optimizer", "parameters", 0.0, requirement));
        }
        let clipping = config.grad_clipping.as_ref().map(|clipping| clipping.init());
        Ok(Self {
            optimizer: module_optimizer(&spectral, &members, clipping.as_ref()),
            members,
            spectral,
            steps: 0,
            broken: None,
            factors: Factors::default(),
            settings: config.settings(),
            clipping,
            plan,
            rules,
            norm: None,
            missing: Vec::new(),
        })
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

    /// Steps of the whole module taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The parameters that had no gradient in the last step, and were not updated; frozen ones do not count.
    pub fn missing_gradients(&self) -> impl ExactSizeIterator<Item = &str> {
        self.missing.iter().map(|place| self.members.get(*place).map_or("", |member| &member.found.name))
    }

    /// Sets a factor of the clip threshold for the steps that follow, beside
    /// [`clip_schedule`](SpectralConfig::clip_schedule): for schedules of one's own.
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        check_factor("set_clip_factor", factor)?;
        self.factors.clip = Some(factor);
        Ok(())
    }

    /// Sets a factor of the [pre-clip](SpectralConfig::pre_clip)'s threshold for the steps that follow, beside
    /// [`pre_clip_schedule`](SpectralConfig::pre_clip_schedule).
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        check_factor("set_pre_clip_factor", factor)?;
        self.factors.pre_clip = Some(factor);
        Ok(())
    }

    /// A step of every parameter that has a gradient, at this learning rate of the hidden matrices: a number, or what
    /// burn's schedulers give.
    ///
    /// ```
    /// # use burn::module::Module;
    /// # use burn::nn::LinearConfig;
    /// # use burn::optim::GradientsParams;
    /// # use burn::tensor::{Device, Tensor};
    /// use spectra_burn::SpectralConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let mut model = LinearConfig::new(4, 8).init(&device);
    /// let mut optimizer = SpectralConfig::preset("spectra")?.init_for(&model)?;
    ///
    /// let loss = model.forward(Tensor::<2>::ones([2, 4], &device)).sum();
    /// let gradients = GradientsParams::from_grads(loss.backward(), &model);
    /// model = optimizer.step(1e-2, model, gradients)?;
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Refused`] hands the module back as it was if a gradient holds a NaN or an infinity, does not fit its parameter or
    /// belongs to none, if no parameter has one, or the learning rate is no number >= 0.
    ///
    /// An error of the device in the middle of a step hands back a module of which some parameters have moved. From then on
    /// steps and saving are refused until a state is [loaded](Self::load); the module's own record must be, too. The same after
    /// a panic of burn's.
    ///
    /// A finite update that leaves the range of a parameter's 16-bit type (beyond 65504 in f16) is said with the parameters' names,
    /// separated by commas, *after* the step, which has been taken and counted ([`steps`](Self::steps)): the module handed back is the
    /// one after it, and these parameters hold infinities. An infinity is told of by the step that makes it and by no later one, but
    /// under a [master](crate::rules::Rounding) by every step until that is back in range. Training may go on with that module; nothing
    /// has to be restored. On devices other than burn's CPU it is not noticed,
    /// because the host would have to wait.
    pub fn step<M: Module>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        module: M,
        mut gradients: GradientsParams,
    ) -> core::result::Result<M, Refused<M>> {
        let spectral = self.spectral.clone();
        let _turn = spectral.shared().turn();
        let lr = lr.into();
        match self.prepare(&lr, &module, &mut gradients) {
            Ok(prepared) => spectral.shared().set_prepared(prepared),
            Err(error) => return Err(Refused { module, error }),
        }
        // Until the step is whole; also if burn panics.
        self.broken = Some("".into());
        spectral.shared().take_failed();
        spectral.shared().take_overflowed();
        let module = self.optimizer.step(lr, module, gradients);
        spectral.shared().set_prepared(Prepared::default());
        if let Some(error) = spectral.shared().take_failed() {
            self.broken = error.parameter().map(Into::into).or(Some("".into()));
            return Err(Refused { module, error });
        }
        self.broken = None;
        self.steps += 1;
        let overflowed = spectral.shared().take_overflowed();
        if overflowed.is_empty() {
            return Ok(module);
        }
        Err(Refused { module, error: overflow().for_parameter(&overflowed.join(", ")) })
    }

    /// An error after a step that broke off in its middle.
    pub(super) fn check_whole(&self, operation: &'static str) -> Result<()> {
        let Some(name) = &self.broken else { return Ok(()) };
        let error = Error::new(operation, ErrorKind::NeedsRestore);
        Err(if name.is_empty() { error } else { error.for_parameter(name) })
    }

    /// The norm of the last step's gradients over all parameters, before clipping. **Waits** for the device. `None`
    /// before the first step, and if neither the finite check nor the norm clip asked for it.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gradient_norm(&self) -> Result<Option<f64>> {
        self.norm.as_ref().map(UnitNorm::read).transpose()
    }

    fn prepare<M: Module>(
        &mut self,
        lr: &ModuleLearningRate,
        module: &M,
        gradients: &mut GradientsParams,
    ) -> Result<Prepared> {
        self.check_whole("step")?;
        let model_step = self.steps + 1;
        for Member { found, assigned, .. } in &self.members {
            let Some(assigned) = assigned else { continue };
            let lr = lr.lr_from_param(found.id, Some(&found.name));
            let rates = assigned.rates(lr, model_step, self.factors.clip);
            let checked = assigned.validate_rates(found.dtype, rates);
            checked.map_err(|error| error.for_parameter(&found.name))?;
        }
        let Settings { check_finite, require_gradients, pre_clip, .. } = self.settings;
        self.missing = missing_gradients(module, gradients, &self.members, require_gradients)?;
        let pre_clip_factor =
            self.factors.pre_clip.unwrap_or(1.0) * self.spectral.pre_clip_factor(model_step);
        let how = (&self.settings, pre_clip_factor);
        let Measured { norm, scale } =
            gradients::prepare(module, gradients, &self.members, &self.spectral, how)?;
        self.norm = norm;
        Ok(Prepared {
            scale,
            finite: check_finite,
            pre_clipped: pre_clip.is_some(),
            clip_factor: self.factors.clip,
            model_step: Some(model_step),
        })
    }
}

fn check_factor(operation: &'static str, factor: f64) -> Result<()> {
    if factor > 0.0 && factor.is_finite() {
        return Ok(());
    }
    Err(Error::argument(operation, "factor", factor, "positive and finite"))
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
