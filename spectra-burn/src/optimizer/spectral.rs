//! One rule as a burn optimizer.

use super::shared::{Arithmetic, Prepared, Shared};
use super::state::{Buffers, SpectralState, rule_hash};
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
/// **Refusals.** Burn's `step` returns no error. A gradient with a NaN or an infinity, a negative learning rate or a state
/// of another rule leaves
/// weights and state of that parameter as they were, and [`take_refusal`](Self::take_refusal) of any clone tells it.
/// [`Hybrid::step`](crate::Hybrid::step) returns it.
#[derive(Clone, Debug)]
pub struct Spectral {
    spectral: Recipe,
    elementwise: Recipe,
    elementwise_lr_ratio: f64,
    clip_threshold: Option<ClipThreshold>,
    pre_clip: Option<PreClip>,
    orientation: Orientation,
    check_finite: bool,
    target: Option<Arc<Target>>,
    shared: Arc<Shared>,
}

/// A named parameter and what a plan decided for it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: Box<str>,
    pub(super) view: View,
}

/// The matrix seen in a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) rule: Rule,
    /// Output features.
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Whether it is stored `cols x rows`.
    pub(super) transposed: bool,
}

impl Spectral {
    pub(super) fn new(config: &SpectralConfig) -> Self {
        Self {
            spectral: config.spectral,
            elementwise: config.elementwise_recipe(),
            elementwise_lr_ratio: config.elementwise_lr_ratio,
            clip_threshold: config.clip_threshold,
            pre_clip: config.pre_clip,
            orientation: config.orientation,
            check_finite: config.check_finite,
            target: None,
            shared: Arc::default(),
        }
    }

    /// The same optimizer for one parameter.
    pub(super) fn for_parameter(&self, name: &str, view: View) -> Self {
        Self { target: Some(Arc::new(Target { name: name.into(), view })), ..self.clone() }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The first refusal since the last call, of this optimizer and all its clones.
    pub fn take_refusal(&self) -> Option<Error> {
        self.shared.take_refused()
    }

    /// The recipe of a rule; `None` for frozen parameters.
    pub(super) fn recipe(&self, rule: Rule) -> Option<&Recipe> {
        match rule {
            Rule::Spectral => Some(&self.spectral),
            Rule::Elementwise => Some(&self.elementwise),
            Rule::Frozen => None,
        }
    }

    /// What is seen in a parameter of this shape.
    fn view(&self, shape: &[usize]) -> View {
        if let Some(target) = &self.target {
            return target.view;
        }
        let (first, rest) =
            shape.split_first().map_or((1, 1), |(first, rest)| (*first, rest.iter().product()));
        if first <= 1 || rest <= 1 {
            return View { rule: Rule::Elementwise, rows: 1, cols: first * rest, transposed: false };
        }
        let rule = Rule::Spectral;
        if shape.len() == 2 && self.orientation == Orientation::InByOut {
            return View { rule, rows: rest, cols: first, transposed: true };
        }
        View { rule, rows: first, cols: rest, transposed: false }
    }

    /// A step in `E`.
    fn step_in<E: Arithmetic, const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SpectralState<D>>,
    ) -> (Tensor<D>, Option<SpectralState<D>>) {
        let (shape, dtype) = (tensor.dims(), tensor.dtype());
        let view = self.view(&shape);
        let Some(recipe) = self.recipe(view.rule) else { return (tensor, state) };
        let backend = BurnBackend::<E>::new(&tensor.device());
        let prepared = self.shared.prepared();
        let accepted = check_lr(lr)
            .and_then(|()| check_state(state.as_ref(), recipe, E::NAME))
            .and_then(|()| self.accept(&backend, &tensor, gradient, view, &prepared));
        let (mut weights, gradient) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.refuse(error);
                return (tensor, state);
            }
        };
        // `weights` is the only handle now, unless the user has one, and is changed in place.
        drop(tensor);

        let buffers = state.and_then(|state| E::own(state.0)).unwrap_or_else(|| Buffers::new(recipe));
        let Buffers { slots, steps, rule } = buffers;
        let is_elementwise = view.rule == Rule::Elementwise;
        let scheduled = self.clip_threshold.map_or(1.0, |threshold| threshold.factor(steps));
        let rates = Rates {
            lr: if is_elementwise { lr * self.elementwise_lr_ratio } else { lr },
            clip_factor: scheduled * prepared.clip_factor.unwrap_or(1.0),
        };
        let gradient = match &prepared.scale {
            Some(factor) => Gradient::scaled(&gradient, factor),
            None => Gradient::new(&gradient),
        };
        let mut core = ParameterState { recipe: *recipe, slots, steps };
        let done = self.shared.with_workspace(&backend, |w| core.step(&mut weights, &gradient, rates, w));
        if let Err(error) = done {
            self.refuse(error);
        }
        let buffers = Buffers { slots: core.slots, steps: core.steps, rule };
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

    fn refuse(&self, error: Error) {
        self.shared.refuse(match &self.target {
            Some(target) => error.for_parameter(&target.name),
            None => error,
        });
    }
}

/// An error unless it is a learning rate.
pub(super) fn check_lr(lr: LearningRate) -> Result<()> {
    if lr >= 0.0 && lr.is_finite() {
        return Ok(());
    }
    Err(Error::argument("step", "lr", lr, "non-negative and finite"))
}

/// An error unless the state is one of this recipe and arithmetic.
fn check_state<const D: usize>(
    state: Option<&SpectralState<D>>,
    recipe: &Recipe,
    element: &'static str,
) -> Result<()> {
    let refuse = |reason| Err(Error::new("step", ErrorKind::State { reason }));
    match state {
        Some(SpectralState(typed)) if typed.rule() != rule_hash(recipe) => refuse("it is of another rule"),
        Some(SpectralState(typed)) if typed.element() != element => {
            refuse("it holds numbers of another type")
        }
        _ => Ok(()),
    }
}

/// The matrix of a parameter or its gradient.
pub(super) fn see<E: Arithmetic, const D: usize>(
    backend: &BurnBackend<E>,
    tensor: Tensor<D>,
    view: View,
) -> Result<BurnMatrix<E>> {
    let View { rows, cols, .. } = view;
    if view.transposed {
        return backend.transposed(tensor, (rows, cols));
    }
    backend.matrix(tensor, (rows, cols))
}

/// The parameter again, of its shape and type.
pub(super) fn unsee<E: Arithmetic, const D: usize>(
    matrix: BurnMatrix<E>,
    view: View,
    shape: [usize; D],
    dtype: DType,
) -> Tensor<D> {
    let tensor = matrix.into_tensor();
    let tensor = if view.transposed { tensor.transpose() } else { tensor };
    let tensor = if tensor.dtype() == dtype { tensor } else { tensor.cast(dtype) };
    let same_shape = tensor.dims().as_slice() == shape.as_slice();
    if same_shape { Tensor::from_bridge(tensor.into_bridge()) } else { tensor.reshape(shape) }
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
