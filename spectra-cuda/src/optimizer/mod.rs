//! The optimizer of a whole model in the caller's buffers.

mod parameter;
mod settings;
mod step;

pub use parameter::{Parameter, Source, Target};

use crate::backend::{CudaBackend, CudaElement, CudaMatrix};
use spectra_core::backend::Result;
use spectra_core::optimizer::plan::{Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer as Core, Restored, Snapshot};

/// A spectral optimizer for weights and gradients in device memory.
///
/// See the [crate's front page](crate) for an example. A step is queued on the backend's stream and returns at once, with
/// one exception: [`Config::check_finite`], which is on by default, waits for one number.
#[derive(Debug)]
pub struct Optimizer<E: CudaElement> {
    plan: Plan,
    core: Core<CudaBackend<E>>,
    /// Gradients in bf16 that products need, widened, by parameter index; kept between steps.
    widened: Vec<(usize, CudaMatrix<E>)>,
    missing: Vec<usize>,
}

impl<E: CudaElement> Optimizer<E> {
    /// An optimizer for parameters with these names and shapes; a saved state belongs to these names in this order.
    /// Names and shapes decide who gets which rule ([`plan`](spectra_core::optimizer::plan)).
    ///
    /// # Errors
    /// An invalid setting; no parameter that is to be trained; those of [`PlanBuilder::build`].
    pub fn new<'n>(
        backend: CudaBackend<E>,
        config: Config,
        rules: &PlanBuilder,
        parameters: impl IntoIterator<Item = (&'n str, &'n [usize])>,
    ) -> Result<Self> {
        let plan = rules.build(parameters)?;
        let core = Core::new(backend, config, plan.parameters())?;
        Ok(Self { plan, core, widened: Vec::new(), missing: Vec::new() })
    }

    /// The whole state, copied to the host, for any serde format. **Waits** for the device.
    ///
    /// # Errors
    /// A NaN or an infinity in the state, naming the parameter; an earlier step that failed half-way; those of the device.
    pub fn snapshot(&self) -> Result<Snapshot<E>> {
        self.core.snapshot()
    }

    /// Restores a [`snapshot`](Self::snapshot), also one of another backend of the same element type or of release 0.1; under the same
    /// settings training continues with the same bits. All or nothing. **Waits** for the device.
    ///
    /// Step counts and buffers become the saved ones. Everything that is set stays as it is set here: learning rates, weight decay,
    /// clips and the rest of the recipes; what was another in the saved run is returned. The factors of the clip thresholds become
    /// the saved run's unless they have been set here. A schedule goes on at [`steps`](Self::steps).
    ///
    /// # Errors
    /// [`ErrorKind::State`](spectra_core::backend::ErrorKind::State) for the state of another model or recipe, or a
    /// damaged one.
    pub fn load_snapshot(&mut self, snapshot: &Snapshot<E>) -> Result<Restored> {
        self.core.load_snapshot(snapshot)
    }
}
