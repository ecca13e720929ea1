//! The matrix operations every algorithm is written on.

use super::{Coefficient, Element, Error, Result, Scalar};

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

    // ---- provided -------------------------------------------------------------------------------------

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

    /// The [`layout`](Self::layout) of a matrix with as many rows, distributed alike, and `cols` columns:
    /// [`Backend::zeros`](super::Backend::zeros) with `rows_like`.
    fn row_layout(&self, cols: usize) -> usize {
        let _ = cols;
        self.layout()
    }

    /// How the columns are distributed: the [`layout`](Self::layout) of a matrix that has a row for each of them, distributed alike.
    fn column_layout(&self) -> usize {
        0
    }

    /// `self = X`.
    ///
    /// # Errors
    /// Shapes.
    fn copy_from(&mut self, x: &Self) -> Result<()> {
        self.scale_add(Coefficient::ZERO, Coefficient::ONE, x)
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
