//! Sums and maxima over all entries: `kernels/reductions.cu`.

use super::{flat, launch};
use crate::checked::launch::{blocks, config, each, grid};
use crate::checked::{Device, Region};
use crate::error::At;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Result, check_shape};

impl Device {
    /// `*result = <x, y>`; of a stack one number after the other.
    pub(crate) fn dot(&self, x: Region, y: Region, result: CUdeviceptr) -> Result<()> {
        check_shape("dot", x.shape(), y.shape())?;
        let (rows, cols) = flat(&[x, y]);
        let (kernel, config) = (&self.kernels.dot, each(config(grid(rows, cols)), x));
        let (m, n, counter) = (rows as i64, cols as i64, self.counter.pointer());
        self.with_partials(blocks(&config), |partials| {
            launch!(self, kernel, config, (x.view(), y.view(), m, n, partials, counter, result))
        })
        .at("dot")?;
        self.count_bytes(&[x], &[]);
        if x.pointer != y.pointer {
            self.count_bytes(&[y], &[]);
        }
        Ok(())
    }

    /// `*result = max |x|`; of a stack one number after the other.
    pub(crate) fn max_abs(&self, x: Region, result: CUdeviceptr) -> Result<()> {
        let (rows, cols) = flat(&[x]);
        let (kernel, config) = (&self.kernels.max_abs, each(config(grid(rows, cols)), x));
        let (m, n, counter) = (rows as i64, cols as i64, self.counter.pointer());
        self.with_partials(blocks(&config), |partials| {
            launch!(self, kernel, config, (x.view(), m, n, partials, counter, result))
        })
        .at("max_abs")?;
        self.count_bytes(&[x], &[]);
        Ok(())
    }
}
