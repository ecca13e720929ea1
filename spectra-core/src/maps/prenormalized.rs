//! A map with a stage before it: the direction over the root of its second moment.

use super::{MapRule, Mapped, Moment, MomentumUpdate, SecondMoment};
use crate::backend::{Backend, Matrix, Result, domain};
use crate::linalg::Workspace;
use crate::rules::entrywise_flops;
use crate::state::{BufferSpec, DIRECTION_SECOND_MOMENT, State};
use alloc::{format, string::String, vec::Vec};

/// `map(D / guard(sqrt(V)))`, the direction over the root of its second moment (see [`SecondMoment`], with the direction in the place of U) and
/// then mapped: [`Normalized`](super::Normalized) the other way round. Ours, without evidence yet. State: the moment and that of the map. Beside the map's
/// image two temporaries of its shape.
///
/// ```
/// use spectra_core::directions::Momentum;
/// use spectra_core::maps::{Prenormalized, SecondMoment, TailShrink};
/// use spectra_core::rules::Composed;
/// use spectra_core::scales::StepScale;
///
/// // Rows of even length before their spike is shrunk.
/// let map = Prenormalized::new(TailShrink::PAPER, SecondMoment::NORMUON);
/// let rule = Composed::new(Momentum::polyak(0.95), map, StepScale::RMS);
/// # let _ = rule;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prenormalized<M> {
    /// The map.
    pub map: M,
    /// What the direction is divided by.
    pub moment: SecondMoment,
}

impl<M> Prenormalized<M> {
    /// `map` of the direction over the root of its second moment.
    pub fn new(map: M, moment: SecondMoment) -> Self {
        Self { map, moment }
    }
}

impl<B: Backend, M: MapRule<B>> MapRule<B> for Prenormalized<M> {
    fn name(&self) -> &'static str {
        self.map.name()
    }

    fn signature(&self) -> String {
        format!("{} + {}", self.moment.name(), self.map.signature())
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = Vec::from([BufferSpec::zeros(DIRECTION_SECOND_MOMENT, self.moment.shape(shape))]);
        buffers.extend(self.map.buffers(shape));
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.map.flops(shape) + entrywise_flops(shape)
    }

    fn is_uniform(&self) -> bool {
        self.map.is_uniform()
    }

    fn validate(&self) -> Result<()> {
        self.map.validate()?;
        self.moment.check::<B>()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.map.check_clip_factor(factor)
    }

    /// Squares of the direction are formed. Its quotient has the same norm or entries of at most `1 / sqrt(1 - b2)` times the root of as many as
    /// share a moment, which no map minds.
    fn largest_norm(&self, shape: (usize, usize), host_knows_norms: bool) -> f64 {
        let squares = libm::sqrt(domain::largest::<B::Element>() / 2.0);
        self.map.largest_norm(shape, host_knows_norms).min(squares)
    }

    fn largest_singular_value(&self, moment: &Moment) -> Option<f64> {
        self.map.largest_singular_value(moment)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        self.map.resize(wanted, saved, backend)
    }

    /// As a first step: nothing is kept.
    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (rows, cols) = self.moment.shape(direction.shape());
        let mut second =
            workspace.backend().zeros(rows, cols, (rows == direction.shape().0).then_some(direction))?;
        let normalized = self.moment.apply(direction, &mut second, workspace)?;
        self.map.map(&normalized, out, moment, workspace)?;
        workspace.give(normalized);
        Ok(())
    }

    fn apply(
        &self,
        direction: &mut B::Matrix,
        update: MomentumUpdate<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        if let Some((mu, gradient)) = update {
            direction.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        if state.get(DIRECTION_SECOND_MOMENT).is_none() {
            let wanted = BufferSpec::zeros(DIRECTION_SECOND_MOMENT, self.moment.shape(direction.shape()));
            state.reserve(&[wanted], direction, workspace.backend())?;
        }
        let [second] = state.all_mut([DIRECTION_SECOND_MOMENT])?;
        let mut normalized = self.moment.apply(direction, second, workspace)?;
        let mapped = self.map.apply(&mut normalized, None, state, moment, workspace)?;
        // The image is of what is given back now.
        match mapped.into_dense(&normalized, workspace)? {
            Some(image) => {
                workspace.give(normalized);
                Ok(Mapped::Dense(image))
            }
            None => Ok(Mapped::Dense(normalized)),
        }
    }
}
