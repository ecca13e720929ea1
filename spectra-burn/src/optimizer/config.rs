//! The settings, in burn's style.

use super::{Hybrid, Spectral};
use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use spectra_core::backend::{self, Error};
use spectra_core::optimizer::plan::Plan;
use spectra_core::optimizer::{Config as Settings, PreClip, Recipe};
use spectra_core::schedules::ClipThreshold;

/// How a two-dimensional parameter is stored.
#[derive(Config, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// `in x out`, as burn's `Linear`.
    InByOut,
    /// `out x in`, as PyTorch and candle.
    OutByIn,
}

/// The settings of [`Spectral`] and [`Hybrid`]. The learning rate comes with every step, as in burn.
///
/// ```
/// use spectra_burn::SpectralConfig;
///
/// let config = SpectralConfig::preset("spectra")?.with_weight_decay(0.1).with_clip_norm(Some(1.0));
/// assert!(config.build().is_ok());
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Config, Debug)]
pub struct SpectralConfig {
    /// The rule of matrices.
    pub spectral: Recipe,
    /// The rule of everything else; `None`: AdamW with the same weight decay.
    pub elementwise: Option<Recipe>,
    /// Learning rate of everything else over that of the matrices.
    #[config(default = 1.0)]
    pub elementwise_lr_ratio: f64,
    /// Spectral clipping of the raw gradients, before the norm clip.
    pub pre_clip: Option<PreClip>,
    /// All gradients are multiplied by `min(1, clip_norm / (||G|| + 1e-6))`, with the norm over the whole model.
    /// [`Hybrid`] only; burn's own `grad_clipping` looks at one parameter at a time.
    pub clip_norm: Option<f64>,
    /// The threshold's factor at each step of a parameter, for recipes that clip.
    pub clip_threshold: Option<ClipThreshold>,
    /// How two-dimensional parameters are stored; [`Hybrid`] knows burn's `Linear` and takes all others for `out x in`.
    #[config(default = "Orientation::InByOut")]
    pub orientation: Orientation,
    /// Refuse gradients with a NaN or an infinity. On a GPU this reads one number, that is, it waits.
    #[config(default = true)]
    pub check_finite: bool,
    /// Burn's gradient clipping, applied by [`init`](Self::init) to each parameter by itself.
    pub grad_clipping: Option<GradientClippingConfig>,
}

impl SpectralConfig {
    /// The [preset](Recipe::preset) of this name.
    ///
    /// # Errors
    /// For an unknown name.
    pub fn preset(name: &str) -> backend::Result<Self> {
        Recipe::preset(name).map(Self::new)
    }

    /// Sets the weight decay of all rules.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.spectral.weight_decay = weight_decay;
        if let Some(elementwise) = &mut self.elementwise {
            elementwise.weight_decay = weight_decay;
        }
        self
    }

    /// The optimizer of one parameter group, for
    /// [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group).
    ///
    /// # Errors
    /// A setting outside its domain.
    pub fn build(&self) -> backend::Result<Spectral> {
        self.validate()?;
        Ok(Spectral::new(self))
    }

    /// The optimizer of a whole module, **every matrix by the spectral rule, embeddings and heads too**: for modules
    /// that have none, or as the base of parameter groups. [`init_for`](Self::init_for) tells them apart.
    ///
    /// # Errors
    /// A setting outside its domain, and `clip_norm`, which needs the whole model.
    pub fn init(&self) -> backend::Result<ModuleOptimizer> {
        if let Some(norm) = self.clip_norm {
            let requirement = "unset here: only an optimizer made by init_for sees the whole model";
            return Err(Error::argument("init", "clip_norm", norm, requirement));
        }
        let optimizer = ModuleOptimizer::from(self.build()?);
        Ok(match &self.grad_clipping {
            Some(clipping) => optimizer.with_grad_clipping(clipping.init()),
            None => optimizer,
        })
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
    pub fn elementwise_recipe(&self) -> Recipe {
        self.elementwise.unwrap_or_else(|| Recipe::adamw().with_weight_decay(self.spectral.weight_decay))
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
        let mut settings = Settings::new(self.spectral)
            .lr(1.0)
            .elementwise_lr(self.elementwise_lr_ratio)
            .check_finite(self.check_finite);
        settings.elementwise = self.elementwise_recipe();
        settings.clip_norm = self.clip_norm;
        settings.pre_clip = self.pre_clip;
        settings
    }
}

impl From<Settings> for SpectralConfig {
    /// The same rules, ratio of learning rates, clips and finite check.
    fn from(settings: Settings) -> Self {
        let ratio = match settings.elementwise_lr {
            Some(lr) if settings.lr > 0.0 => lr / settings.lr,
            _ => 1.0,
        };
        Self::new(settings.spectral)
            .with_elementwise(Some(settings.elementwise))
            .with_elementwise_lr_ratio(ratio)
            .with_pre_clip(settings.pre_clip)
            .with_clip_norm(settings.clip_norm)
            .with_check_finite(settings.check_finite)
    }
}
