//! One sweep of the power iteration: momentum, `P = alpha M V`, `P^T P`, `Z = alpha M^T P` and `||M||^2` in one
//! pass over `M` from memory.
//!
//! The rows are taken by blocks that fit the shared cache. First the threads share the block's rows: each updates
//! its rows and multiplies them by `V`, a panel of columns at a time, so that what it reads of `V` stays in its own
//! cache. Then, with the block's `P` complete, they share its columns: each adds `M^T P` to its rows of `Z`; the block
//! now comes from the shared cache. Every sum runs in an order that depends on the shapes only, so that the bits
//! do not depend on the number of threads.

use super::FaerElement;
use super::kernels::Kernels;
use super::reduce::{PARTS, add_squares};
use super::simd::{Lanes, Prefetch};
use super::symmetric;
use super::tile::{self, Padding, ROWS, Tiled, line, tile};
use faer::MatRef;
use pulp::Simd;

/// Rows whose products are summed in registers before they are added to `Z`: so many rows of `P` fit the first
/// cache. A multiple of [`ROWS`].
const BLOCK: usize = 96;

/// Rows of M whose next columns are asked for together, ahead of time.
const RUN: usize = 8;

/// Columns of M in one panel: with 64 columns of V in `f32`, 256 KiB. A multiple of a cache line.
const PANEL: usize = 1024;

/// Entries below which a thread would mostly wake up and go back to sleep.
const ENTRIES: usize = 1 << 16;

/// `M = mu M + scale G`; `mu = None` does not read M.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a, E> {
    pub(super) mu: Option<E>,
    pub(super) scale: E,
    pub(super) gradient: &'a [E],
}

/// The operands that are only read.
#[derive(Debug)]
pub struct Sweep<'a, E> {
    pub(super) alpha: E,
    /// n x k, row-major.
    pub(super) v: &'a [E],
    pub(super) k: usize,
}

impl<E: FaerElement> Sweep<'_, E> {
    /// `m`: M, m x n; `p`: m x k; `gram`: k x k; `z`: n x k; nothing empty. Returns `||M||_F^2`.
    pub(super) fn run(
        &self,
        m: &mut [E],
        update: Option<Update<'_, E>>,
        p: &mut [E],
        gram: &mut [E],
        z: &mut [E],
    ) -> f64 {
        let (k, n) = (self.k, self.v.len() / self.k);
        let rows = m.len() / n;
        let padding = Padding::new::<E>(k);
        let threads = rayon::current_num_threads().min(m.len() / ENTRIES).max(1);
        let block = BLOCK * (threads / 2).max(1);
        let stride = padding.stride;
        let square = E::buffers().with((2 * n + block) * stride, E::zero(), |buffer| {
            <f64 as Kernels>::buffers().with(block * PARTS, 0.0, |squares| {
                let mut square = 0.0;
                let (v, rest) = buffer.split_at_mut(n * stride);
                let (sum, block_p) = rest.split_at_mut(n * stride);
                padding.pad(self.v, v);
                for first in (0..rows).step_by(block) {
                    let end = rows.min(first + block);
                    let (m, block_p) = (&mut m[first * n..end * n], &mut block_p[..(end - first) * stride]);
                    let squares = &mut squares.as_chunks_mut::<PARTS>().0[..end - first];
                    squares.fill([0.0; PARTS]);
                    let forward = Forward {
                        alpha: self.alpha,
                        padding,
                        v,
                        update: update.map(|u| Update { gradient: &u.gradient[first * n..end * n], ..u }),
                        m,
                        p: block_p,
                        squares,
                    };
                    forward.share(threads);
                    for rows in squares.chunks(BLOCK) {
                        square += rows.iter().flatten().sum::<f64>();
                    }
                    for (p, padded) in
                        p[first * k..end * k].chunks_exact_mut(k).zip(block_p.chunks_exact(stride))
                    {
                        p.copy_from_slice(&padded[..k]);
                    }
                    let backward = Backward {
                        alpha: self.alpha,
                        padding,
                        m,
                        cols: n,
                        p: block_p,
                        first: 0,
                        z: sum,
                        add: first > 0,
                    };
                    backward.share(threads);
                }
                for (z, padded) in z.chunks_exact_mut(k).zip(sum.chunks_exact(stride)) {
                    z.copy_from_slice(&padded[..k]);
                }
                square
            })
        });
        let p = MatRef::from_row_major_slice(p, rows, k);
        symmetric::gemm(gram, None, E::one(), p.transpose(), p);
        square
    }
}

