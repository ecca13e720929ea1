//! The settings of a configuration's rules, one method each.

use super::{Config, Recipe, StepScale};
use crate::backend::{Error, ErrorKind, Result};
use crate::directions::{AdEmaMix, Adam, Direction, Mars};
use crate::linalg::{Polar, SubspaceForm};
use crate::maps::{HardClip, SecondMoment, SoftClip, SpectralMap, TailShrink};
use crate::rules::MomentumFormat;

fn adam(direction: &mut Direction) -> Option<&mut Adam> {
    match direction {
        Direction::Adam(adam) => Some(adam),
        Direction::AdEmaMix(AdEmaMix { adam, .. }) | Direction::Mars(Mars { adam, .. }) => Some(adam),
        Direction::Momentum(_) | Direction::Signum(_) | Direction::Lion(_) | Direction::PolarFirst(_) => None,
    }
}

fn ademamix(recipe: &mut Recipe) -> Option<&mut AdEmaMix> {
    if let Direction::AdEmaMix(direction) = &mut recipe.direction { Some(direction) } else { None }
}

fn tail_shrink(recipe: &mut Recipe) -> Option<&mut TailShrink> {
    if let SpectralMap::TailShrink(map) = &mut recipe.map { Some(map) } else { None }
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $place:expr;)+) => {
        /// Settings of the rules' recipes. Each is set in the spectral *and* in the elementwise recipe, wherever it exists there; one
        /// that neither has is refused by [`validate`](Self::validate), hence by every optimizer, with its name.
        ///
        /// ```
        /// use spectra_core::optimizer::Config;
        ///
        /// // The rank ratio of the tail shrink, and the beta2 of the AdamW beside it.
        /// let config = Config::preset("spectra")?.rank_ratio(0.1).beta2(0.95);
        /// assert!(config.validate::<f32>().is_ok());
        /// let error = Config::preset("muon")?.rank_ratio(0.1).validate::<f32>().unwrap_err();
        /// assert!(error.to_string().contains("rank_ratio"));
        /// # Ok::<(), spectra_core::backend::Error>(())
        /// ```
        impl Config {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(self, $name: $type) -> Self {
                let place: fn(&mut Recipe) -> Option<&mut $type> = $place;
                self.set(stringify!($name), place, $name)
            })+
        }
    };
}

