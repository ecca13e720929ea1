use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use spectra_examples::model::NORM_EPSILON;

use super::{numbers, read, shaped_as};

/// Rows that share one partial sum of the weight's gradient; fixed, so that the sum does not depend on threads.
const CHUNK: usize = 64;

/// `y_i = w_i x_i / rms(x)`, for each row.
struct RmsNorm;

/// Divides each row of `x` by its root mean square and multiplies it by `weight`.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm)
}

fn inverse_rms(row: &[f32]) -> f32 {
    let mean_square = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
    1.0 / (mean_square + NORM_EPSILON as f32).sqrt()
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (numbers(x, xl)?, numbers(w, wl)?);
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(w.len()).zip(x.par_chunks(w.len())).for_each(|(y, x)| {
            let inverse = inverse_rms(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = w * (x * inverse);
            }
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    /// With `n = x / rms` and `g = w dy`: `dx = (g - n mean(g n)) / rms` and `dw = sum over rows of n dy`.
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = read(x, |xs| read(w, |ws| read(dy, |dys| Ok(derivatives(xs, ws, dys)))))?;
        Ok((Some(shaped_as(x, dx)?), Some(shaped_as(w, dw)?)))
    }
}

fn derivatives(x: &[f32], w: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = w.len();
    let mut dx = vec![0.0; x.len()];
    let size = CHUNK * width;
    let parts: Vec<Vec<f32>> = (dx.par_chunks_mut(size), x.par_chunks(size), dy.par_chunks(size))
        .into_par_iter()
        .map(|(dx, x, dy)| {
            let mut dw = vec![0.0; width];
            for ((dx, x), dy) in dx.chunks_mut(width).zip(x.chunks(width)).zip(dy.chunks(width)) {
                let inverse = inverse_rms(x);
                let mut projection = 0.0;
                for i in 0..width {
                    let n_dy = x[i] * inverse * dy[i];
                    dw[i] += n_dy;
                    projection += w[i] * n_dy;
                }
                projection *= inverse * inverse / width as f32;
                for i in 0..width {
                    dx[i] = inverse * w[i] * dy[i] - projection * x[i];
                }
            }
            dw
        })
        .collect();
    let mut dw = vec![0.0; width];
    for part in parts {
        dw.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    (dx, dw)
}
