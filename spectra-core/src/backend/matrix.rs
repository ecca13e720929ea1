//! The matrix operations every algorithm is written on.

use super::{Coefficient, Element, Error, Gradient, Result, Scalar, composed};
use crate::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};

/// How an operand enters a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `A`
    Plain,
    /// `A^T`
    Transposed,
}

impl Op {
    /// The shape of `op(A)` for `A` of the given shape.
    pub fn shape(self, (rows, cols): (usize, usize)) -> (usize, usize) {
        match self {
            Self::Plain => (rows, cols),
            Self::Transposed => (cols, rows),
        }
    }
}

/// `alpha` or `beta` of a matrix operation.
pub type Coef<'a, M> = Coefficient<'a, <M as Matrix>::Scalar>;

/// A real matrix on some device, logically row-major, rows = output features.
///
/// # Rules that hold for every method
///
/// * **Accumulate form.** `self = beta self + alpha f(operands)`. If `beta` is zero on the host
///   ([`Coefficient::is_zero`]), `self` is **not read**: NaN in it does not survive. If `alpha` is zero the
///   operands may or may not be read.
/// * **Shapes** are checked before anything is changed; a mismatch is [`Error::shape`]. Empty matrices are
///   legal everywhere; a product over an empty inner dimension is zero; reductions of nothing are 0.
/// * **Aliasing.** Rust's borrows keep `self` apart from the operands; operands may be the same matrix. A
///   backend whose handles share storage (candle, burn) must never let an operation change what another
///   handle sees: compute a new value and assign the handle, or write in place only when it is the sole owner.
/// * **Non-finite** entries propagate as IEEE says; no method replaces a NaN.
/// * **Denormals** survive [`read`](Self::read), [`write`](Self::write) and [`upload`](super::Backend::upload); every other operation
///   may take them for zero and give zero in their place, with nothing else.
/// * **Waiting.** Only [`read`](Self::read) and [`Scalar::read`] wait for the device. Everything else may
///   return before the work is done, in the order of calls.
/// * **Accumulation.** Products accumulate in the element type or wider; reductions (`dot`) accumulate `f32` in
///   `f64` or with an error that grows no faster than pairwise summation's, and results are deterministic:
///   the same call on the same values gives the same bits.
///
/// Below `m x n` is the shape of `self`.
pub trait Matrix: Sized + core::fmt::Debug {
    /// The arithmetic type.
    type Element: Element;
    /// Numbers that stay on the device.
    type Scalar: Scalar;

    // ---- required -------------------------------------------------------------------------------------

    /// `(rows, cols)`; of the whole matrix when it is distributed.
    fn shape(&self) -> (usize, usize);

    /// Copies the values into `out`, row-major. **Waits** for the device.
    ///
    /// # Errors
    /// If `out.len() != m n`.
    fn read(&self, out: &mut [Self::Element]) -> Result<()>;

    /// Replaces the values by `values`, row-major; `values` may be reused on return.
    ///
    /// # Errors
    /// If `values.len() != m n`.
    fn write(&mut self, values: &[Self::Element]) -> Result<()>;

    /// `self = beta self + alpha X`. X: m x n. 3 mn flops.
    ///
    /// # Errors
    /// Shapes.
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()>;

    /// `self = beta self + alpha X o Y`, entry by entry. X, Y: m x n. 4 mn flops.
    ///
    /// # Errors
    /// Shapes.
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()>;

    /// `self = beta self + alpha X / (sqrt(Y) + eps)`, entry by entry. X, Y: m x n, Y >= 0 (a negative entry
    /// gives NaN). With `eps = 0`, `0 / 0` gives NaN.
    ///
    /// # Errors
    /// Shapes.
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()>;

    /// `self = beta self + alpha sign(X)`, entry by entry; `sign(0) = 0` for both zeros, `sign(NaN) = NaN`.
    ///
    /// # Errors
    /// Shapes.
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()>;

