//! What a user sets: two rules, two learning rates, the safety switches.

use super::PreClip;
use super::plan::Rule;
use crate::backend::{Element, Error, ErrorKind, Result, domain, require};
use crate::dense::Dense;
use crate::rules::{Method, Rates, Recipe, Rounding};
use crate::schedules::{ClipSchedule, LearningRateSchedule};

/// The settings of an [`Optimizer`](super::Optimizer).
///
/// ```
/// use spectra_core::optimizer::Config;
///
/// let config = Config::preset("spectra")?.lr(0.01).elementwise_lr(3e-3).weight_decay(0.1);
/// assert!(Config::preset("spectre").is_err());
/// assert!(config.lr(f64::NAN).validate::<f32>().is_err());
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Config {
    /// The rule of hidden matrices.
    pub spectral: Method,
    /// The rule of everything else: embeddings, heads, vectors.
    pub elementwise: Method,
    /// Learning rate of the hidden matrices: see [`Rates::lr`].
    pub lr: f64,
    /// Learning rate of everything else, likewise; `None`: the same. Setting the learning rate later scales both.
    pub elementwise_lr: Option<f64>,
    /// All gradients are multiplied by `min(1, clip_norm / (||G|| + 1e-6))`, with the norm over all parameters
    /// that are not frozen (PyTorch's `clip_grad_norm_`). Positive with a square that is in range: in `f32` from 1.1e-19 to
    /// 9.2e18. `None`: off. Finite entries of any size are clipped rightly.
    pub clip_norm: Option<f64>,
    /// Spectral clipping of the raw gradients, before the norm clip. `None`: off.
    pub pre_clip: Option<PreClip>,
    /// Refuse a step if any gradient holds a NaN or an infinity, or is larger after the clips than its rule's state can hold
    /// ([`UpdateRule::gradient_limits`](crate::rules::UpdateRule::gradient_limits)), before anything has changed. On a device this reads one number per step, that is, it
    /// **waits**. Without it such a gradient ends in the weights.
    pub check_finite: bool,
    /// Refuse a step in which a parameter that is not frozen has no gradient, before anything has changed. Off: it is left
    /// alone, and told by the framework's `missing_gradients`. A step in which no parameter has one is always refused.
    #[cfg_attr(feature = "serde", serde(default))]
    pub require_gradients: bool,
    /// Factor of all learning rates at each step of the model; `None`: 1.
    #[cfg_attr(feature = "serde", serde(default))]
    pub lr_schedule: Option<LearningRateSchedule>,
    /// Factor of the clips' thresholds at each step of the model; `None`: 1. A group may have another.
    #[cfg_attr(feature = "serde", serde(default))]
    pub clip_schedule: Option<ClipSchedule>,
    /// Factor of the pre-clip's threshold at each step of the model; `None`: 1.
    #[cfg_attr(feature = "serde", serde(default))]
    pub pre_clip_schedule: Option<ClipSchedule>,
    /// How weights of 16 bits take an update.
    #[cfg_attr(feature = "serde", serde(default))]
    pub rounding: Rounding,
    /// A setting that was asked for and that no rule has: refused by [`validate`](Self::validate).
    #[cfg_attr(
        feature = "serde",
        serde(skip_deserializing, skip_serializing_if = "Option::is_none", serialize_with = "refuse_misfit")
    )]
    pub(super) misfit: Option<&'static str>,
}

/// A configuration that is refused cannot be written: read again it would pass.
#[cfg(feature = "serde")]
fn refuse_misfit<S: serde::Serializer>(
    misfit: &Option<&'static str>,
    _: S,
) -> core::result::Result<S::Ok, S::Error> {
    let name = misfit.unwrap_or_default();
    Err(serde::ser::Error::custom(alloc::format!(
        "`{name}` is a setting that no rule of the configuration has"
    )))
}

impl Config {
    /// Hidden matrices by `spectral`, everything else by AdamW with the same weight decay; learning rate 1e-3,
    /// finite check on, no norm clip.
    pub fn new(spectral: impl Into<Method>) -> Self {
        let spectral = spectral.into();
        let elementwise = Recipe::adamw().with_weight_decay(spectral.weight_decay()).into();
        Self {
            spectral,
            elementwise,
            lr: 1e-3,
            elementwise_lr: None,
            clip_norm: None,
            pre_clip: None,
            check_finite: true,
            require_gradients: false,
            lr_schedule: None,
            clip_schedule: None,
            pre_clip_schedule: None,
            rounding: Rounding::default(),
            misfit: None,
        }
    }

