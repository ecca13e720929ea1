//! The optimizer of a whole model in the caller's buffers.

mod parameter;
mod settings;
mod step;

pub use parameter::{Parameter, Source, Target};

use crate::backend::{CudaBackend, CudaElement, CudaMatrix};
use spectra_core::backend::{Element, Error, ErrorKind, Result};
use spectra_core::optimizer::SavedParameter;
use spectra_core::optimizer::plan::{Block, Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer as Core, RestoreOptions, Restored, Snapshot};
use spectra_core::rules::Rules;
use spectra_core::state::MASTER;

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
        Self::with_rules(backend, config, rules, parameters, Rules::new())
    }

    /// An optimizer with rules of one's own, which the plan's [groups](spectra_core::optimizer::plan::Group::named) name.
    ///
    /// # Errors
    /// As [`new`](Self::new); a rule that `own` has not, and a block that is stored transposed, with the parameter's name: the
    /// blocks are used where they lie, and nothing here turns them.
    pub fn with_rules<'n>(
        backend: CudaBackend<E>,
        config: Config,
        plan: &PlanBuilder,
        parameters: impl IntoIterator<Item = (&'n str, &'n [usize])>,
        own: Rules<CudaBackend<E>>,
    ) -> Result<Self> {
        let plan = plan.build(parameters)?;
        if let Some((_, _, block)) = plan.blocks().find(|(.., block)| block.place().transposed) {
            let what = "a block that is stored in x out (`Split::transposed`; without it the rule sees it as it lies)";
            return Err(Error::new("optimizer", ErrorKind::Unsupported { what }).for_parameter(block.name()));
        }
        let core = Core::with_rules(backend, config, plan.parameters(), own)?;
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
        self.load_snapshot_with(snapshot, &RestoreOptions::default())
    }

    /// [`load_snapshot`](Self::load_snapshot) into a model that has changed: parameters are found by their names, and
    /// `options` say what becomes of those that only one side has. A snapshot in `f32` may be given to an optimizer in `f64`.
    ///
    /// # Errors
    /// As [`load_snapshot`](Self::load_snapshot).
    pub fn load_snapshot_with<F: Element>(
        &mut self,
        snapshot: &Snapshot<F>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored> {
        // What has a master there had weights of 16 bits; here that is seen at the next step only.
        let saved = &snapshot.header().parameters;
        let masters = saved.iter().filter(|saved| saved.buffers.iter().any(|buffer| *buffer.name == *MASTER));
        let name = |saved: &SavedParameter| {
            options.rename.map_or(saved.name.to_string(), |rename| rename(&saved.name))
        };
        let masters: Vec<String> = masters.map(name).collect();
        let here = |(at, _, block): (usize, _, &Block)| {
            masters.iter().any(|name| name == block.name()).then_some(at)
        };
        for at in self.plan.blocks().filter_map(here).collect::<Vec<_>>() {
            self.round(at);
        }
        self.core.load_snapshot_with(snapshot, options)
    }
}
