use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::exponential::exp;
use super::{numbers, read, shaped_as};

/// Numbers one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `y = silu(gate) up`, with `silu(x) = x sigmoid(x)`.
struct SwiGlu;

/// The gated activation, entry by entry.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, SwiGlu)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gl: &Layout,
        up: &CpuStorage,
        ul: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (numbers(gate, gl)?, numbers(up, ul)?);
        let mut y = vec![0.0; gate.len()];
        (y.par_chunks_mut(CHUNK), gate.par_chunks(CHUNK), up.par_chunks(CHUNK)).into_par_iter().for_each(
            |(y, gate, up)| {
                for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(*gate) * up;
                }
            },
        );
        Ok((CpuStorage::F32(y), gl.shape().clone()))
    }

    /// `dup = silu(gate) dy` and `dgate = s (1 + gate (1 - s)) up dy`, `s` being `sigmoid(gate)`.
    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dgate, dup) =
            read(gate, |gates| read(up, |ups| read(dy, |dys| Ok(derivatives(gates, ups, dys)))))?;
        Ok((Some(shaped_as(gate, dgate)?), Some(shaped_as(up, dup)?)))
    }
}

fn derivatives(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    let outputs = (dgate.par_chunks_mut(CHUNK), dup.par_chunks_mut(CHUNK));
    let inputs = (gate.par_chunks(CHUNK), up.par_chunks(CHUNK), dy.par_chunks(CHUNK));
    (outputs, inputs).into_par_iter().for_each(|((dgate, dup), (gate, up, dy))| {
        for (((dgate, dup), gate), (up, dy)) in dgate.iter_mut().zip(dup).zip(gate).zip(up.iter().zip(dy)) {
            let s = sigmoid(*gate);
            *dup = gate * s * dy;
            *dgate = s * (1.0 + gate * (1.0 - s)) * up * dy;
        }
    });
    (dgate, dup)
}