    /// `self = beta self + alpha op_a(A) op_b(B)`. 2 m n l flops for inner dimension l.
    ///
    /// The compute mode is the element type's: no silent reduction of precision (TF32 and the like).
    ///
    /// # Errors
    /// Shapes.
    fn gemm(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()>;

    /// `<self, X> = sum_ij self_ij X_ij`. X: m x n.
    ///
    /// Range: [`has_wide_dot`](Self::has_wide_dot) says that products and sums are formed in `f64`. Otherwise they may be
    /// formed in the element type, and a product or a sum beyond its range is an infinity (two of them may give NaN), a product below its
    /// normal range zero or inexact, though all entries are finite. An infinite or vanishing sum says nothing of the entries:
    /// whoever needs to know looks at [`max_abs`](Self::max_abs), or takes a [norm in units](crate::linalg::UnitNorm).
    ///
    /// # Errors
    /// Shapes.
    fn dot(&self, x: &Self) -> Result<Self::Scalar>;

    /// `max_ij |self_ij|`; **NaN if any entry is NaN**, so that one reduction is both the scale and the
    /// finite check.
    fn max_abs(&self) -> Result<Self::Scalar>;

    // ---- provided: fused or specialised forms; an override must equal its default to rounding --------------

    /// Whether [`dot`](Self::dot) forms products and sums in `f64`, which its scalar is then held in: those of `f32` entries
    /// neither overflow nor vanish, and a norm needs no look at [`max_abs`](Self::max_abs) first. Of all matrices that meet
    /// in a backend, or of none.
    fn has_wide_dot(&self) -> bool {
        false
    }

    /// How the rows are distributed over devices: 0 for a matrix held in one place or replicated. Temporaries
    /// are reused only for the same layout.
    fn layout(&self) -> usize {
        0
    }

    /// `self = X`.
    ///
    /// # Errors
    /// Shapes.
    fn copy_from(&mut self, x: &Self) -> Result<()> {
        self.scale_add(Coefficient::ZERO, Coefficient::ONE, x)
    }

    /// [`gemm`](Self::gemm) where the caller knows that the product and `self` are symmetric: a backend may
    /// compute one triangle and mirror it.
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
        check_same("small_factor", self, gram)?;
        let (k, cols) = gram.shape();
        if k != cols {
            return Err(Error::shape("small_factor", (k, k), (k, cols)));
        }
        gram.read(scratch.slices(k * k, 0).0)?;
        let info = scratch.factorize(factor, k);
        self.write(scratch.slices(k * k, 0).0)?;
        Ok(Some(info))
    }

    /// Orthonormalises the columns by Gram-Schmidt with one re-orthogonalisation, in `f64` on the host: the
    /// stable, slow fallback when the Gram matrix is too ill-conditioned for a Cholesky factor. A column that
    /// depends on earlier ones becomes zero. **Waits.** A backend with a QR of its own may override it, keeping
    /// the sign convention `diag(R) >= 0`.
    fn gram_schmidt(&mut self, scratch: &mut Scratch<Self::Element>) -> Result<()> {
        let (m, k) = self.shape();
        let (values, numbers) = scratch.slices(m * k, m * k);
        self.read(values)?;
        crate::linalg::gram_schmidt(m, k, values, numbers);
        self.write(values)
    }

    /// Replaces every zero column by pseudo-random numbers in [-1, 1) that depend on `seed`, the row and the
    /// column only; with `seed` they are the same on every backend. Other columns keep their values.
    /// The default goes through the host and **waits**; it is called at the first step and for rank-deficient
    /// matrices only.
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<Self::Element>) -> Result<()> {
        let (n, k) = self.shape();
        let (values, _) = scratch.slices(n * k, 0);
        self.read(values)?;
        crate::linalg::seed_zero_columns(k, values, seed);
        self.write(values)
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

/// An error unless `x` has the shape of `like`.
///
/// # Errors
/// [`Error::shape`].
pub fn check_same<M: Matrix>(operation: &'static str, like: &M, x: &M) -> Result<()> {
    check_shape(operation, like.shape(), x.shape())
}

/// An error unless the shapes agree.
///
/// # Errors
/// [`Error::shape`].
pub fn check_shape(operation: &'static str, expected: (usize, usize), found: (usize, usize)) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::shape(operation, expected, found)) }
}

/// The shape check of [`Matrix::gemm`]; returns the inner dimension.
///
/// # Errors
/// [`Error::shape`].
pub fn check_gemm(
    out: (usize, usize),
    a: (usize, usize),
    op_a: Op,
    b: (usize, usize),
    op_b: Op,
) -> Result<usize> {
    let ((m, l), (l_b, n)) = (op_a.shape(a), op_b.shape(b));
    check_shape("gemm", (l, n), (l_b, n))?;
    check_shape("gemm", (m, n), out)?;
    Ok(l)
}
