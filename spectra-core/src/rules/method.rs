//! A method: the rule of a configuration, as data.

use super::{
    BatchItem, Batching, Cautious, Dion, Dion2, Dots, GradientLimits, Hyperball, Recipe, Shampoo, Sharding,
    Soap, StepInfo, StepRates, UpdateRule,
};
use crate::backend::{Backend, Element, Gradient, Result};
use crate::dense::Dense;
use crate::linalg::Workspace;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};

/// A rule as data: what a preset is, and what a configuration holds.
///
/// ```
/// use spectra_core::rules::{Method, Recipe};
///
/// let muon: Method = Recipe::preset("muon")?.into();
/// assert_eq!(muon, Method::preset("muon")?);
/// assert!(Method::presets().any(|(name, method, _)| name == "muon" && method == muon));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::form::Form", into = "super::form::Form"))]
pub enum Method {
    /// Direction, spectral map, step scale.
    Recipe(Recipe),
    /// A rule that is no such composition.
    Whole(WholeRule),
}

/// What a configuration can set in a rule that is data.
pub(super) trait Settings {
    /// Its own weight decay; `None`: it has none.
    fn weight_decay_mut(&mut self) -> Option<&mut f64>;

    /// The recipe that it runs, if it runs one.
    fn recipe_mut(&mut self) -> Option<&mut Recipe> {
        None
    }
}

macro_rules! whole_rules {
    ($($(#[$doc:meta])* $variant:ident($type:ty);)+) => {
        /// The rules of this library that are no composition of direction, map and scale, as data.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum WholeRule {
            $($(#[$doc])* $variant($type),)+
        }

        impl WholeRule {
            fn rule<B: Backend>(&self) -> &dyn UpdateRule<B> {
                match self {
                    $(Self::$variant(rule) => rule,)+
                }
            }

            fn settings(&mut self) -> &mut dyn Settings {
                match self {
                    $(Self::$variant(rule) => rule,)+
                }
            }
        }

        $(impl From<$type> for Method {
            fn from(rule: $type) -> Self {
                Self::Whole(WholeRule::$variant(rule))
            }
        })+
    };
}

// Every rule of its own is a row here, and a row of `presets.rs`.
whole_rules! {
    /// A recipe with cautious weight decay.
    Cautious(Cautious<Recipe>);
    /// A recipe's updates on a sphere.
    Hyperball(Hyperball<Recipe>);
    /// Dion, with error feedback.
    Dion(Dion);
    /// Dion2, and Dion3.
    Dion2(Dion2);
    /// Shampoo.
    Shampoo(Shampoo);
    /// Adam in Shampoo's eigenbasis.
    Soap(Soap);
}

impl From<Recipe> for Method {
    fn from(recipe: Recipe) -> Self {
        Self::Recipe(recipe)
    }
}

impl Method {
    /// The rule's behaviour on a backend.
    pub fn rule<B: Backend>(&self) -> &dyn UpdateRule<B> {
        match self {
            Self::Recipe(recipe) => recipe,
            Self::Whole(whole) => whole.rule(),
        }
    }

    fn settings(&mut self) -> &mut dyn Settings {
        match self {
            Self::Recipe(recipe) => recipe,
            Self::Whole(whole) => whole.settings(),
        }
    }

    /// The recipe that it is, or that it runs within a rule of another kind; to change.
    pub fn recipe_mut(&mut self) -> Option<&mut Recipe> {
        self.settings().recipe_mut()
    }

    /// The recipe that it is, or that it runs within a rule of another kind.
    pub fn recipe(mut self) -> Option<Recipe> {
        self.recipe_mut().copied()
    }

    /// The same method with another decoupled weight decay. One that has none, as those whose weights stay on a sphere, stays without.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        if let Some(place) = self.settings().weight_decay_mut() {
            *place = weight_decay;
        }
        self
    }

    /// Its decoupled weight decay, 0 if it has none.
    pub fn weight_decay(&self) -> f64 {
        self.rule::<Dense<f32>>().weight_decay()
    }

    /// What a saved state must agree on: see [`UpdateRule::signature`].
    pub fn signature(&self) -> String {
        self.rule::<Dense<f32>>().signature()
    }

    /// How many numbers of state an m x n parameter costs; the largest `usize` if there are more.
    pub fn state_numbers(&self, rows: usize, cols: usize) -> usize {
        self.rule::<Dense<f32>>().state_numbers((rows, cols))
    }

    /// How many bytes that is, of `width` for a number in the arithmetic type.
    pub fn state_bytes(&self, rows: usize, cols: usize, width: usize) -> usize {
        self.rule::<Dense<f32>>().state_bytes((rows, cols), width)
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.rule::<Dense<E>>().validate()
    }
}

impl<B: Backend> UpdateRule<B> for Method {
    fn signature(&self) -> String {
        self.rule::<B>().signature()
    }

    fn signature_in(&self, version: u32) -> String {
        self.rule::<B>().signature_in(version)
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        self.rule::<B>().buffers(shape)
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule::<B>().flops(shape)
    }

    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        self.rule::<B>().sharding(shape)
    }

    fn weight_decay(&self) -> f64 {
        self.rule::<B>().weight_decay()
    }

    fn validate(&self) -> Result<()> {
        self.rule::<B>().validate()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.rule::<B>().check_clip_factor(factor)
    }

    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        self.rule::<B>().gradient_limits(shape, dots)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        self.rule::<B>().resize(wanted, saved, backend)
    }

    fn direction(
        &self,
        out: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        self.rule::<B>().direction(out, gradient, state, rates, workspace)
    }

    fn reads_weights(&self) -> bool {
        self.rule::<B>().reads_weights()
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        self.rule::<B>().step(weights, gradient, state, rates, workspace)
    }

    fn batching(&self) -> Batching {
        self.rule::<B>().batching()
    }

    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        self.rule::<B>().step_batch(blocks, workspace)
    }
}
