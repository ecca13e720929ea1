//! The parameters of a plan as burn's own type.

#[cfg(doc)]
use super::SpectralConfig;
use super::blocks::shapes;
use super::hybrid::Member;
use super::role::Target;
use super::state::{Parameter, Typed, refuse};
use super::{Hybrid, Spectral};
use burn::grad_clipping::GradientClipping;
use burn::module::ParamGroup;
use burn::optim::{DynOptimizer, DynState, LearningRate, ModuleOptimizer, StateSink, StateSource};
use burn::tensor::Device;
use burn::tensor::kind::BridgeTensor;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::Config as Settings;

impl Hybrid {
    /// The same optimizer, with its state, as burn's own type, for its learners and records. From then on the two have nothing
    /// in common.
    ///
    /// It finds parameters by their ids or by their paths in the module, so a learner may load a record before or after. Burn's
    /// `step` returns no error: what [`step`](Self::step) refuses, a state that cannot be loaded, and a parameter that the
    /// plan has not, make it **panic** with the error's text, which ends a learner's run (see [`Spectral`]).
    ///
    /// # Errors
    /// With [`clip_norm`](SpectralConfig::clip_norm) or [`require_gradients`](SpectralConfig::require_gradients), as nothing sees
    /// the whole model there; after a step that broke off.
    pub fn optimizer(&self) -> Result<ModuleOptimizer> {
        self.check_whole("optimizer")?;
        let Settings { clip_norm, require_gradients, .. } = self.settings;
        let whole = [("clip_norm", clip_norm.is_some()), ("require_gradients", require_gradients)];
        if let Some((name, _)) = whole.into_iter().find(|(_, set)| *set) {
            let reason = "is set, but under burn's own type nothing sees the gradients of the whole model";
            return Err(Error::new("optimizer", ErrorKind::Name { name: name.into(), reason }));
        }
        let spectral = self.spectral.apart();
        let optimizer = module_optimizer(&spectral, &self.members, self.clipping.as_ref());
        let optimizer = optimizer.load_record(self.optimizer.to_record());
        spectral.shared().take_failed().map_or(Ok(optimizer), Err)
    }
}

/// Burn's own type with one optimizer for each parameter of the plan.
///
/// A parameter is found by its id, or, as loading a module's record gives it another, by its path in the module. One with
/// neither meets an optimizer that refuses it: none falls to a rule that the plan did not give it.
pub(super) fn module_optimizer(
    spectral: &Spectral,
    members: &[Member],
    clipping: Option<&GradientClipping>,
) -> ModuleOptimizer {
    let unplanned = spectral.for_unplanned();
    let base = ModuleOptimizer::from(unplanned.clone());
    let mut optimizer = base.with_group(ParamGroup::all(), Planned(unplanned), None);
    let rules: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(place, member)| Planned(spectral.for_parameter(place, member)))
        .collect();
    // The last group that matches counts.
    for (Member { found, .. }, rule) in members.iter().zip(&rules) {
        optimizer = optimizer.with_group(ParamGroup::from_path(&found.name), rule.clone(), clipping.cloned());
    }
    for (Member { found, .. }, rule) in members.iter().zip(rules) {
        optimizer = optimizer.with_group(ParamGroup::from_ids(vec![found.id]), rule, clipping.cloned());
    }
    optimizer
}

/// A rule that sees what is loaded for it: burn drops a state that cannot be read, and trains on from an empty one.
#[derive(Clone)]
struct Planned(Spectral);

impl DynOptimizer for Planned {
    fn step_dyn(
        &self,
        rank: usize,
        lr: LearningRate,
        tensor: BridgeTensor,
        gradient: BridgeTensor,
        state: Option<DynState>,
    ) -> (BridgeTensor, Option<DynState>) {
        self.0.step_dyn(rank, lr, tensor, gradient, state)
    }

    fn to_device_dyn(&self, state: DynState, device: &Device) -> DynState {
        self.0.to_device_dyn(state, device)
    }

    fn state_flatten(&self, prefix: &str, state: &DynState, out: &mut StateSink) {
        self.0.state_flatten(prefix, state, out);
    }

    /// What cannot be loaded makes the next step fail, by the parameter's name.
    fn state_unflatten(
        &self,
        rank: usize,
        prefix: &str,
        source: &mut StateSource,
        _: &Device,
    ) -> Option<DynState> {
        let target = self.0.target();
        let typed = match target {
            None => Err(refuse("it has a parameter that the plan has not")),
            Some(target) if target.shape.len() != rank => Err(refuse("the parameter has another rank there")),
            Some(Target { assigned: Some(assigned), view, blocks, dtype, .. }) => {
                let shapes = shapes(blocks, (view.rows, view.cols));
                Typed::load(prefix, source, Parameter { assigned, shapes: &shapes, dtype: *dtype })
            }
            Some(_) => Err(refuse("it has a parameter that is frozen here")),
        };
        self.0.shared().load(target.map(|target| target.place), typed.as_ref().map_or(0, Typed::model_step));
        match typed {
            Ok(typed) => typed.of_rank(rank),
            Err(error) => {
                self.0.shared().fail(self.0.named(error));
                None
            }
        }
    }
}
