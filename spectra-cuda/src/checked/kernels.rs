//! One typed function for each kernel.

use super::launch::{config, grid};
use super::region::View;
use super::tally::Counters;
use super::{Coefficients, Device, Region};
use crate::error::{At, CudaError};
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaFunction, LaunchConfig, PushKernelArg};
use spectra_core::backend::{Result, check_shape};

/// `f` of `out = beta out + alpha f(x, y)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elementwise {
    /// `x`
    Scale,
    /// `x y`
    Product,
    /// `x / (sqrt(y) + eps)`
    Quotient,
    /// `sign(x)`
    Sign,
}

impl Elementwise {
    fn name(self) -> &'static str {
        match self {
            Self::Scale => "scale_add",
            Self::Product => "product_add",
            Self::Quotient => "quotient_add",
            Self::Sign => "sign_add",
        }
    }
}

/// Which factor of a Gram matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factorization {
    CholeskyInverse,
    ColumnNormalizer,
    Diagonalizer,
}

/// Queues a kernel with arguments in the order of its parameters, whose types the called function guarantees.
macro_rules! launch {
    ($device:expr, $kernel:expr, $config:expr, ($($arg:expr),+ $(,)?)) => {{
        let (device, kernel, config): (&Device, &CudaFunction, LaunchConfig) = ($device, $kernel, $config);
        let mut builder = device.stream.launch_builder(kernel);
        $(let arg = $arg;
        builder.arg(&arg);)+
        // SAFETY: the arguments have the types of the kernel's parameters, in order, and every pointer is to live
        // memory of at least the size that the kernel's loop covers: the caller is the kernel's one function.
        let done = unsafe { builder.launch(config) };
        Counters::add(&device.counters.launches, 1);
        done.map(drop).map_err(CudaError::from)
    }};
}

/// The loop over entries: one long row where nothing has gaps.
fn flat(regions: &[Region]) -> (usize, usize) {
    let (rows, cols) = regions[0].shape();
    if regions.iter().all(Region::is_contiguous) { (1, rows * cols) } else { (rows, cols) }
}

impl Device {
    fn count_bytes(&self, read: &[Region], written: &[Region]) {
        let width = self.products().width();
        let bytes: usize = read.iter().chain(written).map(|region| region.bytes(width)).sum();
        Counters::add(&self.counters.bytes, bytes);
    }

    /// `*place = ` coefficient 0.
    pub(crate) fn scalar_evaluate(&self, place: CUdeviceptr, c: &Coefficients) -> Result<()> {
        launch!(self, &self.kernels.scalar_evaluate, config((1, 1)), (place, *c)).at("scalar")
    }

    /// Coefficients 0 and 1 as elements, for the product that is queued next.
    pub(super) fn scalar_pair(&self, c: &Coefficients) -> Result<(CUdeviceptr, CUdeviceptr)> {
        // Beyond the partial results of any launch that is queued in between: there is none.
        let place = self.partials.pointer();
        launch!(self, &self.kernels.scalar_pair, config((1, 1)), (place, *c)).at("gemm")?;
        Ok((place, place + self.products().width() as u64))
    }

    /// `out = beta out + alpha f(x, y)`; coefficients 0 and 1.
    pub(crate) fn elementwise(
        &self,
        f: Elementwise,
        out: Region,
        keep: bool,
        c: &Coefficients,
        x: Region,
        y: Option<Region>,
        eps: f64,
    ) -> Result<()> {
        let name = f.name();
        let y = y.unwrap_or(x);
        for operand in [x, y] {
            check_shape(name, out.shape(), operand.shape())?;
        }
        if out.is_empty() {
            return Ok(());
        }
        let kernel = match f {
            Elementwise::Scale => &self.kernels.scale_add,
            Elementwise::Product => &self.kernels.product_add,
            Elementwise::Quotient => &self.kernels.quotient_add,
            Elementwise::Sign => &self.kernels.sign_add,
        };
        let (rows, cols) = flat(&[out, x, y]);
        let (m, n, keep_old) = (rows as i64, cols as i64, i32::from(keep));
        let (o, x_view, y_view): (View, View, View) = (out.view(), x.view(), y.view());
        launch!(self, kernel, config(grid(rows, cols)), (o, x_view, y_view, m, n, keep_old, eps, *c))
            .at(name)?;
        let both = matches!(f, Elementwise::Product | Elementwise::Quotient) && x.pointer != y.pointer;
        self.count_bytes(&[x], &[out]);
        if both {
            self.count_bytes(&[y], &[]);
        }
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }

