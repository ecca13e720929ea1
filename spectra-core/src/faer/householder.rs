//! Orthonormal columns by Householder's reflections, for many of them: by blocks of reflections, so that nearly all is products.

use super::FaerElement;
use super::gemm::{GRAIN, padded, rows_mut, split};
use super::scratch;
use super::simd::vectorized;
use super::symmetric::copy_transposed;
use core::ops::Range;
use faer::{Accum, MatMut, MatRef};

/// Columns of a block: so many reflections at once go over all later columns, which limits how often these are read.
const BLOCK: usize = 64;

/// Columns of a part of a block: reflections of a part go over the rest of its block at once, over its own columns one by one.
const PART: usize = 16;

/// Replaces the k columns of the row-major `values`, m x k, by an orthonormal basis of them, with `diag(R) >= 0`. A column of which less
/// than `4 sqrt(k) eps` is left beside earlier ones, what rounding leaves of a dependent one, becomes zero.
///
/// The columns are scaled by their largest entries, and the i-th reflection `H_i = I - tau v v^T` takes the i-th column that does not
/// depend on earlier ones to `beta e_i`. A dependent one has no reflection, so that the others are not disturbed: U has
/// `sign(beta) H_1 ... H_r e_i` in the place of that column. p of them are `I - V T V^T` (Schreiber and Van Loan 1989).
/// `4 m k^2 - 4/3 k^3` flops, in the element type. Every sum runs in an order that depends on the shape only.
pub(super) fn orthonormalize<E: FaerElement>(m: usize, k: usize, values: &mut [E]) {
    if m == 0 || k == 0 {
        return;
    }
    let noise = E::narrow(4.0 * libm::sqrt(k as f64) * E::EPSILON);
    Reflections::with(m, k, |mut qr, [norms, signs, taus]| {
        let (stride, len) = (qr.stride, qr.w.len());
        let rows = rows_mut(&mut qr.w[..len], k, m, stride);
        copy_transposed(rows, MatRef::from_row_major_slice(values, m, k));
        for (row, norm) in qr.w.chunks_exact_mut(stride).zip(norms.iter_mut()) {
            *norm = noise * scale(&mut row[..m]);
        }
        let live = qr.reduce(norms, signs, taus);
        qr.form(&taus[..live]);
        // From the reflections' places to their columns'.
        let mut i = live;
        for j in (0..k).rev() {
            if signs[j] != E::zero() {
                i -= 1;
                qr.w.copy_within(i * stride..i * stride + m, j * stride);
            }
            qr.w[j * stride..][..m].iter_mut().for_each(|x| *x *= signs[j]);
        }
        let columns = MatRef::from_row_major_slice_with_stride(&qr.w[..len], k, m, stride);
        copy_transposed(MatMut::from_row_major_slice_mut(values, m, k), columns);
    });
}

/// Replaces all but the first `count` rows, which are orthonormal, of the k x k matrix `rows` by unit vectors made orthogonal to the
/// others, of which one at least has `1 / sqrt(k)` of its length outside any smaller span.
pub(super) fn complete<E: FaerElement>(k: usize, count: usize, rows: &mut [E]) {
    if count == k {
        return;
    }
    let least = E::narrow(0.5 / libm::sqrt(k as f64));
    Reflections::with(k, count + k, |mut qr, [norms, signs, taus]| {
        let stride = qr.stride;
        for (place, row) in qr.w.chunks_exact_mut(stride).zip(rows.chunks_exact(k)).take(count) {
            place[..k].copy_from_slice(row);
        }
        for (i, place) in qr.w[count * stride..].chunks_exact_mut(stride).enumerate() {
            place.fill(E::zero());
            place[i] = E::one();
        }
        norms[..count].fill(E::zero());
        norms[count..].fill(least);
        let live = qr.reduce(norms, signs, taus);
        qr.form(&taus[..live]);
        let found = qr.w.chunks_exact(stride).zip(signs.iter().filter(|sign| **sign != E::zero()));
        for (row, (found, sign)) in rows.chunks_exact_mut(k).zip(found) {
            row.iter_mut().zip(found).for_each(|(x, q)| *x = *sign * *q);
        }
    });
}

