//! `out = beta out + alpha f(x, y)` and Adam, entry by entry, and what moves entries: `kernels/elementwise.cu`.

use super::{flat, launch};
use crate::checked::launch::{MAX_BLOCKS, config, each, grid};
use crate::checked::region::View;
use crate::checked::script::HostNumbers;
use crate::checked::{Coefficients, Device, Region};
use crate::error::At;
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

/// What momentum's direction is of; the numbers are those of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The state after the step.
    New = 0,
    /// That, averaged with the gradient once more.
    Ahead = 1,
    /// The state before the step, averaged with the gradient.
    Old = 2,
}

/// `M = mu M + weight G`, `N` what [`Of`] says, by `look M + gain G`, and `N` or its sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Average {
    pub(crate) mu: f64,
    pub(crate) weight: f64,
    pub(crate) of: Of,
    pub(crate) look: f64,
    pub(crate) gain: f64,
    pub(crate) sign: bool,
}

impl Device {
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
        let numbers = HostNumbers::of([eps]);
        launch!(
            self,
            kernel,
            each(config(grid(rows, cols)), out),
            (o, x_view, y_view, m, n, keep_old, numbers, *c)
        )
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
        launch!(self, kernel, each(config(grid(rows, cols)), out), (out.view(), m, n, keep_old, *c))
            .at("scale")?;
        self.count_bytes(&[], &[out]);
        if keep {
            self.count_bytes(&[out], &[]);
        }
        Ok(())
    }

    /// Adam's pass, with a slow part if there are `(slow, b3, a)`; coefficients: beta, alpha, the gradient's factor.
    pub(crate) fn adam_add(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (first, second, gradient): (Region, Region, Region),
        (b1, b2): (f64, f64),
        eps: f64,
        slow: Option<(Region, f64, f64)>,
    ) -> Result<()> {
        const NAME: &str = "adam_add";
        let (third, b3, a) = slow.unwrap_or((first, 0.0, 0.0));
        for operand in [first, second, third, gradient] {
            check_shape(NAME, out.shape(), operand.shape())?;
        }
        if out.is_empty() {
            return Ok(());
        }
        let (rows, cols) = flat(&[out, first, second, third, gradient]);
        let (m, n, keep_old, has_slow) =
            (rows as i64, cols as i64, i32::from(keep), i32::from(slow.is_some()));
        let (o, s, g): (View, View, View) = (out.view(), third.view(), gradient.view());
        let (kernel, numbers) = (&self.kernels.adam_add, HostNumbers::of([b1, b2, b3, a, eps]));
        launch!(
            self,
            kernel,
            each(config(grid(rows, cols)), out),
            (o, first.view(), second.view(), s, g, m, n, keep_old, has_slow, numbers, *c)
        )
        .at(NAME)?;
        self.count_bytes(&[gradient], &[first, second, out]);
        let old = [(out, keep), (first, b1 != 0.0), (second, b2 != 0.0), (third, b3 != 0.0)];
        for (region, _) in old.into_iter().filter(|(_, is_read)| *is_read) {
            self.count_bytes(&[region], &[]);
        }
        if slow.is_some() {
            self.count_bytes(&[], &[third]);
        }
        Ok(())
    }

    /// Momentum's pass, with the direction that `average` says; coefficients: beta, alpha, the gradient's factor.
    pub(crate) fn momentum_add(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (state, gradient): (Region, Region),
        average: Average,
    ) -> Result<()> {
        const NAME: &str = "momentum_add";
        for operand in [state, gradient] {
            check_shape(NAME, out.shape(), operand.shape())?;
        }
        if out.is_empty() {
            return Ok(());
        }
        let (rows, cols) = flat(&[out, state, gradient]);
        let (m, n, keep_old) = (rows as i64, cols as i64, i32::from(keep));
        let Average { mu, weight, of, look, gain, sign } = average;
        let (o, s, g): (View, View, View) = (out.view(), state.view(), gradient.view());
        let (form, is_sign, numbers) =
            (of as i32, i32::from(sign), HostNumbers::of([mu, weight, look, gain]));
        launch!(
            self,
            &self.kernels.momentum_add,
            each(config(grid(rows, cols)), out),
            (o, s, g, m, n, keep_old, form, is_sign, numbers, *c)
        )
        .at(NAME)?;
        self.count_bytes(&[gradient], &[state, out]);
        let old = [(out, keep), (state, mu != 0.0 || (of == Of::Old && look != 0.0))];
        for (region, _) in old.into_iter().filter(|(_, is_read)| *is_read) {
            self.count_bytes(&[region], &[]);
        }
        Ok(())
    }

    /// The lower triangle of a square matrix becomes the upper one's mirror image.
    pub(crate) fn mirror(&self, out: Region) -> Result<()> {
        let n = out.rows;
        let kernel = &self.kernels.mirror;
        launch!(self, kernel, each(config(grid(n, n)), out), (out.view(), n as i64)).at("mirror")?;
        self.count_bytes(&[], &[out]);
        Ok(())
    }

    /// `out = x^T`; either may have gaps between its rows, and bf16 storage.
    pub(crate) fn transpose(&self, out: Region, x: Region) -> Result<()> {
        const NAME: &str = "transpose";
        /// `SIDE` of the kernel.
        const SIDE: usize = 32;
        let (rows, cols) = out.shape();
        check_shape(NAME, (cols, rows), x.shape())?;
        if out.is_empty() {
            return Ok(());
        }
        self.refuse_stacks(NAME, [out, x])?;
        let blocks = rows.div_ceil(SIDE).saturating_mul(cols.div_ceil(SIDE)).min(MAX_BLOCKS) as u32;
        let kernel = &self.kernels.transpose;
        launch!(self, kernel, config((blocks, 1)), (out.view(), x.view(), rows as i64, cols as i64))
            .at(NAME)?;
        self.count_bytes(&[x], &[out]);
        Ok(())
    }
}
