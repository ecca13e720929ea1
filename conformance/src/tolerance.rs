//! Every tolerance of the suite, derived in one place.
//!
//! A tolerance is `c * u * f(shape, condition)`: u is the unit roundoff of the precision in which the backend computes,
//! f follows from the error analysis of a correct algorithm, and c covers what the analysis rounds away.
//! No tolerance is fitted to a backend: a correct implementation passes whatever its order of summation.
//!
//! Sums use the probabilistic rounding bound of Higham and Mary (A new approach to probabilistic rounding error
//! analysis, SIAM J. Sci. Comput. 41, 2019): n roundings amount to `lambda sqrt(n) u` unless an event of
//! probability `2 exp(-lambda^2 / 2)` occurs, and never to more than about `n u`. It is much sharper than the
//! worst case at the sizes in question, and a result beyond it is a defect of the algorithm, not bad luck.

use crate::Precision;

/// lambda of the probabilistic bound: 6 leaves 3e-8 for bad luck at each entry.
const LAMBDA: f64 = 6.0;

/// How many unit roundoffs a chain of `count` roundings amounts to.
#[must_use]
pub fn accumulated(count: usize) -> f64 {
    let count = count as f64;
    count.min(LAMBDA * count.sqrt())
}

/// An entry that results from `operations` roundings, relative to the sum of the absolute values that went into it.
///
/// One more for the comparison value, which is rounded too.
#[must_use]
pub fn elementwise(precision: Precision, operations: usize) -> f64 {
    precision.unit_roundoff() * accumulated(operations + 1)
}

/// What the coefficients of `beta self + alpha f` add to an entry, relative to the sum of its parts' absolute values:
/// the host's factor, the device's number and the product of both are rounded.
#[must_use]
pub fn coefficients(precision: Precision) -> f64 {
    3.0 * precision.unit_roundoff()
}

/// A sum of `terms` products, relative to the sum of their absolute values, held against a sum of doubles in another order.
#[must_use]
pub fn product_by_doubles(precision: Precision, terms: usize) -> f64 {
    product(precision, terms) + product(Precision::F64, terms)
}

/// A sum of `terms` products, relative to the sum of their absolute values.
///
/// Each product and each addition rounds once; two more roundings scale the sum and add the old value.
/// For a matrix product the scale is `|| |A| |B| ||_F`.
#[must_use]
pub fn product(precision: Precision, terms: usize) -> f64 {
    precision.unit_roundoff() * accumulated(2 * terms + 2)
}

/// A Euclidean norm of `terms` entries, relative to itself.
///
/// All squares are positive, so the sum's error is relative to the sum; the square root halves it and rounds once.
#[must_use]
pub fn norm(precision: Precision, terms: usize) -> f64 {
    precision.unit_roundoff() * (accumulated(2 * terms) / 2.0 + 2.0)
}

/// A reduction of `terms` products to one number, relative to the sum of their absolute values.
///
/// The contract wants f32 summed in f64 or with an error that grows no faster than pairwise summation's: one rounding
/// for each level, and in blocks of 64 at the bottom. Doubles may be summed one by one.
#[must_use]
pub fn reduction(precision: Precision, terms: usize) -> f64 {
    match precision {
        Precision::F32 => {
            let levels = (terms.max(1) as f64).log2().ceil();
            precision.unit_roundoff() * (accumulated((2 * terms).min(128)) + levels + 1.0)
        }
        Precision::F64 => product(precision, terms),
    }
}

/// `||Q^T Q - I||_F` of k columns of length m that were orthonormalised.
///
/// Householder reflections, and Cholesky QR done twice, leave each of the k^2 inner products of length m wrong by the
/// error of an inner product of unit vectors; independent, they add up to k times that.
/// (Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, ETNA 44, 2015, prove `6 (m k + k (k + 1)) u` in the worst
/// case.) The factor 2 covers the k reflections that each column passes through.
#[must_use]
pub fn orthonormality(precision: Precision, (m, k): (usize, usize)) -> f64 {
    2.0 * k as f64 * product(precision, m)
}

