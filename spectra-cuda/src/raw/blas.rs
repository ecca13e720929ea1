//! cuBLAS on raw pointers, row-major: a row-major matrix is the transpose of a column-major one, so `C = A B` is asked
//! for as `C^T = B^T A^T`.

use super::Place;
use crate::error::CudaError;
use cudarc::cublas::result;
use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasFillMode_t, cublasGemmAlgo_t, cublasMath_t,
    cublasOperation_t as Operation, cublasPointerMode_t as PointerMode, cudaDataType_t as DataType,
};
use cudarc::driver::CudaContext;
use cudarc::driver::sys::{CUdeviceptr, CUstream};
use std::ffi::c_void;
use std::sync::Arc;

/// A cuBLAS handle bound to one stream.
#[derive(Debug)]
pub(crate) struct Blas {
    handle: sys::cublasHandle_t,
    context: Arc<CudaContext>,
}

// SAFETY: a handle may be used from any thread, by one at a time; a `Blas` is not `Sync`, and `Device` keeps it behind a mutex.
unsafe impl Send for Blas {}

/// `alpha` and `beta`: on the host as `f32` or `f64` according to the element, or a pair (beta, alpha) of elements in
/// device memory.
#[derive(Debug)]
pub(crate) enum Factors<'a> {
    Single { beta: f32, alpha: f32 },
    Double { beta: f64, alpha: f64 },
    Device { beta: Place<'a>, alpha: Place<'a> },
}

/// A product without its factors: `C = beta C + alpha op(A) op(B)`, C of `sizes.0` x `sizes.1` at `c` with the leading dimension `c.1`,
/// `sizes.2` the inner dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Product {
    pub(crate) kinds: Kinds,
    pub(crate) sizes: (i32, i32, i32),
    pub(crate) a: Operand,
    pub(crate) b: Operand,
    pub(crate) c: (CUdeviceptr, i32),
    pub(crate) form: Form,
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// Of matrices.
    One,
    /// So many of equal sizes; the pointers are to tables of pointers in device memory.
    Batch(i32),
    /// The upper triangle of a symmetric one, whose B is read in A's orientation.
    Triangle,
}

impl Product {
    /// Whether it is given this pointer.
    pub(crate) fn uses(&self, pointer: CUdeviceptr) -> bool {
        [self.a.pointer, self.b.pointer, self.c.0].contains(&pointer)
    }
}

/// The types of a product: of both operands, of the result, and of the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kinds {
    pub(crate) operands: DataType,
    pub(crate) result: DataType,
    pub(crate) compute: Compute,
}

/// A row-major operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operand {
    pub(crate) pointer: CUdeviceptr,
    pub(crate) ld: i32,
    pub(crate) transposed: bool,
}

impl Operand {
    fn operation(&self) -> Operation {
        if self.transposed { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N }
    }
}

impl Blas {
    /// A handle on `stream` that may use `workspace` (its pointer and bytes), so that cuBLAS allocates nothing later.
    ///
    /// # Safety
    /// Stream and workspace must outlive the handle.
    pub(crate) unsafe fn new(
        context: &Arc<CudaContext>,
        stream: CUstream,
        workspace: (CUdeviceptr, usize),
    ) -> Result<Self, CudaError> {
        context.bind_to_thread()?;
        let blas = Self { handle: result::create_handle()?, context: context.clone() };
        // SAFETY: the handle has just been made; stream and workspace are the caller's promise.
        unsafe {
            result::set_stream(blas.handle, stream.cast())?;
            sys::cublasSetMathMode(blas.handle, cublasMath_t::CUBLAS_DEFAULT_MATH).result()?;
            sys::cublasSetWorkspace_v2(blas.handle, workspace.0 as *mut c_void, workspace.1).result()?;
        }
        Ok(blas)
    }

    /// Queues a product.
    ///
    /// # Safety
    /// Pointers, leading dimensions and sizes must describe live device memory of the product's types; of a batch tables of pointers to
    /// such, and no result may touch another or an operand.
    pub(crate) unsafe fn run(&self, product: &Product, factors: &Factors<'_>) -> Result<(), CudaError> {
        let Product { kinds, sizes, a, b, c, form } = *product;
        // SAFETY: the caller's promise.
        unsafe {
            match form {
                Form::One => self.gemm(kinds, sizes, factors, a, b, c),
                Form::Batch(count) => self.gemm_batch(kinds, sizes, count, factors, a, b, c),
                Form::Triangle => {
                    let double = kinds.result == DataType::CUDA_R_64F;
                    self.syrkx(double, (sizes.0, sizes.2), factors, a, b.pointer, b.ld, c)
                }
            }
        }
    }

    /// Runs `f` with the two factors in the pointer mode that they need.
    fn with_factors(
        &self,
        factors: &Factors<'_>,
        f: impl FnOnce(*const c_void, *const c_void) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        self.context.bind_to_thread()?;
        fn at<T>(x: &T) -> *const c_void {
            std::ptr::from_ref(x).cast()
        }
        match factors {
            Factors::Single { beta, alpha } => f(at(beta), at(alpha)),
            Factors::Double { beta, alpha } => f(at(beta), at(alpha)),
            Factors::Device { beta, alpha } => {
                self.pointer_mode(PointerMode::CUBLAS_POINTER_MODE_DEVICE)?;
                let done = f(beta.pointer() as *const c_void, alpha.pointer() as *const c_void);
                self.pointer_mode(PointerMode::CUBLAS_POINTER_MODE_HOST)?;
                done
            }
        }
    }

