//! The other spectral maps of 2603.14315, section 3.1: what the proximal regularisers do to singular values.

use super::HardClip;
use super::separate::{in_range, separate};
use super::soft_clip::default_tolerance;
use crate::backend::{Backend, Coefficient, Element, Matrix, Op, Result, check_same, domain, require};
use crate::linalg::{Directions, Info, Polar, Workspace};

/// A map of singular values that is zero up to a threshold, or a power. `t`, `b`, `radius` and `b radius` are normal numbers
/// of the element type.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Threshold {
    /// `max(sigma - t, 0)`: the proximal map of `t ||.||_*`.
    Soft {
        /// > 0.
        t: f64,
    },
    /// `min(max(sigma - t, 0) / b, radius)`: nuclear plus Frobenius norm on the ball of that radius.
    Elastic {
        /// Strength of the nuclear norm, > 0.
        t: f64,
        /// Strength of the squared Frobenius norm, > 0.
        b: f64,
        /// > 0.
        radius: f64,
    },
    /// `radius` where `sigma > t`, else 0: the nuclear norm alone on the ball. Discontinuous at t.
    BangBang {
        /// Strength of the nuclear norm, > 0.
        t: f64,
        /// > 0.
        radius: f64,
    },
    /// `min((sigma / (b p))^(1 / (p - 1)), radius)`: `b ||.||_p^p` on the ball. For p = 2 this is a hard clip.
    /// Any other p is a fractional power of `X X^T`, which no fixed composition of products gives: the whole
    /// singular value decomposition is taken, with its k x k part on the host, up to a short side of 256.
    SchattenP {
        /// > 1.
        p: f64,
        /// > 0.
        b: f64,
        /// > 0.
        radius: f64,
    },
}

impl Threshold {
    /// What becomes of one singular value.
    pub fn at(&self, sigma: f64) -> f64 {
        match *self {
            Self::Soft { t } => (sigma - t).max(0.0),
            Self::Elastic { t, b, radius } => ((sigma - t).max(0.0) / b).min(radius),
            Self::BangBang { t, radius } => {
                if sigma > t {
                    radius
                } else {
                    0.0
                }
            }
            Self::SchattenP { p, b, radius } => libm::pow(sigma / (b * p), 1.0 / (p - 1.0)).min(radius),
        }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        let normal = |name, value| domain::normal::<E>("threshold", name, value);
        match *self {
            Self::Soft { t } => normal("t", t),
            Self::Elastic { t, b, radius } => {
                normal("t", t)?;
                normal("b", b)?;
                normal("radius", radius)?;
                normal("b * radius", b * radius)
            }
            Self::BangBang { t, radius } => {
                normal("t", t)?;
                normal("radius", radius)
            }
            Self::SchattenP { p, b, radius } => {
                require(p > 1.0 && p.is_finite(), "threshold", "p", p, "> 1 and finite")?;
                normal("b", b)?;
                normal("radius", radius)?;
                normal("b * radius", b * radius)
            }
        }
    }