/// Divides by the largest magnitude; the norm of what results.
fn scale<E: FaerElement>(x: &mut [E]) -> E {
    let largest = x.iter().fold(E::zero(), |a, x| if x.is_nan() { *x } else { a.max(x.abs()) });
    if largest != E::zero() {
        x.iter_mut().for_each(|x| *x /= largest);
    }
    num_traits::Float::sqrt(dot(x, x))
}

/// Columns as rows: first what is to be orthonormalized, then the reflections' vectors, then the basis.
#[derive(Debug)]
struct Reflections<'a, E> {
    m: usize,
    stride: usize,
    w: &'a mut [E],
    /// A block's vectors, and T or its transpose times them.
    panels: &'a mut [E],
    /// T, and the products of the vectors.
    factors: &'a mut [E],
    y: &'a mut [E],
}

impl<E: FaerElement> Reflections<'_, E> {
    /// Runs `f` with room for k columns of length m, and three times k numbers.
    fn with(m: usize, k: usize, f: impl FnOnce(Reflections<'_, E>, [&mut [E]; 3])) {
        let stride = padded(m);
        scratch::with((k + 2 * BLOCK) * stride + (2 * BLOCK + k) * BLOCK + 3 * k, |buffer: &mut [E]| {
            let (w, rest) = buffer.split_at_mut(k * stride);
            let (panels, rest) = rest.split_at_mut(2 * BLOCK * stride);
            let (factors, rest) = rest.split_at_mut(2 * BLOCK * BLOCK);
            let (y, rest) = rest.split_at_mut(k * BLOCK);
            let (norms, rest) = rest.split_at_mut(k);
            let (signs, taus) = rest.split_at_mut(k);
            f(Reflections { m, stride, w, panels, factors, y }, [norms, signs, taus]);
        });
    }

    /// Finds the reflections, block by block; the number of them. A column of which no more than its entry of `least` is left
    /// depends on earlier ones. `signs`: of beta, and 0 of dependent columns.
    fn reduce(&mut self, least: &[E], signs: &mut [E], taus: &mut [E]) -> usize {
        let (k, m, stride) = (least.len(), self.m, self.stride);
        let mut live = 0;
        signs.fill(E::zero());
        for block in (0..k).step_by(BLOCK) {
            let (first, end) = (live, k.min(block + BLOCK));
            for part in (block..end).step_by(PART) {
                let (begin, stop) = (live, end.min(part + PART));
                for j in part..stop {
                    if live == m {
                        return live;
                    }
                    let (done, rest) = self.w.split_at_mut(j * stride);
                    let row = &mut rest[..m];
                    for i in begin..live {
                        subtract(&mut row[i..], taus[i], &done[i * stride..][i..m]);
                    }
                    let Some((tau, sign)) = reflect(&mut row[live..], least[j]) else {
                        continue;
                    };
                    (signs[j], taus[live]) = (sign, tau);
                    row[..live].fill(E::zero());
                    self.w.copy_within(j * stride..(j + 1) * stride, live * stride);
                    live += 1;
                }
                self.go_over(begin, &taus[begin..live], stop..end);
            }
            self.go_over(first, &taus[first..live], end..k);
        }
        live
    }

    /// The reflections from `begin` on the columns `range`.
    fn go_over(&mut self, begin: usize, taus: &[E], range: Range<usize>) {
        if !range.is_empty() {
            let vectors = &self.w[begin * self.stride..][..taus.len() * self.stride];
            self.panels[..vectors.len()].copy_from_slice(vectors);
            self.apply(begin, taus, range, false);
        }
    }

    /// T of the reflections in the panel: `T_ii = tau_i`, above it `-tau_i T (V^T v_i)`.
    fn factor(&mut self, begin: usize, taus: &[E]) {
        let p = taus.len();
        let v = MatRef::from_row_major_slice_with_stride(self.panels, p, self.m, self.stride);
        let v = v.subcols(begin, self.m - begin);
        let (t, gram) = self.factors.split_at_mut(BLOCK * BLOCK);
        split(rows_mut(gram, p, p, BLOCK), Accum::Replace, E::one(), v, v.transpose(), usize::MAX);
        for (i, tau) in taus.iter().enumerate() {
            for row in 0..i {
                let sum = (row..i).fold(E::zero(), |sum, j| sum + t[row * BLOCK + j] * gram[j * BLOCK + i]);
                t[row * BLOCK + i] = -*tau * sum;
            }
            t[i * BLOCK + i] = *tau;
            (0..i).for_each(|j| t[i * BLOCK + j] = E::zero());
        }
    }

    /// The reflections in the panel, from `begin`, on the columns `range`: `x -= V T^T V^T x`, or, the other way round, `x -= V T V^T x`.
    fn apply(&mut self, begin: usize, taus: &[E], range: Range<usize>, back: bool) {
        let (p, len, stride, count) = (taus.len(), self.m - begin, self.stride, range.len());
        if p == 0 {
            return;
        }
        self.factor(begin, taus);
        let (v, tv) = self.panels.split_at_mut(BLOCK * stride);
        let v = MatRef::from_row_major_slice_with_stride(v, p, self.m, stride).subcols(begin, len);
        let t = MatRef::from_row_major_slice_with_stride(self.factors, p, p, BLOCK);
        let mut tv = rows_mut(tv, p, self.m, stride).subcols_mut(begin, len);
        let t = if back { t.transpose() } else { t };
        let grain = |work: usize| GRAIN.max(work / 16);
        split(tv.as_mut(), Accum::Replace, E::one(), t, v, grain(p * p * len));
        let x = &mut self.w[range.start * stride..][..count * stride];
        let mut x = rows_mut(x, count, self.m, stride).subcols_mut(begin, len);
        let mut y = MatMut::from_row_major_slice_mut(&mut self.y[..count * p], count, p);
        let work = grain(count * p * len);
        split(y.as_mut(), Accum::Replace, E::one(), x.as_ref(), v.transpose(), work);
        split(x.as_mut(), Accum::Add, -E::one(), y.as_ref(), tv.as_ref(), work);
    }

    /// `H_1 ... H_r e_i` in the place of the i-th reflection's vector, the last block first.
    fn form(&mut self, taus: &[E]) {
        let (m, stride, live) = (self.m, self.stride, taus.len());
        for begin in (0..live).step_by(BLOCK).rev() {
            let end = live.min(begin + BLOCK);
            let vectors = &mut self.w[begin * stride..end * stride];
            self.panels[..vectors.len()].copy_from_slice(vectors);
            for (i, row) in vectors.chunks_exact_mut(stride).enumerate() {
                row[..m].fill(E::zero());
                row[begin + i] = E::one();
            }
            self.apply(begin, &taus[begin..end], begin..live, true);
        }
    }
}