/// `M = mu M + scale G`, the squares of its rows, and `P = alpha M V`.
struct Forward<'a, E> {
    alpha: E,
    padding: Padding,
    /// Padded.
    v: &'a [E],
    update: Option<Update<'a, E>>,
    m: &'a mut [E],
    /// Padded.
    p: &'a mut [E],
    /// Partial sums for each row.
    squares: &'a mut [[f64; PARTS]],
}

impl<E: FaerElement> Forward<'_, E> {
    /// Halves the threads and the rows until one is left.
    fn share(self, threads: usize) {
        let rows = self.squares.len();
        let at = (rows / 2).next_multiple_of(ROWS);
        if threads == 1 || at >= rows {
            return tile::run(self.padding.vectors, self);
        }
        let n = self.m.len() / rows;
        let half = |range: core::ops::Range<usize>| {
            self.update.map(|u| Update { gradient: &u.gradient[range.start * n..range.end * n], ..u })
        };
        let (update0, update1) = (half(0..at), half(at..rows));
        let Self { alpha, padding, v, .. } = self;
        let (m0, m1) = self.m.split_at_mut(at * n);
        let (p0, p1) = self.p.split_at_mut(at * padding.stride);
        let (squares0, squares1) = self.squares.split_at_mut(at);
        let a = Forward { alpha, padding, v, update: update0, m: m0, p: p0, squares: squares0 };
        let b = Forward { alpha, padding, v, update: update1, m: m1, p: p1, squares: squares1 };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// The rows from `i`, the columns from `j`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        prefetch: Prefetch,
        i: usize,
        j: usize,
        width: usize,
    ) {
        let n = self.m.len() / self.squares.len();
        for i in i..i + R {
            let m = &mut self.m[i * n + j..][..width];
            if let Some(update) = self.update {
                update.apply(m, &update.gradient[i * n + j..][..width]);
            }
            add_squares(&mut self.squares[i], m);
        }
        let Padding { width: tile_width, stride, .. } = self.padding;
        let rows: [&[E]; R] = core::array::from_fn(|r| &self.m[(i + r) * n + j..][..width]);
        let v = &self.v[j * stride..(j + width) * stride];
        // The same columns of the rows after the next.
        let next_m = &self.m[i * n + j..];
        let next_g = self.update.map_or(next_m, |update| &update.gradient[i * n + j..]);
        let ahead = |c: usize| {
            for r in 2 * R..3 * R {
                prefetch.far(next_m, r * n + c * line::<E>());
                prefetch.far(next_g, r * n + c * line::<E>());
            }
        };
        for at in (0..stride).step_by(tile_width) {
            let a = |t: &usize, r: usize| rows[r][*t];
            let sum = if at == 0 {
                tile::<E, S, R, V, _>(simd, v, stride, at, line::<E>(), 0..width, a, ahead)
            } else {
                tile::<E, S, R, V, _>(simd, v, stride, at, line::<E>(), 0..width, a, |_| ())
            };
            for (r, sum) in sum.into_iter().enumerate() {
                let p = &mut self.p[(i + r) * stride + at..][..tile_width];
                add::<E, S, V>(simd, p, self.alpha, sum, j > 0);
            }
        }
    }
}

impl<E: FaerElement> Tiled for Forward<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        let prefetch = Prefetch::new();
        let rows = self.squares.len();
        let n = self.m.len() / rows;
        for j in (0..n).step_by(PANEL) {
            let width = PANEL.min(n - j);
            let whole = rows - rows % ROWS;
            for i in (0..whole).step_by(ROWS) {
                self.rows::<S, ROWS, V>(simd, prefetch, i, j, width);
            }
            for i in whole..rows {
                self.rows::<S, 1, V>(simd, prefetch, i, j, width);
            }
        }
    }
}