    fn pointer_mode(&self, mode: PointerMode) -> Result<(), CudaError> {
        // SAFETY: the handle is valid.
        Ok(unsafe { sys::cublasSetPointerMode_v2(self.handle, mode) }.result()?)
    }

    /// `C = beta C + alpha op(A) op(B)`, C rows x cols with leading dimension `ld`, inner dimension `inner`.
    ///
    /// # Safety
    /// Pointers, leading dimensions and sizes must describe live device memory of the types of `kinds`.
    unsafe fn gemm(
        &self,
        kinds: Kinds,
        (rows, cols, inner): (i32, i32, i32),
        factors: &Factors<'_>,
        a: Operand,
        b: Operand,
        (c, ld): (CUdeviceptr, i32),
    ) -> Result<(), CudaError> {
        self.with_factors(factors, |beta, alpha| {
            // SAFETY: the caller's promise; the factors have the type that `compute` wants.
            unsafe {
                result::gemm_ex(
                    self.handle,
                    b.operation(),
                    a.operation(),
                    cols,
                    rows,
                    inner,
                    alpha,
                    b.pointer as *const c_void,
                    kinds.operands,
                    b.ld,
                    a.pointer as *const c_void,
                    kinds.operands,
                    a.ld,
                    beta,
                    c as *mut c_void,
                    kinds.result,
                    ld,
                    kinds.compute,
                    cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                )?;
            }
            Ok(())
        })
    }

    /// The same for `count` products of equal sizes; the pointers of `a`, `b` and `c` are to tables of pointers in device memory.
    ///
    /// # Safety
    /// As [`gemm`](Self::gemm) for each; no result may touch another or an operand.
    unsafe fn gemm_batch(
        &self,
        kinds: Kinds,
        (rows, cols, inner): (i32, i32, i32),
        count: i32,
        factors: &Factors<'_>,
        a: Operand,
        b: Operand,
        (c, ld): (CUdeviceptr, i32),
    ) -> Result<(), CudaError> {
        self.with_factors(factors, |beta, alpha| {
            // SAFETY: the caller's promise; the factors have the type that `compute` wants.
            let status = unsafe {
                sys::cublasGemmBatchedEx(
                    self.handle,
                    b.operation(),
                    a.operation(),
                    cols,
                    rows,
                    inner,
                    alpha,
                    b.pointer as *const *const c_void,
                    kinds.operands,
                    b.ld,
                    a.pointer as *const *const c_void,
                    kinds.operands,
                    a.ld,
                    beta,
                    c as *const *mut c_void,
                    kinds.result,
                    ld,
                    count,
                    kinds.compute,
                    cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                )
            };
            Ok(status.result()?)
        })
    }

    /// The upper triangle (row <= col, row-major) of the symmetric `C = beta C + alpha op(A) op(B)^T`, C n x n.
    ///
    /// # Safety
    /// As [`gemm`](Self::gemm); `f64` if `double`.
    unsafe fn syrkx(
        &self,
        double: bool,
        (n, inner): (i32, i32),
        factors: &Factors<'_>,
        a: Operand,
        b: CUdeviceptr,
        b_ld: i32,
        (c, ld): (CUdeviceptr, i32),
    ) -> Result<(), CudaError> {
        // Row-major upper is column-major lower; A and B are column-major A^T and B^T.
        let (fill, op) = (cublasFillMode_t::CUBLAS_FILL_MODE_LOWER, !a.transposed);
        let op = if op { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N };
        let (handle, one) = (self.handle, a.pointer == b && a.ld == b_ld);
        macro_rules! of_type {
            ($real:ty, $syrk:ident, $syrkx:ident, $alpha:ident, $beta:ident) => {{
                let (alpha, beta, c) = ($alpha.cast(), $beta.cast(), c as *mut $real);
                let (a_at, b_at) = (a.pointer as *const $real, b as *const $real);
                if one {
                    sys::$syrk(handle, fill, op, n, inner, alpha, a_at, a.ld, beta, c, ld)
                } else {
                    sys::$syrkx(handle, fill, op, n, inner, alpha, b_at, b_ld, a_at, a.ld, beta, c, ld)
                }
            }};
        }
        self.with_factors(factors, |beta, alpha| {
            // SAFETY: the caller's promise; the factors have the element's type.
            let status = unsafe {
                if double {
                    of_type!(f64, cublasDsyrk_v2, cublasDsyrkx, alpha, beta)
                } else {
                    of_type!(f32, cublasSsyrk_v2, cublasSsyrkx, alpha, beta)
                }
            };
            Ok(status.result()?)
        })
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the handle was made by `new` and is not used again. It fails only for a handle that is not one.
        let destroyed = unsafe { result::destroy_handle(self.handle) };
        debug_assert!(destroyed.is_ok(), "{destroyed:?}");
    }
}
