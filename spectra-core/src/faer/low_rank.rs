//! `out = beta out + alpha (X - L R^T)` in one pass: 3 words an entry, no m x n temporary.

use super::FaerElement;
use super::parallel::GRAIN;
use super::simd::vectorized;
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};

/// The most rows in one block: `R`, which every product packs anew, is small against them, and the block is
/// still in the shared cache when the product is added to it.
const ROWS: usize = 128;

/// Columns in one product: that many rows of `R` fill half the private cache (1 MiB) in `f32`.
const COLS: usize = 1024;

/// What all blocks share.
#[derive(Debug)]
pub struct LowRank<'a, E> {
    /// `None`: `out` is not read.
    pub(super) beta: Option<E>,
    pub(super) alpha: E,
    /// n x k.
    pub(super) right: MatRef<'a, E>,
}

impl<E: FaerElement> LowRank<'_, E> {
    /// `out`, `x`: m x n; `left`: m x k.
    pub(super) fn add(&self, out: &mut [E], x: &[E], left: &[E]) {
        let (n, k) = self.right.shape();
        if n == 0 || out.is_empty() {
            return;
        }
        let m = out.len() / n;
        // Blocks depend on the shape only; at least eight of them if the matrix is worth splitting.
        let rows = if m * n <= GRAIN { ROWS } else { (m / 8).next_multiple_of(16).clamp(16, ROWS) };
        self.split(out, x, left, (n, k), rows);
    }

    fn split(&self, out: &mut [E], x: &[E], left: &[E], (n, k): (usize, usize), rows: usize) {
        let m = out.len() / n;
        if m <= rows {
            return self.block(out, x, left, (n, k));
        }
        let at = (m / 2).next_multiple_of(rows);
        let (out0, out1) = out.split_at_mut(at * n);
        let ((x0, x1), (left0, left1)) = (x.split_at(at * n), left.split_at(at * k));
        rayon::join(
            || self.split(out0, x0, left0, (n, k), rows),
            || self.split(out1, x1, left1, (n, k), rows),
        );
    }

    fn block(&self, out: &mut [E], x: &[E], left: &[E], (n, k): (usize, usize)) {
        // All of the block first: in the order of memory, which is what a core reads fastest.
        self.scale_add(out, x);
        let m = out.len() / n;
        let left = MatRef::from_row_major_slice(left, m, k);
        let mut out = MatMut::from_row_major_slice_mut(out, m, n);
        for j in (0..n).step_by(COLS) {
            let width = COLS.min(n - j);
            let (out, right) = (out.rb_mut().subcols_mut(j, width), self.right.subrows(j, width));
            matmul(out, Accum::Add, left, right.transpose(), -self.alpha, Par::Seq);
        }
    }

    fn scale_add(&self, out: &mut [E], x: &[E]) {
        let alpha = self.alpha;
        vectorized(
            #[inline(always)]
            || match self.beta {
                Some(beta) => out.iter_mut().zip(x).for_each(|(o, x)| *o = beta * *o + alpha * *x),
                None => out.iter_mut().zip(x).for_each(|(o, x)| *o = alpha * *x),
            },
        );
    }
}
