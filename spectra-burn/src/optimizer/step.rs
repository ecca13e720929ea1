//! A step of the whole module.

#[cfg(doc)]
use super::SpectralConfig;
use super::hybrid::Member;
use super::overflow::overflow;
use super::present::prepare;
use super::turn::{Outcome, Prepared, Turn};
use super::{Hybrid, Refused};
use crate::BurnScalar;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::GradientsParams;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::linalg::UnitNorm;
use spectra_core::optimizer::StepReport;

impl Hybrid {
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
        self.factors.clip.set = Some(factor);
        Ok(())
    }

    /// Sets a factor of the [pre-clip](SpectralConfig::pre_clip)'s threshold for the steps that follow, beside
    /// [`pre_clip_schedule`](SpectralConfig::pre_clip_schedule).
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        check_factor("set_pre_clip_factor", factor)?;
        self.factors.pre_clip.set = Some(factor);
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
        let lr = lr.into();
        let prepared = match self.prepare(&lr, &module, &mut gradients) {
            Ok(prepared) => prepared,
            Err(error) => return Err(Refused { module, error }),
        };
        let scale = prepared.scale.clone();
        let turn = Turn::begin(spectral.shared(), prepared);
        // Until the step is whole; also if burn panics.
        self.broken = Some("".into());
        self.reports.clear();
        let mut module = self.optimizer.step(lr.clone(), module, gradients);
        if spectral.shared().failure().is_none() {
            match spectral.shared().step_waiting(scale.as_ref()) {
                Ok(None) => {}
                Ok(Some(again)) => module = self.optimizer.step(lr, module, again),
                Err(error) => spectral.shared().fail(error),
            }
        }
        let Outcome { failed, overflowed, reports, .. } = turn.end();
        // Who takes no part in this step has none.
        self.reports = reports;
        if let Some(error) = failed {
            self.broken = error.parameter().map(Into::into).or(Some("".into()));
            return Err(Refused { module, error });
        }
        self.broken = None;
        self.steps += 1;
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

    /// From the next step on keeps a [report](Self::report) of each matrix: two passes over its weights and a temporary of their shape
    /// more, and no wait.
    pub fn keep_reports(&mut self, keep: bool) {
        self.keeps_reports = keep;
        if !keep {
            self.reports.clear();
        }
    }

    /// What the last step of a parameter, or of a [block](spectra_core::optimizer::plan::Block) of one, did, if it took part in it
    /// and [reports are kept](Self::keep_reports).
    pub fn report(&self, name: &str) -> Option<&StepReport<BurnScalar>> {
        self.reports.iter().find(|(known, _)| **known == *name).map(|(_, report)| report)
    }

    pub(super) fn prepare<M: Module>(
        &mut self,
        lr: &ModuleLearningRate,
        module: &M,
        gradients: &mut GradientsParams,
    ) -> Result<Prepared> {
        self.check_whole("step")?;
        let (model_step, clip_factor) = (self.steps + 1, Some(self.factors.clip.value()));
        let mut first = None;
        for Member { found, assigned, .. } in &self.members {
            let Some(assigned) = assigned else { continue };
            let lr = lr.lr_from_param(found.id, Some(&found.name));
            let model = self.spectral.model_rates(lr, clip_factor);
            let rates = assigned.rates(&self.settings, &model, model_step);
            let checked = assigned.validate_rates(found.dtype, rates);
            checked.map_err(|error| error.for_parameter(&found.name))?;
            first.get_or_insert(lr);
        }
        let pre_clip_factor = self.factors.pre_clip.value() * self.spectral.pre_clip_factor(model_step);
        let how = (&self.settings, pre_clip_factor);
        let (measured, missing) = prepare(module, gradients, &self.members, &self.spectral, how)?;
        self.lr = first.unwrap_or(self.lr);
        self.norm = measured.norm;
        self.missing = missing;
        let (scale, keep_reports) = (measured.scale, self.keeps_reports);
        // Burn's clipping would be done again to what stands for a gradient when it comes by for the second time.
        let lockstep = self.clipping.is_none();
        Ok(Prepared {
            scale,
            clip_factor,
            model_step: Some(model_step),
            keep_reports,
            observes: None,
            lockstep,
        })
    }
}

fn check_factor(operation: &'static str, factor: f64) -> Result<()> {
    if factor > 0.0 && factor.is_finite() {
        return Ok(());
    }
    Err(Error::argument(operation, "factor", factor, "positive and finite"))
}
