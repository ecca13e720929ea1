//! Vectors: the soft clip of the Euclidean norm, in closed form.

use crate::backend::{Backend, Coefficient, Element, Matrix, Result, Scalar, ScalarOp};
use crate::linalg::{Info, Workspace, tiny};

/// What the clip does to a vector of norm `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum VectorRule {
    /// `x / sqrt(1 + t^2 / c^2)`: the matrix rule for one column.
    #[default]
    Smooth,
    /// The authors' program: `x` where `t <= c`, the smooth rule above. Jumps down by a factor of sqrt(2) at c.
    Official,
}

/// `||x|| / c` on the device; `out` is used as working memory.
pub(crate) fn relative_norm<B: Backend>(
    x: &B::Matrix,
    c: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<B::Scalar> {
    let number = |value: f64| workspace.backend().scalar(value);
    let combine = |op, a: &B::Scalar, b: &B::Scalar| B::Scalar::combine(op, a, b);
    // (s / c) f with the largest entry s and f = ||x / s|| in [1, sqrt(mn)].
    let s = combine(ScalarOp::Max, &x.max_abs()?, &number(tiny::<B::Element>())?)?;
    let inverse = combine(ScalarOp::Div, &number(1.0)?, &s)?;
    out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)?;
    let f = out.dot(out)?.sqrt()?;
    combine(ScalarOp::Mul, &combine(ScalarOp::Div, &s, &number(c)?)?, &f)
}

/// Writes the clipped vector; the matrix's shape does not matter.
pub(super) fn clip<B: Backend>(
    rule: VectorRule,
    x: &B::Matrix,
    c: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let combine = |op, a: &B::Scalar, b: &B::Scalar| B::Scalar::combine(op, a, b);
    let t = relative_norm(x, c, out, workspace)?;
    let one = workspace.backend().scalar(1.0)?;
    // 1 / sqrt(1 + t^2) = (1 / q) / sqrt((1 / q)^2 + (t / q)^2) with q = max(t, 1): no square overflows.
    let q = combine(ScalarOp::Max, &t, &one)?;
    let (a, b) = (combine(ScalarOp::Div, &one, &q)?, combine(ScalarOp::Div, &t, &q)?);
    let squares = combine(ScalarOp::Add, &combine(ScalarOp::Mul, &a, &a)?, &combine(ScalarOp::Mul, &b, &b)?)?;
    let mut factor = combine(ScalarOp::Div, &a, &squares.sqrt()?)?;
    if rule == VectorRule::Official {
        // 1 where t <= 1: factor + (1 - factor) [not 1 < t].
        let inside = combine(ScalarOp::Sub, &one, &combine(ScalarOp::Less, &one, &t)?)?;
        let gap = combine(ScalarOp::Sub, &one, &factor)?;
        factor = combine(ScalarOp::Add, &factor, &combine(ScalarOp::Mul, &gap, &inside)?)?;
    }
    out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &factor), x)?;
    Ok(Info { accuracy: Some(4.0 * B::Element::EPSILON), ..Info::default() })
}
