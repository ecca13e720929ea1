//! The directions above a threshold, and a proof that no other is.

use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar};
use crate::linalg::{Directions, Form, Info, MAX_DEFLATED, Workspace};
use num_traits::Float;

/// `X = U diag(s) V^T + rest` with every `s >= c`, and, where [`complete`](Self::complete),
/// `||rest|| <= certificate <= (1 + slack) c`.
#[derive(Debug)]
pub(super) struct Separated<B: Backend> {
    /// U, s and V; `None` if nothing is above c.
    pub(super) above: Option<Directions<B>>,
    /// Whether nothing above c is left in the rest; false where too many values exceed c, as the traces prove or the blocks
    /// show, or lie too close to it.
    pub(super) complete: bool,
    /// Products, directions and certificate.
    pub(super) info: Info,
}

impl<B: Backend> Separated<B> {
    /// Returns the temporaries.
    pub(super) fn release(self, workspace: &mut Workspace<B>) {
        if let Some(above) = self.above {
            above.release(workspace);
        }
    }
}

/// Separates `x` at `c`; everything that is not above goes to `rest`, m x n. The block of the power iteration grows from 8 fourfold, up to 256, or to where
/// it no longer pays, until its smallest
/// value is below c, every direction above c has a residual of at most `tolerance sigma`, and the certificate
/// holds. **Waits** for the device. Squares of x must be in range, see [`in_range`].
pub(super) fn separate<B: Backend>(
    x: &B::Matrix,
    c: f64,
    tolerance: f64,
    slack: f64,
    rest: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Separated<B>> {
    let (m, n) = x.shape();
    let r = m.min(n);
    let limit = c * (1.0 + slack);
    rest.copy_from(x)?;
    let mut verdict = certify(rest, c, limit, workspace)?;
    let mut info = Info { products: verdict.products, form: Form::Deflation, ..Info::default() };
    if verdict.proven {
        info.certificate = Some(verdict.upper);
        return Ok(Separated { above: None, complete: true, info });
    }
    let pays = PAYS * (r * r) as f64 / m.max(n) as f64;
    let most = MAX_DEFLATED.min(r).min((pays as usize).max(ALWAYS));
    if verdict.above(c, r) > most as f64 {
        return Ok(Separated { above: None, complete: false, info });
    }
    let mut k = most.min(8);
    loop {
        rest.copy_from(x)?;
        let above = Directions::leading(rest, k, c, tolerance, workspace)?;
        // A block of full rank holds everything; otherwise its last value says that no wanted one is outside.
        let candidate = above.converged && (above.smallest < c || k == r);
        if candidate || k == most {
            above.remainder(x, rest, workspace)?;
            info.deflated = above.kept;
            if candidate {
                verdict = certify(rest, c, limit, workspace)?;
                info.products += verdict.products;
            }
            let complete = candidate && verdict.proven;
            if complete {
                info.certificate = Some(verdict.upper);
                info.accuracy = Some(tolerance);
            }
            if complete || k == most {
                return Ok(Separated { above: Some(above), complete, info });
            }
        }
        above.release(workspace);
        k = most.min(4 * k);
    }
}

/// Blocks of 8, 32, ..., k directions take `8 iterations * 6 m n k` flops each, `64 m n k` in all, and the sign of the Gram matrix that replaces them
/// about fifty symmetric products of the short side, `50 r^3`: as much at `k = 0.8 r^2 / max(m, n)`.
const PAYS: f64 = 0.8;

/// So many directions are tried in any case: deflation is the more exact way, and in small matrices cheap enough.
const ALWAYS: usize = 64;

/// What is known of `||X||`.
struct Verdict {
    /// `||X||_F`.
    frobenius: f64,
    /// `tr G^2 / ||X||_F^4`, G the Gram matrix; 1, its most, where it was not asked for.
    fourth: f64,
    /// `||X|| <= limit` is proven.
    proven: bool,
    /// A proven upper bound.
    upper: f64,
    /// A proven lower bound.
    lower: f64,
    products: usize,
}

impl Verdict {
    /// No more than the number of the r singular values that exceed c: with the excess `e_i = sigma_i^2 - c^2` the N positive ones have
    /// `(sum e_i)^2 <= (sum_+ e_i)^2 <= N sum_+ e_i^2 <= N sum e_i^2`, where the sums are traces.
    fn above(&self, c: f64, r: usize) -> f64 {
        let (s, r) = ((c / self.frobenius) * (c / self.frobenius), r as f64);
        let sum = (1.0 - r * s).max(0.0);
        sum * sum / (self.fourth - 2.0 * s + r * s * s).max(f64::MIN_POSITIVE)
    }
}

/// Squarings of the Gram matrix: the bound is at most `r^(1 / 2^13)` too large after twelve, 0.1 % for r = 4096.
const SQUARINGS: usize = 12;

/// Bounds `||X||` by `(tr G^(2^j))^(1 / 2^(j+1))` with `G = X X^T` on the short side, for j = 0 (the Frobenius norm,
/// no product), 1, 2, ..., until it is below `limit`, or the lower bound `tr G^(2q) / tr G^q <= ||G||^q` is above
/// it. One product and one number read for each j.
fn certify<B: Backend>(x: &B::Matrix, c: f64, limit: f64, workspace: &mut Workspace<B>) -> Result<Verdict> {
    let (m, n) = x.shape();
    let r = m.min(n);
    let zero = Coefficient::ZERO;
    // Rounding errors of a product relative to the trace.
    let margin = 1.0 + 4.0 * B::Element::EPSILON * libm::sqrt(n.max(m) as f64);
    let frobenius = libm::sqrt(x.dot(x)?.read()?);
    let mut verdict = Verdict {
        frobenius,
        fourth: 1.0,
        proven: frobenius * margin <= limit,
        upper: frobenius * margin,
        lower: frobenius / libm::sqrt(r as f64),
        products: 0,
    };
    if verdict.proven || !frobenius.is_finite() || frobenius == 0.0 {
        return Ok(verdict);
    }
    let mut power = workspace.take(r, r)?;
    let mut next = workspace.take(r, r)?;
    let (left, right) = if m <= n { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
    // power = (G / ||X||_F^2)^q / scale, log_scale the logarithm of ||X||_F^(2q) scale.
    power.gemm_symmetric(zero, (1.0 / (frobenius * frobenius)).into(), x, left, x, right)?;
    let (mut q, mut log_scale) = (1.0, 2.0 * libm::log(frobenius));
    // ln tr G^q; G itself has trace ||X||_F^2.
    let mut log_trace = log_scale;
    verdict.products += 1;
    for _ in 0..SQUARINGS {
        let norm = libm::sqrt(power.dot(&power)?.read()?);
        if q == 1.0 {
            verdict.fourth = norm * norm;
        }
        // tr G^(2q) = ||G^q||_F^2, and tr G^(2q) / tr G^q <= ||G||^q.
        let log_square = 2.0 * (libm::log(norm) + log_scale);
        verdict.upper = verdict.upper.min(libm::exp(log_square / (4.0 * q)) * margin);
        verdict.lower = verdict.lower.max(libm::exp((log_square - log_trace) / (2.0 * q)) / margin);
        verdict.proven = verdict.upper <= limit;
        if verdict.proven || verdict.lower > c || !norm.is_finite() {
            break;
        }
        next.gemm_symmetric(zero, (1.0 / (norm * norm)).into(), &power, Op::Plain, &power, Op::Plain)?;
        core::mem::swap(&mut power, &mut next);
        verdict.products += 1;
        log_scale = 2.0 * (log_scale + libm::log(norm));
        log_trace = log_square;
        q *= 2.0;
    }
    workspace.give(power);
    workspace.give(next);
    Ok(verdict)
}

/// 1, or the power of two that brings the largest entry next to 1 where squares of `||X||_F` might leave the
/// range; 0 for a zero matrix. **Waits** for one number.
///
/// # Errors
/// A NaN or an infinity.
pub(super) fn in_range<B: Backend>(operation: &'static str, x: &B::Matrix) -> Result<f64> {
    use crate::backend::{Error, ErrorKind};
    let largest = x.max_abs()?.read()?;
    if !largest.is_finite() {
        return Err(Error::new(operation, ErrorKind::NonFinite { what: "matrix" }));
    }
    if largest == 0.0 {
        return Ok(0.0);
    }
    let high = libm::cbrt(B::Element::max_value().widen());
    if largest < high && largest > 1.0 / high {
        return Ok(1.0);
    }
    let tiny = crate::linalg::tiny::<B::Element>();
    Ok(1.0 / crate::linalg::power_of_two(largest.max(tiny)))
}
