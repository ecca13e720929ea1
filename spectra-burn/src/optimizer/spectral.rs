//! One rule as a burn optimizer.

use super::clip_schedule::ClipSchedule;
pub(super) use super::layout::{View, see, unsee};
use super::role::{Role, Target};
use super::shared::{Arithmetic, Prepared, Shared};
use super::state::{Buffers, SpectralState};
use super::{Orientation, SpectralConfig};
use crate::{BurnBackend, BurnMatrix};
use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{Error, ErrorKind, Gradient, Matrix, Result, Scalar};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{ParameterState, PreClip, Rates, Recipe};
use spectra_core::schedules::ClipThreshold;
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
    spectral: Recipe,
    elementwise: Recipe,
    elementwise_lr_ratio: f64,
    clip_schedule: Option<ClipSchedule>,
    pre_clip: Option<PreClip>,
    orientation: Orientation,
    check_finite: bool,
    role: Role,
    shared: Arc<Shared>,
}

impl Spectral {
    pub(super) fn new(config: &SpectralConfig) -> Self {
        Self {
            spectral: config.spectral,
            elementwise: config.elementwise_recipe(),
            elementwise_lr_ratio: config.elementwise_lr_ratio,
            clip_schedule: config.clip_threshold.map(ClipSchedule),
            pre_clip: config.pre_clip,
            orientation: config.orientation,
            check_finite: config.check_finite,
            role: Role::Group,
            shared: Arc::default(),
        }
    }

    /// The same optimizer for one parameter.
    pub(super) fn for_parameter(&self, place: usize, name: &str, shape: &[usize], view: View) -> Self {
        let target = Target { place, name: name.into(), shape: shape.into(), view };
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

    /// The recipe of a rule; `None` for frozen parameters.
    pub(super) fn recipe(&self, rule: Rule) -> Option<&Recipe> {
        match rule {
            Rule::Spectral => Some(&self.spectral),
            Rule::Elementwise => Some(&self.elementwise),
            Rule::Frozen => None,
        }
    }

    /// The rates of a step under this rule, at the learning rate of the hidden matrices and the model's step, from 1.
    pub(super) fn rates(
        &self,
        rule: Rule,
        lr: LearningRate,
        model_step: u64,
        clip_factor: Option<f64>,
    ) -> Rates {
        let scheduled = match (self.clip_schedule, self.recipe(rule)) {
            (Some(schedule), Some(recipe)) => schedule.factor(recipe, model_step.saturating_sub(1)),
            _ => 1.0,
        };
        Rates {
            lr: if rule == Rule::Elementwise { lr * self.elementwise_lr_ratio } else { lr },
            clip_factor: scheduled * clip_factor.unwrap_or(1.0),
        }
    }

    /// The schedule of the clip threshold, if there is one.
    pub(super) fn clip_threshold(&self) -> Option<ClipThreshold> {
        self.clip_schedule.map(|schedule| schedule.0)
    }

    /// Its parameter's place in the plan and shape, if it is one parameter's.
    pub(super) fn place_and_shape(&self) -> Option<(usize, &[usize])> {
        self.role.target().map(|target| (target.place, &*target.shape))
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
        let Some(recipe) = self.recipe(view.rule) else { return (tensor, state) };
        let backend = BurnBackend::<E>::new(&tensor.device());
        let accepted = check_lr(lr)
            .and_then(|()| recipe.validate::<E>())
            .and_then(|()| state.as_ref().map_or(Ok(()), |state| state.0.check(recipe, E::NAME)))
            .and_then(|()| self.accept(&backend, &tensor, gradient, view, &prepared));
        let (mut weights, gradient) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.refuse(error, &prepared);
                return (tensor, state);
            }
        };
        // `weights` is the only handle now, unless the user has one, and is changed in place.
        drop(tensor);

        let buffers = state.and_then(|state| E::own(state.0)).unwrap_or_else(|| Buffers::new(recipe));
        let Buffers { slots, steps, model_step, rule } = buffers;
        // The step of the model that this one belongs to, from 1.
        let model_step = prepared.model_step.unwrap_or_else(|| {
            let place = self.place_and_shape().map(|(place, _)| place);
            self.shared.clock().step(place, model_step)
        });
        let rates = self.rates(view.rule, lr, model_step, prepared.clip_factor);
        let gradient = match &prepared.scale {
            Some(factor) => Gradient::scaled(&gradient, factor),
            None => Gradient::new(&gradient),
        };
        let mut core = ParameterState { recipe: *recipe, slots, steps };
        let done = self.shared.with_workspace(&backend, |w| core.step(&mut weights, &gradient, rates, w));
        let done = match done {
            // As in the core: nobody asked for the check, and the image of such a matrix is NaN.
            Err(error) if !self.check_finite && matches!(error.kind(), ErrorKind::NonFinite { .. }) => {
                core.steps += 1;
                weights.scale_add(f64::NAN.into(), f64::NAN.into(), gradient.values)
            }
            done => done.map(|_| self.tell_overflow(&weights, &prepared)),
        };
        if let Err(error) = done {
            self.refuse(error, &prepared);
        }
        let buffers =
            Buffers { slots: core.slots, steps: core.steps, model_step, rule: rule.renewed(recipe) };
        (unsee(weights, view, shape, dtype), Some(SpectralState(E::typed(buffers))))
    }

    /// The matrices of a step, checked.
    fn accept<E: Arithmetic, const D: usize>(
        &self,
        backend: &BurnBackend<E>,
        tensor: &Tensor<D>,
        gradient: Tensor<D>,
        view: View,
        prepared: &Prepared,
    ) -> Result<(BurnMatrix<E>, BurnMatrix<E>)> {
        let mut gradient = see(backend, gradient, view)?;
        let mut bound = f64::INFINITY;
        if let Some(clip) = self.pre_clip_of(view.rule)
            && !prepared.pre_clipped
        {
            if self.check_finite && !gradient.max_abs()?.read()?.is_finite() {
                return Err(Error::new("step", ErrorKind::NonFinite { what: "gradient" }));
            }
            gradient = self.shared.with_workspace(backend, |w| clip.apply(&gradient, 1.0, w))?;
            bound = clip.largest_norm(view.rows.min(view.cols), 1.0);
        }
        if self.check_finite
            && !prepared.finite
            && let Some(recipe) = self.recipe(view.rule)
        {
            let norm = gradient.dot(&gradient)?.read()?.sqrt();
            recipe.check_gradient(&gradient, None, bound.min(if norm.is_finite() { norm } else { bound }))?;
        }
        Ok((see(backend, tensor.clone(), view)?, gradient))
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
