use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::exponential::exp;
use super::{numbers, read, shaped_as};

/// `softmax(Q K^T / sqrt(head width), causal) V`, for each head of each sequence.
struct CausalAttention {
    shape: Heads,
    /// The softmax, one `length x length` block for each head of each sequence, kept for the derivative.
    probabilities: OnceLock<Vec<f32>>,
}

/// How rows and columns divide: rows are sequences one after another, columns are heads side by side.
#[derive(Clone, Copy)]
struct Heads {
    heads: usize,
    length: usize,
    width: usize,
}

/// Attention of each position to itself and those before it in its sequence of `length` rows.
pub(crate) fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    length: usize,
) -> Result<Tensor> {
    let (_, width) = q.dims2()?;
    let shape = Heads { heads, length, width };
    q.apply_op3(k, v, CausalAttention { shape, probabilities: OnceLock::new() })
}

impl Heads {
    /// Numbers in the rows of one sequence.
    fn rows(&self) -> usize {
        self.length * self.width
    }

    /// Numbers in the probabilities of one sequence.
    fn blocks(&self) -> usize {
        self.heads * self.length * self.length
    }

    fn head_width(&self) -> usize {
        self.width / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_width() as f32).sqrt()
    }

    /// One head's columns of one sequence's rows.
    fn head<'a>(&self, rows: &'a [f32], head: usize) -> MatRef<'a, f32> {
        let columns = head * self.head_width()..;
        MatRef::from_row_major_slice_with_stride(&rows[columns], self.length, self.head_width(), self.width)
    }

    fn head_mut<'a>(&self, rows: &'a mut [f32], head: usize) -> MatMut<'a, f32> {
        let columns = head * self.head_width()..;
        // faer 0.24.4 exchanges the strides in `from_row_major_slice_with_stride_mut`.
        let (rows, stride) = (&mut rows[columns], self.width);
        MatMut::from_column_major_slice_with_stride_mut(rows, self.head_width(), self.length, stride)
            .transpose_mut()
    }

    fn square<'a>(&self, block: &'a [f32]) -> MatRef<'a, f32> {
        MatRef::from_row_major_slice(block, self.length, self.length)
    }

    fn square_mut<'a>(&self, block: &'a mut [f32]) -> MatMut<'a, f32> {
        MatMut::from_row_major_slice_mut(block, self.length, self.length)
    }

    /// Output and probabilities of one sequence.
    fn forward(&self, [q, k, v]: [&[f32]; 3], out: &mut [f32], probabilities: &mut [f32]) {
        for (head, block) in probabilities.chunks_mut(self.length * self.length).enumerate() {
            product(self.square_mut(block), self.head(q, head), self.head(k, head).transpose(), self.scale());
            for (position, row) in block.chunks_mut(self.length).enumerate() {
                let (seen, hidden) = row.split_at_mut(position + 1);
                softmax(seen);
                hidden.fill(0.0);
            }
            product(self.head_mut(out, head), self.square(block), self.head(v, head), 1.0);
        }
    }

    /// With P the probabilities and `dP = dO V^T`: `dS = P (dP - rowsum(P dP))`, then
    /// `dQ = dS K scale`, `dK = dS^T Q scale` and `dV = P^T dO`.
    fn backward(&self, [q, k, v, dout]: [&[f32]; 4], probabilities: &[f32], [dq, dk, dv]: [&mut [f32]; 3]) {
        let mut scores = vec![0.0; self.length * self.length];
        for (head, block) in probabilities.chunks(self.length * self.length).enumerate() {
            let dout = self.head(dout, head);
            product(self.head_mut(dv, head), self.square(block).transpose(), dout, 1.0);
            product(self.square_mut(&mut scores), dout, self.head(v, head).transpose(), 1.0);
            for (ds, p) in scores.chunks_mut(self.length).zip(block.chunks(self.length)) {
                let mean: f32 = ds.iter().zip(p).map(|(dp, p)| dp * p).sum();
                ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - mean));
            }
            product(self.head_mut(dq, head), self.square(&scores), self.head(k, head), self.scale());
            product(
                self.head_mut(dk, head),
                self.square(&scores).transpose(),
                self.head(q, head),
                self.scale(),
            );
        }
    }
}

/// `out = scale a b`, on the calling thread.
fn product(out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>, scale: f32) {
    matmul(out, Accum::Replace, a, b, scale, Par::Seq);
}

fn softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - highest));
    let inverse = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= inverse);
}

impl CustomOp3 for CausalAttention {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = self.shape;
        let rows = shape.rows();
        let (q, k, v) = (numbers(q, ql)?, numbers(k, kl)?, numbers(v, vl)?);
        let mut out = vec![0.0; q.len()];
        let mut probabilities = vec![0.0; q.len() / rows * shape.blocks()];
        let outputs = (out.par_chunks_mut(rows), probabilities.par_chunks_mut(shape.blocks()));
        let inputs = (q.par_chunks(rows), k.par_chunks(rows), v.par_chunks(rows));
        (outputs, inputs)
            .into_par_iter()
            .for_each(|((out, probabilities), (q, k, v))| shape.forward([q, k, v], out, probabilities));
        // A second forward pass of the same operation would give the same probabilities.
        let _ = self.probabilities.set(probabilities);
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(probabilities) = self.probabilities.get() else {
            candle_core::bail!("causal-attention: backward before forward")
        };
        let count = q.elem_count();
        let (mut dq, mut dk, mut dv) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
        let shape = self.shape;
        let rows = shape.rows();
        let mut fill = |q: &[f32], k: &[f32], v: &[f32], dout: &[f32]| {
            let outputs = (dq.par_chunks_mut(rows), dk.par_chunks_mut(rows), dv.par_chunks_mut(rows));
            let inputs = (q.par_chunks(rows), k.par_chunks(rows), v.par_chunks(rows), dout.par_chunks(rows));
            (outputs, inputs, probabilities.par_chunks(shape.blocks())).into_par_iter().for_each(
                |((dq, dk, dv), (q, k, v, dout), p)| shape.backward([q, k, v, dout], p, [dq, dk, dv]),
            );
            Ok(())
        };
        read(q, |q| read(k, |k| read(v, |v| read(dout, |dout| fill(q, k, v, dout)))))?;
        Ok((Some(shaped_as(q, dq)?), Some(shaped_as(k, dk)?), Some(shaped_as(v, dv)?)))
    }
}