settings! {
    /// mu of [`Momentum`](crate::directions::Momentum), [`Signum`](crate::directions::Signum) and
    /// [`PolarFirst`](crate::directions::PolarFirst).
    momentum: f64 = |recipe| match &mut recipe.direction {
        Direction::Momentum(direction) => Some(&mut direction.mu),
        Direction::Signum(direction) => Some(&mut direction.mu),
        Direction::PolarFirst(direction) => Some(&mut direction.mu),
        _ => None,
    };
    /// [`Recipe::momentum_format`].
    momentum_format: MomentumFormat = |recipe| Some(&mut recipe.momentum_format);
    /// Nesterov's look-ahead of [`Momentum`](crate::directions::Momentum) and [`Signum`](crate::directions::Signum).
    nesterov: bool = |recipe| match &mut recipe.direction {
        Direction::Momentum(direction) => Some(&mut direction.nesterov),
        Direction::Signum(direction) => Some(&mut direction.nesterov),
        _ => None,
    };
    /// Whether [`Momentum`](crate::directions::Momentum) weighs the gradient with `1 - mu`.
    averaged: bool = |recipe| match &mut recipe.direction {
        Direction::Momentum(direction) => Some(&mut direction.averaged),
        _ => None,
    };
    /// [`Adam::beta1`], also of AdEMAMix, MARS and Lion.
    beta1: f64 = |recipe| match &mut recipe.direction {
        Direction::Lion(lion) => Some(&mut lion.beta1),
        direction => adam(direction).map(|adam| &mut adam.beta1),
    };
    /// [`Adam::beta2`], also of AdEMAMix, MARS and Lion.
    beta2: f64 = |recipe| match &mut recipe.direction {
        Direction::Lion(lion) => Some(&mut lion.beta2),
        direction => adam(direction).map(|adam| &mut adam.beta2),
    };
    /// [`Adam::eps`], also of AdEMAMix and MARS.
    eps: f64 = |recipe| adam(&mut recipe.direction).map(|adam| &mut adam.eps);
    /// [`AdEmaMix::beta3`].
    beta3: f64 = |recipe| ademamix(recipe).map(|direction| &mut direction.beta3);
    /// [`AdEmaMix::alpha`].
    alpha: f64 = |recipe| ademamix(recipe).map(|direction| &mut direction.alpha);
    /// [`AdEmaMix::alpha_warmup`].
    alpha_warmup: u64 = |recipe| ademamix(recipe).map(|direction| &mut direction.alpha_warmup);
    /// [`AdEmaMix::beta3_warmup`].
    beta3_warmup: u64 = |recipe| ademamix(recipe).map(|direction| &mut direction.beta3_warmup);
    /// [`Mars::gamma`].
    gamma: f64 = |recipe| match &mut recipe.direction {
        Direction::Mars(direction) => Some(&mut direction.gamma),
        _ => None,
    };
    /// [`TailShrink::rank_ratio`].
    rank_ratio: f64 = |recipe| tail_shrink(recipe).map(|map| &mut map.rank_ratio);
    /// [`TailShrink::refresh_every`].
    refresh_every: u64 = |recipe| tail_shrink(recipe).map(|map| &mut map.refresh_every);
    /// [`PowerIteration::iterations`](crate::linalg::PowerIteration::iterations) of the tail shrink.
    power_iterations: usize = |recipe| tail_shrink(recipe).map(|map| &mut map.power.iterations);
    /// [`PowerIteration::form`](crate::linalg::PowerIteration::form) of the tail shrink.
    subspace_form: SubspaceForm = |recipe| tail_shrink(recipe).map(|map| &mut map.power.form);
    /// [`PowerIteration::seed`](crate::linalg::PowerIteration::seed) of the tail shrink.
    seed: u64 = |recipe| tail_shrink(recipe).map(|map| &mut map.power.seed);
    /// The threshold c of a soft or hard clip.
    clip_threshold: f64 = |recipe| match &mut recipe.map {
        SpectralMap::SoftClip { threshold, .. } | SpectralMap::HardClip { threshold, .. } => Some(threshold),
        _ => None,
    };
    /// How the soft clip is computed.
    soft_clip: SoftClip = |recipe| match &mut recipe.map {
        SpectralMap::SoftClip { clip, .. } => Some(clip),
        _ => None,
    };
    /// How the hard clip is computed.
    hard_clip: HardClip = |recipe| match &mut recipe.map {
        SpectralMap::HardClip { clip, .. } => Some(clip),
        _ => None,
    };
    /// How the polar factor is computed.
    polar: Polar = |recipe| match (&mut recipe.map, &mut recipe.direction) {
        (SpectralMap::Orthogonalize(polar) | SpectralMap::Normalized { polar, .. }, _) => Some(polar),
        (_, Direction::PolarFirst(direction)) => Some(&mut direction.polar),
        _ => None,
    };
    /// The second moment of the mapped direction.
    second_moment: SecondMoment = |recipe| match &mut recipe.map {
        SpectralMap::Normalized { moment, .. } => Some(moment),
        _ => None,
    };
    /// `rms` of [`StepScale::MatchRms`] and [`StepScale::MatchNorm`].
    rms: f64 = |recipe| match &mut recipe.scale {
        StepScale::MatchRms { rms, .. } | StepScale::MatchNorm { rms, .. } => Some(rms),
        _ => None,
    };
    /// `eps` of [`StepScale::MatchRms`] and [`StepScale::MatchNorm`].
    rms_eps: f64 = |recipe| match &mut recipe.scale {
        StepScale::MatchRms { eps, .. } | StepScale::MatchNorm { eps, .. } => Some(eps),
        _ => None,
    };
    /// `radius` of [`StepScale::RmsOperator`] and [`StepScale::PerInput`].
    radius: f64 = |recipe| match &mut recipe.scale {
        StepScale::RmsOperator { radius } | StepScale::PerInput { radius } => Some(radius),
        _ => None,
    };
    /// `factor` of [`StepScale::MaxDimension`].
    scale_factor: f64 = |recipe| match &mut recipe.scale {
        StepScale::MaxDimension { factor } => Some(factor),
        _ => None,
    };
}

/// The parts of the spectral recipe, whole.
impl Config {
    /// Another direction for the hidden matrices.
    #[must_use]
    pub fn direction(self, direction: Direction) -> Self {
        self.set_part("direction", |recipe| recipe.direction = direction)
    }

    /// Another spectral map for the hidden matrices.
    #[must_use]
    pub fn map(self, map: SpectralMap) -> Self {
        self.set_part("map", |recipe| recipe.map = map)
    }

    /// Another step scale for the hidden matrices.
    #[must_use]
    pub fn scale(self, scale: StepScale) -> Self {
        self.set_part("scale", |recipe| recipe.scale = scale)
    }

    fn set_part(mut self, name: &'static str, set: impl FnOnce(&mut Recipe)) -> Self {
        match self.spectral.recipe_mut() {
            Some(recipe) => set(recipe),
            None => _ = self.misfit.get_or_insert(name),
        }
        self
    }

    fn set<T: Copy>(
        mut self,
        name: &'static str,
        place: fn(&mut Recipe) -> Option<&mut T>,
        value: T,
    ) -> Self {
        let mut found = false;
        for method in [&mut self.spectral, &mut self.elementwise] {
            if let Some(place) = method.recipe_mut().and_then(place) {
                *place = value;
                found = true;
            }
        }
        if !found {
            self.misfit.get_or_insert(name);
        }
        self
    }

    /// An error if a setting was asked for that no rule has.
    pub(super) fn check_fit(&self) -> Result<()> {
        let reason = "is a setting that no rule of this configuration has";
        match self.misfit {
            Some(name) => Err(Error::new("config", ErrorKind::Name { name: name.into(), reason })),
            None => Ok(()),
        }
    }
}
