//! A fixed number of coupled steps, every bound on the device: the authors' program and its minimax cousin.

use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar, ScalarOp};
use crate::linalg::{Coupled, Info, Polynomials, Workspace, tiny};

/// The upper bound of `||X X^T||` in `alpha = 1 + bound / c^2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AlphaBound {
    /// `||X X^T||_F`
    #[default]
    Frobenius,
    /// The authors': the smaller of the largest absolute row sum and the Frobenius norm.
    RowSumOrFrobenius,
}

/// See [`SoftClipMethod::Fixed`](super::SoftClipMethod::Fixed).
pub(super) fn clip<B: Backend>(
    x: &B::Matrix,
    c: f64,
    polynomials: Polynomials,
    bound: AlphaBound,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let (m, n) = x.shape();
    let (wide, r) = (m <= n, m.min(n));
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let (left, right) = if wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };

    // X' = X / s with the largest entry s, and G = X' X'^T.
    let number = |value: f64| workspace.backend().scalar(value);
    let combine = |op, a: &B::Scalar, b: &B::Scalar| B::Scalar::combine(op, a, b);
    let unit = number(1.0)?;
    let s = combine(ScalarOp::Max, &x.max_abs()?, &number(tiny::<B::Element>())?)?;
    let ratio = combine(ScalarOp::Min, &combine(ScalarOp::Div, &s, &number(c)?)?, &number(1e18)?)?;
    let inverse = combine(ScalarOp::Div, &unit, &s)?;
    let mut scaled = workspace.take_iterate_like(x)?;
    scaled.scale_add(zero, Coefficient::device(1.0, &inverse), x)?;
    let mut gram = workspace.take(r, r)?;
    gram.gemm_symmetric(zero, one, &scaled, left, &scaled, right)?;
    let g = norm_bound(bound, &gram, workspace)?;

    // With kappa = (s / c)^2: A / alpha = (I + kappa G) / (1 + kappa g), and H = Z X / sqrt(alpha)
    // = c Z X' sqrt(kappa / (1 + kappa g)); numerator and denominator are divided by q = max(kappa, 1).
    let kappa = combine(ScalarOp::Mul, &ratio, &ratio)?;
    let q = combine(ScalarOp::Max, &kappa, &unit)?;
    let (i, w) = (combine(ScalarOp::Div, &unit, &q)?, combine(ScalarOp::Div, &kappa, &q)?);
    let alpha = combine(ScalarOp::Add, &i, &combine(ScalarOp::Mul, &w, &g)?)?;
    let (i, w) = (combine(ScalarOp::Div, &i, &alpha)?, combine(ScalarOp::Div, &w, &alpha)?);
    // Below the rounding errors of G an eigenvalue may be negative, and the steps would drive it to minus infinity. Values of X
    // that are so small beside the largest are clipped less than they should be.
    let noise = 4.0 * B::Element::EPSILON * libm::sqrt(m.max(n) as f64);
    // A itself, of norm 1, is stored: in 16 bits with errors of random signs, a fraction of a rounding in each direction.
    let stored = if workspace.backend().iterate_format().is_some() {
        workspace.backend().product_epsilon() / 4.0
    } else {
        0.0
    };
    let noise = noise.max(stored);
    let i = combine(ScalarOp::Max, &i, &workspace.backend().scalar(noise)?)?;
    let identity = workspace.identity(r)?;
    let mut a = workspace.take(r, r)?;
    a.scale_add(zero, Coefficient::device(1.0, &i), &identity)?;
    a.scale_add(one, Coefficient::device(1.0, &w), &gram)?;
    workspace.give_identity(identity);

    let mut state = Coupled::of(a, None, workspace)?;
    let steps = polynomials.clone().count();
    state.run(polynomials, None, workspace)?;
    let w = w.sqrt()?;
    let factor = Coefficient::device(c, &w);
    if wide {
        out.gemm(zero, factor, &state.q, Op::Plain, &scaled, Op::Plain)?;
    } else {
        out.gemm(zero, factor, &scaled, Op::Plain, &state.q, Op::Plain)?;
    }
    let products = state.products + 2;
    state.release(workspace);
    workspace.give(gram);
    workspace.give_iterate(scaled);
    Ok(Info { steps, products, ..Info::default() })
}

/// An upper bound of `||G||` on the device.
fn norm_bound<B: Backend>(
    bound: AlphaBound,
    gram: &B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<B::Scalar> {
    let frobenius = gram.dot(gram)?.sqrt()?;
    if bound == AlphaBound::Frobenius {
        return Ok(frobenius);
    }
    // |G| = G o sign(G), its row sums |G| 1, and the largest of them.
    let r = gram.shape().0;
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let mut sign = workspace.take(r, r)?;
    let mut absolute = workspace.take(r, r)?;
    sign.sign_add(zero, one, gram)?;
    absolute.product_add(zero, one, gram, &sign)?;
    let ones = workspace.ones(r, 1)?;
    let mut sums = workspace.take(r, 1)?;
    sums.gemm(zero, one, &absolute, Op::Plain, &ones, Op::Plain)?;
    let row_sum = sums.max_abs()?;
    workspace.give_ones(ones);
    for matrix in [sign, absolute, sums] {
        workspace.give(matrix);
    }
    B::Scalar::combine(ScalarOp::Min, &frobenius, &row_sum)
}
