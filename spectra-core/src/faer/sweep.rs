//! One sweep of the power iteration: momentum, `P = alpha M V`, `P^T P`, `Z = alpha M^T P` and `||M||^2` in one
//! pass over `M` from memory.
//!
//! The rows are dealt to as many parts as the pool has threads. A part goes through its rows by blocks: it
//! updates the block in the order of memory, then multiplies it by `V`, then, with the block's `P` complete, by
//! `P`; the block comes from memory once and from the shared cache afterwards. Each part has its own accumulators, added at the end in the order of the parts: the bits
//! depend on the number of threads, never on timing.

use super::FaerElement;
use super::reduce::{Sum, squares};
use super::simd::vectorized;
use super::transposed::{ROWS, accumulate, add_transposed};
use faer::linalg::matmul::{matmul, triangular};
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};

/// `M = mu M + scale G`; `mu = None` does not read M.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a, E> {
    pub(super) mu: Option<E>,
    pub(super) scale: E,
    pub(super) gradient: &'a [E],
}

/// What all parts share.
#[derive(Debug)]
pub struct Sweep<'a, E> {
    /// From [`parts`].
    pub(super) parts: usize,
    pub(super) alpha: E,
    /// n x k.
    pub(super) v: MatRef<'a, E>,
}

/// The rows of one part (or of several, before they are dealt).
struct Part<'a, E> {
    parts: usize,
    m: &'a mut [E],
    update: Option<Update<'a, E>>,
    p: &'a mut [E],
    /// For each part `Z^T` (k x n), row-major.
    z: &'a mut [E],
    /// For each part the lower triangle of the Gram matrix (k x k).
    gram: &'a mut [E],
}

/// How many parts pay for an m x n matrix and k columns: as many as threads, as long as each has the rows to
/// amortise its accumulators. `None` if separate passes are better: for empty matrices, and for those with too
/// few rows for all threads.
pub(super) fn parts((m, n): (usize, usize), k: usize) -> Option<usize> {
    /// Entries below which a thread would mostly wake up and go back to sleep.
    const ENTRIES: usize = 1 << 16;
    /// Rows of a part.
    const FEW: usize = 64;
    /// Entries of all accumulators together: 64 MiB in `f32`.
    const ACCUMULATORS: usize = 1 << 24;
    if m * n * k == 0 {
        return None;
    }
    let useful =
        rayon::current_num_threads().min(m * n / ENTRIES).min((ACCUMULATORS / (n * k)).max(2)).max(1);
    (useful == 1 || m >= FEW * useful).then_some(useful)
}

impl<E: FaerElement> Sweep<'_, E> {
    /// `m`: M, rows x n; `p`: rows x k; `gram`: k x k; `z`: n x k; nothing empty. Returns `||M||_F^2`.
    pub(super) fn run(
        &self,
        m: &mut [E],
        update: Option<Update<'_, E>>,
        p: &mut [E],
        gram: &mut [E],
        z: &mut [E],
    ) -> f64 {
        let ((n, k), parts) = (self.v.shape(), self.parts);
        E::buffers().with(parts * (n + k) * k, E::zero(), |buffer| {
            let (part_z, part_gram) = buffer.split_at_mut(parts * n * k);
            let square = self.deal(Part { parts, m, update, p, z: part_z, gram: part_gram });
            add_transposed(z, k, None, part_z);
            sum_triangles(gram, k, part_gram);
            square
        })
    }

    /// Halves the parts and their rows until one is left.
    fn deal(&self, part: Part<'_, E>) -> f64 {
        if part.parts == 1 {
            return self.part(part);
        }
        let (n, k) = self.v.shape();
        let rows = part.m.len() / n;
        let left = part.parts / 2;
        let at = (rows * left / part.parts).next_multiple_of(16).min(rows);
        let (m0, m1) = part.m.split_at_mut(at * n);
        let (p0, p1) = part.p.split_at_mut(at * k);
        let (z0, z1) = part.z.split_at_mut(left * n * k);
        let (gram0, gram1) = part.gram.split_at_mut(left * k * k);
        let half = |range: core::ops::Range<usize>| {
            part.update.map(|u| Update { gradient: &u.gradient[range.start * n..range.end * n], ..u })
        };
        let a = Part { parts: left, m: m0, update: half(0..at), p: p0, z: z0, gram: gram0 };
        let b = Part { parts: part.parts - left, m: m1, update: half(at..rows), p: p1, z: z1, gram: gram1 };
        let (a, b) = rayon::join(|| self.deal(a), || self.deal(b));
        a + b
    }

    fn part(&self, part: Part<'_, E>) -> f64 {
        use triangular::BlockStructure::{Rectangular, TriangularLower};
        let (n, k) = self.v.shape();
        let mut square = Sum::default();
        let mut beta = Accum::Replace;
        let mut z = MatMut::from_row_major_slice_mut(part.z, k, n);
        let mut gram = MatMut::from_row_major_slice_mut(part.gram, k, k);
        let rows = part.m.len() / n;
        for i in (0..rows).step_by(ROWS) {
            let end = rows.min(i + ROWS);
            let m = &mut part.m[i * n..end * n];
            let p = &mut part.p[i * k..end * k];
            let update = part.update.map(|u| Update { gradient: &u.gradient[i * n..end * n], ..u });
            update_rows(m, update, &mut square);
            let m = MatRef::from_row_major_slice(m, end - i, n);
            matmul(
                MatMut::from_row_major_slice_mut(p, end - i, k),
                Accum::Replace,
                m,
                self.v,
                self.alpha,
                Par::Seq,
            );
            let p = MatRef::from_row_major_slice(p, end - i, k);
            let (full, lower) = (Rectangular, TriangularLower);
            triangular::matmul(gram.rb_mut(), lower, beta, p.transpose(), full, p, full, E::one(), Par::Seq);
            accumulate(z.rb_mut(), beta, self.alpha, m, p);
            beta = Accum::Add;
        }
        square.value()
    }
}

/// Updates a block and adds its squares, in the order of memory, which is what a core reads fastest.
fn update_rows<E: FaerElement>(m: &mut [E], update: Option<Update<'_, E>>, square: &mut Sum) {
    /// Entries that stay in the first cache between the two loops.
    const PIECE: usize = 2048;
    match update {
        Some(update) => {
            for (m, g) in m.chunks_mut(PIECE).zip(update.gradient.chunks(PIECE)) {
                update.apply(m, g);
                square.add(squares(m));
            }
        }
        None => m.chunks(PIECE).for_each(|m| square.add(squares(m))),
    }
}

impl<E: FaerElement> Update<'_, E> {
    fn apply(&self, m: &mut [E], g: &[E]) {
        let scale = self.scale;
        vectorized(
            #[inline(always)]
            || match self.mu {
                Some(mu) => m.iter_mut().zip(g).for_each(|(m, g)| *m = mu * *m + scale * *g),
                None => m.iter_mut().zip(g).for_each(|(m, g)| *m = scale * *g),
            },
        );
    }
}

/// The sum of the parts' lower triangles, mirrored.
fn sum_triangles<E: FaerElement>(gram: &mut [E], k: usize, parts: &[E]) {
    for i in 0..k {
        for j in 0..=i {
            let at = i * k + j;
            let sum = parts.chunks_exact(k * k).fold(E::zero(), |sum, part| sum + part[at]);
            gram[at] = sum;
            gram[j * k + i] = sum;
        }
    }
}
