//! The hard spectral clip: each singular value `sigma -> min(sigma, c)`.

mod sign;

use super::separate::{in_range, separate};
use super::soft_clip::{default_tolerance, relative_norm};
use crate::backend::{
    Backend, Coefficient, Element, Matrix, Op, Result, Scalar, ScalarOp, check_same, domain, require,
};
use crate::linalg::{Form, Info, Polar, Workspace};

/// How the hard clip is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HardClipMethod {
    /// By deflation where the values above c are few; elsewhere, perhaps after the largest, by the sign of `X X^T - c^2 I`, which takes two
    /// to three times the products of a soft clip; by polar factors where `sigma_1 / c` is beyond that, `8 sqrt(m + n)`. See [`Info::form`].
    #[default]
    Auto,
    /// By two polar factors, for comparison.
    Polar,
}

/// The hard spectral clip.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HardClip {
    /// The way.
    pub method: HardClipMethod,
    /// Relative residual, in (0, 1), at which a direction counts as found; `None` is 5e-6 in `f32`, 2e-13 in `f64`.
    pub tolerance: Option<f64>,
    /// Deflation proves that no singular value of the result exceeds `(1 + slack) c`, slack in (0, 1]. The proof takes one r x r
    /// product more for each halving of the slack when values crowd just below c.
    pub slack: f64,
}

impl Default for HardClip {
    /// [`AUTO`](Self::AUTO).
    fn default() -> Self {
        Self::AUTO
    }
}

impl HardClip {
    /// Automatic, to the element type's accuracy, slack 1 %.
    pub const AUTO: Self = Self { method: HardClipMethod::Auto, tolerance: None, slack: 0.01 };

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        if let Some(tolerance) = self.tolerance {
            domain::tolerance("hard_clip", tolerance)?;
        }
        require(self.slack > 0.0 && self.slack <= 1.0, "hard_clip", "slack", self.slack, "in (0, 1]")
    }

    /// Flops for an m x n matrix: those of [two polar factors](HardClipMethod::Polar), or of one, as an estimate, where it depends on
    /// the values.
    pub fn flops<E: Element>(&self, shape: (usize, usize)) -> f64 {
        let factors = match self.method {
            HardClipMethod::Auto => 1.0,
            HardClipMethod::Polar => 2.0,
        };
        factors * Polar::EXACT.flops::<E>(shape)
    }

    /// Writes the clipped matrix to `out`; both m x n. **Waits** for the device.
    ///
    /// With the k directions above c, `out = (I - U U^T) X (I - V V^T) + c U V^T`: [`Info::deflated`] is k and
    /// [`Info::certificate`] the proven bound of what the first term can hold. 6 mnk flops per power iteration,
    /// O(m n k) in all, plus the products of the proof; where `||X||_F <= c` none at all. Rounding errors of
    /// size `eps sigma_1` do not reach the result.
    ///
    /// Otherwise [`Info::certificate`] is `None` and errors are about
    /// `10 eps sqrt(m + n) max(sigma_1, c)`; where with polar factors `100 eps ||X||_F > c` the result is `c` times the
    /// polar factor.
    ///
    /// One row or one column is scaled by `min(1, c / norm)`. A zero or empty matrix gives zero.
    ///
    /// # Errors
    /// Shapes; a `c` that is no positive, finite, normal number of the element type; settings;
    /// [`ErrorKind::NonFinite`](crate::backend::ErrorKind::NonFinite).
    pub fn apply<B: Backend>(
        &self,
        x: &B::Matrix,
        c: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        domain::normal::<B::Element>("hard_clip", "c", c)?;
        self.validate()?;
        check_same("hard_clip", x, out)?;
        let _scope = workspace.scope();
        let (m, n) = x.shape();
        if m == 0 || n == 0 {
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        if m.min(n) == 1 {
            return vector(x, c, out, workspace);
        }
        let scale = in_range::<B>("hard_clip", x)?;
        if scale == 0.0 {
            out.copy_from(x)?;
            return Ok(Info { certificate: Some(0.0), accuracy: Some(0.0), ..Info::default() });
        }
        if scale == 1.0 {
            return self.in_range(x, c, out, workspace);
        }
        let mut scaled = workspace.take_like(x, n)?;
        scaled.scale_add(Coefficient::ZERO, scale.into(), x)?;
        let mut info = self.in_range(&scaled, c * scale, out, workspace)?;
        out.scale_add((1.0 / scale).into(), Coefficient::ZERO, &scaled)?;
        workspace.give(scaled);
        info.certificate = info.certificate.map(|b| b / scale);
        Ok(info)
    }

    fn in_range<B: Backend>(
        &self,
        x: &B::Matrix,
        c: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        let tolerance = self.tolerance.unwrap_or_else(|| default_tolerance(workspace.backend()));
        if self.method == HardClipMethod::Polar {
            return polar_form(x, c, out, workspace);
        }
        let parts = separate(x, c, tolerance, self.slack, out, workspace)?;
        let mut info = parts.info;
        if !parts.complete {
            let mut rest = workspace.take_like(x, x.shape().1)?;
            rest.copy_from(out)?;
            info = info.and(match sign::clip(&rest, c, out, workspace)? {
                Some(info) => info,
                None => polar_form(&rest, c, out, workspace)?,
            });
            workspace.give(rest);
        }
        if let Some(above) = &parts.above {
            above.project(out, workspace)?;
            above.add(|_| c, out, workspace)?;
        }
        parts.release(workspace);
        Ok(info)
    }
}

