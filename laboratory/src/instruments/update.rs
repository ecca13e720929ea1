//! The spectrum of an update.

use faer::MatRef;
use spectra_examples::Failure;

use super::matrix::singular_values;

/// What an update's singular values are like.
///
/// Source: 2603.14315, figures F.10-F.14, of U before step scale and learning rate: clipped ones are bounded by c, those of base optimizers are
/// flat and not bounded. Trap: a matrix of random signs has `sigma_1` of about `sqrt m + sqrt n`, 30 at 128 x 352 and 73 at 768 x 2048, so a c that
/// cuts at one width does not at another: hence [`above`](Self::above).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateSpectrum {
    /// `sigma_1`.
    pub spectral: f64,
    /// `sigma_1 / sqrt(mn)`: 1 for signs that all agree up to a sign of each row and column.
    pub relative: f64,
    /// `||U||_F^2 / sigma_1^2`, in [1, r].
    pub stable_rank: f64,
    /// `sigma_1 / sigma_r`.
    pub condition: f64,
    /// The share of directions above the threshold.
    pub above: f64,
}

/// Of an update, with a threshold c.
///
/// # Errors
/// A NaN or an infinity.
pub fn update_spectrum(u: MatRef<'_, f64>, c: f64) -> Result<UpdateSpectrum, Failure> {
    let sigma = singular_values(u)?;
    let (first, last) = (sigma[0], sigma[sigma.len() - 1]);
    let (m, n) = u.shape();
    let above = sigma.iter().filter(|sigma| **sigma > c).count();
    Ok(UpdateSpectrum {
        spectral: first,
        relative: first / (m as f64 * n as f64).sqrt(),
        stable_rank: sigma.iter().map(|sigma| sigma * sigma).sum::<f64>() / (first * first),
        condition: first / last,
        above: above as f64 / sigma.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::matrix::gaussian;
    use super::super::matrix::tests::planted;
    use super::*;
    use faer::Mat;

    #[test]
    fn planted_values_come_back() {
        let found = update_spectrum(planted(4, 9, &[6.0, 3.0, 2.0, 1.0], 1).as_ref(), 2.5).expect("finite");
        assert!((found.spectral - 6.0).abs() < 1e-13 && (found.relative - 1.0).abs() < 1e-13);
        assert!((found.stable_rank - 50.0 / 36.0).abs() < 1e-13 && (found.condition - 6.0).abs() < 1e-12);
        assert_eq!(found.above, 0.5);
    }

    #[test]
    fn signs_are_between_their_bounds() {
        let (m, n) = (128, 352);
        let noise = gaussian(m, n, 4);
        let signs = Mat::from_fn(m, n, |i, j| noise[(i, j)].signum());
        let random = update_spectrum(signs.as_ref(), 4.0).expect("finite");
        // sqrt m + sqrt n = 30.07, with fluctuations below 1.
        assert!((random.spectral - 30.07).abs() < 1.0 && random.above == 1.0, "{random:?}");
        let agreeing = Mat::from_fn(m, n, |i, j| if (i + j) % 2 == 0 { 1.0 } else { -1.0 });
        let agreeing = update_spectrum(agreeing.as_ref(), 4.0).expect("finite");
        assert!((agreeing.relative - 1.0).abs() < 1e-12 && (agreeing.stable_rank - 1.0).abs() < 1e-12);
    }
}
