//! Symmetric products: one triangle, half the flops, then its mirror image.

use super::FaerElement;
use super::gemm::{GRAIN, NARROW, scale_first, split, with_rows};
use super::parallel;
use faer::{Accum, MatMut, MatRef};

/// `out = beta out + alpha A B` where product and `out` are symmetric; `out` is not read if `beta` is `None`.
pub(super) fn gemm<E: FaerElement>(
    out: &mut [E],
    beta: Option<E>,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
) {
    let n = a.nrows();
    let beta = scale_first(out, beta);
    let mut out = MatMut::from_row_major_slice_mut(out, n, n);
    let (grain, leaf) = (GRAIN.max(n * n * a.ncols() / 32), (n / 16).max(2 * NARROW));
    with_rows(a, n / 2, |a| lower(out.as_mut(), beta, alpha, a, b, (grain, leaf)));
    mirror(out);
}

/// The lower triangle: two triangles and the square below them, until a part has at most `leaf` rows, which is computed whole.
fn lower<E: FaerElement>(
    out: MatMut<'_, E>,
    beta: Accum,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
    (grain, leaf): (usize, usize),
) {
    let n = out.nrows();
    if n <= leaf {
        return split(out, beta, alpha, a, b, grain);
    }
    let at = (n / 2).next_multiple_of(NARROW);
    let (top, _, square, bottom) = out.split_at_mut(at, at);
    let ((a0, a1), (b0, b1)) = (a.split_at_row(at), b.split_at_col(at));
    parallel::join(
        n * n * a.ncols() > grain,
        || split(square, beta, alpha, a1, b0, grain),
        || {
            let parts = (grain, leaf);
            parallel::join(
                n * n * a.ncols() > 2 * grain,
                || lower(top, beta, alpha, a0, b0, parts),
                || lower(bottom, beta, alpha, a1, b1, parts),
            )
        },
    );
}

/// Copies the lower triangle to the upper one.
fn mirror<E: FaerElement>(mut out: MatMut<'_, E>) {
    let n = out.nrows();
    if n <= TILE {
        for i in 0..n {
            for j in 0..i {
                out[(j, i)] = out[(i, j)];
            }
        }
        return;
    }
    let at = (n / 2).next_multiple_of(TILE);
    let (top, upper, square, bottom) = out.split_at_mut(at, at);
    copy_transposed(upper, square.as_ref());
    parallel::join(n * n > parallel::GRAIN, || mirror(top), || mirror(bottom));
}

/// Rows and columns copied at once.
const TILE: usize = 16;

/// `out = X^T`, both row-major, by tiles that pass through registers: each cache line is read once and written
/// once, whatever the row's length (a power of two would throw out lines that are used again).
pub(super) fn copy_transposed<E: FaerElement>(mut out: MatMut<'_, E>, x: MatRef<'_, E>) {
    let (m, n) = out.shape();
    if m * n > parallel::GRAIN {
        let at = (m / 2).next_multiple_of(TILE);
        let ((out0, out1), (x0, x1)) = (out.split_at_row_mut(at), x.split_at_col(at));
        rayon::join(|| copy_transposed(out0, x0), || copy_transposed(out1, x1));
        return;
    }
    let mut tile = [[E::zero(); TILE]; TILE];
    for i in (0..m).step_by(TILE) {
        for j in (0..n).step_by(TILE) {
            let (rows, cols) = (TILE.min(m - i), TILE.min(n - j));
            for (tile, q) in tile.iter_mut().zip(j..j + cols) {
                if let Some(row) = x.row(q).try_as_row_major() {
                    tile[..rows].copy_from_slice(&row.as_slice()[i..i + rows]);
                }
            }
            for p in 0..rows {
                if let Some(row) = out.as_mut().row_mut(i + p).try_as_row_major_mut() {
                    let row = &mut row.as_slice_mut()[j..j + cols];
                    row.iter_mut().zip(&tile).for_each(|(out, column)| *out = column[p]);
                }
            }
        }
    }
}
