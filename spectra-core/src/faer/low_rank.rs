//! `out = beta out + alpha (X - L R^T)` in one pass: 3 words an entry, no m x n temporary.

use super::FaerElement;
use super::parallel::GRAIN;
use super::simd::vectorized;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// The most rows in one product: `R`, which every product packs anew, is small against them.
const ROWS: usize = 256;

/// Columns of a tile: `ROWS` rows of `out` fill the private cache (1 MiB) in `f32` and stay there between
/// adding X and adding the product.
fn tile_cols<E>() -> usize {
    4096 / size_of::<E>()
}

/// What all blocks share.
pub(super) struct LowRank<'a, E> {
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
        let (m, tile) = (out.len() / n, tile_cols::<E>());
        let left = MatRef::from_row_major_slice(left, m, k);
        for j in (0..n).step_by(tile) {
            let end = n.min(j + tile);
            for i in 0..m {
                let range = i * n + j..i * n + end;
                self.scale_add(&mut out[range.clone()], &x[range]);
            }
            let out = MatMut::from_row_major_slice_mut(out, m, n).subcols_mut(j, end - j);
            let right = self.right.subrows(j, end - j);
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
