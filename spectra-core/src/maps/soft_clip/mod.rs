//! The soft spectral clip (2603.14315): `H_c(X) = (I + X X^T / c^2)^{-1/2} X`, each singular value
//! `sigma -> sigma / sqrt(1 + sigma^2 / c^2)`.
//!
//! Which way is taken, and why (relative Frobenius error in `f32` / products; `rho = sigma_1 / c`; a graded spectrum, and one with nothing to
//! deflate; the program `polar_table` and the test `polar` print them):
//!
//! | rho | graded, 192 x 384 | flat, 32 x 64 |
//! |---|---|---|
//! | 3 | 1e-6 / 10 | 2e-7 / 11 |
//! | 10 | 2e-6 / 14 | |
//! | 30 | 7e-7 / 12, 48 directions deflated | 2e-7 / 18, one restart |
//! | 100 | 9e-7 / 12, 73 directions deflated | 9e-7 / 22, one restart |
//! | 1000 | 3e-6 / 17, 89 directions deflated | 4e-7 / 28, two restarts |
//!
//! The iteration on the Gram matrix alone loses `eps rho^2`, with restarts `eps rho`, because a single rounding of X itself
//! costs as much. Only deflation with an exact subtraction does better, and it is the cheapest where spikes
//! are few. A flat spectrum loses nothing.

mod auto;
mod fixed;
mod gram;
mod restarted;
mod vector;

pub use fixed::AlphaBound;
pub(super) use gram::Gram;
pub use vector::VectorRule;
pub(crate) use vector::relative_norm;

use crate::backend::{Backend, Matrix, Result, check_same, domain, require};
use crate::linalg::{Info, Schedule, Workspace};

/// How the soft clip is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SoftClipMethod {
    /// To `tolerance`, whatever the spectrum; `None` is 5e-6 in `f32` and 2e-13 in `f64`. Reads one number from
    /// the device, a few more where `sigma_1 / c` is large (about 20 in `f32`, 100 in `f64`).
    Auto {
        /// Relative error, in (0, 1).
        tolerance: Option<f64>,
    },
    /// So many coupled steps, never reading the device.
    Fixed {
        /// The polynomials.
        schedule: Schedule,
        /// How many, from 1 to 100.
        steps: usize,
        /// Eigenvalues of `A / alpha` are expected in `[lower^2, 1]`; `1 / sqrt(1 + rho^2)` for
        /// `sigma_1 <= rho c`. Only the minimax schedules use it.
        lower: f64,
        /// The upper bound alpha.
        bound: AlphaBound,
    },
}

/// The soft spectral clip.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SoftClip {
    /// The way.
    pub method: SoftClipMethod,
    /// For one row or one column given to [`apply_vector`](Self::apply_vector).
    pub vectors: VectorRule,
}

impl SoftClip {
    /// To the element type's accuracy, vectors by the matrix rule.
    pub const AUTO: Self =
        Self { method: SoftClipMethod::Auto { tolerance: None }, vectors: VectorRule::Smooth };
}

impl Default for SoftClip {
    /// [`AUTO`](Self::AUTO).
    fn default() -> Self {
        Self::AUTO
    }
}

impl SoftClip {
    /// The authors' program: ten cubic steps from `alpha = 1 + min(max abs row sum, Frobenius norm)(X X^T) / c^2`,
    /// vectors by their discontinuous rule. Not converged where `sigma_1 > 20 c`.
    pub const OFFICIAL: Self = Self {
        method: SoftClipMethod::Fixed {
            schedule: Schedule::Cubic,
            steps: 10,
            lower: 0.1,
            bound: AlphaBound::RowSumOrFrobenius,
        },
        vectors: VectorRule::Official,
    };

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        match self.method {
            SoftClipMethod::Auto { tolerance: Some(t) } => domain::tolerance("soft_clip", t),
            SoftClipMethod::Auto { tolerance: None } => Ok(()),
            SoftClipMethod::Fixed { schedule, steps, lower, .. } => {
                schedule.validate("soft_clip")?;
                domain::iterations("soft_clip", "steps", steps, 1)?;
                require(lower > 0.0 && lower <= 1.0, "soft_clip", "lower", lower, "in (0, 1]")
            }
        }
    }

    /// Flops for an m x n matrix with short side s and long side l, to leading order: the Gram matrix and a product with it, `4 s^2 l`, and
    /// three s x s products, `6 s^3`, in each step. Of [`Auto`](SoftClipMethod::Auto), whose steps depend on the values, as four
    /// steps take: 14 products, as at `sigma_1 = 10 c`.
    pub fn flops(&self, (m, n): (usize, usize)) -> f64 {
        let steps = match self.method {
            SoftClipMethod::Auto { .. } => 4,
            SoftClipMethod::Fixed { steps, .. } => steps,
        };
        let (short, long) = (m.min(n) as f64, m.max(n) as f64);
        short * short * (4.0 * long + 6.0 * steps as f64 * short)
    }

    /// Writes `H_c(X)` to `out`; both m x n.
    ///
    /// A zero or empty matrix gives zero. With [`Auto`](SoftClipMethod::Auto) one row or one column is the closed
    /// form of [`VectorRule::Smooth`], entries of any size are legal (they are scaled by a power of two), and a
    /// NaN or an infinity is an error; with [`Fixed`](SoftClipMethod::Fixed) it makes the result NaN.
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
        domain::normal::<B::Element>("soft_clip", "c", c)?;
        self.validate()?;
        check_same("soft_clip", x, out)?;
        let _scope = workspace.scope();
        let (m, n) = x.shape();
        if m == 0 || n == 0 {
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        match self.method {
            SoftClipMethod::Auto { .. } if m.min(n) == 1 => {
                vector::clip(VectorRule::Smooth, x, c, out, workspace)
            }
            SoftClipMethod::Auto { tolerance } => auto::clip(
                x,
                c,
                tolerance.unwrap_or_else(|| default_tolerance(workspace.backend())),
                out,
                workspace,
            ),
            SoftClipMethod::Fixed { schedule, steps, lower, bound } => {
                fixed::clip(x, c, schedule.polynomials(lower, steps), bound, out, workspace)
            }
        }
    }

    /// Clips a vector, of any shape, by its Euclidean norm: see [`VectorRule`]. Never reads the device.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_vector<B: Backend>(
        &self,
        x: &B::Matrix,
        c: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        domain::normal::<B::Element>("soft_clip", "c", c)?;
        check_same("soft_clip", x, out)?;
        let _scope = workspace.scope();
        vector::clip(self.vectors, x, c, out, workspace)
    }
}

/// About forty roundings in `f32`, or of products with fewer bits, a thousand in `f64`: what the iterations reach without effort.
pub(crate) fn default_tolerance<B: Backend>(backend: &B) -> f64 {
    let eps = backend.product_epsilon();
    if eps > 1e-10 { (40.0 * eps).clamp(5e-6, 0.5) } else { 2e-13 }
}
