//! What Newton and Schulz do to singular vectors.

use faer::{Mat, MatRef};
use spectra_core::linalg::Schedule;
use spectra_examples::Failure;

use super::matrix::{frobenius, svd};

/// What a product is rounded to before it is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32: 24 bits.
    Single,
    /// bf16: 8 bits, of sums in f64, as tensor cores round once at the end.
    Brain,
}

impl Arithmetic {
    /// The nearest number of this type.
    pub fn round(self, x: f64) -> f64 {
        let single = x as f32;
        match self {
            Self::Single => f64::from(single),
            // To nearest, ties to even, in the upper 16 bits.
            Self::Brain => {
                let bits = single.to_bits();
                let up = 0x7fff + ((bits >> 16) & 1);
                f64::from(f32::from_bits(bits.wrapping_add(up) & 0xffff_0000))
            }
        }
    }

    fn matrix(self, a: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(a.nrows(), a.ncols(), |i, j| self.round(a[(i, j)]))
    }
}

/// Each singular direction of G before and after `NS(G)`, in descending order of sigma.
///
/// Source: 2602.11185, figure 5, which has `align` alone: about 0.85 at the head, 0.1 in the tail. Trap: `NS(G) = U p(Sigma) V^T` exactly, but
/// its singular values nearly coincide, so that *its* singular vectors are those of rounding errors; align falls in exact arithmetic, too.
/// The other two compare with G's own vectors and are well posed. The null is f32, where they are about 1e-6.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// `max_j |<v_i, vhat_j>|` with the right singular vectors of G and of NS(G).
    pub align: Vec<f64>,
    /// `|u_i^T NS(G) v_i - p(sigma_i)|`.
    pub error: Vec<f64>,
    /// `||U^T NS(G) v_i||` without entry i: what goes into other directions.
    pub leakage: Vec<f64>,
}

/// Of five quintic steps of a schedule on `G / ||G||_F`, every product rounded.
///
/// # Errors
/// A NaN or an infinity.
pub fn alignment(
    g: MatRef<'_, f64>,
    schedule: Schedule,
    arithmetic: Arithmetic,
) -> Result<Alignment, Failure> {
    let unit = 1.0 / frobenius(g);
    let g = Mat::from_fn(g.nrows(), g.ncols(), |i, j| g[(i, j)] * unit);
    let polynomials: Vec<_> = schedule.polynomials(1e-3, 5).collect();
    let mut x = arithmetic.matrix(g.as_ref());
    for p in &polynomials {
        x = step(x, [p.a, p.b, p.c], arithmetic);
    }
    let (before, after) = (svd(g.as_ref())?, svd(x.as_ref())?);
    let overlaps: Mat<f64> = before.v.transpose() * &after.v;
    let inside: Mat<f64> = before.u.transpose() * &x * &before.v;
    let r = before.sigma.len();
    let each = |f: &dyn Fn(usize) -> f64| (0..r).map(f).collect();
    Ok(Alignment {
        align: each(&|i| (0..r).map(|j| overlaps[(i, j)].abs()).fold(0.0, f64::max)),
        error: each(&|i| {
            let exact = polynomials.iter().fold(before.sigma[i], |sigma, p| p.at(sigma));
            (inside[(i, i)] - exact).abs()
        }),
        leakage: each(&|i| (0..r).filter(|j| *j != i).map(|j| inside[(j, i)].powi(2)).sum::<f64>().sqrt()),
    })
}

/// `X (a + b X^T X + c (X^T X)^2)` on the short side.
fn step(x: Mat<f64>, [a, b, c]: [f64; 3], arithmetic: Arithmetic) -> Mat<f64> {
    if x.nrows() > x.ncols() {
        return step(x.transpose().to_owned(), [a, b, c], arithmetic).transpose().to_owned();
    }
    let rounded = |m: Mat<f64>| arithmetic.matrix(m.as_ref());
    let gram = rounded(&x * x.transpose());
    let square = rounded(&gram * &gram);
    let inner =
        rounded(Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| b * gram[(i, j)] + c * square[(i, j)]));
    let product = &inner * &x;
    rounded(Mat::from_fn(x.nrows(), x.ncols(), |i, j| a * x[(i, j)] + product[(i, j)]))
}

/// The means of a list over the head, the leading 1.5 % and at least 2, and over the tail, its last half.
pub fn head_and_tail(list: &[f64]) -> (f64, f64) {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let head = ((0.015 * list.len() as f64).round() as usize).max(2).min(list.len());
    (mean(&list[..head]), mean(&list[list.len() / 2..]))
}

#[cfg(test)]
mod tests {
    use super::super::matrix::tests::planted;
    use super::*;

    #[test]
    fn bf16_has_eight_bits() {
        let brain = |x| Arithmetic::Brain.round(x);
        assert_eq!((brain(1.0), brain(-2.5), brain(0.0)), (1.0, -2.5, 0.0));
        // Between 1 and 1 + 2^-7: a tie goes to the even one.
        assert_eq!((brain(1.0 + 1.0 / 256.0), brain(1.0 + 1.1 / 256.0)), (1.0, 1.0 + 1.0 / 128.0));
        assert_eq!(brain(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0);
    }

    /// Three spikes and an exponential tail: what was tried by hand gave leakage 0 | 1e-6 in f32, 0.004 | 0.059 in bf16.
    #[test]
    fn bf16_leaks_and_f32_does_not() {
        let sigma: Vec<f64> = (0..128)
            .map(|i| if i < 3 { 30.0 - 5.0 * i as f64 } else { (-4.0 * i as f64 / 128.0).exp() })
            .collect();
        let g = planted(128, 128, &sigma, 7);
        let of = |arithmetic| alignment(g.as_ref(), Schedule::Muon, arithmetic).expect("finite");
        let (single, brain) = (of(Arithmetic::Single), of(Arithmetic::Brain));
        let ((head, tail), (brain_head, brain_tail)) =
            (head_and_tail(&single.leakage), head_and_tail(&brain.leakage));
        // A rounding of 2^-24 in entries of which 128 make a direction, amplified by 3.4445^5.
        assert!(head < 1e-4 && tail < 1e-3, "{head} {tail}");
        assert!(brain_tail > 0.01 && brain_tail > 3.0 * brain_head, "{brain_head} {brain_tail}");
        let (_, error) = head_and_tail(&single.error);
        assert!(error < 1e-3, "{error}");
        let (_, (align_head, align_tail)) = (single.align.len(), head_and_tail(&brain.align));
        assert!(align_head > align_tail, "{align_head} {align_tail}");
    }

    #[test]
    fn a_tall_matrix_is_the_transpose_of_a_wide_one() {
        let g = planted(12, 30, &[4.0, 2.0, 1.0, 0.5], 3);
        let wide = step(g.clone(), [3.0, -3.0, 1.0], Arithmetic::Single);
        let tall = step(g.transpose().to_owned(), [3.0, -3.0, 1.0], Arithmetic::Single);
        assert_eq!(wide, tall.transpose().to_owned());
    }
}