/// With the polar factors `Q` of X and `S` of `E = X - c Q`, and `P = (I - S Q^T) / 2`, the projector on the
/// directions with `sigma < c`:
///
/// `min(sigma, c) = c + p^2 (sigma - c)`, that is `out = c Q + P P E`
///
/// on the short side (`S Q^T` is not symmetric where sigma = c, so no product here is). Equal to
/// `(X + c Q - S E^T Q) / 2`, but large values do not cancel against each other.
fn polar_form<B: Backend>(
    x: &B::Matrix,
    c: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let (m, n) = x.shape();
    let polar = Polar::exact_with_noise::<B::Element>((m, n));
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let mut q = workspace.take_like(x, n)?;
    let mut e = workspace.take_like(x, n)?;
    let info = polar.apply(x, &mut q, workspace)?;
    if 100.0 * B::Element::EPSILON * libm::sqrt(x.dot(x)?.read()?) > c {
        // Every value that is not larger than c is rounding noise of the larger ones.
        out.scale_add(zero, c.into(), &q)?;
        workspace.give(q);
        workspace.give(e);
        return Ok(Info { form: Form::Polar, ..info });
    }
    e.copy_from(x)?;
    e.scale_add(one, (-c).into(), &q)?;
    let later = polar.apply(&e, out, workspace)?;

    let r = m.min(n);
    let mut p = workspace.take(r, r)?;
    let identity = workspace.identity(r)?;
    p.scale_add(zero, 0.5.into(), &identity)?;
    workspace.give_identity(identity);
    if m <= n {
        p.gemm(one, (-0.5).into(), out, Op::Plain, &q, Op::Transposed)?;
        out.gemm(zero, one, &p, Op::Plain, &e, Op::Plain)?;
        q.gemm(c.into(), one, &p, Op::Plain, out, Op::Plain)?;
    } else {
        p.gemm(one, (-0.5).into(), &q, Op::Transposed, out, Op::Plain)?;
        out.gemm(zero, one, &e, Op::Plain, &p, Op::Plain)?;
        q.gemm(c.into(), one, out, Op::Plain, &p, Op::Plain)?;
    }
    // Not by an exchange: `out` is the caller's, and its handle must not end in the pool.
    out.copy_from(&q)?;
    for matrix in [q, e, p] {
        workspace.give(matrix);
    }
    Ok(info.and(later).and(Info { products: 3, form: Form::Polar, ..Info::default() }))
}

/// `out = min(1, c / ||x||) x`, on the device.
fn vector<B: Backend>(
    x: &B::Matrix,
    c: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let t = relative_norm(x, c, out, workspace)?;
    let one = workspace.backend().scalar(1.0)?;
    let factor = B::Scalar::combine(ScalarOp::Div, &one, &B::Scalar::combine(ScalarOp::Max, &t, &one)?)?;
    out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &factor), x)?;
    Ok(Info { accuracy: Some(4.0 * B::Element::EPSILON), ..Info::default() })
}
