//! A map with a fourth stage: its image over the root of a second moment.

use super::{MapRule, Mapped, Moment, MomentumUpdate, SecondMoment};
use crate::backend::{Backend, Matrix, Result, domain};
use crate::linalg::Workspace;
use crate::rules::entrywise_flops;
use crate::state::{BufferSpec, MAPPED_SECOND_MOMENT, State};
use alloc::{format, string::String, vec::Vec};

/// A map, and its image over the root of a second moment. State: that of the map and the moment. Beside the map's image two temporaries
/// of its shape.
///
/// ```
/// use spectra_core::directions::Momentum;
/// use spectra_core::maps::{Normalized, SecondMoment, TailShrink};
/// use spectra_core::rules::Composed;
/// use spectra_core::scales::StepScale;
///
/// // NorMuon's rows on tail shrink.
/// let map = Normalized::new(TailShrink::PAPER, SecondMoment::NORMUON);
/// let rule = Composed::new(Momentum::polyak(0.95), map, StepScale::RMS);
/// # let _ = rule;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalized<M> {
    /// The map.
    pub map: M,
    /// What its image is divided by.
    pub moment: SecondMoment,
}

impl<M> Normalized<M> {
    /// The image of `map` over the root of its second moment.
    pub fn new(map: M, moment: SecondMoment) -> Self {
        Self { map, moment }
    }
}

impl<B: Backend, M: MapRule<B>> MapRule<B> for Normalized<M> {
    fn name(&self) -> &'static str {
        self.moment.name()
    }

    fn signature(&self) -> String {
        format!("{} + {}", self.map.signature(), self.moment.name())
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        // Zeros before what the map makes.
        let mut buffers = Vec::from([BufferSpec::zeros(MAPPED_SECOND_MOMENT, self.moment.shape(shape))]);
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

    /// Squares of the image are formed, which may be as large as the direction.
    fn largest_norm(&self, shape: (usize, usize), host_knows_norms: bool) -> f64 {
        let squares = libm::sqrt(domain::largest::<B::Element>() / 2.0);
        self.map.largest_norm(shape, host_knows_norms).min(squares)
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
        let mut image = workspace.take_like(direction, direction.shape().1)?;
        self.map.map(direction, &mut image, moment, workspace)?;
        let normalized = self.moment.apply(&image, &mut second, workspace)?;
        out.copy_from(&normalized)?;
        workspace.give(image);
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
        let mapped = self.map.apply(direction, update, state, moment, workspace)?;
        if state.get(MAPPED_SECOND_MOMENT).is_none() {
            let wanted = BufferSpec::zeros(MAPPED_SECOND_MOMENT, self.moment.shape(direction.shape()));
            state.reserve(&[wanted], direction, workspace.backend())?;
        }
        let [second] = state.all_mut([MAPPED_SECOND_MOMENT])?;
        let image = mapped.into_dense(direction, workspace)?;
        let normalized = self.moment.apply(image.as_ref().unwrap_or(direction), second, workspace)?;
        if let Some(image) = image {
            workspace.give(image);
        }
        Ok(Mapped::Dense(normalized))
    }
}
