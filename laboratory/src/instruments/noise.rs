//! Whether the noise of single sequences has spikes of its own.

use faer::MatRef;
use spectra_examples::Failure;

use super::matrix::{Svd, leading, svd};
use super::subspace::cosines;

/// One sequence's noise `N = G - S` beside the signal S, the mean gradient over many sequences.
///
/// Source: 2603.14315, figures F.15 and F.16: `sigma_1(N)` is often well above `||S||`, distances are near 1. Trap: so they are for random
/// subspaces, whose chordal distance for k of n dimensions is `sqrt(1 - k / n)` on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseShape {
    /// `sigma_1(N) / sigma_1(S)`.
    pub ratio: f64,
    /// `sin theta_max` between the leading k-dimensional subspaces of N and S, the larger of the left and the right side's.
    pub spectral: f64,
    /// `sqrt(sum_i sin^2 theta_i / k)`, the larger of both sides'.
    pub chordal: f64,
    /// The same of the left side alone, and of the right.
    pub chordal_sides: (f64, f64),
    /// The share of `||N||_F^2` in its leading k directions.
    pub share: f64,
    /// `u_1(S)^T N v_1(S) / sigma_1(S)`: how much of this noise is signal, or of its opposite.
    pub along: f64,
}

/// Of one sequence's noise, with k leading directions of each.
///
/// # Errors
/// A NaN or an infinity.
pub fn noise_shape(n: MatRef<'_, f64>, signal: &Svd, k: usize) -> Result<NoiseShape, Failure> {
    let noise = svd(n)?;
    let side =
        |a: &faer::Mat<f64>, b: &faer::Mat<f64>| cosines(leading(a.as_ref(), k), leading(b.as_ref(), k));
    let (left, right) = (side(&noise.u, &signal.u)?, side(&noise.v, &signal.v)?);
    let sides = (left.chordal_distance(), right.chordal_distance());
    let energy = |sigma: &[f64]| sigma.iter().map(|sigma| sigma * sigma).sum::<f64>();
    let (u, v) = (signal.u.col(0), signal.v.col(0));
    let first = signal.sigma[0];
    Ok(NoiseShape {
        ratio: noise.sigma[0] / first,
        spectral: left.spectral_distance().max(right.spectral_distance()),
        chordal: sides.0.max(sides.1),
        chordal_sides: sides,
        share: energy(&noise.sigma[..k.min(noise.sigma.len())]) / energy(&noise.sigma),
        along: u.transpose() * n * v / first,
    })
}

#[cfg(test)]
mod tests {
    use super::super::matrix::tests::planted;
    use super::*;
    use faer::Mat;

    #[test]
    fn noise_in_the_signals_own_directions_has_no_distance() {
        let signal = planted(20, 30, &[4.0, 2.0], 1);
        let basis = svd(signal.as_ref()).expect("finite");
        let shape = noise_shape(Mat::from_fn(20, 30, |i, j| -0.5 * signal[(i, j)]).as_ref(), &basis, 2);
        let shape = shape.expect("finite");
        assert!((shape.ratio - 0.5).abs() < 1e-13 && (shape.along + 0.5).abs() < 1e-13, "{shape:?}");
        // A cosine's error of eps is an angle of its root.
        assert!(
            shape.chordal < 1e-6 && shape.spectral < 1e-6 && (shape.share - 1.0).abs() < 1e-13,
            "{shape:?}"
        );
    }

    #[test]
    fn noise_elsewhere_is_at_distance_one() {
        let signal = Mat::from_fn(6, 8, |i, j| if i == j && i < 2 { 2.0 } else { 0.0 });
        let noise = Mat::from_fn(6, 8, |i, j| if i == j && i >= 2 { 10.0 / (i as f64) } else { 0.0 });
        let shape = noise_shape(noise.as_ref(), &svd(signal.as_ref()).expect("finite"), 2).expect("finite");
        assert!((shape.chordal - 1.0).abs() < 1e-14 && (shape.spectral - 1.0).abs() < 1e-14, "{shape:?}");
        assert!((shape.ratio - 2.5).abs() < 1e-14 && shape.along.abs() < 1e-14, "{shape:?}");
        // 25 + 11.1 of 25 + 11.1 + 6.25 + 4.
        let squares: Vec<f64> = (2..6).map(|i| (10.0 / i as f64).powi(2)).collect();
        assert!((shape.share - squares[..2].iter().sum::<f64>() / squares.iter().sum::<f64>()).abs() < 1e-14);
    }
}