    /// Writes the mapped matrix to `out`; both m x n. **Waits** for the device.
    ///
    /// Where few values exceed the threshold t they are found one by one (O(mnk), and a certificate that no other
    /// does); elsewhere by matrix products:
    ///
    /// * soft: `X - clip_t(X)`;
    /// * elastic: `(clip_{t + b radius}(X) - clip_t(X)) / b`, all zero if `||X||_F <= t`;
    /// * bang-bang: `radius (Q + S Q^T Q) / 2` with the polar factors Q of X and S of `X - t Q`;
    /// * Schatten p = 2: `clip_{2 b radius}(X) / (2 b)`.
    ///
    /// A zero or empty matrix gives zero.
    ///
    /// # Errors
    /// Shapes; settings; [`ErrorKind::NonFinite`](crate::backend::ErrorKind::NonFinite);
    /// [`ErrorKind::Unsupported`](crate::backend::ErrorKind::Unsupported) for Schatten with p other than 2
    /// and `min(m, n) > 256`.
    pub fn apply<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        self.validate::<B::Element>()?;
        check_same("threshold", x, out)?;
        let _scope = workspace.scope();
        let (m, n) = x.shape();
        if m == 0 || n == 0 {
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        let clip = HardClip::default();
        if let Self::SchattenP { p, b, radius } = *self {
            if p != 2.0 {
                return self.decomposed(x, out, workspace);
            }
            let info = clip.apply(x, 2.0 * b * radius, out, workspace)?;
            out.scale_add((1.0 / (2.0 * b)).into(), Coefficient::ZERO, x)?;
            return Ok(info);
        }
        let t = match *self {
            Self::Soft { t } | Self::Elastic { t, .. } | Self::BangBang { t, .. } => t,
            Self::SchattenP { .. } => 0.0,
        };
        let tolerance = default_tolerance(workspace.backend());
        let range = in_range::<B>("threshold", x)?;
        if range == 0.0 {
            out.copy_from(x)?;
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        if range == 1.0 {
            let parts = separate(x, t, tolerance, clip.slack, out, workspace)?;
            let (info, complete) = (parts.info, parts.complete);
            if complete {
                // The rest is zero after the map, up to the slack of the certificate.
                out.scale_add(Coefficient::ZERO, Coefficient::ZERO, x)?;
                if let Some(above) = &parts.above {
                    above.add(|s| self.at(s), out, workspace)?;
                }
            }
            parts.release(workspace);
            if complete {
                return Ok(info);
            }
        }
        match *self {
            Self::BangBang { t, radius } => bang_bang(x, t, radius, out, workspace),
            Self::Elastic { t, b, radius } => {
                let first = clip.apply(x, t + b * radius, out, workspace)?;
                let mut lower = workspace.take_like(x, n)?;
                let second = clip.apply(x, t, &mut lower, workspace)?;
                out.scale_add((1.0 / b).into(), (-1.0 / b).into(), &lower)?;
                workspace.give(lower);
                Ok(first.and(second))
            }
            _ => {
                let info = clip.apply(x, t, out, workspace)?;
                out.scale_add((-1.0).into(), Coefficient::ONE, x)?;
                Ok(info)
            }
        }
    }

    /// Through the whole singular value decomposition.
    fn decomposed<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        let scale = in_range::<B>("threshold", x)?;
        out.scale_add(Coefficient::ZERO, scale.max(1e-300).into(), x)?;
        if scale == 0.0 {
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        let all = Directions::all(out, workspace)?;
        out.scale_add(Coefficient::ZERO, Coefficient::ZERO, x)?;
        all.add(|s| self.at(s / scale), out, workspace)?;
        let deflated = all.kept;
        all.release(workspace);
        Ok(Info { deflated, accuracy: Some(16.0 * B::Element::EPSILON), ..Info::default() })
    }
}

/// `out = radius P Q`, `P = (I + S Q^T) / 2` the projector on the directions with `sigma > t`.
fn bang_bang<B: Backend>(
    x: &B::Matrix,
    t: f64,
    radius: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let (m, n) = x.shape();
    let r = m.min(n);
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let polar = Polar::exact_with_noise::<B::Element>((m, n));
    let mut q = workspace.take_like(x, n)?;
    let mut s = workspace.take_like(x, n)?;
    let first = polar.apply(x, &mut q, workspace)?;
    out.copy_from(x)?;
    out.scale_add(one, (-t).into(), &q)?;
    let second = polar.apply(out, &mut s, workspace)?;
    let mut p = workspace.take(r, r)?;
    let identity = workspace.identity(r)?;
    p.scale_add(zero, 0.5.into(), &identity)?;
    workspace.give_identity(identity);
    if m <= n {
        p.gemm(one, 0.5.into(), &s, Op::Plain, &q, Op::Transposed)?;
        out.gemm(zero, radius.into(), &p, Op::Plain, &q, Op::Plain)?;
    } else {
        p.gemm(one, 0.5.into(), &q, Op::Transposed, &s, Op::Plain)?;
        out.gemm(zero, radius.into(), &q, Op::Plain, &p, Op::Plain)?;
    }
    for matrix in [q, s, p] {
        workspace.give(matrix);
    }
    Ok(first.and(second).and(Info { products: 2, ..Info::default() }))
}
