//! Matrix products by cuBLAS, in a precision that is chosen and never changed behind one's back.

use super::memory::{Buffer, lock, zeroed};
use super::script::{self, Pair};
use super::tally::Counters;
use super::{Coefficients, Device, Region, Storage};
use crate::error::{At, CudaError};
use crate::raw::Place;
use crate::raw::blas::{Blas, Form, Kinds, Operand, Product};
use cudarc::cublas::sys::{cublasComputeType_t as Compute, cudaDataType_t as DataType};
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Error, ErrorKind, Op, Result, check_gemm};
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

    /// Of elements alone.
    pub(super) fn full_kinds(self) -> Kinds {
        let data = self.data(Storage::Element);
        Kinds { operands: data, result: data, compute: self.compute() }
    }

    fn data(self, storage: Storage) -> DataType {
        match storage {
            Storage::Element if self.is_double() => DataType::CUDA_R_64F,
            Storage::Element => DataType::CUDA_R_32F,
            Storage::Bf16 => DataType::CUDA_R_16BF,
            Storage::Fp16 => DataType::CUDA_R_16F,
        }
    }

    /// What cuBLAS multiplies: operands of one storage; elements into elements, 16 bits into their own kind or elements, with sums
    /// in `f32`.
    pub(super) fn kinds(self, operation: &'static str, out: Region, a: Region, b: Region) -> Result<Kinds> {
        let unsupported = |what| Err(Error::new(operation, ErrorKind::Unsupported { what }));
        if a.storage != b.storage {
            return unsupported("a product of matrices in different storage");
        }
        if out.storage != a.storage && out.storage != Storage::Element {
            return unsupported("a product rounded to another type than its operands'");
        }
        let in_full = a.storage == Storage::Element;
        let compute = if in_full { self.compute() } else { Compute::CUBLAS_COMPUTE_32F };
        Ok(Kinds { operands: self.data(a.storage), result: self.data(out.storage), compute })
    }
}

/// cuBLAS's own working memory: what NVIDIA recommends for Hopper; less makes some products slower.
const BLAS_WORKSPACE: usize = 32 << 20;

/// cuBLAS and what it reads and writes besides the operands.
#[derive(Debug)]
pub(super) struct Multiplier {
    // Fields are dropped in this order: cuBLAS before its working memory.
    pub(super) blas: Blas,
    /// Factors that the host does not know, until the product that is queued next has read them.
    factors: Buffer,
    /// The pointers of a batch, likewise.
    pub(super) pointers: Buffer,
    workspace: Buffer,
}

impl Multiplier {
    pub(super) fn new(stream: &Arc<CudaStream>, pointers: usize) -> std::result::Result<Self, CudaError> {
        let workspace = zeroed(stream, BLAS_WORKSPACE)?;
        // SAFETY: the handle is dropped before the memory, as the first field, and with the device before the stream.
        let blas = unsafe {
            Blas::new(stream.context(), stream.cu_stream(), (workspace.pointer(), BLAS_WORKSPACE))
        }?;
        let (factors, pointers) = (zeroed(stream, 2 * size_of::<f64>())?, zeroed(stream, 8 * pointers)?);
        Ok(Self { blas, factors, pointers, workspace })
    }

    /// cuBLAS's, for another handle whose work is queued on the same stream in the end.
    pub(super) fn workspace(&self) -> (CUdeviceptr, usize) {
        (self.workspace.pointer(), BLAS_WORKSPACE)
    }
}

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
        let kinds = products.kinds(NAME, out, a, b)?;
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
        let (a_at, b_at) = (operand(a, op_a).at(NAME)?, operand(b, op_b).at(NAME)?);
        let form = if out.count == 1 { Form::One } else { Form::Batch(int(out.count).at(NAME)?) };
        let c_at = (out.pointer, int(out.ld).at(NAME)?);
        // SAFETY: regions are live, of the types of `kinds`, and have as many parts; shapes were checked.
        unsafe { self.multiply(keep, c, |_| Ok(Product { kinds, sizes, a: a_at, b: b_at, c: c_at, form })) }
            .at(NAME)?;
        self.count_product(2 * out.count * out.rows * out.cols * inner, out, keep, (a, b));
        Ok(())
    }

    /// An error if one is in 16 bits: where products mix them with others.
    pub(crate) fn check_elements<const N: usize>(
        &self,
        operation: &'static str,
        regions: [Region; N],
    ) -> Result<()> {
        if regions.iter().all(|region| region.storage == Storage::Element) {
            return Ok(());
        }
        Err(Error::new(operation, ErrorKind::Unsupported { what: "a matrix in 16-bit storage" }))
    }

    /// Queues what `prepare` returns, after what it queues, with the factors: nobody else's products come between.
    ///
    /// # Safety
    /// As [`Blas::run`].
    pub(super) unsafe fn multiply(
        &self,
        keep: bool,
        c: &Coefficients,
        prepare: impl FnOnce(&Multiplier) -> std::result::Result<Product, CudaError>,
    ) -> std::result::Result<(), CudaError> {
        let multiplier = lock(&self.multiplier);
        let pair = if c.on_host() {
            Pair::Host { beta: if keep { c.factor[0] } else { 0.0 }, alpha: c.factor[1] }
        } else {
            let beta = Place::new(multiplier.factors.pointer());
            self.scalar_pair(&beta, c)?;
            Pair::Device { beta: beta.pointer(), alpha: beta.after(self.products.width()).pointer() }
        };
        let product = prepare(&multiplier)?;
        if script::product(self, &product, pair) {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        let done = unsafe { multiplier.blas.run(&product, &pair.factors(self.products.is_double())) };
        Counters::add(&self.counters.launches, 1);
        Counters::add(&self.counters.products, 1);
        done
    }

    /// One matrix that is both operands is read once.
    pub(super) fn count_product(&self, flops: usize, out: Region, keep: bool, (a, b): (Region, Region)) {
        Counters::add(&self.counters.flops, flops);
        let width = self.products.width();
        let one = a.pointer == b.pointer && a.ld == b.ld && a.shape() == b.shape();
        let read = a.bytes(width) + if one { 0 } else { b.bytes(width) };
        Counters::add(&self.counters.bytes, read + out.bytes(width) * if keep { 2 } else { 1 });
    }
}

pub(super) fn int(size: usize) -> std::result::Result<i32, CudaError> {
    i32::try_from(size).map_err(|_| CudaError::TooLarge { what: "an extent of a product", size })
}

pub(super) fn operand(region: Region, op: Op) -> std::result::Result<Operand, CudaError> {
    let transposed = op == Op::Transposed;
    Ok(Operand { pointer: region.pointer, ld: int(region.ld.max(1))?, transposed })
}
