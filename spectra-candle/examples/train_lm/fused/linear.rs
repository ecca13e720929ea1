use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// `Y = X W^T`, with `dX = dY W` and `dW = dY^T X`.
struct Linear;

/// Rows of `x` (rows x input) through `weight` (output x input).
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, Linear)
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
        let y = x.matmul(w, (1, rows, output, input), xl, &wl.transpose(0, 1)?)?;
        Ok((y, (rows, output).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.matmul(w)?), Some(dy.t()?.matmul(x)?)))
    }
}
