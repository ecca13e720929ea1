//! The settings, in burn's style.

use super::{Hybrid, Spectral};
use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ParamGroup};
use burn::optim::ModuleOptimizer;
use spectra_core::backend::{self, Error, ErrorKind};
use spectra_core::optimizer::plan::Plan;
use spectra_core::optimizer::{Config as Settings, Method, PreClip, Recipe};
use spectra_core::rules::Rounding;
use spectra_core::schedules::ClipSchedule;

/// How a parameter is stored.
#[derive(Config, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// `in x out`, as burn's `Linear`; with more dimensions `in x out x kernel`, as burn's `ConvTranspose2d`.
    InByOut,
    /// `out x in`, as PyTorch and candle; `out x in x kernel`, as convolutions.
    OutByIn,
}

/// The settings of [`Spectral`] and [`Hybrid`]. The learning rate comes with every step, as in burn.
///
/// ```
/// use spectra_burn::SpectralConfig;
///
/// let config = SpectralConfig::preset("spectra")?
///     .with_weight_decay(0.1)
///     .with_settings(|settings| settings.rank_ratio(0.1).refresh_every(5).beta2(0.95))?;
/// assert!(config.build().is_ok());
/// assert!(config.with_settings(|settings| settings.clip_threshold(1.0)).is_err(), "tail shrink has none");
/// # Ok::<(), spectra_burn::Error>(())
/// ```
#[derive(Config, Debug)]
pub struct SpectralConfig {
    /// The rule of matrices.
    pub spectral: Method,
    /// The rule of everything else; `None`: AdamW with the same weight decay.
    pub elementwise: Option<Method>,
    /// Learning rate of everything else over that of the matrices.
    #[config(default = 1.0)]
    pub elementwise_lr_ratio: f64,
    /// Spectral clipping of the raw gradients, before the norm clip.
    pub pre_clip: Option<PreClip>,
    /// All gradients are multiplied by `min(1, clip_norm / (||G|| + 1e-6))`, with the norm over the whole model.
    /// [`Hybrid`] only; burn's own `grad_clipping` looks at one parameter at a time.
    pub clip_norm: Option<f64>,
    /// Factor of the clips' thresholds at each step of the model; a plan's groups may have another. An error with recipes of which
    /// none clips.
    pub clip_schedule: Option<ClipSchedule>,
    /// Factor of the pre-clip's threshold at each step of the model.
    pub pre_clip_schedule: Option<ClipSchedule>,
    /// How weights of 16 bits take an update; `None`: by a master in the state.
    pub rounding: Option<Rounding>,
    /// How two-dimensional parameters are stored, for [`build`](Self::build) and [`init`](Self::init), which know no more of a
    /// parameter than its shape.
    #[config(default = "Orientation::InByOut")]
    pub orientation: Orientation,
    /// Decay scalars and vectors as everything else of the elementwise rule, under [`build`](Self::build) and [`init`](Self::init);
    /// `None`: no, as for norms and biases under a plan, whose groups say otherwise.
    pub decay_vectors: Option<bool>,
    /// How the parameters of these groups are stored, for [`Hybrid`], which knows burn's own modules and takes all others for
    /// `out x in`. The last group that matches counts.
    pub layouts: Option<Vec<(ParamGroup, Orientation)>>,
    /// Refuse gradients with a NaN or an infinity. On a GPU this reads one number, that is, it waits.
    #[config(default = true)]
    pub check_finite: bool,
    /// Refuse a step in which a parameter that is not frozen has no gradient; `None`: no. [`Hybrid`] only. A step in which none
    /// has one is always refused, and [`Hybrid::missing_gradients`] tells which had none.
    pub require_gradients: Option<bool>,
    /// Burn's gradient clipping, applied by [`init`](Self::init) to each parameter by itself.
    pub grad_clipping: Option<GradientClippingConfig>,
}

impl SpectralConfig {
    /// The [preset](Method::preset) of this name.
    ///
    /// # Errors
    /// For an unknown name.
    pub fn preset(name: &str) -> backend::Result<Self> {
        Method::preset(name).map(Self::new)
    }

