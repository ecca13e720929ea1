//! The optimizer of a whole module, by a plan.

use super::gradients::{self, Measured};
use super::parameters::{Found, parameters};
use super::shared::Prepared;
use super::spectral::{View, check_lr};
use super::{Spectral, SpectralConfig};
use crate::BurnScalar;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use spectra_core::backend::{Error, Result};
use spectra_core::linalg::UnitNorm;
use spectra_core::optimizer::Config as Settings;
use spectra_core::optimizer::plan::{Plan, PlanBuilder, Rule};
use std::fmt;

/// The optimizer of a module: hidden matrices by the spectral rule, embeddings, heads, norms and vectors
/// elementwise, as its printed [plan](Self::plan) says.
///
/// A step checks all gradients before anything changes, clips by the norm over the whole model, and says what it
/// refuses. Under a learner of burn use [`optimizer`](Self::optimizer): the same rules as burn's own type.
///
/// The weight of burn's `Linear` is stored `in x out`; plan and rules see it as the `out x in` matrix it is. All other
/// parameters with two dimensions are taken for `out x in`.
#[derive(Clone)]
pub struct Hybrid {
    pub(super) optimizer: ModuleOptimizer,
    pub(super) members: Vec<Member>,
    pub(super) spectral: Spectral,
    plan: Plan,
    settings: Settings,
    norm: Option<UnitNorm<BurnScalar>>,
    clip_factor: f64,
    pre_clip_factor: f64,
}

/// A parameter and what the plan decided.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) found: Found,
    pub(super) view: View,
}

impl Hybrid {
    /// The optimizer of `module` by the plan that `builder` makes of its parameters' names and shapes.
    ///
    /// # Errors
    /// An invalid setting; a parameter that the module has twice; a rule that matches nothing or cannot be followed (see [`PlanBuilder::build`]).
    pub fn new<M: Module>(config: &SpectralConfig, module: &M, builder: &PlanBuilder) -> Result<Self> {
        let spectral = config.build()?;
        let found = parameters(module)?;
        let plan = builder.build(found.iter().map(|found| (found.name.as_str(), found.out_by_in())))?;
        let clipping = config.grad_clipping.as_ref().map(|clipping| clipping.init());
        let mut optimizer = ModuleOptimizer::from(spectral.clone());
        let mut members = Vec::new();
        for (found, entry) in found.into_iter().zip(plan.entries()) {
            let (rows, cols) = entry.view();
            // A vector is one row however it is stored.
            let view = View { rule: entry.rule(), rows, cols, transposed: found.is_linear && rows > 1 };
            let group = ParamGroup::from_ids(vec![found.id]);
            let one = spectral.for_parameter(&found.name, view);
            optimizer = optimizer.with_group(group, one, clipping.clone());
            members.push(Member { found, view });
        }
        Ok(Self {
            optimizer,
            members,
            spectral,
            plan,
            settings: config.settings(),
            norm: None,
            clip_factor: 1.0,
            pre_clip_factor: 1.0,
        })
    }

    /// Who got which rule and why; [`Plan::table`] prints it with what the state costs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The settings, at a learning rate of 1.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Bytes of state once every parameter has taken a step.
    pub fn state_bytes(&self) -> usize {
        let bytes = |member: &Member| {
            let recipe = self.spectral.recipe(member.view.rule)?;
            let size = if member.found.dtype == burn::tensor::DType::F64 { 8 } else { 4 };
            Some(size * recipe.state_numbers(member.view.rows, member.view.cols))
        };
        self.members.iter().filter_map(bytes).sum()
    }

    /// The same optimizer as burn's own type, for its learners and records. There burn's `step` returns no error (see
    /// [`Spectral`]), the norm over the whole model is not clipped, and burn's own loading drops what does not fit.
    pub fn optimizer(&self) -> ModuleOptimizer {
        self.optimizer.clone()
    }

    /// The first refusal since the last call under burn's own type; see [`Spectral::take_refusal`].
    pub fn take_refusal(&self) -> Option<Error> {
        self.spectral.take_refusal()
    }

    /// Sets a factor of the clip threshold for the steps that follow, beside that of
    /// [`clip_threshold`](SpectralConfig::clip_threshold): for schedules of one's own. It is not saved.
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        check_factor("set_clip_factor", factor)?;
        self.clip_factor = factor;
        Ok(())
    }

    /// Sets the factor of the [pre-clip](SpectralConfig::pre_clip)'s threshold for the steps that follow. It is not saved.
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        check_factor("set_pre_clip_factor", factor)?;
        self.pre_clip_factor = factor;
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
    /// [`Refused`] hands the module back: as it was if a gradient holds a NaN or an infinity, does not fit its parameter or
    /// belongs to none, or the learning rate is no number >= 0; else with those parameters unchanged whose state
    /// does not fit.
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
        let module = self.optimizer.step(lr, module, gradients);
        spectral.shared().set_prepared(Prepared::default());
        match spectral.take_refusal() {
            Some(error) => Err(Refused { module, error }),
            None => Ok(module),
        }
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
        for Member { found, .. } in &self.members {
            check_lr(lr.lr_from_param(found.id, Some(&found.name)))
                .map_err(|error| error.for_parameter(&found.name))?;
        }
        let how = (&self.settings, self.pre_clip_factor);
        let Measured { norm, scale } = gradients::prepare(module, gradients, &self.members, &self.spectral, how)?;
        self.norm = norm;
        let Settings { check_finite, pre_clip, .. } = self.settings;
        Ok(Prepared {
            scale,
            finite: check_finite,
            pre_clipped: pre_clip.is_some(),
            clip_factor: Some(self.clip_factor),
        })
    }
}

fn check_factor(operation: &'static str, factor: f64) -> Result<()> {
    if factor > 0.0 && factor.is_finite() {
        return Ok(());
    }
    Err(Error::argument(operation, "factor", factor, "positive and finite"))
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

/// A step that was refused, with the module handed back.
pub struct Refused<M> {
    /// The module.
    pub module: M,
    /// Why.
    pub error: Error,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M> core::error::Error for Refused<M> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<M> From<Refused<M>> for Error {
    fn from(refused: Refused<M>) -> Self {
        refused.error
    }
}
