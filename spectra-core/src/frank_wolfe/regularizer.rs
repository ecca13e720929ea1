//! The regularisers: their values, and the linear subproblem they lead to.

use crate::backend::{Backend, Coefficient, Element, Matrix, Result, Scalar, domain, require};
use crate::linalg::{Directions, Polar, Workspace};
use crate::maps::{HardClip, Threshold};

/// `psi`, a convex function of the singular values. Strengths, the radius and their product are normal numbers of the element
/// type.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Regularizer {
    /// 0: Muon's problem.
    #[default]
    None,
    /// `(b / 2) ||X||_F^2`: the problem of an optimizer with hard spectral clipping.
    Frobenius {
        /// > 0.
        b: f64,
    },
    /// `t ||X||_*`
    Nuclear {
        /// > 0.
        t: f64,
    },
    /// `t ||X||_* + (b / 2) ||X||_F^2`
    Elastic {
        /// > 0.
        t: f64,
        /// > 0.
        b: f64,
    },
    /// `b ||X||_p^p`, the sum of the p-th powers of the singular values. Unless p is 2 the short side may be
    /// 256 at most.
    SchattenP {
        /// > 1.
        p: f64,
        /// > 0.
        b: f64,
    },
}

impl Regularizer {
    /// An error if a strength, or the radius of the ball it goes with, is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with its name.
    pub fn validate<E: Element>(&self, radius: f64) -> Result<()> {
        let normal = |name, value| domain::normal::<E>("frank_wolfe", name, value);
        normal("radius", radius)?;
        let strength = |b| normal("b", b).and_then(|()| normal("b * radius", b * radius));
        match *self {
            Self::None => Ok(()),
            Self::Frobenius { b } => strength(b),
            Self::Nuclear { t } => normal("t", t),
            Self::Elastic { t, b } => {
                normal("t", t)?;
                strength(b)
            }
            Self::SchattenP { p, b } => {
                require(p > 1.0 && p.is_finite(), "frank_wolfe", "p", p, "> 1 and finite")?;
                strength(b)
            }
        }
    }

    /// Writes `V = argmin_{||V||_2 <= radius} <G, V> + psi(V)`, both m x n: with `G = U diag(sigma) Z^T` it is
    /// `-U diag(v) Z^T`, where v is
    ///
    /// * none: `radius` (the polar factor);
    /// * Frobenius: `min(sigma / b, radius)` (the hard clip);
    /// * nuclear: `radius` where `sigma > t`, else 0;
    /// * elastic: `min(max(sigma - t, 0) / b, radius)` (the soft threshold);
    /// * Schatten: `min((sigma / (b p))^(1 / (p - 1)), radius)`.
    ///
    /// **Waits** for the device, but for none.
    ///
    /// # Errors
    /// Those of the map; a strength or a radius outside its domain.
    pub fn minimizer<B: Backend>(
        &self,
        gradient: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        self.validate::<B::Element>(radius)?;
        let _scope = workspace.scope();
        let mut mapped = workspace.take_like(gradient, gradient.shape().1)?;
        let factor = match *self {
            Self::None => {
                Polar::exact::<B::Element>().apply(gradient, &mut mapped, workspace)?;
                -radius
            }
            Self::Frobenius { b } => {
                // min(sigma / b, D) = min(sigma, b D) / b
                HardClip::default().apply(gradient, b * radius, &mut mapped, workspace)?;
                -1.0 / b
            }
            Self::Nuclear { t } => {
                Threshold::BangBang { t, radius }.apply(gradient, &mut mapped, workspace)?;
                -1.0
            }
            Self::Elastic { t, b } => {
                Threshold::Elastic { t, b, radius }.apply(gradient, &mut mapped, workspace)?;
                -1.0
            }
            Self::SchattenP { p, b } => {
                Threshold::SchattenP { p, b, radius }.apply(gradient, &mut mapped, workspace)?;
                -1.0
            }
        };
        out.scale_add(Coefficient::ZERO, factor.into(), &mapped)?;
        workspace.give(mapped);
        Ok(())
    }

    /// `psi(x)`. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the backend; Schatten with p other than 2 beyond a short side of 256.
    pub fn value<B: Backend>(&self, x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<f64> {
        let _scope = workspace.scope();
        match *self {
            Self::None => Ok(0.0),
            Self::Frobenius { b } => Ok(b / 2.0 * x.dot(x)?.read()?),
            Self::Nuclear { t } => Ok(t * nuclear_norm(x, workspace)?),
            Self::Elastic { t, b } => Ok(t * nuclear_norm(x, workspace)? + b / 2.0 * x.dot(x)?.read()?),
            Self::SchattenP { p: 2.0, b } => Ok(b * x.dot(x)?.read()?),
            Self::SchattenP { p, b } => {
                let mut copy = workspace.take_like(x, x.shape().1)?;
                copy.copy_from(x)?;
                let all = Directions::<B>::all(&mut copy, workspace)?;
                workspace.give(copy);
                let sum = all.values().iter().map(|s| libm::pow(*s, p)).sum::<f64>();
                all.release(workspace);
                Ok(b * sum)
            }
        }
    }
}

/// `||X||_* = <X, Q>` with the polar factor Q.
fn nuclear_norm<B: Backend>(x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<f64> {
    let mut polar = workspace.take_like(x, x.shape().1)?;
    Polar::exact::<B::Element>().apply(x, &mut polar, workspace)?;
    let norm = polar.dot(x)?.read()?;
    workspace.give(polar);
    Ok(norm)
}
