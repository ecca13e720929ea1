//! The polar factor before the momentum (PolarGrad's polar-first form, 2505.21799).

use super::{DirectionRule, Target};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Result, domain};
use crate::linalg::{Polar, Workspace};
use crate::rules::entrywise_flops;
use crate::state::{MOMENTUM, State};

/// `U = polar(G)`, `M = mu M + (1 - mu) U`, `d = <G, U> M`: with an exact polar factor `<G, U>` is the nuclear norm of the
/// gradient. It wants [`SpectralMap::Identity`](crate::maps::SpectralMap::Identity). M starts at zero; one temporary of its shape, two where
/// the gradient has a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PolarFirst {
    /// mu in [0, 1), below 1 also when rounded to the arithmetic type.
    pub mu: f64,
    /// How the polar factor is computed.
    pub polar: Polar,
}

impl<B: Backend> DirectionRule<B> for PolarFirst {
    fn name(&self) -> &'static str {
        "polar factor first"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM]
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        entrywise_flops(shape) + self.polar.flops::<B::Element>(shape)
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("polar_first", "mu", self.mu)?;
        self.polar.validate()
    }

    /// `<G, U>` is a sum of products with entries of at most about 1.
    fn largest_gradient(&self) -> f64 {
        libm::sqrt(domain::largest::<B::Element>() / 2.0)
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        _: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let [m] = state.zeros([MOMENTUM], gradient.values, workspace.backend())?;
        let cols = m.shape().1;
        let mut scaled = None;
        let g = if gradient.is_plain() {
            gradient.values
        } else {
            let place = scaled.insert(workspace.take_like(gradient.values, cols)?);
            place.scale_add(Coefficient::ZERO, gradient.scale, gradient.values)?;
            place
        };
        let mut factor = workspace.take_like(g, cols)?;
        if let Err(error) = self.polar.apply(g, &mut factor, workspace) {
            // A host sees the NaN before it is in the momentum, where a device has it.
            if error.is_non_finite() {
                m.scale_add(f64::NAN.into(), f64::NAN.into(), g)?;
            }
            return Err(error);
        }
        m.scale_add(self.mu.into(), (1.0 - self.mu).into(), &factor)?;
        let inner = g.dot(&factor)?;
        let Target { out, beta, alpha } = target;
        out.scale_add(beta.into(), Coefficient::device(alpha, &inner), m)?;
        workspace.give(factor);
        if let Some(scaled) = scaled {
            workspace.give(scaled);
        }
        Ok(())
    }
}
