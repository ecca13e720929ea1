//! One rule as a burn optimizer.

use super::assigned::Assigned;
use super::gradients::{Checked, Seen, check};
use super::hybrid::Member;
pub(super) use super::layout::{View, see, unsee};
use super::observe::Looker;
use super::one_step::OneStep;
use super::role::{Role, Target};
use super::shared::{Arithmetic, Shared};
use super::state::{Buffers, SpectralState};
use super::turn::Prepared;
use super::{Orientation, SpectralConfig};
use crate::{BurnBackend, BurnMatrix};
use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{Error, Matrix, Result};
use spectra_core::optimizer::plan::{Block, Rule};
use spectra_core::optimizer::policy::{ModelRates, StepOptions};
use spectra_core::optimizer::{BlockState, Config as Settings};
use std::sync::Arc;

/// An optimizer of this library as burn's [`Optimizer`]: for one parameter group, or, by
/// [`SpectralConfig::init`], for a whole module.
///
/// Matrices take the spectral rule; scalars, vectors and matrices of one row or column the elementwise one; with
/// three dimensions and more a parameter is the matrix `first x (the rest)`. bf16, f16 and f32 weights are updated in
/// f32 arithmetic, f64 weights in f64. Scalars and vectors are not decayed unless
/// [`decay_vectors`](SpectralConfig::decay_vectors) is set.
///
/// # Panics
/// Burn's `step` returns no error, so it **panics** with the error's text at a gradient with a NaN or an infinity, a negative
/// learning rate, or a state of another rule: a run stops instead of training on without the parameter, which is as it was.
/// Every later step panics with the same text: parameters before it have moved. [`Hybrid::step`](crate::Hybrid::step) returns errors.
/// The same when a finite update takes 16-bit weights out of their range, which it says: by then these have moved, too.
#[derive(Clone, Debug)]
pub struct Spectral {
    settings: Settings,
    spectral: Assigned,
    elementwise: Assigned,
    /// Of parameters with one dimension or none, where only shapes are known.
    vector: Assigned,
    orientation: Orientation,
    role: Role,
    shared: Arc<Shared>,
    /// Whether the CPU device is treated as any other.
    by_tensor_operations: bool,
}

impl Spectral {
    pub(super) fn new(config: &SpectralConfig) -> Self {
        let settings = config.settings();
        let spectral = Assigned::new(settings.spectral, Rule::Spectral, settings.rounding);
        let elementwise = Assigned::new(settings.elementwise, Rule::Elementwise, settings.rounding);
        let vector = elementwise.clone();
        let vector = if config.decay_vectors == Some(true) { vector } else { vector.without_decay() };
        let (orientation, role, shared) = (config.orientation, Role::Group, Arc::default());
        let by_tensor_operations = false;
        Self { settings, spectral, elementwise, vector, orientation, role, shared, by_tensor_operations }
    }

    /// The same optimizer for one parameter.
    pub(super) fn for_parameter(&self, place: usize, member: &Member) -> Self {
        let Member { found, view, blocks, assigned } = member.clone();
        let (id, name, shape, dtype) = (found.id, found.name.into(), found.shape.into(), found.dtype);
        let target = Target { place, id, name, shape, dtype, view, blocks, assigned };
        Self { role: Role::Parameter(Arc::new(target)), ..self.clone() }
    }

    /// The same optimizer for parameters that a plan has not.
    pub(super) fn for_unplanned(&self) -> Self {
        Self { role: Role::Unplanned, ..self.clone() }
    }

    /// The same optimizer with temporaries and counts of its own.
    pub(super) fn apart(&self) -> Self {
        Self { shared: Arc::default(), ..self.clone() }
    }

    /// The same optimizer, to which the CPU device is as any other.
    pub(super) fn by_tensor_operations(&self) -> Self {
        Self { by_tensor_operations: true, ..self.apart() }
    }

