//! Matrix products by cuBLAS, in a precision that is chosen and never changed behind one's back.

use super::memory::{Buffer, lock, zeroed};
use super::tally::Counters;
use super::{Coefficients, Device, Region};
use crate::error::{At, CudaError};
use crate::raw::Place;
use crate::raw::blas::{Blas, Factors, Operand};
use cudarc::cublas::sys::cublasComputeType_t as Compute;
use cudarc::driver::CudaStream;
use spectra_core::backend::{Op, Result, check_gemm, check_shape};
use std::sync::Arc;

/// The element type and how its products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// f32, no reduction.
    F32,
    /// f32 rounded to TF32 (10 bits) before multiplication, f32 sums.
    Tf32,
    /// f32 rounded to bf16 (7 bits) before multiplication, or to more, as cuBLAS likes; f32 sums.
    Bf16,
    /// f64.
    F64,
}

impl Products {
    /// The element type in the kernels' language.
    pub(super) fn real(self) -> &'static str {
        if self.is_double() { "double" } else { "float" }
    }

    pub(crate) fn is_double(self) -> bool {
        self == Self::F64
    }

    /// Bytes of an element.
    pub(crate) fn width(self) -> usize {
        if self.is_double() { 8 } else { 4 }
    }

    /// The same element type without reduction.
    pub(crate) fn full(self) -> Self {
        if self.is_double() { Self::F64 } else { Self::F32 }
    }

    fn compute(self) -> Compute {
        match self {
            Self::F32 => Compute::CUBLAS_COMPUTE_32F,
            Self::Tf32 => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
            Self::Bf16 => Compute::CUBLAS_COMPUTE_32F_FAST_16BF,
            Self::F64 => Compute::CUBLAS_COMPUTE_64F,
        }
    }
}

/// cuBLAS's own working memory: what NVIDIA recommends for Hopper; less makes some products slower.
const BLAS_WORKSPACE: usize = 32 << 20;

/// cuBLAS and what it reads and writes besides the operands.
#[derive(Debug)]
pub(super) struct Multiplier {
    // Fields are dropped in this order: cuBLAS before its working memory.
    blas: Blas,
    /// Factors that the host does not know, until the product that is queued next has read them.
    factors: Buffer,
    _workspace: Buffer,
}

impl Multiplier {
    pub(super) fn new(stream: &Arc<CudaStream>) -> std::result::Result<Self, CudaError> {
        let workspace = zeroed(stream, BLAS_WORKSPACE)?;
        // SAFETY: the handle is dropped before the memory: it is the first field.
        let blas = unsafe { Blas::new(stream, (workspace.pointer(), BLAS_WORKSPACE)) }?;
        Ok(Self { blas, factors: zeroed(stream, 2 * size_of::<f64>())?, _workspace: workspace })
    }
}

/// From this order on half the flops of a triangle are worth a second launch to mirror it.
const TRIANGLE: usize = 512;

