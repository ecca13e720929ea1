//! Sums and maxima over all entries: `kernels/reductions.cu`.

use super::{flat, launch};
use crate::checked::launch::{config, grid};
use crate::checked::{Device, Region};
use crate::error::At;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Result, check_shape};

impl Device {
    /// `*result = <x, y>`.
    pub(crate) fn dot(&self, x: Region, y: Region, result: CUdeviceptr) -> Result<()> {
        check_shape("dot", x.shape(), y.shape())?;
        let (rows, cols) = flat(&[x, y]);
        let (m, n, partials, counter) =
            (rows as i64, cols as i64, self.partials.pointer(), self.counter.pointer());
        let kernel = &self.kernels.dot;
        launch!(
            self,
            kernel,
            config(grid(rows, cols)),
            (x.view(), y.view(), m, n, partials, counter, result)
        )
        .at("dot")?;
        self.count_bytes(&[x], &[]);
        if x.pointer != y.pointer {
            self.count_bytes(&[y], &[]);
        }
        Ok(())
    }

    /// `*result = max |x|`.
    pub(crate) fn max_abs(&self, x: Region, result: CUdeviceptr) -> Result<()> {
        let (rows, cols) = flat(&[x]);
        let (m, n, partials, counter) =
            (rows as i64, cols as i64, self.partials.pointer(), self.counter.pointer());
        let kernel = &self.kernels.max_abs;
        launch!(self, kernel, config(grid(rows, cols)), (x.view(), m, n, partials, counter, result))
            .at("max_abs")?;
        self.count_bytes(&[x], &[]);
        Ok(())
    }
}
