//! Operations that are composed of the required ones, unless a backend has a faster form.

use super::{Coef, Gradient, Matrix, Op, Result, composed};
use crate::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};

/// Fused and specialised forms of a [`Matrix`]'s operations, all with defaults: `impl Fused for MyMatrix {}` is enough for a backend that
/// is right, and what it overrides makes it fast. An override must equal its default to rounding; what holds for every method
/// of [`Matrix`] holds here, too.
///
/// Below `m x n` is the shape of `self`.
pub trait Fused: Matrix {
    /// [`gemm`](Matrix::gemm) where the caller knows that the product and `self` are symmetric, and, if both operations are the same,
    /// that A and B are (they commute): a backend may compute one triangle and mirror it, and may transpose a symmetric operand.
    ///
    /// # Errors
    /// Shapes.
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        self.gemm(beta, alpha, a, op_a, b, op_b)
    }

    /// One AdamW pass, for the default of [`Backend::entrywise_add`](super::Backend::entrywise_add): with `G` as it is
    /// `M = b1 M + (1 - b1) G`, `V = b2 V + (1 - b2) G o G`, `self = beta self + alpha M / (sqrt(V) + eps)`.
    ///
    /// # Errors
    /// Shapes.
    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Self,
        (b1, b2): (f64, f64),
        eps: f64,
    ) -> Result<()> {
        composed::adam_add(self, beta, alpha, first, second, gradient, (b1, b2), eps)
    }

    /// The half of a power iteration that can read the matrix in one sweep. First, if `update` is `Some((mu, G))`,
    /// `self = mu self + G`. Then with `V` (n x k) and a scale `alpha`
    ///
    /// `P = alpha self V` (m x k), `gram = P^T P` (k x k), `Z = alpha self^T P` (n x k).
    ///
    /// Returns `||self||_F^2` (of the updated matrix, unscaled). 6 mnk flops; a backend may do it in one pass
    /// over `self`.
    ///
    /// # Errors
    /// Shapes.
    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<Self::Scalar> {
        composed::power_sweep(self, update, alpha, v, p, gram, z)
    }

    /// `self = beta self + alpha (X - L R^T)`: the weight update of a low-rank-corrected matrix.
    /// X: m x n, L: m x k, R: n x k. No m x n temporary.
    ///
    /// # Errors
    /// Shapes.
    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        composed::low_rank_add(self, beta, alpha, x, left, right)
    }

    /// A small dense factorisation of a k x k Gram matrix, written to `self` (k x k); see [`SmallFactor`].
    ///
    /// The default copies the matrix to the host and back, so on a device it **waits**; a device backend
    /// overrides it. Returns what the factorisation found, or `None` if the host would have to wait to know.
    ///
    /// # Errors
    /// Shapes.
    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<Self::Element>,
    ) -> Result<Option<SmallInfo>> {
        composed::small_factor(self, factor, gram, scratch)
    }

    /// Orthonormalises the columns by Gram-Schmidt with one re-orthogonalisation, in `f64` on the host; many columns by
    /// Householder's reflections in the element type, where the feature `faer` is on. It is stable where the Gram matrix is too
    /// ill-conditioned for a Cholesky factor. A column that depends on earlier ones becomes zero. **Waits.** A backend with a QR of its own may override it, keeping
    /// the sign convention `diag(R) >= 0`.
    fn gram_schmidt(&mut self, scratch: &mut Scratch<Self::Element>) -> Result<()> {
        composed::gram_schmidt(self, scratch)
    }

    /// Replaces every zero column by pseudo-random numbers in [-1, 1) that depend on `seed`, the row and the
    /// column only; with `seed` they are the same on every backend. Other columns keep their values.
    /// The default goes through the host and **waits**; it is called at the first step and for rank-deficient
    /// matrices only.
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<Self::Element>) -> Result<()> {
        composed::seed_zero_columns(self, seed, scratch)
    }

    /// Every entry becomes one of the two numbers of this 16-bit type next to it, at random and without bias; entry `(i, j)` by draw
    /// `i n + j` of the stream with this seed, with the same bits on every backend: [`SixteenBits::round_all`]. For a matrix that is kept
    /// in the arithmetic type. The default goes through the host and **waits**.
    ///
    /// # Errors
    /// Those of the device.
    fn round_stochastic(
        &mut self,
        format: SixteenBits,
        seed: u64,
        scratch: &mut Scratch<Self::Element>,
    ) -> Result<()> {
        composed::round_stochastic(self, format, seed, scratch)
    }
}

/// One of several [sweeps](Fused::power_sweep) that go together.
#[derive(Debug)]
pub struct PowerSweep<'a, M: Matrix> {
    /// The matrix, m x n.
    pub matrix: &'a mut M,
    /// What it is updated by first.
    pub update: Option<(f64, &'a Gradient<'a, M>)>,
    /// The scale.
    pub alpha: f64,
    /// V, n x k.
    pub v: &'a M,
    /// Becomes `alpha M V`, m x k.
    pub p: &'a mut M,
    /// Becomes `P^T P`, k x k.
    pub gram: &'a mut M,
    /// Becomes `alpha M^T P`, n x k.
    pub z: &'a mut M,
    /// Becomes `||M||_F^2`.
    pub norm_squared: &'a mut Option<M::Scalar>,
}

/// What is computed of several matrices with one message: see [`Backend::power_sweeps`](super::Backend::power_sweeps).
pub trait PackedProducts<M: Matrix> {
    /// The sweep that it wants, if it does.
    fn sweep(&mut self) -> Option<PowerSweep<'_, M>>;

    /// `(C, X)` of which it wants `C = X^T X`, if it does.
    fn gram(&mut self) -> Option<(&mut M, &M)>;
}

impl<M: Fused> PowerSweep<'_, M> {
    /// This one alone.
    ///
    /// # Errors
    /// As [`Fused::power_sweep`].
    pub fn run(self) -> Result<()> {
        let Self { matrix, update, alpha, v, p, gram, z, norm_squared } = self;
        *norm_squared = Some(matrix.power_sweep(update, alpha, v, p, gram, z)?);
        Ok(())
    }
}