    /// `out = beta out`, or zero; coefficient 0.
    pub(crate) fn scale(&self, out: Region, keep: bool, c: &Coefficients) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let (rows, cols) = flat(&[out]);
        let (m, n, keep_old) = (rows as i64, cols as i64, i32::from(keep));
        let kernel = &self.kernels.scale;
        launch!(self, kernel, config(grid(rows, cols)), (out.view(), m, n, keep_old, *c)).at("scale")?;
        self.count_bytes(&[], &[out]);
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }

    /// AdamW's pass; coefficients: beta, alpha, the gradient's factor and that of its square, with `1 - b1`, `1 - b2`.
    pub(crate) fn adam_add(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (first, second, gradient): (Region, Region, Region),
        (b1, b2): (f64, f64),
        eps: f64,
    ) -> Result<()> {
        const NAME: &str = "adam_add";
        for operand in [first, second, gradient] {
            check_shape(NAME, out.shape(), operand.shape())?;
        }
        if out.is_empty() {
            return Ok(());
        }
        let (rows, cols) = flat(&[out, first, second, gradient]);
        let (m, n, keep_old) = (rows as i64, cols as i64, i32::from(keep));
        let views = (out.view(), first.view(), second.view(), gradient.view());
        let kernel = &self.kernels.adam_add;
        launch!(
            self,
            kernel,
            config(grid(rows, cols)),
            (views.0, views.1, views.2, views.3, m, n, keep_old, b1, b2, eps, *c)
        )
        .at(NAME)?;
        self.count_bytes(&[first, second, gradient], &[first, second, out]);
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }

    /// The lower triangle of a square matrix becomes the upper one's mirror image.
    pub(super) fn mirror(&self, out: Region) -> Result<()> {
        let n = out.rows;
        let kernel = &self.kernels.mirror;
        launch!(self, kernel, config(grid(n, n)), (out.view(), n as i64)).at("mirror")?;
        self.count_bytes(&[], &[out]);
        Ok(())
    }

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

    /// `m = mu m + factor g` (coefficients 0 and 1) if there is a gradient, `*result = ||m||_F^2`, and random numbers for
    /// the zero columns of `v`. `m` and `v` are not empty.
    pub(crate) fn momentum(
        &self,
        m: Region,
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
            Some(gradient) => self.count_bytes(&[m, gradient, v], &[m]),
            None => self.count_bytes(&[m, v], &[]),
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
        let blocks = groups(w.cols);
        self.check_partials(2 * blocks as usize).at(NAME)?;
        let (n, k) = (w.rows as i64, w.cols as i64);
        let (partials, counter) = (self.partials.pointer(), self.counter.pointer());
        let kernel = &self.kernels.normalize_columns;
        launch!(
            self,
            kernel,
            config((blocks, 1)),
            (w.view(), v.view(), n, k, partials, counter, squares.0, squares.1)
        )
        .at(NAME)?;
        self.count_bytes(&[w], &[v]);
        Ok(())
    }

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
        /// `TILE` of the kernel.
        const TILE: usize = 64;
        let tiles = out.rows.div_ceil(TILE) * out.cols.div_ceil(TILE);
        let blocks = u32::try_from(tiles).unwrap_or(u32::MAX).min(1 << 20);
        let (m, n, k, keep_old) = (out.rows as i64, out.cols as i64, k as i64, i32::from(keep));
        let kernel = &self.kernels.low_rank_add;
        launch!(
            self,
            kernel,
            config((blocks, 1)),
            (out.view(), x.view(), left.view(), right.view(), m, n, k, keep_old, *c)
        )
        .at(NAME)?;
        self.count_bytes(&[x, left, right], &[out]);
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }

    /// A factor of the Gram matrix `gram`. `eps`: the element type's.
    pub(crate) fn small_factor(
        &self,
        factor: Factorization,
        out: Region,
        gram: Region,
        eps: f64,
    ) -> Result<()> {
        const NAME: &str = "small_factor";
        check_shape(NAME, (gram.rows, gram.rows), gram.shape())?;
        check_shape(NAME, out.shape(), gram.shape())?;
        let k = gram.rows;
        if k == 0 {
            return Ok(());
        }
        self.count_bytes(&[gram], &[out]);
        let (order, views) = (k as i64, (out.view(), gram.view()));
        if factor == Factorization::ColumnNormalizer {
            let kernel = &self.kernels.column_normalizer;
            return launch!(self, kernel, config(grid(k, k)), (views.0, views.1, order)).at(NAME);
        }
        let kernel = match factor {
            Factorization::CholeskyInverse => &self.kernels.cholesky_inverse,
            _ => &self.kernels.diagonalizer,
        };
        // As spectra-core's: below this squared sine a column's own direction is noise.
        let dependent = 4.0 * k as f64 * eps;
        let scratch = self.small(2 * k * k + k).at(NAME)?;
        launch!(self, kernel, config((1, 1)), (views.0, views.1, order, dependent, scratch)).at(NAME)
    }
}

impl Device {
    /// What the first round of Cholesky QR multiplies `p` with, or the identity after orthonormalising `p` in place where its
    /// Gram matrix cannot be trusted. `eps`: the element type's. Not empty.
    pub(crate) fn orthonormal_factor(&self, out: Region, gram: Region, p: Region, eps: f64) -> Result<()> {
        const NAME: &str = "orthonormalize";
        let (rows, k) = p.shape();
        check_shape(NAME, (k, k), gram.shape())?;
        check_shape(NAME, (k, k), out.shape())?;
        // As spectra-core's: the smallest squared sine that is no noise, and the largest condition with a factor.
        let (dependent, limit) = (4.0 * k as f64 * eps, 1.0 / (16.0 * k as f64 * eps));
        let scratch = self.small(2 * k * k + k + rows * k).at(NAME)?;
        let (m, n) = (rows as i64, k as i64);
        let kernel = &self.kernels.orthonormal_factor;
        launch!(
            self,
            kernel,
            config((1, 1)),
            (out.view(), gram.view(), p.view(), m, n, eps, dependent, limit, scratch)
        )
        .at(NAME)?;
        self.count_bytes(&[gram], &[out]);
        Ok(())
    }
}

/// Blocks for `cols` columns by eights; `COLUMNS` of the kernels.
fn groups(cols: usize) -> u32 {
    cols.div_ceil(8) as u32
}
