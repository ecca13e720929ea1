//! The device: allocation and constants.

use super::{
    Coefficient, Element, Entrywise, Error, ErrorKind, Fused, Gradient, Matrix, Op, PackedProducts,
    PowerSweep, Ranks, Result, Scalar, ScalarOp, Stacking, composed,
};
use crate::linalg::{
    Orthonormalization, PowerIteration, SixteenBits, Subspace, Workspace, orthonormalize_by_gram_matrix,
};

/// A place where matrices live. Cheap to clone (a handle).
///
/// A backend need not be `Send`. One that is can be used through clones on several threads at once, each with matrices of its
/// own: what clones share (queues, temporaries, coefficients) must be guarded. The optimizer's `par_step` also wants
/// matrices and scalars that are `Send` and `Sync`.
///
/// Two required methods. Implementers: see the crate's front page and run the `spectra-conformance` suite.
pub trait Backend: Clone + core::fmt::Debug {
    /// Whether matrices may be distributed over ranks, to which one message for several is cheaper than one for each.
    const DISTRIBUTES: bool = false;

    /// The arithmetic type.
    type Element: Element;
    /// Numbers that stay on the device; `f64` on a CPU.
    type Scalar: Scalar;
    /// The matrices.
    type Matrix: Matrix<Element = Self::Element, Scalar = Self::Scalar> + Fused;

    /// A `rows x cols` matrix of zeros. Either may be zero.
    ///
    /// `rows_like`: a matrix with the same number of rows whose distribution of rows over devices the new
    /// one shares; backends that keep a matrix in one place ignore it. Without it the new matrix is
    /// replicated. May allocate; algorithms call it on the first step only.
    ///
    /// # Errors
    /// When memory cannot be had, or `rows * cols` entries cannot be addressed; never a panic or an abort
    /// (see [`check_memory`](super::check_memory)).
    fn zeros(&self, rows: usize, cols: usize, rows_like: Option<&Self::Matrix>) -> Result<Self::Matrix>;

