//! The state buffers of one parameter.

use crate::backend::{Backend, Matrix, Result};

/// Which state buffer; the names appear in saved states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// First moment or momentum.
    Momentum,
    /// Second moment (squares).
    SecondMoment,
    /// AdEMAMix's slow momentum.
    SlowMomentum,
    /// MARS's gradient of the step before.
    LastGradient,
    /// Tail shrink's cached right subspace V, n x k.
    Subspace,
}

impl Slot {
    /// All of them, in the order in which states are saved.
    pub const ALL: [Self; 5] =
        [Self::Momentum, Self::SecondMoment, Self::SlowMomentum, Self::LastGradient, Self::Subspace];

    /// The name in saved states.
    pub fn name(self) -> &'static str {
        match self {
            Self::Momentum => "momentum",
            Self::SecondMoment => "second_moment",
            Self::SlowMomentum => "slow_momentum",
            Self::LastGradient => "last_gradient",
            Self::Subspace => "subspace",
        }
    }
}

/// The state buffers of one parameter, absent until the first step that needs them.
#[derive(Debug, Clone)]
pub struct Slots<M> {
    /// See [`Slot::Momentum`].
    pub momentum: Option<M>,
    /// See [`Slot::SecondMoment`].
    pub second_moment: Option<M>,
    /// See [`Slot::SlowMomentum`].
    pub slow_momentum: Option<M>,
    /// See [`Slot::LastGradient`].
    pub last_gradient: Option<M>,
    /// See [`Slot::Subspace`].
    pub subspace: Option<M>,
}

impl<M> Default for Slots<M> {
    fn default() -> Self {
        Self { momentum: None, second_moment: None, slow_momentum: None, last_gradient: None, subspace: None }
    }
}

impl<M> Slots<M> {
    /// The buffer, if it exists.
    pub fn get(&self, slot: Slot) -> Option<&M> {
        match slot {
            Slot::Momentum => self.momentum.as_ref(),
            Slot::SecondMoment => self.second_moment.as_ref(),
            Slot::SlowMomentum => self.slow_momentum.as_ref(),
            Slot::LastGradient => self.last_gradient.as_ref(),
            Slot::Subspace => self.subspace.as_ref(),
        }
    }

    /// The buffer's place.
    pub fn place(&mut self, slot: Slot) -> &mut Option<M> {
        match slot {
            Slot::Momentum => &mut self.momentum,
            Slot::SecondMoment => &mut self.second_moment,
            Slot::SlowMomentum => &mut self.slow_momentum,
            Slot::LastGradient => &mut self.last_gradient,
            Slot::Subspace => &mut self.subspace,
        }
    }
}

/// The buffer in `place`, made of zeros with the shape of `like` if there is none yet.
pub(crate) fn buffer<'a, B: Backend>(
    place: &'a mut Option<B::Matrix>,
    like: &B::Matrix,
    backend: &B,
) -> Result<&'a mut B::Matrix> {
    let matrix = match place.take() {
        Some(matrix) => matrix,
        None => backend.zeros(like.shape().0, like.shape().1, Some(like))?,
    };
    Ok(place.insert(matrix))
}