    /// Sets the weight decay of all rules; one that has none, as those whose weights stay on a sphere, stays without.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.spectral = self.spectral.with_weight_decay(weight_decay);
        self.elementwise = self.elementwise.map(|method| method.with_weight_decay(weight_decay));
        self
    }

    /// Every setting of the recipes, by the builder methods of [`Settings`].
    ///
    /// # Errors
    /// A setting outside its domain, or that neither recipe has; a learning rate or its schedule, as it comes with every step.
    pub fn with_settings(self, set: impl FnOnce(Settings) -> Settings) -> backend::Result<Self> {
        let settings = set(self.settings());
        if settings.lr != 1.0 {
            let requirement = "unset: the learning rate comes with every step";
            return Err(Error::argument("config", "lr", settings.lr, requirement));
        }
        settings.validate_rules::<f64>()?;
        let Self { orientation, decay_vectors, layouts, grad_clipping, .. } = self;
        Ok(Self { orientation, decay_vectors, layouts, grad_clipping, ..Self::of(settings)? })
    }

    /// The same settings, once they are checked.
    fn of(settings: Settings) -> backend::Result<Self> {
        if settings.lr_schedule.is_some() {
            let (name, reason) = (
                "lr_schedule".into(),
                "is set, but the learning rate comes with every step, from burn's schedulers",
            );
            return Err(Error::new("config", ErrorKind::Name { name, reason }));
        }
        let ratio = match settings.elementwise_lr {
            Some(lr) if settings.lr > 0.0 => lr / settings.lr,
            _ => 1.0,
        };
        Ok(Self::new(settings.spectral)
            .with_elementwise(Some(settings.elementwise))
            .with_elementwise_lr_ratio(ratio)
            .with_pre_clip(settings.pre_clip)
            .with_clip_schedule(settings.clip_schedule)
            .with_pre_clip_schedule(settings.pre_clip_schedule)
            .with_rounding(Some(settings.rounding))
            .with_clip_norm(settings.clip_norm)
            .with_check_finite(settings.check_finite)
            .with_require_gradients(Some(settings.require_gradients)))
    }

    /// The optimizer of one parameter group, for
    /// [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group).
    ///
    /// # Errors
    /// A setting outside its domain; one that an optimizer of parameters one by one cannot follow (`clip_norm`,
    /// `require_gradients`, `layouts`); `grad_clipping`, which `with_group` takes itself.
    pub fn build(&self) -> backend::Result<Spectral> {
        if self.grad_clipping.is_some() {
            let (name, reason) =
                ("grad_clipping".into(), "is set, but has no effect here: give it to `with_group`");
            return Err(Error::new("build", ErrorKind::Name { name, reason }));
        }
        self.one_by_one("build")
    }

    /// The optimizer of a whole module, **every matrix by the spectral rule, embeddings and heads too**: for modules
    /// that have none, or as the base of parameter groups. [`init_for`](Self::init_for) tells them apart.
    ///
    /// # Errors
    /// As [`build`](Self::build), but for `grad_clipping`.
    pub fn init(&self) -> backend::Result<ModuleOptimizer> {
        let optimizer = ModuleOptimizer::from(self.one_by_one("init")?);
        Ok(match &self.grad_clipping {
            Some(clipping) => optimizer.with_grad_clipping(clipping.init()),
            None => optimizer,
        })
    }

    /// An optimizer that sees one parameter at a time, by its shape.
    fn one_by_one(&self, operation: &'static str) -> backend::Result<Spectral> {
        self.validate()?;
        let whole = [
            ("clip_norm", self.clip_norm.is_some()),
            ("require_gradients", self.require_gradients == Some(true)),
            ("layouts", self.layouts.is_some()),
        ];
        if let Some((name, _)) = whole.into_iter().find(|(_, set)| *set) {
            let reason = "is set, but only an optimizer made by init_for sees the whole model";
            return Err(Error::new(operation, ErrorKind::Name { name: name.into(), reason }));
        }
        Ok(Spectral::new(self))
    }

    /// The optimizer of this module by the default [plan](Plan): hidden matrices spectral, embeddings, heads, norms
    /// and vectors elementwise.
    ///
    /// # Errors
    /// As [`Hybrid::new`].
    pub fn init_for<M: Module>(&self, module: &M) -> backend::Result<Hybrid> {
        Hybrid::new(self, module, &Plan::builder())
    }

    /// The rule of everything that is no matrix.
    pub fn elementwise_method(&self) -> Method {
        let adamw = || Recipe::adamw().with_weight_decay(self.spectral.weight_decay()).into();
        self.elementwise.unwrap_or_else(adamw)
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](spectra_core::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> backend::Result<()> {
        let ratio = self.elementwise_lr_ratio;
        if !(ratio >= 0.0 && ratio.is_finite()) {
            let requirement = "non-negative and finite";
            return Err(Error::argument("config", "elementwise_lr_ratio", ratio, requirement));
        }
        self.settings().validate_rules::<f64>()
    }

    /// The same settings as the core has them, at a learning rate of 1.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.spectral).lr(1.0).elementwise_lr(self.elementwise_lr_ratio);
        settings.elementwise = self.elementwise_method();
        settings.clip_norm = self.clip_norm;
        settings.pre_clip = self.pre_clip;
        settings.clip_schedule = self.clip_schedule;
        settings.pre_clip_schedule = self.pre_clip_schedule;
        settings.rounding = self.rounding.unwrap_or_default();
        settings.check_finite = self.check_finite;
        settings.require_gradients = self.require_gradients == Some(true);
        settings
    }
}

impl TryFrom<Settings> for SpectralConfig {
    type Error = Error;

    /// The same rules, ratio of learning rates, clips and checks of gradients. The learning rate itself comes with every step: a
    /// schedule of it is refused.
    fn try_from(settings: Settings) -> backend::Result<Self> {
        settings.validate::<f64>()?;
        Self::of(settings)
    }
}
