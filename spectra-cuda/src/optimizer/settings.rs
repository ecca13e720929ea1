//! What can be asked and set between steps.

use super::Optimizer;
use crate::backend::{CudaBackend, CudaElement, CudaScalar};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::{Plan, StateCost, Table};
use spectra_core::optimizer::{Config, Optimizer as Core, StepReport};

impl<E: CudaElement> Optimizer<E> {
    /// Who gets which rule, and why.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// [`plan`](Self::plan) as a printable table, with the bytes of state.
    pub fn plan_table(&self) -> Table<'_, impl StateCost> {
        self.plan.table(&self.core)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        self.core.config()
    }

    /// The backend.
    pub fn backend(&self) -> &CudaBackend<E> {
        self.core.backend()
    }

    /// The core's optimizer: state buffers of single parameters, for diagnostics.
    pub fn core(&self) -> &Core<CudaBackend<E>> {
        &self.core
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.core.steps()
    }

    /// Bytes of state once every parameter has taken a step.
    pub fn state_bytes(&self) -> usize {
        self.core.state_bytes()
    }

    /// The parameters that had no gradient in the last step; frozen ones do not count.
    pub fn missing_gradients(&self) -> impl ExactSizeIterator<Item = &str> {
        self.missing.iter().map(|index| self.plan.entries().get(*index).map_or("", |entry| entry.name()))
    }

    /// The learning rate of the hidden matrices.
    pub fn learning_rate(&self) -> f64 {
        self.core.learning_rate()
    }

    /// Sets the learning rate of the hidden matrices, and that of everything else in proportion. A captured graph keeps
    /// the one it was captured with.
    ///
    /// # Errors
    /// Outside the domain of [`Rates::lr`](spectra_core::optimizer::Rates::lr).
    pub fn set_learning_rate(&mut self, lr: f64) -> Result<()> {
        self.core.set_learning_rate(lr)
    }

    /// From the next step on keeps a [report](Self::report) of each parameter's step.
    pub fn keep_reports(&mut self, keep: bool) {
        self.core.keep_reports(keep);
    }

    /// What the last step of a parameter, or of a [block](spectra_core::optimizer::plan::Block) of one, did: update RMS, captured energy, the factor of
    /// the norm clip; numbers of the device are copied when they are asked for. Whether a tail shrink
    /// [fell back](spectra_core::rules::StepInfo::one_sweep) to its stable form the device does not tell. `None` if it took no part in the step, or reports
    /// are not [kept](Self::keep_reports).
    ///
    /// # Errors
    /// For a name that no parameter, or block of one, has.
    pub fn report(&self, name: &str) -> Result<Option<&StepReport<CudaScalar>>> {
        let index = self.core.parameters().position(|spec| *spec.name == *name);
        let kind = || ErrorKind::Name { name: name.into(), reason: "is not a parameter" };
        Ok(self.core.report(index.ok_or_else(|| Error::new("report", kind()))?))
    }

    /// Sets the factor of the learning rate of a plan's group, by its pattern.
    ///
    /// # Errors
    /// A group from which no parameter has such a factor; a learning rate outside its domain, with the parameter's name.
    pub fn set_group_lr(&mut self, group: &str, factor: f64) -> Result<()> {
        self.core.set_group_lr(group, factor)
    }

    /// Sets the factor of the spectral clip's threshold, from its schedule.
    ///
    /// # Errors
    /// Not positive, or non-finite; a threshold outside its domain.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        self.core.set_clip_factor(factor)
    }

    /// Sets the factor of the pre-clip's threshold, from its schedule.
    ///
    /// # Errors
    /// As [`set_clip_factor`](Self::set_clip_factor).
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        self.core.set_pre_clip_factor(factor)
    }
}