    /// The backend on a device.
    pub(super) fn backend<E: Arithmetic>(&self, device: &Device) -> BurnBackend<E> {
        if self.by_tensor_operations {
            BurnBackend::by_tensor_operations(device)
        } else {
            BurnBackend::new(device)
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the configuration has for parameters under this rule; `None` for frozen ones.
    pub(super) fn of_rule(&self, rule: Rule) -> Option<&Assigned> {
        match rule {
            Rule::Spectral => Some(&self.spectral),
            Rule::Elementwise => Some(&self.elementwise),
            Rule::Frozen => None,
        }
    }

    /// What a parameter of this rank that is seen so is stepped with.
    fn assigned(&self, view: View, rank: usize) -> Option<&Assigned> {
        match self.role.target() {
            Some(target) => target.assigned.as_ref(),
            None if rank <= 1 => Some(&self.vector),
            None => self.of_rule(view.rule),
        }
    }

    /// Its parameter, if it is one parameter's.
    pub(super) fn target(&self) -> Option<&Target> {
        self.role.target().map(|target| &**target)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The factor of the pre-clip's threshold at the model's step, from 1.
    pub(super) fn pre_clip_factor(&self, model_step: u64) -> f64 {
        self.settings.pre_clip_schedule.map_or(1.0, |schedule| schedule.factor(model_step.saturating_sub(1)))
    }

    /// The rates of the model at this learning rate of the hidden matrices.
    pub(super) fn model_rates(&self, lr: LearningRate, clip_factor: Option<f64>) -> ModelRates {
        let elementwise_ratio = self.settings.elementwise_lr.unwrap_or(1.0);
        ModelRates { lr, elementwise_ratio, clip_factor: clip_factor.unwrap_or(1.0) }
    }

    /// A step in `E`.
    fn step_in<E: Arithmetic, const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SpectralState<D>>,
    ) -> (Tensor<D>, Option<SpectralState<D>>) {
        let prepared = self.shared.prepared();
        if let Some(failure) = self.shared.failure() {
            // Nothing moves after the first error; burn's own type hears of it at every step.
            assert!(prepared.model_step.is_some(), "{failure}");
            return (tensor, state);
        }
        let (shape, dtype) = (tensor.dims(), tensor.dtype());
        let view = match self.role.view(&shape, self.orientation) {
            Ok(view) => view,
            Err(error) => {
                self.refuse(error, &prepared);
                return (tensor, state);
            }
        };
        let Some(assigned) = self.assigned(view, D) else { return (tensor, state) };
        if prepared.lockstep
            && let Some(target) = self.target()
            && let Some((weights, buffers)) = self.shared.take_done::<E>(target.place)
        {
            return (unsee(weights, view, shape, dtype), Some(SpectralState(E::typed(buffers))));
        }
        // The step of the model that this one belongs to, from 1.
        let model_step = prepared.model_step.unwrap_or_else(|| {
            let place = self.target().map(|target| target.place);
            self.shared.clock().step(place, state.as_ref().map_or(0, |state| state.0.model_step()))
        });
        let (backend, rule) = (self.backend::<E>(&tensor.device()), assigned.rule::<E>());
        let rates = assigned.rates(&self.settings, &self.model_rates(lr, prepared.clip_factor), model_step);
        let accepted = rates
            .validate(rule)
            .and_then(|()| rule.validate())
            .and_then(|()| state.as_ref().map_or(Ok(()), |state| state.0.check(rule)))
            .and_then(|()| self.accept(&backend, (gradient, view), assigned, model_step, &prepared))
            .and_then(|gradient| Ok((see(&backend, tensor.clone(), view)?, gradient)));
        let (weights, gradient) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.refuse(error, &prepared);
                return (tensor, state);
            }
        };
        if let Some(names) = &prepared.observes {
            let parameter = (self.name().unwrap_or_default(), self.blocks());
            let buffers = state.clone().and_then(|state| E::own(state.0));
            let looker = Looker {
                shared: &self.shared,
                backend: &backend,
                rule,
                rates,
                scale: prepared.scale.as_ref(),
            };
            if let Err(error) = looker.look(names, parameter, (weights, gradient), buffers) {
                self.refuse(error, &prepared);
            }
            return (tensor, state);
        }
        let mut buffers = state.and_then(|state| E::own(state.0)).unwrap_or_else(|| Buffers::new(rule));
        let blocks = self.blocks();
        if self.by_tensor_operations {
            // What was loaded lies in memory.
            buffers = buffers.on(&backend);
        }
        buffers.blocks.resize_with(blocks.len().max(1), BlockState::default);
        (buffers.model_step, buffers.rule) = (model_step, buffers.rule.renewed(rule));
        let (check_finite, keep_report) = (self.settings.check_finite, prepared.keep_reports);
        let options = StepOptions { rates, check_finite, keep_report };
        let (shared, scale) = (&*self.shared, prepared.scale.as_ref());
        let step = OneStep { shared, assigned, backend: &backend, dtype, options, scale };
        if let Some(target) = self.role.target().filter(|_| prepared.lockstep)
            && step.can_wait(target, &buffers)
        {
            // Its place is kept; what is in it comes with the weights.
            let place = Buffers { blocks: Vec::new(), ..buffers };
            let buffers = Buffers { blocks: buffers.blocks, ..place };
            if let Err(error) = step.wait(target, &tensor, (weights, gradient), buffers) {
                self.refuse(error, &prepared);
            }
            return (tensor, Some(SpectralState(E::typed(place))));
        }
        // `weights` is the only handle now, unless the user has one, and is changed in place.
        drop(tensor);
        let mut weights = weights;
        let (weights, outcome) = match (blocks, &mut buffers.blocks[..]) {
            ([], [state]) => {
                let outcome = step.apply(self.name().unwrap_or_default(), &mut weights, &gradient, state);
                (weights.into_tensor(), outcome)
            }
            (blocks, states) => step.apply_to_blocks(weights, gradient, (blocks, states)),
        };
        match outcome {
            Ok(true) => self.tell_overflow(&prepared),
            Ok(false) => {}
            Err(error) => self.refuse(error, &prepared),
        }
        (unsee(weights, view, shape, dtype), Some(SpectralState(E::typed(buffers))))
    }

