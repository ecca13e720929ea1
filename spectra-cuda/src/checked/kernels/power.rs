//! The passes of the power iteration that are no products: `kernels/power.cu`.

use super::{flat, launch};
use crate::checked::launch::{config, grid};
use crate::checked::{Coefficients, Device, Region};
use crate::error::At;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Result, check_shape};

impl Device {
    /// Random numbers for the zero columns of `v`.
    pub(crate) fn seed_zero_columns(&self, v: Region, seed: u64) -> Result<()> {
        if v.is_empty() {
            return Ok(());
        }
        let (n, k) = (v.rows as i64, v.cols as i64);
        let kernel = &self.kernels.seed_zero_columns;
        launch!(self, kernel, config((groups(v.cols), 1)), (v.view(), n, k, seed)).at("seed_zero_columns")?;
        self.count_bytes(&[v], &[]);
        Ok(())
    }

    /// `m = mu m + factor g` (coefficients 0 and 1) if there is a gradient, without reading m unless `keep`; `*result = ||m||_F^2`, and random numbers for
    /// the zero columns of `v`. `m` and `v` are not empty.
    pub(crate) fn momentum(
        &self,
        m: Region,
        keep: bool,
        g: Option<Region>,
        c: &Coefficients,
        (v, seed): (Region, u64),
        result: CUdeviceptr,
    ) -> Result<()> {
        const NAME: &str = "momentum";
        let gradient = g.unwrap_or(Region::NONE);
        if g.is_some() {
            check_shape(NAME, m.shape(), gradient.shape())?;
        }
        let (rows, cols) = if g.is_some() { flat(&[m, gradient]) } else { flat(&[m]) };
        let (x, y) = grid(rows, cols);
        let blocks = x * y + groups(v.cols);
        let (rows, cols, update) = (rows as i64, cols as i64, i32::from(g.is_some()));
        let keep = keep || g.is_none();
        let keep_old = i32::from(keep);
        let (n, k) = (v.rows as i64, v.cols as i64);
        let (partials, counter) = (self.partials.pointer(), self.counter.pointer());
        let kernel = &self.kernels.momentum;
        launch!(
            self,
            kernel,
            config((blocks, 1)),
            (
                m.view(),
                gradient.view(),
                rows,
                cols,
                update,
                keep_old,
                x,
                y,
                v.view(),
                n,
                k,
                seed,
                partials,
                counter,
                result,
                *c
            )
        )
        .at(NAME)?;
        match g {
            Some(gradient) => self.count_bytes(&[gradient, v], &[m]),
            None => self.count_bytes(&[v], &[]),
        }
        if keep {
            self.count_bytes(&[m], &[]);
        }
        Ok(())
    }

    /// `V = W diag(1 / ||w_i||)`, `*squares.0 = ||W||_F^2`, `*squares.1 = ||V||_F^2`. Not empty.
    pub(crate) fn normalize_columns(
        &self,
        w: Region,
        v: Region,
        squares: (CUdeviceptr, CUdeviceptr),
    ) -> Result<()> {
        const NAME: &str = "normalize_columns";
        check_shape(NAME, w.shape(), v.shape())?;
        self.check_partials(2 * w.cols).at(NAME)?;
        let (n, blocks) = (w.rows as i64, w.cols as u32);
        let (partials, counter) = (self.partials.pointer(), self.counter.pointer());
        let kernel = &self.kernels.normalize_columns;
        launch!(
            self,
            kernel,
            config((blocks, 1)),
            (w.view(), v.view(), n, partials, counter, squares.0, squares.1)
        )
        .at(NAME)?;
        self.count_bytes(&[w], &[v]);
        Ok(())
    }
}

/// Blocks for `cols` columns by eights; `COLUMNS` of the kernels.
fn groups(cols: usize) -> u32 {
    cols.div_ceil(8) as u32
}