impl Device {
    /// `out = beta out + alpha op(A) op(B)` as `products` says; coefficients 0 and 1 are beta and alpha.
    pub(crate) fn gemm(
        &self,
        products: Products,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (Region, Op),
        (b, op_b): (Region, Op),
    ) -> Result<()> {
        const NAME: &str = "gemm";
        let inner = check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)?;
        self.check_elements(NAME, [out, a, b])?;
        if (a.count, b.count) != (out.count, out.count) || c.differ() {
            self.refuse_stacks(NAME, [out, a, b])?;
        }
        if out.is_empty() {
            return Ok(());
        }
        if inner == 0 {
            return self.scale(out, keep, c);
        }
        let sizes = (int(out.rows).at(NAME)?, int(out.cols).at(NAME)?, int(inner).at(NAME)?);
        let (a_operand, b_operand) = (operand(a, op_a).at(NAME)?, operand(b, op_b).at(NAME)?);
        let (compute, out_place) = (products.compute(), (out.pointer, int(out.ld).at(NAME)?));
        self.multiply(keep, c, |blas, factors| {
            // SAFETY: regions are live, of this device's element type, and have as many parts; shapes were checked.
            unsafe { blas.gemm(compute, sizes, factors, a_operand, b_operand, out_place, out.count) }
        })
        .at(NAME)?;
        self.count_product(out, keep, &[a, b]);
        Ok(())
    }

    /// Whether a product that is known to be symmetric is one of `A A^T` or `A^T A` which is worth computing as a triangle that is
    /// mirrored: of a large order, in full precision.
    pub(crate) fn is_triangle(&self, out: Region, (a, op_a): (Region, Op), (b, op_b): (Region, Op)) -> bool {
        let one_matrix = a.pointer == b.pointer && a.ld == b.ld && a.shape() == b.shape() && op_a != op_b;
        let full = matches!(self.products, Products::F32 | Products::F64);
        one_matrix && full && out.rows == out.cols && out.rows >= TRIANGLE && !a.is_empty()
    }

    /// The upper triangle of `out = beta out + alpha op(A) op(A)^T`, for [`mirror`](Self::mirror).
    pub(crate) fn triangle(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (Region, Op),
    ) -> Result<()> {
        const NAME: &str = "gemm_symmetric";
        let (rows, inner) = op_a.shape(a.shape());
        check_shape(NAME, (rows, rows), out.shape())?;
        self.check_elements(NAME, [out, a])?;
        self.refuse_stacks(NAME, [out, a])?;
        let sizes = (int(out.rows).at(NAME)?, int(inner).at(NAME)?);
        let (a_operand, out_place) = (operand(a, op_a).at(NAME)?, (out.pointer, int(out.ld).at(NAME)?));
        self.multiply(keep, c, |blas, factors| {
            // SAFETY: as in `gemm`.
            unsafe { blas.syrk(self.products.is_double(), sizes, factors, a_operand, out_place) }
        })
        .at(NAME)?;
        self.count_product(out, keep, &[a]);
        Ok(())
    }

    /// cuBLAS takes what has the element type.
    pub(crate) fn check_elements<const N: usize>(
        &self,
        operation: &'static str,
        regions: [Region; N],
    ) -> Result<()> {
        use spectra_core::backend::{Error, ErrorKind};
        if regions.iter().any(|region| region.bf16) {
            let what = "a product of a matrix in bf16 storage";
            return Err(Error::new(operation, ErrorKind::Unsupported { what }));
        }
        Ok(())
    }

    /// Calls `queue` with cuBLAS and the factors, which are nobody else's before it returns.
    fn multiply(
        &self,
        keep: bool,
        c: &Coefficients,
        queue: impl FnOnce(&Blas, &Factors<'_>) -> std::result::Result<(), CudaError>,
    ) -> std::result::Result<(), CudaError> {
        let multiplier = lock(&self.multiplier);
        let beta = if keep { c.factor[0] } else { 0.0 };
        let factors = if !c.on_host() {
            let beta = Place::new(multiplier.factors.pointer());
            self.scalar_pair(&beta, c)?;
            let alpha = beta.after(self.products.width());
            Factors::Device { beta, alpha }
        } else if self.products.is_double() {
            Factors::Double { beta, alpha: c.factor[1] }
        } else {
            Factors::Single { beta: beta as f32, alpha: c.factor[1] as f32 }
        };
        queue(&multiplier.blas, &factors)
    }

    fn count_product(&self, out: Region, keep: bool, operands: &[Region]) {
        Counters::add(&self.counters.launches, 1);
        Counters::add(&self.counters.products, 1);
        let width = self.products.width();
        let read: usize = operands.iter().map(|region| region.bytes(width)).sum();
        Counters::add(&self.counters.bytes, read + out.bytes(width) * if keep { 2 } else { 1 });
    }
}

fn int(size: usize) -> std::result::Result<i32, CudaError> {
    i32::try_from(size).map_err(|_| CudaError::TooLarge { what: "an extent of a product", size })
}

fn operand(region: Region, op: Op) -> std::result::Result<Operand, CudaError> {
    let transposed = op == Op::Transposed;
    Ok(Operand { pointer: region.pointer, ld: int(region.ld.max(1))?, transposed })
}