    /// A matrix of zeros with a row for each column of `like`, distributed as those are.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    fn zeros_across(&self, like: &Self::Matrix, cols: usize) -> Result<Self::Matrix> {
        self.zeros(like.shape().1, cols, None)
    }

    /// The 16 bits in which the iterates of polynomial iterations are stored (X and all r x r matrices of the polar factor and the
    /// soft clip); `None`: the element type. Fixed for the life of a backend.
    fn iterate_format(&self) -> Option<SixteenBits> {
        None
    }

    /// Zeros in the [`iterate_format`](Self::iterate_format), in one place. Such a matrix goes wherever another does, entry by entry
    /// and in reductions, in the arithmetic of the element type: widened where it is read, rounded once, to nearest, where it is
    /// written. Both operands of a product are iterates, or neither; the result of two iterates may be either, that of two
    /// others is none. Sums are formed in the element type.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    fn zeros_iterate(&self, rows: usize, cols: usize) -> Result<Self::Matrix> {
        self.zeros(rows, cols, None)
    }

    /// Zeros kept in 16 bits, for state: widened where they are read, rounded once, to nearest, where they are written, so that the arithmetic is that of
    /// the element type. Such a matrix goes wherever another does, and `read` and `write` are in the element type. Its numbers are rounded before
    /// an operation reads them again: [`power_sweep`](Fused::power_sweep) multiplies what it leaves in M. `rows_like`: as [`zeros`](Self::zeros).
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros); unless overridden [`ErrorKind::Name`], because only the backend can know another storage.
    fn zeros_stored(
        &self,
        format: SixteenBits,
        shape: (usize, usize),
        rows_like: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        let _ = (format, shape, rows_like);
        let reason = "asks for 16 bits, in which this backend keeps no state";
        Err(Error::new("optimizer", ErrorKind::Name { name: "momentum_format".into(), reason }))
    }

    /// The ranks over which matrices are distributed; none of a backend that has no other than here.
    fn ranks(&self) -> Option<&dyn Ranks<Self::Scalar>> {
        None
    }

    /// Matrices of one shape as one, where a device that is asked once for all of them gains; none unless overridden.
    fn stacking(&self) -> Option<&dyn Stacking<Self>> {
        None
    }

    /// Unit roundoff times two of the products and of the matrices that algorithms keep them in: the element type's, unless the backend rounds
    /// operands or results to fewer bits, 2^-10 for TF32 and fp16, 2^-7 for bf16. Iterations choose their restarts and stretches by it.
    fn product_epsilon(&self) -> f64 {
        Self::Element::EPSILON
    }

    /// A host number as a scalar. Does not wait for the device.
    fn scalar(&self, value: f64) -> Result<Self::Scalar>;

    /// A matrix with the given row-major values.
    ///
    /// # Errors
    /// If `values` does not hold `rows * cols` numbers, or memory cannot be had.
    fn upload(&self, rows: usize, cols: usize, values: &[Self::Element]) -> Result<Self::Matrix> {
        let mut matrix = self.zeros(rows, cols, None)?;
        matrix.write(values)?;
        Ok(matrix)
    }

    /// One step of a rule that works entry by entry: the state advances by the gradient `G` (scale included), and its
    /// direction is added, `X = beta X + alpha d`. The formulas are those of [`Entrywise`].
    ///
    /// `matrices`: `[X, M]` for momentum and Lion, `[X, M, V]` for Adam, `[X, M, V, S]` with a slow part, `[X, M, V, L]` for MARS; all m x n. X is not read if
    /// `beta` is zero, nor is a state whose factor (mu, b1, b2, b3) is zero.
    ///
    /// The default makes several passes, and a temporary for the sign of a look-ahead and for Lion's; these rules do hardly any arithmetic, so
    /// a backend that reads and writes every matrix once saves up to half of the time.
    ///
    /// # Errors
    /// Shapes, another number of matrices; with nothing changed.
    fn entrywise_add<const N: usize>(
        matrices: [&mut Self::Matrix; N],
        (beta, alpha): (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        composed::entrywise_add(matrices, (beta, alpha), rule, gradient, workspace)
    }

    /// [`PowerIteration::iterate`], which calls this; the contract is there.
    ///
    /// The default is [`PowerIteration::iterate_by_sweeps`]. A backend where two products with `m` cost no more than
    /// [`power_sweep`](Fused::power_sweep), and every call has its price, fuses what lies between them.
    ///
    /// # Errors
    /// As [`PowerIteration::iterate`].
    fn power_iteration(
        options: &PowerIteration,
        m: &mut Self::Matrix,
        update: Option<(f64, &Gradient<'_, Self::Matrix>)>,
        v: &mut Self::Matrix,
        workspace: &mut Workspace<Self>,
    ) -> Result<Subspace<Self>> {
        options.iterate_by_sweeps(m, update, v, workspace)
    }

    /// [`power_sweep`](Fused::power_sweep) of several matrices, of whatever shapes. A backend to which one message for all is cheaper
    /// than one for each packs them.
    ///
    /// # Errors
    /// As there.
    fn power_sweeps(all: &mut [impl PackedProducts<Self::Matrix>]) -> Result<()> {
        all.iter_mut().filter_map(|one| one.sweep()).try_for_each(PowerSweep::run)
    }

    /// `C = X^T X` for several pairs `(C, X)`; as [`power_sweeps`](Self::power_sweeps).
    ///
    /// # Errors
    /// Shapes; those of the backend.
    fn gram_matrices(all: &mut [impl PackedProducts<Self::Matrix>]) -> Result<()> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let pairs = all.iter_mut().filter_map(|one| one.gram());
        { pairs }.try_for_each(|(c, x)| c.gemm_symmetric(zero, one, x, Op::Transposed, x, Op::Plain))
    }

    /// Makes whole matrices of those of which each rank has a summand, as the product of a matrix of summands is one; with one message for all.
    /// What is whole already stays as it is, and so does everything where nothing is distributed.
    ///
    /// # Errors
    /// Those of the backend.
    fn sum_over_ranks(all: &mut [&mut Self::Matrix]) -> Result<()> {
        let _ = all;
        Ok(())
    }

    /// `sum + ||X_1||_F^2 + ||X_2||_F^2 + ...`, one [`dot`](Matrix::dot) after the other. A device may take several at once, and add them up in an
    /// order that depends on their shapes alone.
    ///
    /// # Errors
    /// Those of the backend.
    fn add_squares<'m>(
        sum: Self::Scalar,
        mut matrices: impl Iterator<Item = &'m Self::Matrix>,
    ) -> Result<Self::Scalar>
    where
        Self::Matrix: 'm,
    {
        matrices.try_fold(sum, |sum, x| Self::Scalar::combine(ScalarOp::Add, &sum, &x.dot(x)?))
    }

    /// [`orthonormalize`](crate::linalg::orthonormalize), which calls this; the contract is there.
    ///
    /// The default is [`orthonormalize_by_gram_matrix`]. A device that can tell ill-conditioned columns without its host
    /// overrides it.
    ///
    /// # Errors
    /// As [`orthonormalize`](crate::linalg::orthonormalize).
    fn orthonormalize(p: &mut Self::Matrix, workspace: &mut Workspace<Self>) -> Result<Orthonormalization> {
        orthonormalize_by_gram_matrix(p, workspace)
    }
}
