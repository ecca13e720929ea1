//! What ranks send and get: `kernels/collectives.cu`.

use super::{flat, launch};
use crate::checked::launch::{config, grid};
use crate::checked::{Device, Region, Storage};
use crate::error::{At, CudaError};
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::Result;

/// What becomes of the ranks' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    Sum = 0,
    Max = 1,
}

/// The summands of ranks 0, 1, ... in device memory, `stride` elements from one to the next; that of this rank is at `own`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summands {
    pub(crate) pointer: CUdeviceptr,
    pub(crate) stride: usize,
    pub(crate) own: CUdeviceptr,
    pub(crate) rank: usize,
    pub(crate) ranks: usize,
}

fn int(what: &'static str, size: usize) -> std::result::Result<i32, CudaError> {
    i32::try_from(size).map_err(|_| CudaError::TooLarge { what, size })
}

impl Device {
    /// `out = factor (x_0 + x_1 + ...)`; each summand has the shape of `out` and no gaps.
    pub(crate) fn rank_sum(&self, out: Region, x: Summands, factor: f64) -> Result<()> {
        const NAME: &str = "rank_sum";
        if out.is_empty() {
            return Ok(());
        }
        let (rows, cols) = flat(&[out]);
        let (m, n, stride) = (rows as i64, cols as i64, x.stride as i64);
        let (ranks, rank) = (int("a group", x.ranks).at(NAME)?, int("a group", x.rank).at(NAME)?);
        let kernel = &self.kernels.rank_sum;
        launch!(
            self,
            kernel,
            config(grid(rows, cols)),
            (out.view(), x.pointer, x.own, stride, ranks, rank, m, n, factor)
        )
        .at(NAME)?;
        self.count_bytes(&vec![Region { storage: Storage::Element, ..out }; x.ranks], &[out]);
        Ok(())
    }

    /// `*place = ` the numbers at `x`, `x + stride` and so on, joined.
    pub(crate) fn rank_number(
        &self,
        place: CUdeviceptr,
        (x, stride): (CUdeviceptr, usize),
        ranks: usize,
        join: Join,
    ) -> Result<()> {
        const NAME: &str = "rank_number";
        let (stride, ranks) = (stride as i64, int("a group", ranks).at(NAME)?);
        let kernel = &self.kernels.rank_number;
        launch!(self, kernel, config((1, 1)), (place, x, stride, ranks, join as i32)).at(NAME)
    }

    /// The columns of `whole` by rank to `parts`, matrices without gaps one after the other, or back.
    pub(crate) fn by_columns(
        &self,
        whole: Region,
        parts: CUdeviceptr,
        ranks: usize,
        to_whole: bool,
    ) -> Result<()> {
        const NAME: &str = "by_columns";
        if whole.is_empty() {
            return Ok(());
        }
        let (rows, cols) = whole.shape();
        let (m, n, ranks) = (rows as i64, cols as i64, int("a group", ranks).at(NAME)?);
        let kernel = &self.kernels.by_columns;
        launch!(
            self,
            kernel,
            config(grid(rows, cols)),
            (whole.view(), parts, m, n, ranks, i32::from(to_whole))
        )
        .at(NAME)?;
        let packed = Region { storage: Storage::Element, ..whole };
        if to_whole {
            self.count_bytes(&[packed], &[whole]);
        } else {
            self.count_bytes(&[whole], &[packed]);
        }
        Ok(())
    }
}
