//! The first division: X is brought to spectral norm <= 1.

use super::Polar;
use crate::backend::{Backend, Coefficient, Error, ErrorKind, Matrix, Result, Scalar, ScalarOp};
use crate::linalg::{OddPolynomial, Workspace, tiny};

/// How the input is brought to spectral norm <= 1. In every form X is first divided by its largest entry, so
/// that squares of 1e30 or 1e-30 stay in the range of `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Normalization {
    /// `X / ||X||_F`: the result does not depend on the scale of X. A zero matrix stays zero.
    #[default]
    Frobenius,
    /// `X / (factor ||X||_F + eps)`: KellerJordan/Muon has factor 1 and eps 1e-7, Polar Express 1.02 and 1e-6.
    Added {
        /// Of the norm; from 1 to 1 / [`lower`](Polar::lower), beyond which no singular value is promised to arrive.
        factor: f64,
        /// Added; in [0, 1].
        eps: f64,
    },
    /// `X / max(||X||_F, eps)`: torch.optim.Muon, with eps 1e-7.
    Clamped {
        /// The least divisor; in [0, 1].
        eps: f64,
    },
    /// `X / (1.01 b)`, `b = (tr (X X^T)^4)^(1/8) = ||(X X^T)^2||_F^(1/4)`: at most `r^(1/8)` times `sigma_1`, r the short side, where
    /// `||X||_F` may be `r^(1/2)` times. The Gram matrix and its square are those of the first step: no product more (with
    /// [`Schedule::Cubic`](super::Schedule::Cubic), whose steps square nothing, one), and the device is not read. Gelfand's formula, as in CANS
    /// (2506.10935). A zero matrix stays zero.
    Gram,
}

/// `1.01 b >= sigma_1` whatever rounding does to the two products, also in `bf16`: `b^4` is off by `r^(1/2) u` at most.
const MARGIN: f64 = 1.01;

/// Powers -1, -3, -5 of a number s on the device, which turn `p(x)` into `p(x / s)`.
#[derive(Debug)]
pub(crate) struct Stretch<S>([S; 3]);

impl<S: Scalar> Stretch<S> {
    /// From `square = (X X^T)^2` with `||X||_F = 1`, or 0: `s = 1.01 ||square||_F^(1/4)`.
    pub(super) fn of_gram_bound<B: Backend<Scalar = S>>(square: &B::Matrix, backend: &B) -> Result<Self> {
        let combine = |op, a: &S, b: &S| S::combine(op, a, b);
        let b = square.dot(square)?.sqrt()?.sqrt()?.sqrt()?;
        // sigma_1 is no less than r^(-1/2), except of a zero matrix, which stays 0.
        let least = 1.0 / libm::sqrt(square.shape().0.max(1) as f64);
        let s = combine(ScalarOp::Max, &b, &backend.scalar(least)?)?;
        let inverse = combine(ScalarOp::Div, &backend.scalar(1.0 / MARGIN)?, &s)?;
        let square = combine(ScalarOp::Mul, &inverse, &inverse)?;
        let cube = combine(ScalarOp::Mul, &inverse, &square)?;
        let fifth = combine(ScalarOp::Mul, &cube, &square)?;
        Ok(Self([inverse, cube, fifth]))
    }
}

/// The coefficients of `p(x / s)`, of p itself without an s.
pub(crate) fn coefficients<'a, S>(
    p: &OddPolynomial,
    stretch: Option<&'a Stretch<S>>,
) -> [Coefficient<'a, S>; 3] {
    let factors = [p.a, p.b, p.c];
    match stretch {
        None => factors.map(Coefficient::from),
        Some(Stretch([first, third, fifth])) => {
            let [a, b, c] = factors;
            [Coefficient::device(a, first), Coefficient::device(b, third), Coefficient::device(c, fifth)]
        }
    }
}

impl Polar {
    /// `out = X / divisor`, rounded once; with [`Normalization::Gram`] `X / ||X||_F`, the rest being left to the first polynomial. `scaled`, in
    /// the element type, becomes `X / max |x_ij|`.
    pub(super) fn normalize<B: Backend>(
        &self,
        x: &B::Matrix,
        scaled: &mut B::Matrix,
        out: &mut B::Matrix,
        workspace: &Workspace<B>,
    ) -> Result<()> {
        let backend = workspace.backend();
        let largest = x.max_abs()?;
        if largest.known().is_some_and(|value| !value.is_finite()) {
            return Err(Error::new("polar", ErrorKind::NonFinite { what: "matrix" }));
        }
        // X / s has entries <= 1 and a Frobenius norm f in [1, sqrt(mn)]: with s f = ||X||_F
        // X / (factor ||X||_F + eps) = (X / s) / (factor f + eps / s).
        let s = B::Scalar::combine(ScalarOp::Max, &largest, &backend.scalar(tiny::<B::Element>())?)?;
        let one = backend.scalar(1.0)?;
        let inverse = B::Scalar::combine(ScalarOp::Div, &one, &s)?;
        scaled.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)?;
        let f = scaled.dot(scaled)?.sqrt()?;
        let over_s = |eps: f64| B::Scalar::combine(ScalarOp::Div, &backend.scalar(eps)?, &s);
        let divisor = match self.normalization {
            Normalization::Frobenius | Normalization::Gram => f,
            Normalization::Clamped { eps } => B::Scalar::combine(ScalarOp::Max, &f, &over_s(eps)?)?,
            Normalization::Added { factor, eps } => {
                let scaled = B::Scalar::combine(ScalarOp::Mul, &f, &backend.scalar(factor)?)?;
                B::Scalar::combine(ScalarOp::Add, &scaled, &over_s(eps)?)?
            }
        };
        // Below 1 it can only be 0, for a zero matrix, which stays 0.
        let divisor = B::Scalar::combine(ScalarOp::Max, &divisor, &backend.scalar(0.5)?)?;
        let inverse =
            B::Scalar::combine(ScalarOp::Mul, &inverse, &B::Scalar::combine(ScalarOp::Div, &one, &divisor)?)?;
        // From X again: one rounding. Where 1 / (s divisor) leaves the range the two factors are applied in turn.
        match (inverse.known(), divisor.known()) {
            (Some(both), _) if both >= tiny::<B::Element>() && both <= 1.0 / tiny::<B::Element>() => {
                out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)
            }
            _ => {
                let inverse = B::Scalar::combine(ScalarOp::Div, &one, &divisor)?;
                out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), scaled)
            }
        }
    }
}
