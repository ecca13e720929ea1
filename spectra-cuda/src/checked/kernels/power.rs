//! The passes of the power iteration that are no products: `kernels/power.cu`.

use super::{flat, launch};
use crate::checked::launch::{blocks, config, each, grid};
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
        launch!(self, kernel, each(config((groups(v.cols), 1)), v), (v.view(), n, k, seed))
            .at("seed_zero_columns")?;
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
        let config = each(config((x * y + groups(v.cols), 1)), m);
        let (rows, cols, update) = (rows as i64, cols as i64, i32::from(g.is_some()));
        let keep = keep || g.is_none();
        let keep_old = i32::from(keep);
        let (n, k) = (v.rows as i64, v.cols as i64);
        let (kernel, counter) = (&self.kernels.momentum, self.counter.pointer());
        self.with_partials(blocks(&config), |partials| {
            launch!(
                self,
                kernel,
                config,
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
        })
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
        let config = each(config((w.cols as u32, 1)), w);
        let (kernel, n, counter) = (&self.kernels.normalize_columns, w.rows as i64, self.counter.pointer());
        self.with_partials(2 * blocks(&config), |partials| {
            launch!(self, kernel, config, (w.view(), v.view(), n, partials, counter, squares.0, squares.1))
        })
        .at(NAME)?;
        self.count_bytes(&[w], &[v]);
        Ok(())
    }
}

/// Blocks for `cols` columns by eights; `COLUMNS` of the kernels.
fn groups(cols: usize) -> u32 {
    cols.div_ceil(8) as u32
}
