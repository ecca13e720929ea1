//! What a spectral clip promises of every update: `||U||_2 <= c scale lr`.

use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Recipe, StepScale};

use crate::Failure;

/// Relative error of a clip in `f32`, in the Frobenius norm: the default tolerance of `spectra_core::maps::SoftClip`.
const ACCURACY: f64 = 5e-6;
/// Unit roundoff of the weights, 2^-24.
const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// The bound of a recipe whose map is a clip.
pub(crate) struct Bound {
    threshold: f64,
    /// How far the map itself may go beyond c, relatively, apart from its accuracy.
    slack: f64,
    scale: StepScale,
}

impl Bound {
    /// `None` for maps that bound nothing by a threshold.
    pub(crate) fn of(recipe: &Recipe) -> Option<Self> {
        let (threshold, slack) = match recipe.map {
            SpectralMap::SoftClip { threshold, .. } => (threshold, 0.0),
            SpectralMap::HardClip { threshold, clip } => (threshold, clip.slack),
            _ => return None,
        };
        // A scale that follows the update's norm promises something else.
        recipe.scale.of_shape((1, 1))?;
        Some(Self { threshold, slack, scale: recipe.scale })
    }

    /// The share of the bound that an update of spectral norm `norm` took, and by how much it may exceed 1; an error if
    /// it does by more. `frobenius`: of the weights before, the update and the weights after.
    ///
    /// The tolerance is the sum of
    ///
    /// * the map's slack, and its error: `ACCURACY ||O||_F <= ACCURACY c sqrt(r)` for r singular values of at most c;
    /// * the rounding of `X+ = fl(fl(b) X - fl(a) O)`: b, a and both products are rounded once, the sum once, with unit
    ///   roundoff u. So `U = b X - X+` differs from `a O` by `E`, `|E| <= u (2 |X| + 2 |a O| + |X+|)` entry by entry to
    ///   first order and `||E||_2 <= ||E||_F`; the 2 for `a O` is a 3, for the second order and for `U` in its place.
    ///
    /// At the peak rate the second part is about 1e-4 of the bound. It grows as the rate falls, up to 1e-2 at the
    /// last step of the default schedule, because the weights do not become smaller.
    pub(crate) fn check(
        &self,
        name: &str,
        norm: f64,
        [before, update, after]: [f64; 3],
        (rows, cols): (usize, usize),
        rate: f64,
        clip_factor: f64,
    ) -> Result<(f64, f64), Failure> {
        let bound =
            self.threshold * clip_factor * self.scale.of_shape((rows, cols)).unwrap_or(f64::NAN) * rate;
        let rounding = ROUNDOFF * (2.0 * before + 3.0 * update + after);
        let tolerance = self.slack + ACCURACY * (rows.min(cols) as f64).sqrt() + rounding / bound;
        let share = norm / bound;
        if share <= 1.0 + tolerance {
            return Ok((share, tolerance));
        }
        Err(Failure::run(format!(
            "the update of {name} has spectral norm {norm:e}, {share} times what the spectral clip allows (rounding \
             may add {tolerance:.1e}): the optimizer is wrong"
        )))
    }
}
