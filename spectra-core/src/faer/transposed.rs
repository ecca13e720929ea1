//! Products `A^T B` with a large row-major `A` and a narrow `B`.
//!
//! With a row-major result the product would read `A` down its columns, four entries of a cache line at a
//! time. So the transposed result `B^T A` is accumulated in working memory, along the rows of `A`, and
//! transposed once at the end. At 4096 x 14336, k = 61: 150 GFLOP/s a core against 99.

use super::FaerElement;
use super::parallel::for_each_rows;
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};

/// Rows of `A` in one product: the inner dimension. More rows, fewer passes over the accumulator, which is as
/// large as the result; but a block must not push it out of the shared cache.
pub(super) const ROWS: usize = 256;

/// Columns of `A` in one product: with [`ROWS`] rows half the private cache (1 MiB) in `f32`.
pub(super) fn tile_cols<E>() -> usize {
    2048 / size_of::<E>()
}

/// `z (+)= alpha B^T A` for a block of `A`, tile by tile.
pub(super) fn accumulate<E: FaerElement>(
    mut z: MatMut<'_, E>,
    beta: Accum,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
) {
    let (n, tile) = (a.ncols(), tile_cols::<E>());
    for j in (0..n).step_by(tile) {
        let width = tile.min(n - j);
        let z = z.rb_mut().subcols_mut(j, width);
        matmul(z, beta, b.transpose(), a.subcols(j, width), alpha, Par::Seq);
    }
}

/// `out = beta out + (sum of the parts)^T` for `out` row-major with `k` columns and parts row-major with `k`
/// rows, one after another in `parts`. The parts are added in order.
pub(super) fn add_transposed<E: FaerElement>(out: &mut [E], k: usize, beta: Option<E>, parts: &[E]) {
    if k == 0 || out.is_empty() {
        return;
    }
    let n = out.len() / k;
    for_each_rows(out, k, &|first, rows| {
        // Sixteen columns of the parts become sixteen rows of the result: whole cache lines on both sides.
        for (block, rows) in rows.chunks_mut(16 * k).enumerate() {
            let j = first + 16 * block;
            let width = rows.len() / k;
            for i in 0..k {
                let mut sum = [E::zero(); 16];
                for part in parts.chunks_exact(k * n) {
                    let part = &part[i * n + j..i * n + j + width];
                    sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += *x);
                }
                for (row, sum) in rows.chunks_exact_mut(k).zip(sum) {
                    row[i] = match beta {
                        Some(beta) => beta * row[i] + sum,
                        None => sum,
                    };
                }
            }
        }
    });
}
