//! Factors of k x k Gram matrices: `kernels/small_factor.cu`.

use super::launch;
use crate::checked::launch::{config, each, grid};
use crate::checked::{Device, Region};
use crate::error::{At, CudaError};
use crate::raw::Place;
use cudarc::driver::LaunchConfig;
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
struct WorkingMemory<'a> {
    /// k.
    order: i32,
    /// From one row to the next.
    stride: i32,
    /// Bytes of shared memory, if that suffices.
    shared: u32,
    /// Device memory in place of shared memory, or null.
    scratch: Place<'a>,
    /// The further numbers asked for.
    work: Place<'a>,
}

impl WorkingMemory<'_> {
    /// One block for each matrix.
    fn config(&self, gram: Region) -> LaunchConfig {
        LaunchConfig { shared_mem_bytes: self.shared, ..each(config((1, 1)), gram) }
    }
}

impl Device {
    /// Calls `queue` with `squares` k x k arrays and k numbers, in shared memory where it suffices, and `more` in device
    /// memory; for each of the parts of a stack.
    fn with_working_memory(
        &self,
        squares: usize,
        (k, parts): (usize, usize),
        more: usize,
        queue: impl FnOnce(WorkingMemory<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        // Odd: a column is in as many banks as it has entries.
        let stride = k | 1;
        let count = squares * k * stride + k;
        if i32::try_from(count).is_err() {
            return Err(CudaError::TooLarge { what: "a Gram matrix", size: k });
        }
        let fits = 8 * count <= self.kernels.shared_bytes;
        let (order, stride, shared) = (k as i32, stride as i32, if fits { 8 * count as u32 } else { 0 });
        let outside = if fits { 0 } else { count };
        let null = Place::new(0);
        if more + outside == 0 {
            return queue(WorkingMemory { order, stride, shared, scratch: null, work: Place::new(0) });
        }
        self.with_working(parts * (more + outside), |work| {
            let scratch = if fits { null } else { work.after(8 * parts * more) };
            queue(WorkingMemory { order, stride, shared, scratch, work })
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
            return launch!(self, kernel, each(config(grid(k, k)), gram), (views.0, views.1, k as i64))
                .at(NAME);
        }
        let kernel = match factor {
            Factorization::CholeskyInverse => &self.kernels.cholesky_inverse,
            _ => &self.kernels.diagonalizer,
        };
        // As spectra-core's: below this squared sine a column's own direction is noise.
        let dependent = 4.0 * k as f64 * eps;
        let squares = if factor == Factorization::Diagonalizer { 2 } else { 1 };
        self.with_working_memory(squares, (k, gram.count), 0, |memory| {
            let (n, stride, config) = (memory.order, memory.stride, memory.config(gram));
            launch!(self, kernel, config, (views.0, views.1, n, stride, dependent, memory.scratch))
        })
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
        let kernel = &self.kernels.orthonormal_factor;
        let (m, views) = (rows as i64, (out.view(), gram.view(), p.view()));
        self.with_working_memory(1, (k, gram.count), rows * k + k, |memory| {
            let (n, stride, config) = (memory.order, memory.stride, memory.config(gram));
            let (work, scratch) = (memory.work, memory.scratch);
            launch!(
                self,
                kernel,
                config,
                (views.0, views.1, views.2, m, n, stride, eps, dependent, limit, work, scratch)
            )
        })
        .at(NAME)?;
        self.count_bytes(&[gram], &[out]);
        Ok(())
    }
}