/// Makes `x` the vector v of a reflection, `v_0 = 1`, and returns tau and the sign of beta; none if no more than `noise` is left of x.
fn reflect<E: FaerElement>(x: &mut [E], noise: E) -> Option<(E, E)> {
    let alpha = *x.first()?;
    let norm = num_traits::Float::sqrt(dot(x, x));
    if norm <= noise {
        return None;
    }
    let sign = if alpha > E::zero() { -E::one() } else { E::one() };
    let beta = sign * norm;
    let head = alpha - beta;
    x[1..].iter_mut().for_each(|x| *x /= head);
    x[0] = E::one();
    Some((-head / beta, sign))
}

/// `x -= tau <v, x> v`
fn subtract<E: FaerElement>(x: &mut [E], tau: E, v: &[E]) {
    let along = -tau * dot(v, x);
    vectorized(
        #[inline(always)]
        || x.iter_mut().zip(v).for_each(|(x, v)| *x += along * *v),
    );
}

/// `<x, y>`, in lanes.
fn dot<E: FaerElement>(x: &[E], y: &[E]) -> E {
    const LANES: usize = 64;
    vectorized(
        #[inline(always)]
        || {
            let mut sums = [E::zero(); LANES];
            let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
            for (x, y) in xs.iter().zip(ys) {
                for i in 0..LANES {
                    sums[i] += x[i] * y[i];
                }
            }
            for (sum, (x, y)) in sums.iter_mut().zip(x_rest.iter().zip(y_rest)) {
                *sum += *x * *y;
            }
            sums.iter().fold(E::zero(), |sum, x| sum + *x)
        },
    )
}
