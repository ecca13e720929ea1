//! The power iteration, fused for a device whose launches have a price.

use super::scalar::coefficients;
use super::{CudaBackend, CudaElement, CudaMatrix, CudaScalar};
use crate::error::At;
use spectra_core::backend::{Coefficient, Fused, Gradient, Matrix, Op, Result, check_same, check_shape};
use spectra_core::linalg::{
    Orthonormalization, PowerIteration, SmallFactor, Subspace, SubspaceForm, Workspace,
};

/// `PowerIteration::iterate` with nine launches for an iteration in the paper's form, and one before the first:
///
/// 1. `M = mu M + G`, `||M||_F^2`, random numbers for the zero columns of V (first iteration only);
/// 2. `P = M V`;
/// 3. `P^T P`; 4. its Cholesky factor; 5. `U_1 = P R_1^-1`; 6. to 8. the same of `U_1`, which gives U;
/// 9. `W = M^T U`; 10. `V = W diag(1 / ||w_i||)`, `||W||_F^2`, `||V||_F^2`.
///
/// The host cannot see the condition of `P^T P`, so there are always two rounds of Cholesky QR; columns too nearly parallel
/// for that are orthonormalised by the kernel that finds them so. And because nothing is gained here by multiplying with
/// `M^T` in the same pass, W is the product with the finished U: exact whatever the condition.
pub(super) fn iterate<E: CudaElement>(
    options: &PowerIteration,
    m: &mut CudaMatrix<E>,
    update: Option<(f64, &Gradient<'_, CudaMatrix<E>>)>,
    v: &mut CudaMatrix<E>,
    workspace: &mut Workspace<CudaBackend<E>>,
) -> Result<Subspace<CudaBackend<E>>> {
    const NAME: &str = "power_iteration";
    let ((rows, cols), (n, k)) = (m.shape(), v.shape());
    check_shape(NAME, (cols, k), (n, k))?;
    if rows == 0 || cols == 0 || k == 0 {
        return options.iterate_by_sweeps(m, update, v, workspace);
    }
    m.check_operands(NAME, &[v])?;
    m.device.check_elements(NAME, [m.region, v.region])?;
    // All memory first: without it nothing has changed.
    let mut p = workspace.take_like(m, k)?;
    let mut w = workspace.take(n, k)?;
    let mut qr = CholeskyQr::new(&p, workspace)?;
    let norm_squared = momentum(m, update, v, options.seed)?;
    let mut squares = None;
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    for _ in 0..options.iterations.max(1) {
        p.gemm(zero, one, m, Op::Plain, v, Op::Plain)?;
        qr.orthonormalize(&mut p, workspace)?;
        w.gemm(zero, one, m, Op::Transposed, &p, Op::Plain)?;
        if options.form == SubspaceForm::Exact {
            qr.rotate(&mut p, &mut w, workspace)?;
        }
        squares = Some(normalize(&w, v)?);
    }
    qr.release(workspace);
    Ok(Subspace { u: p, w, scale: 1.0, norm_squared, blind: false, one_sweep: None, squares })
}

/// `orthonormalize` in six launches, whatever the columns.
pub(super) fn orthonormalize<E: CudaElement>(
    p: &mut CudaMatrix<E>,
    workspace: &mut Workspace<CudaBackend<E>>,
) -> Result<Orthonormalization> {
    if p.region.is_empty() {
        return Ok(Orthonormalization::Cholesky);
    }
    let mut qr = CholeskyQr::new(p, workspace)?;
    qr.orthonormalize(p, workspace)?;
    qr.release(workspace);
    Ok(Orthonormalization::CholeskyTwice)
}

/// `M = mu M + G`; returns `||M||_F^2`. Zero columns of V get random numbers.
fn momentum<E: CudaElement>(
    m: &mut CudaMatrix<E>,
    update: Option<(f64, &Gradient<'_, CudaMatrix<E>>)>,
    v: &mut CudaMatrix<E>,
    seed: u64,
) -> Result<CudaScalar> {
    const NAME: &str = "momentum";
    let (mut mu, mut factor) = (Coefficient::ONE, Coefficient::ZERO);
    if let Some((decay, gradient)) = update {
        check_same(NAME, m, gradient.values)?;
        m.check_operands(NAME, &[gradient.values])?;
        (mu, factor) = (decay.into(), gradient.scale);
    }
    let c =
        coefficients(NAME, (&m.device, m.region.count), [mu, factor, Coefficient::ONE, Coefficient::ONE])?;
    let gradient = update.map(|(_, gradient)| gradient.values.region);
    CudaScalar::measured(&m.device, m.region.count, |place| {
        m.device.momentum(m.region, !mu.is_zero(), gradient, &c, (v.region, seed), place)
    })
}

/// `V = W diag(1 / ||w_i||)`; returns `||W||_F^2` and `||V||_F^2`.
fn normalize<E: CudaElement>(w: &CudaMatrix<E>, v: &mut CudaMatrix<E>) -> Result<(CudaScalar, CudaScalar)> {
    let device = &w.device;
    let slot = || device.slot(w.region.count).at("scalar");
    let (first, second) = (slot()?, slot()?);
    device.normalize_columns(w.region, v.region, (first.place(), second.place()))?;
    Ok((CudaScalar::of_slot(device, first), CudaScalar::of_slot(device, second)))
}

impl<E: CudaElement> CudaMatrix<E> {
    /// `self = op(A) B` in full precision: these products cost little, and orthogonality hangs on them.
    fn thin_product(&mut self, a: &Self, op_a: Op, b: &Self) -> Result<()> {
        self.check_operands("gemm", &[a, b])?;
        let c = self.pair("gemm", Coefficient::ZERO, Coefficient::ONE)?;
        let full = self.device.products().full();
        self.device.gemm(full, self.region, false, &c, (a.region, op_a), (b.region, Op::Plain))
    }
}

/// Cholesky QR and its temporaries.
struct CholeskyQr<E> {
    product: CudaMatrix<E>,
    gram: CudaMatrix<E>,
    inverse: CudaMatrix<E>,
}

impl<E: CudaElement> CholeskyQr<E> {
    /// For matrices of the shape of `like`.
    fn new(like: &CudaMatrix<E>, workspace: &mut Workspace<CudaBackend<E>>) -> Result<Self> {
        let k = like.shape().1;
        Ok(Self {
            product: workspace.take_like(like, k)?,
            gram: workspace.take(k, k)?,
            inverse: workspace.take(k, k)?,
        })
    }

    fn release(self, workspace: &mut Workspace<CudaBackend<E>>) {
        for matrix in [self.product, self.gram, self.inverse] {
            workspace.give(matrix);
        }
    }

    /// Two rounds, the first with a way out for columns that have no Cholesky factor.
    fn orthonormalize(
        &mut self,
        p: &mut CudaMatrix<E>,
        workspace: &mut Workspace<CudaBackend<E>>,
    ) -> Result<()> {
        self.gram.thin_product(p, Op::Transposed, p)?;
        let device = &p.device;
        device.orthonormal_factor(self.inverse.region, self.gram.region, p.region, E::EPSILON)?;
        self.multiply(p)?;
        self.gram.thin_product(p, Op::Transposed, p)?;
        self.inverse.small_factor(SmallFactor::CholeskyInverse, &self.gram, &mut workspace.scratch)?;
        self.multiply(p)
    }

    /// Rotates U and W so that the columns of W are orthogonal and decreasing.
    fn rotate(
        &mut self,
        u: &mut CudaMatrix<E>,
        w: &mut CudaMatrix<E>,
        workspace: &mut Workspace<CudaBackend<E>>,
    ) -> Result<()> {
        self.gram.thin_product(w, Op::Transposed, w)?;
        self.inverse.small_factor(SmallFactor::Diagonalizer, &self.gram, &mut workspace.scratch)?;
        self.multiply(u)?;
        let (n, k) = w.shape();
        let mut rotated = workspace.take(n, k)?;
        rotated.thin_product(w, Op::Plain, &self.inverse)?;
        std::mem::swap(w, &mut rotated);
        workspace.give(rotated);
        Ok(())
    }

    /// `x = x inverse`
    fn multiply(&mut self, x: &mut CudaMatrix<E>) -> Result<()> {
        self.product.thin_product(x, Op::Plain, &self.inverse)?;
        std::mem::swap(x, &mut self.product);
        Ok(())
    }
}
