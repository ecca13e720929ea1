//! The optimizer of a whole model in the caller's buffers.

mod diagnose;
mod graphs;
mod parameter;
mod settings;
mod step;

pub use parameter::{Parameter, Source, Target};

use crate::backend::{CudaBackend, CudaElement};
use crate::checked::Graphs;
use spectra_core::backend::{Element, Result};
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::SavedParameter;
use spectra_core::optimizer::plan::{Block, Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer as Core, RestoreOptions, Restored, Snapshot};
use spectra_core::rules::Rules;
use spectra_core::state::MASTER;
use std::path::Path;

/// A spectral optimizer for weights and gradients in device memory.
///
/// See the [crate's front page](crate) for an example. A step is queued on the backend's stream and returns at once, with
/// one exception: [`Config::check_finite`], which is on by default, waits for one number.
#[derive(Debug)]
pub struct Optimizer<E: CudaElement> {
    graphs: Option<Graphs>,
    plan: Plan,
    core: Core<CudaBackend<E>>,
    /// Memory for copies of what is stored otherwise than the rules want it; kept between steps.
    copies: Workspace<CudaBackend<E>>,
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
    /// As [`new`](Self::new); a rule that `own` has not, with the parameter's name.
    pub fn with_rules<'n>(
        backend: CudaBackend<E>,
        config: Config,
        plan: &PlanBuilder,
        parameters: impl IntoIterator<Item = (&'n str, &'n [usize])>,
        own: Rules<CudaBackend<E>>,
    ) -> Result<Self> {
        let plan = plan.build(parameters)?;
        let copies = Workspace::new(backend.clone());
        let core = Core::with_rules(backend, config, plan.parameters(), own)?;
        Ok(Self { graphs: None, plan, core, copies, missing: Vec::new() })
    }

    /// Writes the state to a safetensors file, which `spectra-candle`, `spectra-burn` and the core read as well; a kill at any moment
    /// leaves the old file whole, or the new one. **Waits** for the device.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); those of the file system, with the path. The old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.core.save(path)
    }

    /// Restores what [`save`](Self::save) wrote, here or in another front-end, or candle's in release 0.1; see
    /// [`load_snapshot`](Self::load_snapshot).
    ///
    /// # Errors
    /// As [`load_snapshot`](Self::load_snapshot); a file that is no state, a truncated or damaged one, naming the parameter if it is a
    /// buffer of one; those of the file system, with the path.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<Restored> {
        self.load_with(path, &RestoreOptions::default())
    }

    /// [`load`](Self::load) into a model that has changed; see [`load_snapshot_with`](Self::load_snapshot_with).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(&mut self, path: impl AsRef<Path>, options: &RestoreOptions<'_>) -> Result<Restored> {
        self.load_snapshot_with(&Snapshot::<E>::load(path)?, options)
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
