//! One rule as a burn optimizer.

use super::assigned::{Assigned, scheduled};
use super::blocks::{cut, paste, rank};
use super::hybrid::Member;
pub(super) use super::layout::{View, see, unsee};
use super::one_step::{OneStep, Stepped};
use super::role::{Role, Target};
use super::shared::{Arithmetic, Prepared, Shared};
use super::state::{Buffers, SpectralState};
use super::{Orientation, SpectralConfig};
use crate::{BurnBackend, BurnMatrix};
use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{Error, ErrorKind, Gradient, Matrix, Result, Scalar};
use spectra_core::optimizer::PreClip;
use spectra_core::optimizer::plan::{Block, Rule};
use spectra_core::rules::{UpdateRule, check_gradient};
use spectra_core::schedules::ClipSchedule;
use spectra_core::state::State;
use std::sync::Arc;

/// An optimizer of this library as burn's [`Optimizer`]: for one parameter group, or, by
/// [`SpectralConfig::init`], for a whole module.
///
/// Matrices take the spectral rule; scalars, vectors and matrices of one row or column the elementwise one; with
/// three dimensions and more a parameter is the matrix `first x (the rest)`. bf16, f16 and f32 weights are updated in
/// f32 arithmetic, f64 weights in f64.
///
/// # Panics
/// Burn's `step` returns no error, so it **panics** with the error's text at a gradient with a NaN or an infinity, a negative
/// learning rate, or a state of another rule: a run stops instead of training on without the parameter, which is as it was.
/// Every later step panics with the same text: parameters before it have moved. [`Hybrid::step`](crate::Hybrid::step) returns errors.
/// The same when a finite update takes 16-bit weights out of their range, which it says: by then these have moved, too.
#[derive(Clone, Debug)]
pub struct Spectral {
    spectral: Assigned,
    elementwise: Assigned,
    pre_clip: Option<PreClip>,
    pre_clip_schedule: Option<ClipSchedule>,
    orientation: Orientation,
    pub(super) check_finite: bool,
    role: Role,
    shared: Arc<Shared>,
}

impl Spectral {
    pub(super) fn new(config: &SpectralConfig) -> Self {
        let (clip, rounding) = (config.clip_schedule, config.rounding.unwrap_or_default());
        Self {
            spectral: Assigned::new(config.spectral, 1.0, clip, rounding),
            elementwise: Assigned::new(
                config.elementwise_method(),
                config.elementwise_lr_ratio,
                clip,
                rounding,
            ),
            pre_clip: config.pre_clip,
            pre_clip_schedule: config.pre_clip_schedule,
            orientation: config.orientation,
            check_finite: config.check_finite,
            role: Role::Group,
            shared: Arc::default(),
        }
    }

    /// The same optimizer for one parameter.
    pub(super) fn for_parameter(&self, place: usize, member: &Member) -> Self {
        let Member { found, view, blocks, assigned } = member.clone();
        let (name, shape, dtype) = (found.name.into(), found.shape.into(), found.dtype);
        let target = Target { place, name, shape, dtype, view, blocks, assigned };
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

    /// What a parameter that is seen so is stepped with.
    fn assigned(&self, view: View) -> Option<&Assigned> {
        self.role.target().map_or_else(|| self.of_rule(view.rule), |target| target.assigned.as_ref())
    }

    /// Its parameter, if it is one parameter's.
    pub(super) fn target(&self) -> Option<&Target> {
        self.role.target()
    }

    /// The factor of the pre-clip's threshold at the model's step, from 1.
    pub(super) fn pre_clip_factor(&self, model_step: u64) -> f64 {
        scheduled(self.pre_clip_schedule, model_step)
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
        let Some(assigned) = self.assigned(view) else { return (tensor, state) };
        // The step of the model that this one belongs to, from 1.
        let model_step = prepared.model_step.unwrap_or_else(|| {
            let place = self.target().map(|target| target.place);
            self.shared.clock().step(place, state.as_ref().map_or(0, |state| state.0.model_step()))
        });
        let (backend, rule) = (BurnBackend::<E>::new(&tensor.device()), assigned.rule::<E>());
        let accepted = check_lr(lr)
            .and_then(|()| rule.validate())
            .and_then(|()| state.as_ref().map_or(Ok(()), |state| state.0.check(rule)))
            .and_then(|()| self.accept(&backend, gradient, view, rule, model_step, &prepared))
            .and_then(|gradient| Ok((see(&backend, tensor.clone(), view)?, gradient)));
        let (mut weights, gradient) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.refuse(error, &prepared);
                return (tensor, state);
            }
        };
        // `weights` is the only handle now, unless the user has one, and is changed in place.
        drop(tensor);

