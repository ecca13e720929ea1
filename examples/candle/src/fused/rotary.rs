use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use spectra_examples::ModelSizes;
use spectra_examples::model::ROTARY_BASE;

use super::numbers;

/// Rotary positions: in each head, entries `i` and `i + half` are turned by `position / base^(i / half)`.
#[derive(Clone)]
pub(crate) struct Rotary {
    half: usize,
    length: usize,
    /// Cosine and sine, `context x half`.
    turns: Arc<[(f32, f32)]>,
    backwards: bool,
}

impl Rotary {
    /// The turns of all positions of the context.
    pub(crate) fn new(sizes: &ModelSizes) -> Self {
        let half = sizes.head_width() / 2;
        let turn = |index: usize| {
            let (position, pair) = (index / half, index % half);
            let angle = position as f64 * ROTARY_BASE.powf(-(pair as f64) / half as f64);
            (angle.cos() as f32, angle.sin() as f32)
        };
        let turns = (0..sizes.context * half).map(turn).collect();
        Self { half, length: sizes.context, turns, backwards: false }
    }

    /// Turns `x`, whose rows are sequences of `length` positions one after another and whose columns are heads.
    pub(crate) fn apply(&self, x: &Tensor, length: usize) -> Result<Tensor> {
        x.apply_op1(Self { length, ..self.clone() })
    }
}

impl CustomOp1 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = numbers(x, layout)?;
        let (_, width) = layout.shape().dims2()?;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
            let turns = &self.turns[row % self.length * self.half..][..self.half];
            for (y, x) in y.chunks_mut(2 * self.half).zip(x.chunks(2 * self.half)) {
                for (i, &(cosine, sine)) in turns.iter().enumerate() {
                    let sine = if self.backwards { -sine } else { sine };
                    let (first, second) = (x[i], x[i + self.half]);
                    y[i] = first * cosine - second * sine;
                    y[i + self.half] = first * sine + second * cosine;
                }
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    /// A rotation's derivative is the rotation back.
    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dy.apply_op1_no_bwd(&Self { backwards: !self.backwards, ..self.clone() }).map(Some)
    }
}