    /// The [preset](Method::preset) of this name.
    ///
    /// # Errors
    /// For an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        Method::preset(name).map(Self::new)
    }

    /// Sets [`lr`](Self::lr).
    #[must_use]
    pub fn lr(mut self, lr: f64) -> Self {
        self.lr = lr;
        self
    }

    /// Sets [`elementwise_lr`](Self::elementwise_lr).
    #[must_use]
    pub fn elementwise_lr(mut self, lr: f64) -> Self {
        self.elementwise_lr = Some(lr);
        self
    }

    /// Sets the weight decay of both rules; one that has none, as those whose weights stay on a sphere, stays without.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.spectral = self.spectral.with_weight_decay(weight_decay);
        self.elementwise = self.elementwise.with_weight_decay(weight_decay);
        self
    }

    /// Sets [`clip_norm`](Self::clip_norm).
    #[must_use]
    pub fn clip_norm(mut self, norm: f64) -> Self {
        self.clip_norm = Some(norm);
        self
    }

    /// Sets [`pre_clip`](Self::pre_clip).
    #[must_use]
    pub fn pre_clip(mut self, clip: PreClip) -> Self {
        self.pre_clip = Some(clip);
        self
    }

    /// Sets [`lr_schedule`](Self::lr_schedule).
    ///
    /// ```
    /// use spectra_core::optimizer::Config;
    /// use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};
    ///
    /// let wsd = LearningRateSchedule::wsd(1000, FinalDecay::default())?.with_warmup(Span::Steps(50), 0.01)?;
    /// let config = Config::preset("spectra-adamw")?.lr_schedule(wsd).clip_schedule(ClipSchedule::new(wsd));
    /// # let _ = config;
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    #[must_use]
    pub fn lr_schedule(mut self, schedule: LearningRateSchedule) -> Self {
        self.lr_schedule = Some(schedule);
        self
    }

    /// Sets [`clip_schedule`](Self::clip_schedule).
    #[must_use]
    pub fn clip_schedule(mut self, schedule: ClipSchedule) -> Self {
        self.clip_schedule = Some(schedule);
        self
    }

    /// Sets [`pre_clip_schedule`](Self::pre_clip_schedule).
    #[must_use]
    pub fn pre_clip_schedule(mut self, schedule: ClipSchedule) -> Self {
        self.pre_clip_schedule = Some(schedule);
        self
    }

    /// Sets [`rounding`](Self::rounding).
    #[must_use]
    pub fn rounding(mut self, rounding: Rounding) -> Self {
        self.rounding = rounding;
        self
    }

    /// The spectral rule for every parameter, also embeddings, heads and vectors (whose map goes by their norm):
    /// `apply_to = all` of 2603.14315's program. Without it, matrices only.
    #[must_use]
    pub fn apply_to_all(mut self) -> Self {
        self.elementwise = self.spectral;
        self
    }

    /// Sets [`check_finite`](Self::check_finite).
    #[must_use]
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    /// Sets [`require_gradients`](Self::require_gradients).
    #[must_use]
    pub fn require_gradients(mut self, require: bool) -> Self {
        self.require_gradients = require;
        self
    }

    /// An error if a setting is outside its domain for arithmetic in `E`. Every optimizer asks, in its own type, also of a
    /// configuration that was read from a file.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name;
    /// [`ErrorKind::Name`](crate::backend::ErrorKind::Name) for a setting that no rule has.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.validate_rules::<E>()?;
        domain::rate::<E>("config", "lr", self.lr)?;
        let elementwise_lr = self.elementwise_lr.unwrap_or(self.lr);
        domain::rate::<E>("config", "elementwise_lr", elementwise_lr)?;
        let requirement = "positive when elementwise_lr is, because both are scaled together";
        let ok = elementwise_lr == 0.0 || (elementwise_lr / self.lr).is_finite();
        require(ok, "config", "lr", self.lr, requirement)?;
        for (lr, method) in [(self.lr, &self.spectral), (elementwise_lr, &self.elementwise)] {
            Rates::new(lr).validate::<Dense<E>>(method)?;
        }
        Ok(())
    }

    /// [`validate`](Self::validate) without the learning rates: for a front-end that gets them with every step, where
    /// [`ParameterState::step`](super::ParameterState::step) checks them.
    ///
    /// # Errors
    /// As there.
    pub fn validate_rules<E: Element>(&self) -> Result<()> {
        self.check_fit()?;
        self.spectral.validate::<E>()?;
        self.elementwise.validate::<E>()?;
        if let Some(clip) = &self.pre_clip {
            clip.validate::<E>()?;
        }
        let recipes = [self.spectral.recipe(), self.elementwise.recipe()];
        let clips = recipes.iter().flatten().any(|recipe| recipe.map.threshold().is_some());
        let unused = [
            ("clip_schedule", self.clip_schedule.is_some() && !clips),
            ("pre_clip_schedule", self.pre_clip_schedule.is_some() && self.pre_clip.is_none()),
        ];
        if let Some((name, _)) = unused.into_iter().find(|(_, unused)| *unused) {
            let kind =
                ErrorKind::Name { name: name.into(), reason: "is set, but there is no clip that it moves" };
            return Err(Error::new("config", kind));
        }
        self.clip_norm.map_or(Ok(()), |norm| domain::square_normal::<E>("config", "clip_norm", norm))
    }

    /// An upper bound of the Frobenius norm of a parameter's gradient after the clips, from the norm of all gradients before
    /// them (infinity if it is not known). `rank`: the smaller extent of the parameter.
    pub fn gradient_bound(&self, rule: Rule, rank: usize, pre_clip_factor: f64, norm: f64) -> f64 {
        let pre_clip = self.pre_clip.filter(|clip| clip.concerns(rule));
        let pre_clipped = pre_clip.map_or(f64::INFINITY, |clip| clip.largest_norm(rank, pre_clip_factor));
        norm.min(pre_clipped).min(self.clip_norm.unwrap_or(f64::INFINITY))
    }
}