/// `Z (+)= alpha M^T P`, for some rows of Z.
pub(super) struct Backward<'a, E> {
    pub(super) alpha: E,
    pub(super) padding: Padding,
    /// With `cols` columns.
    pub(super) m: &'a [E],
    pub(super) cols: usize,
    /// Padded.
    pub(super) p: &'a [E],
    /// The column of M that is the first row of `z`.
    pub(super) first: usize,
    /// Padded.
    pub(super) z: &'a mut [E],
    /// Whether `z` is read.
    pub(super) add: bool,
}

impl<E: FaerElement> Backward<'_, E> {
    /// Halves the threads and the columns until one is left.
    pub(super) fn share(self, threads: usize) {
        let cols = self.z.len() / self.padding.stride;
        let at = (cols / 2).next_multiple_of(16 * ROWS);
        if threads == 1 || at >= cols {
            return tile::run(self.padding.vectors, self);
        }
        let (z0, z1) = self.z.split_at_mut(at * self.padding.stride);
        let a = Backward { z: z0, ..self };
        let b = Backward { z: z1, first: self.first + at, ..self };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// The rows of `z` from `j`, from the rows `m` of a block and their products `p`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        prefetch: Prefetch,
        (m, p): (&[E], &[E]),
        j: usize,
        add_to: bool,
    ) {
        let Padding { width, stride, .. } = self.padding;
        for at in (0..stride).step_by(width) {
            let rows = m.chunks_exact(self.cols).map(|row| &row[self.first + j..][..R]);
            let a = |row: &&[E], r: usize| row[r];
            // The rows lie far apart: the lines of the tiles to come are not foreseen by the hardware.
            let ahead = |c: usize| {
                for t in c * RUN..(c + 1) * RUN {
                    prefetch.near(m, t * self.cols + self.first + j + 4 * ROWS);
                }
            };
            let sum = tile::<E, S, R, V, _>(simd, p, stride, at, RUN, rows, a, ahead);
            for (r, sum) in sum.into_iter().enumerate() {
                let z = &mut self.z[(j + r) * stride + at..][..width];
                add::<E, S, V>(simd, z, self.alpha, sum, add_to);
            }
        }
    }
}

impl<E: FaerElement> Tiled for Backward<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        let prefetch = Prefetch::new();
        let stride = self.padding.stride;
        let cols = self.z.len() / stride;
        let whole = cols - cols % ROWS;
        let (block_m, block_p) = (self.m.chunks(BLOCK * self.cols), self.p.chunks(BLOCK * stride));
        for (block, operands) in block_m.zip(block_p).enumerate() {
            let add = self.add || block > 0;
            for j in (0..whole).step_by(ROWS) {
                self.rows::<S, ROWS, V>(simd, prefetch, operands, j, add);
            }
            for j in whole..cols {
                self.rows::<S, 1, V>(simd, prefetch, operands, j, add);
            }
        }
    }
}

/// `out = alpha x`, plus `out` if `read`.
#[inline(always)]
fn add<E: Lanes, S: Simd, const V: usize>(
    simd: S,
    out: &mut [E],
    alpha: E,
    x: [E::Vector<S>; V],
    read: bool,
) {
    let alpha = E::splat(simd, alpha);
    for (out, x) in E::vectors_mut::<S>(out).iter_mut().zip(x) {
        *out = if read { E::fma(simd, alpha, x, *out) } else { E::times(simd, alpha, x) };
    }
}

impl<E: FaerElement> Update<'_, E> {
    #[inline(always)]
    fn apply(&self, m: &mut [E], g: &[E]) {
        let scale = self.scale;
        match self.mu {
            Some(mu) => m.iter_mut().zip(g).for_each(|(m, g)| *m = mu * *m + scale * *g),
            None => m.iter_mut().zip(g).for_each(|(m, g)| *m = scale * *g),
        }
    }
}