/// What a column of P, relative to its length, may have outside the span of its computed orthonormal basis U, and the
/// entries below the diagonal of `U^T P`.
///
/// QR decompositions are backward stable column by column, whatever the condition: k projections, each an inner
/// product of length m. A column of which less than 4 eps = 8 u is left after the projections may count as dependent.
#[must_use]
pub fn span(precision: Precision, (m, k): (usize, usize)) -> f64 {
    orthonormality(precision, (m, k)) + 8.0 * precision.unit_roundoff()
}

/// Up to which condition k columns can be orthonormalised through their Gram matrix.
///
/// Rounding leaves the squared sine of the angle between columns uncertain by `k eps`; the Cholesky factor exists and is
/// accurate in its leading digits as long as the square of the condition stays a factor 64 below the inverse of that.
/// Beyond, a backend needs to know the condition and to take another way.
#[must_use]
pub fn moderate_condition(precision: Precision, k: usize) -> f64 {
    1.0 / (8.0 * (k as f64 * 2.0 * precision.unit_roundoff()).sqrt())
}

/// `W = M^T U` of a power iteration, relative to `|| |M|^T |U| ||_F`.
///
/// A sum over the m rows; in one sweep it is `(M^T P) R^-1` with a factor R of condition up to 8, and the n terms of
/// `P = M V` count too.
#[must_use]
pub fn projection(precision: Precision, (m, n): (usize, usize)) -> f64 {
    8.0 * (product(precision, m) + product(precision, n))
}

/// The angle between a computed left subspace and the exact one, in radians.
///
/// The product `M V` carries an error of `product(n)` times `|| |M| |V| ||`, orthonormalisation one of its own; both
/// turn the subspace by that error times the condition number of the columns of `M V`, scaled to unit length.
#[must_use]
pub fn subspace_angle(precision: Precision, (m, n): (usize, usize), k: usize, condition: f64) -> f64 {
    condition * (product(precision, n) + span(precision, (m, k)))
}

/// A result that golden data give in double precision, reproduced in `precision`.
///
/// `tolerance` is the one for double precision. It allows for another order of rounding, and two correct programs in
/// double precision came to within 1e-13 of each other: 900 unit roundoffs. Single precision is allowed the same number
/// of its own, and as many again for the rounded inputs.
#[must_use]
pub fn golden(precision: Precision, tolerance: f64) -> f64 {
    match precision {
        Precision::F32 => tolerance.max(1800.0 * precision.unit_roundoff()),
        Precision::F64 => tolerance,
    }
}

/// A tail norm `||M - U W^T||_F` relative to itself, when it is `tail` times the norm of M.
///
/// `projection` is the relative error of W, `entries` the size of M. Formed as a difference of squares the norm loses
/// the digits that M and the projection share; formed from the difference of the matrices it loses half as many. Below
/// `sqrt(eps)` of the energy a host that knows the norms must use the second way.
#[must_use]
pub fn tail_norm(
    precision: Precision,
    projection: f64,
    entries: usize,
    tail: f64,
    host_knows_norms: bool,
) -> f64 {
    let eps = 2.0 * precision.unit_roundoff();
    let relative = projection + reduction(precision, entries);
    if host_knows_norms && tail * tail < eps.sqrt() { relative / tail } else { relative / (tail * tail) }
}

/// `||M - U diag(sigma) V^T||_F / ||M||_F` of a backward stable decomposition.
///
/// Bidiagonalisation applies `2 r` reflections of length at most `max(m, n)` and the iteration some more per singular
/// value; each perturbs the matrix by an inner product's error, and their sizes add up like a chain of
/// `max(m, n) + r` products.
#[must_use]
pub fn svd_residual(precision: Precision, (m, n): (usize, usize)) -> f64 {
    4.0 * product(precision, m + n)
}