    /// The gradient of a step; under burn's own type checked and clipped, as nothing has seen it before.
    fn accept<E: Arithmetic, const D: usize>(
        &self,
        backend: &BurnBackend<E>,
        (gradient, view): (Tensor<D>, View),
        assigned: &Assigned,
        model_step: u64,
        prepared: &Prepared,
    ) -> Result<BurnMatrix<E>> {
        let gradient = see(backend, gradient, view)?;
        if prepared.model_step.is_some() {
            return Ok(gradient);
        }
        let how = (&self.settings, self.pre_clip_factor(model_step), false);
        let seen = Seen::new((0, None), (assigned, self.blocks()), (backend, gradient.clone()), how.0, &[])?;
        let seen = [seen];
        let Checked { replaced, .. } = check(&self.shared, how, E::both(&seen))?;
        match replaced.into_iter().next() {
            Some((_, replaced)) => backend.matrix(replaced, gradient.shape()),
            None => Ok(gradient),
        }
    }

    /// The matrices in its parameter; none if it is one.
    fn blocks(&self) -> &[Block] {
        self.target().map_or(&[], |target| &target.blocks)
    }

    /// Keeps the error of a step; under burn's own type, which has no place for it, a panic.
    pub(super) fn refuse(&self, error: Error, prepared: &Prepared) {
        let error = self.named(error);
        let text = error.to_string();
        self.shared.fail(error);
        if prepared.model_step.is_none() {
            panic!("{text}");
        }
    }

    /// The error with the parameter's name, if it is known.
    pub(super) fn named(&self, error: Error) -> Error {
        match self.name() {
            Some(name) => error.for_parameter(name),
            None => error,
        }
    }

    /// The parameter's name, if it is known.
    pub(super) fn name(&self) -> Option<&str> {
        self.role.target().map(|target| &*target.name)
    }
}

impl Optimizer for Spectral {
    type State<const D: usize> = SpectralState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        match tensor.dtype() {
            DType::F64 => self.step_in::<f64, D>(lr, tensor, grad, state),
            _ => self.step_in::<f32, D>(lr, tensor, grad, state),
        }
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        SpectralState(state.0.moved_to(device))
    }
}
