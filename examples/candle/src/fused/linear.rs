use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::{numbers, read, shaped_as};

/// `Y = X W^T`, with `dX = dY W` and `dW = dY^T X`. The products are faer's, which use the widest vectors there are.
struct Linear;

/// Rows of `x` (rows x input) through `weight` (output x input).
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, Linear)
}

/// The product of two matrices, row after row.
fn product(a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Vec<f32> {
    let (rows, columns) = (a.nrows(), b.ncols());
    let mut out = vec![0.0; rows * columns];
    let target = MatMut::from_row_major_slice_mut(&mut out, rows, columns);
    matmul(target, Accum::Replace, a, b, 1.0, Par::rayon(0));
    out
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, input) = xl.shape().dims2()?;
        let (output, _) = wl.shape().dims2()?;
        let x = MatRef::from_row_major_slice(numbers(x, xl)?, rows, input);
        let w = MatRef::from_row_major_slice(numbers(w, wl)?, output, input);
        Ok((CpuStorage::F32(product(x, w.transpose())), (rows, output).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, input) = x.dims2()?;
        let (_, output) = dy.dims2()?;
        read(dy, |dys| {
            let dys = MatRef::from_row_major_slice(dys, rows, output);
            let dx = read(w, |w| Ok(product(dys, MatRef::from_row_major_slice(w, output, input))))?;
            let dw = read(x, |x| Ok(product(dys.transpose(), MatRef::from_row_major_slice(x, rows, input))))?;
            Ok((Some(shaped_as(x, dx)?), Some(shaped_as(w, dw)?)))
        })
    }
}