/// `steps` steps of a recursion `M = mu M + c X`, relative to the same recursion of absolute values.
///
/// Each step rounds both coefficients, two products and a sum. A coefficient's rounding repeats with the same sign, so this
/// is the worst case and no probable one: an error made s steps ago has shrunk like the term that it belongs to.
#[must_use]
pub fn recursion(precision: Precision, steps: usize) -> f64 {
    4.0 * (steps + 2) as f64 * precision.unit_roundoff()
}

/// The relative error that the spectral maps document where none is asked for.
#[must_use]
pub fn documented_accuracy(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 5e-6,
        Precision::F64 => 2e-13,
    }
}

/// A soft clip or a hard clip by deflation, relative to the result.
///
/// With tau the [documented accuracy](documented_accuracy), the coupled iteration is used up to `eps alpha = 10 tau`, where
/// it loses `0.2 eps alpha = 2 tau`; directions treated one by one add tau, the polynomials tau / 4. The result is put
/// together by products over both extents.
#[must_use]
pub fn clip(precision: Precision, (m, n): (usize, usize)) -> f64 {
    4.0 * documented_accuracy(precision) + 2.0 * product(precision, m + n)
}

/// A backward stable matrix function, relative to the input: the result is exact for an input that differs by this.
///
/// The first products see the input; later ones round quantities that count less, like a geometric series.
#[must_use]
pub fn backward(precision: Precision, (m, n): (usize, usize)) -> f64 {
    4.0 * product(precision, m + n)
}

/// A map by two polar factors Q and S, as an absolute error: both, of norm sqrt(r), carry [backward] errors, which count by
/// the larger of `sigma_1` and c, the sizes of X and `c Q`.
#[must_use]
pub fn by_polar_factors(precision: Precision, (m, n): (usize, usize), sigma_or_c: f64) -> f64 {
    backward(precision, (m, n)) * sigma_or_c * (m.min(n) as f64).sqrt()
}

/// `A^{-1/2}` and `A^{1/2}` of an n x n matrix with eigenvalues in `[smallest, 1]`, relative to the results.
///
/// A changes by a [backward] error; the slope of `x^{-1/2}` at the smallest eigenvalue, over the value there, is half its
/// inverse. The twelve steps that a `smallest` of 1e-6 takes add their own.
#[must_use]
pub fn inverse_sqrt(precision: Precision, n: usize, smallest: f64) -> f64 {
    backward(precision, (n, n)) / smallest
}

#[cfg(test)]
mod tests {
    use super::{accumulated, elementwise, norm, orthonormality, product, svd_residual};
    use crate::Precision;

    #[test]
    fn short_chains_take_the_worst_case_and_long_ones_the_probable_one() {
        assert_eq!(accumulated(4), 4.0);
        assert_eq!(accumulated(36), 36.0);
        assert_eq!(accumulated(3600), 360.0);
    }

    /// An f64 backend that accumulates in f32 must exceed every tolerance, whatever the size.
    #[test]
    fn single_precision_never_passes_for_double() {
        let lapse = Precision::F32.unit_roundoff() / 100.0;
        for size in [1, 8, 129, 4096, 1 << 20] {
            for tolerance in [
                elementwise(Precision::F64, size),
                product(Precision::F64, size),
                norm(Precision::F64, size),
                orthonormality(Precision::F64, (size, 8)),
                svd_residual(Precision::F64, (size, 8)),
            ] {
                assert!(tolerance < lapse, "{tolerance:e} at size {size}");
            }
        }
    }

    #[test]
    fn tolerances_grow_with_size_and_roundoff() {
        for tolerance in [product, norm, elementwise] {
            assert!(tolerance(Precision::F64, 2) < tolerance(Precision::F64, 200));
            assert!(tolerance(Precision::F64, 200) < tolerance(Precision::F32, 2));
        }
    }
}
