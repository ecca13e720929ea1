//! The optimizer of a whole model in the caller's buffers.

mod parameter;
mod settings;
mod step;

pub use parameter::{Parameter, Source, Target};

use crate::backend::{CudaBackend, CudaElement, CudaMatrix};
use spectra_core::backend::Result;
use spectra_core::optimizer::plan::{Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer as Core, Snapshot};

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
    /// An invalid setting; those of [`PlanBuilder::build`].
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
    /// Those of the device.
    pub fn snapshot(&self) -> Result<Snapshot<E>> {
        self.core.snapshot()
    }

    /// Restores a [`snapshot`](Self::snapshot), also one of another backend of the same element type: training continues
    /// with the same bits. All or nothing. **Waits** for the device.
    ///
    /// # Errors
    /// [`ErrorKind::State`](spectra_core::backend::ErrorKind::State) for the state of another model or recipe, or a
    /// damaged one.
    pub fn load_snapshot(&mut self, snapshot: &Snapshot<E>) -> Result<()> {
        self.core.load_snapshot(snapshot)
    }
}
