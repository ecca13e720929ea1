//! The weight update by a matrix that is known in factors: `kernels/low_rank.cu`.

use super::launch;
use crate::checked::launch::{config, each};
use crate::checked::{Coefficients, Device, Region};
use crate::error::At;
use spectra_core::backend::{Result, check_shape};

impl Device {
    /// `out = beta out + alpha (x - left right^T)`; coefficients 0 and 1.
    pub(crate) fn low_rank_add(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        x: Region,
        left: Region,
        right: Region,
    ) -> Result<()> {
        const NAME: &str = "low_rank_add";
        let k = left.cols;
        check_shape(NAME, out.shape(), x.shape())?;
        check_shape(NAME, (out.rows, k), left.shape())?;
        check_shape(NAME, (out.cols, k), right.shape())?;
        if out.is_empty() {
            return Ok(());
        }
        // `TILE_ROWS`, `TILE_COLS` and `RESIDENT` of the kernel.
        let (tile_rows, tile_cols, resident) =
            if self.products().is_double() { (64, 64, 2) } else { (128, 64, 3) };
        let tiles = out.rows.div_ceil(tile_rows) * out.cols.div_ceil(tile_cols);
        let blocks = tiles.min(resident * self.kernels.multiprocessors) as u32;
        let (m, n, k, keep_old) = (out.rows as i64, out.cols as i64, k as i64, i32::from(keep));
        let kernel = &self.kernels.low_rank_add;
        launch!(
            self,
            kernel,
            each(config((blocks, 1)), out),
            (out.view(), x.view(), left.view(), right.view(), m, n, k, keep_old, *c)
        )
        .at(NAME)?;
        self.count_bytes(&[x, left, right], &[out]);
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }
}
