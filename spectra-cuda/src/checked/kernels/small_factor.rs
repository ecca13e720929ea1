//! Factors of k x k Gram matrices: `kernels/small_factor.cu`.

use super::launch;
use crate::checked::launch::{config, grid};
use crate::checked::{Device, Region};
use crate::error::{At, CudaError};
use cudarc::driver::LaunchConfig;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::check_shape;

type Checked = spectra_core::backend::Result<()>;

/// Which factor of a Gram matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factorization {
    CholeskyInverse,
    ColumnNormalizer,
    Diagonalizer,
}

/// What a factorisation works in.
struct WorkingMemory {
    /// k.
    order: i32,
    /// From one row to the next.
    stride: i32,
    /// Bytes of shared memory, if that suffices.
    shared: u32,
    /// Device memory in place of shared memory, or null.
    scratch: CUdeviceptr,
    /// The further numbers asked for.
    work: CUdeviceptr,
}

impl WorkingMemory {
    /// One block.
    fn config(&self) -> LaunchConfig {
        LaunchConfig { shared_mem_bytes: self.shared, ..config((1, 1)) }
    }
}

impl Device {
    /// `squares` k x k arrays and k numbers, in shared memory where it suffices, and `more` in device memory.
    fn working_memory(&self, squares: usize, k: usize, more: usize) -> Result<WorkingMemory, CudaError> {
        // Odd: a column is in as many banks as it has entries.
        let stride = k | 1;
        let count = squares * k * stride + k;
        if i32::try_from(count).is_err() {
            return Err(CudaError::TooLarge { what: "a Gram matrix", size: k });
        }
        let fits = 8 * count <= self.kernels.shared_bytes;
        let outside = if fits { 0 } else { count };
        let work = if more + outside > 0 { self.working(more + outside)? } else { 0 };
        Ok(WorkingMemory {
            order: k as i32,
            stride: stride as i32,
            shared: if fits { 8 * count as u32 } else { 0 },
            scratch: if fits { 0 } else { work + 8 * more as u64 },
            work,
        })
    }

    /// A factor of the Gram matrix `gram`. `eps`: the element type's.
    pub(crate) fn small_factor(&self, factor: Factorization, out: Region, gram: Region, eps: f64) -> Checked {
        const NAME: &str = "small_factor";
        check_shape(NAME, (gram.rows, gram.rows), gram.shape())?;
        check_shape(NAME, out.shape(), gram.shape())?;
        let k = gram.rows;
        if k == 0 {
            return Ok(());
        }
        self.count_bytes(&[gram], &[out]);
        let views = (out.view(), gram.view());
        if factor == Factorization::ColumnNormalizer {
            let kernel = &self.kernels.column_normalizer;
            return launch!(self, kernel, config(grid(k, k)), (views.0, views.1, k as i64)).at(NAME);
        }
        let kernel = match factor {
            Factorization::CholeskyInverse => &self.kernels.cholesky_inverse,
            _ => &self.kernels.diagonalizer,
        };
        // As spectra-core's: below this squared sine a column's own direction is noise.
        let dependent = 4.0 * k as f64 * eps;
        let squares = if factor == Factorization::Diagonalizer { 2 } else { 1 };
        let memory = self.working_memory(squares, k, 0).at(NAME)?;
        let (stride, scratch) = (memory.stride, memory.scratch);
        launch!(self, kernel, memory.config(), (views.0, views.1, memory.order, stride, dependent, scratch))
            .at(NAME)
    }

    /// What the first round of Cholesky QR multiplies `p` with, or the identity after orthonormalising `p` in place where its
    /// Gram matrix cannot be trusted. `eps`: the element type's. Not empty.
    pub(crate) fn orthonormal_factor(&self, out: Region, gram: Region, p: Region, eps: f64) -> Checked {
        const NAME: &str = "orthonormalize";
        let (rows, k) = p.shape();
        check_shape(NAME, (k, k), gram.shape())?;
        check_shape(NAME, (k, k), out.shape())?;
        // As spectra-core's: the smallest squared sine that is no noise, and the largest condition with a factor.
        let (dependent, limit) = (4.0 * k as f64 * eps, 1.0 / (16.0 * k as f64 * eps));
        let memory = self.working_memory(1, k, rows * k + k).at(NAME)?;
        let (stride, work, scratch) = (memory.stride, memory.work, memory.scratch);
        let (m, n) = (rows as i64, memory.order);
        let kernel = &self.kernels.orthonormal_factor;
        launch!(
            self,
            kernel,
            memory.config(),
            (out.view(), gram.view(), p.view(), m, n, stride, eps, dependent, limit, work, scratch)
        )
        .at(NAME)?;
        self.count_bytes(&[gram], &[out]);
        Ok(())
    }
}
