//! Sums and maxima over all entries: `kernels/reductions.cu`.

use super::{flat, launch};
use crate::checked::launch::{blocks, config, each, grid};
use crate::checked::{Device, MOST, Region};
use crate::error::At;
use cudarc::driver::DeviceRepr;
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

    /// `*result` is the sum of the squares of all entries of up to [`MOST`] single matrices that are of one shape and stored alike.
    pub(crate) fn squares(&self, all: &[Region], result: CUdeviceptr) -> Result<()> {
        const NAME: &str = "squares";
        let [first, ..] = all else { return Ok(()) };
        let mut places = Places([first.pointer; MOST]);
        for (place, x) in places.0.iter_mut().zip(all) {
            check_shape(NAME, first.shape(), x.shape())?;
            self.refuse_stacks(NAME, [*x])?;
            *place = x.pointer;
        }
        let (rows, cols) = flat(&[*first]);
        let stack = Region { count: all.len().min(MOST), ..*first };
        let (kernel, config) = (&self.kernels.squares, each(config(grid(rows, cols)), stack));
        let (ld, storage, m, n) = (first.ld as i64, first.storage as i32, rows as i64, cols as i64);
        let counter = self.counter.pointer();
        self.with_partials(blocks(&config), |partials| {
            launch!(self, kernel, config, (places, ld, storage, m, n, partials, counter, result))
        })
        .at(NAME)?;
        self.count_bytes(all, &[]);
        Ok(())
    }
}

/// `struct Places` of the kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Places([CUdeviceptr; MOST]);

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for Places {}
// SAFETY: whole words.
unsafe impl crate::checked::script::Argument for Places {}