        let buffers = state.and_then(|state| E::own(state.0)).unwrap_or_else(|| Buffers::new(rule));
        let rates = assigned.rates(lr, model_step, prepared.clip_factor);
        let gradient = match &prepared.scale {
            Some(factor) => Gradient::scaled(&gradient, factor),
            None => Gradient::new(&gradient),
        };
        let Buffers { mut states, mut steps, rule: written, .. } = buffers;
        let blocks = self.target().map_or(&[][..], |target| &target.blocks);
        states.resize_with(blocks.len().max(1), State::default);
        let step = OneStep { optimizer: self, assigned, backend: &backend, dtype, rates };
        let outcome = match (blocks, &mut states[..]) {
            ([], [state]) => step.apply(&mut weights, &gradient, (state, steps)),
            (blocks, states) => step.apply_to_blocks(&mut weights, &gradient, (blocks, states, steps)),
        };
        steps += u64::from(outcome.is_ok());
        match outcome {
            Ok(Stepped::Overflowed) => self.tell_overflow(&prepared),
            Ok(Stepped::Whole | Stepped::NotFinite) => {}
            Err(error) => self.refuse(error, &prepared),
        }
        let buffers = Buffers { states, steps, model_step, rule: written.renewed(rule) };
        (unsee(weights, view, shape, dtype), Some(SpectralState(E::typed(buffers))))
    }

    /// The gradient of a step, checked, and clipped if it has not been.
    fn accept<E: Arithmetic, const D: usize>(
        &self,
        backend: &BurnBackend<E>,
        gradient: Tensor<D>,
        view: View,
        rule: &dyn UpdateRule<BurnBackend<E>>,
        model_step: u64,
        prepared: &Prepared,
    ) -> Result<BurnMatrix<E>> {
        let mut gradient = see(backend, gradient, view)?;
        let mut bound = f64::INFINITY;
        if let Some(clip) = self.pre_clip_of(view.rule)
            && !prepared.pre_clipped
        {
            if self.check_finite && !gradient.max_abs()?.read()?.is_finite() {
                return Err(Error::new("step", ErrorKind::NonFinite { what: "gradient" }));
            }
            let factor = self.pre_clip_factor(model_step);
            let blocks = self.target().map_or(&[][..], |target| &target.blocks);
            gradient = self.clip(clip, backend, &gradient, (blocks, factor))?;
            bound = clip.largest_norm(rank(blocks, (view.rows, view.cols)), factor);
        }
        if self.check_finite && !prepared.finite {
            let norm = gradient.dot(&gradient)?.read()?.sqrt();
            check_gradient(rule, &gradient, None, bound.min(if norm.is_finite() { norm } else { bound }))?;
        }
        Ok(gradient)
    }

    /// The gradient clipped, block by block.
    pub(super) fn clip<E: Arithmetic>(
        &self,
        clip: &PreClip,
        backend: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        (blocks, factor): (&[Block], f64),
    ) -> Result<BurnMatrix<E>> {
        if blocks.is_empty() {
            return self.shared.with_workspace(backend, |w| clip.apply(gradient, factor, w));
        }
        let mut whole = gradient.clone().into_tensor();
        for block in blocks {
            let part = cut(backend, &whole, block)?;
            let part = self.shared.with_workspace(backend, |w| clip.apply(&part, factor, w))?;
            whole = paste(whole, part, block);
        }
        backend.matrix(whole, gradient.shape())
    }

    /// The pre-clip of gradients under this rule.
    pub(super) fn pre_clip_of(&self, rule: Rule) -> Option<&PreClip> {
        self.pre_clip.as_ref().filter(|clip| clip.concerns(rule))
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

/// An error unless it is a learning rate.
fn check_lr(lr: LearningRate) -> Result<()> {
    if lr >= 0.0 && lr.is_finite() {
        return Ok(());
    }
    Err(Error::argument("step", "lr", lr, "non-negative and finite"))
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
