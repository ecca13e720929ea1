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

/// Columns of `A` in one product: four registers' tiles of faer's (96 in `f32`, 48 in `f64`); with [`ROWS`] rows
/// 384 KiB of the private cache.
pub(super) fn tile_cols<E>() -> usize {
    1536 / size_of::<E>()
}

/// Whether that pays for an m x n result and inner dimension l: the transposition at the end, of m n entries,
/// must be small against the 2 m n l flops, and a wide result is fast either way. (Measured on 15 widths from 1
/// to 1024 and 4 shapes of A, it wins by up to 12 where this says so and loses elsewhere.)
pub(super) fn pays(m: usize, n: usize, l: usize) -> bool {
    (2..=512).contains(&n) && 4 * n <= l && 64 <= m && 1 << 18 <= m * n * l
}

/// `out = beta out + alpha A^T B` for `A` l x m, row-major.
pub(super) fn product<E: FaerElement>(
    out: &mut [E],
    beta: Option<E>,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
) {
    let (m, n) = (a.ncols(), b.ncols());
    E::buffers().with(m * n, E::zero(), |z| {
        // Parts depend on the shape only: at most sixteen, of whole tiles.
        let width = (m / 16).next_multiple_of(tile_cols::<E>());
        columns(MatMut::from_row_major_slice_mut(z, n, m), alpha, a, b, width);
        add_transposed(out, n, beta, z);
    });
}

/// `z = alpha B^T A`, halving the columns of `A` until a part is not wider than `width`.
fn columns<E: FaerElement>(mut z: MatMut<'_, E>, alpha: E, a: MatRef<'_, E>, b: MatRef<'_, E>, width: usize) {
    let (l, m) = a.shape();
    if m > width {
        let at = (m / 2).next_multiple_of(width);
        let ((z0, z1), (a0, a1)) = (z.split_at_col_mut(at), a.split_at_col(at));
        rayon::join(|| columns(z0, alpha, a0, b, width), || columns(z1, alpha, a1, b, width));
        return;
    }
    let mut beta = Accum::Replace;
    for i in (0..l).step_by(ROWS) {
        let rows = ROWS.min(l - i);
        accumulate(z.rb_mut(), beta, alpha, a.subrows(i, rows), b.subrows(i, rows));
        beta = Accum::Add;
    }
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
