//! Products by faer, split over threads here.

use super::simd::vectorized;
use super::symmetric::copy_transposed;
use super::{FaerElement, scratch};
use crate::backend::Op;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major slice as `op(A)`.
pub(super) fn view<E>(values: &[E], (rows, cols): (usize, usize), op: Op) -> MatRef<'_, E> {
    let a = MatRef::from_row_major_slice(values, rows, cols);
    match op {
        Op::Plain => a,
        Op::Transposed => a.transpose(),
    }
}

/// Multiply-adds below which a product is not worth another thread: about 20 us.
pub(super) const GRAIN: usize = 1 << 20;

/// Rows or columns below which a part would spend its time packing.
pub(super) const NARROW: usize = 32;

/// `out = beta out + alpha A B` for `out` row-major with `cols` columns; `out` is not read if `beta` is `None`.
pub(super) fn gemm<E: FaerElement>(
    out: &mut [E],
    beta: Option<E>,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
) {
    let beta = scale_first(out, beta);
    let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.ncols());
    let work = out.nrows() * out.ncols() * a.ncols();
    with_rows(a, b.ncols(), |a| split(out, beta, alpha, a, b, GRAIN.max(work / 16)));
}

/// Columns of the other factor from which a transposed copy pays.
const MANY: usize = 128;

/// A row-major A or, if it is a transpose and there are `cols` columns to be multiplied, a row-major copy: faer reads A unpacked, and what
/// is a row's length apart shares sets of the cache where that is a power of two. (Half the time for 1024 x 3072 and 4096 x 4096.)
pub(super) fn with_rows<E: FaerElement, R>(
    a: MatRef<'_, E>,
    cols: usize,
    f: impl FnOnce(MatRef<'_, E>) -> R,
) -> R {
    let (m, l) = a.shape();
    if a.row_stride() != 1 || m == 1 || cols < MANY || m * l * cols < GRAIN {
        return f(a);
    }
    let stride = padded(l);
    scratch::with(m * stride, |rows: &mut [E]| {
        copy_transposed(rows_mut(rows, m, l, stride), a.transpose());
        f(MatRef::from_row_major_slice_with_stride(rows, m, l, stride))
    })
}

/// A row's length that is no power of two, so that the entries of a column lie in different sets of the cache.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(16) + 16
}

/// A row-major matrix whose rows begin `stride` entries apart. (faer 0.24.4's own takes the strides for one another.)
pub(super) fn rows_mut<E>(values: &mut [E], rows: usize, cols: usize, stride: usize) -> MatMut<'_, E> {
    MatMut::from_column_major_slice_with_stride_mut(values, cols, rows, stride).transpose_mut()
}

/// Applies a `beta` other than 0 and 1, and says how the product is to be added.
pub(super) fn scale_first<E: FaerElement>(out: &mut [E], beta: Option<E>) -> Accum {
    let Some(beta) = beta else { return Accum::Replace };
    if beta != E::one() {
        super::parallel::for_each(out, &|out: &mut [E]| {
            vectorized(
                #[inline(always)]
                || out.iter_mut().for_each(|o| *o = beta * *o),
            );
        });
    }
    Accum::Add
}

/// Halves the longer side of `out` until a part has at most `grain` multiply-adds.
pub(super) fn split<E: FaerElement>(
    out: MatMut<'_, E>,
    beta: Accum,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
    grain: usize,
) {
    let (m, n) = (out.nrows(), out.ncols());
    if m * n * a.ncols() <= grain || m.max(n) < 2 * NARROW {
        return matmul(out, beta, a, b, alpha, Par::Seq);
    }
    if m >= n {
        let at = (m / 2).next_multiple_of(NARROW);
        let ((out0, out1), (a0, a1)) = (out.split_at_row_mut(at), a.split_at_row(at));
        rayon::join(|| split(out0, beta, alpha, a0, b, grain), || split(out1, beta, alpha, a1, b, grain));
    } else {
        let at = (n / 2).next_multiple_of(NARROW);
        let ((out0, out1), (b0, b1)) = (out.split_at_col_mut(at), b.split_at_col(at));
        rayon::join(|| split(out0, beta, alpha, a, b0, grain), || split(out1, beta, alpha, a, b1, grain));
    }
}
