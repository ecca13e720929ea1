//! `out = beta out + alpha (X - L R^T)` in one pass: 3 words an entry, no m x n temporary.

use super::FaerElement;
use super::parallel::{GRAIN, Split, for_each_rows};
use super::scratch;
use super::simd::Prefetch;
use super::storage::{Values, ValuesMut};
use super::tile::{self, MOST, Padding, ROWS, RUN, Tiled, line, tile};
use core::ops::Range;
use pulp::Simd;

/// Columns of a block, a multiple of every panel's width: with k = 64 in `f32`, 512 KiB of R^T stay in a core's own
/// cache.
const COLS: usize = 2048;

/// Rows that are widened and rounded at a time, where `out` is kept in 16 bits.
const BLOCK: usize = 2 * ROWS;

/// So many steps of the inner dimension before it is needed a tile's memory is asked for: as long as memory takes to answer.
const STEPS_AHEAD: usize = 122;

/// The operands that all rows share.
#[derive(Debug)]
pub struct LowRank<'a, E> {
    /// `None`: `out` is not read.
    pub(super) beta: Option<E>,
    pub(super) alpha: E,
    /// n x k, row-major.
    pub(super) right: &'a [E],
    pub(super) n: usize,
    pub(super) k: usize,
}

impl<E: FaerElement> LowRank<'_, E> {
    /// `out`, `x`: m x n; `left`: m x k.
    pub(super) fn add(&self, mut out: ValuesMut<'_, E>, x: Values<'_, E>, left: &[E]) {
        let len = x.len();
        if len == 0 {
            return;
        }
        let Self { n, k, .. } = *self;
        let padding = Padding::panel::<E>(n);
        let panels = n.div_ceil(padding.width) * padding.width * k;
        scratch::with(panels + left.len(), |buffer: &mut [E]| {
            let (panels, tiles) = buffer.split_at_mut(panels);
            if k > 0 {
                for_each_rows(panels, k * padding.width, &|first, panels| {
                    self.pack(padding.width, first, panels)
                });
            }
            let threads = if len <= GRAIN { 1 } else { rayon::current_num_threads() };
            match &mut out {
                ValuesMut::Full(out) => self.rows((padding, panels), tiles, out, x, left).share(threads),
                _ => {
                    let parts = threads.min((len / n).div_ceil(ROWS));
                    scratch::with(parts * BLOCK * n, |buffers: &mut [E]| {
                        self.by_blocks((padding, panels), (tiles, buffers), out, x, left, parts);
                    });
                }
            }
        });
    }

    fn rows<'a>(
        &self,
        (padding, panels): (Padding, &'a [E]),
        tiles: &'a mut [E],
        out: &'a mut [E],
        x: Values<'a, E>,
        left: &'a [E],
    ) -> Rows<'a, E> {
        let Self { beta, alpha, n, k, .. } = *self;
        Rows { beta, alpha, panels, padding, n, k, out, x, left, tiles }
    }

    /// A few rows of `out` at a time in full width, on `threads` threads with `BLOCK` rows of `buffers` each.
    fn by_blocks(
        &self,
        (padding, panels): (Padding, &[E]),
        (tiles, buffers): (&mut [E], &mut [E]),
        out: ValuesMut<'_, E>,
        x: Values<'_, E>,
        left: &[E],
        threads: usize,
    ) {
        let (n, k) = (self.n, self.k);
        let rows = x.len() / n;
        let at = (rows / 2).next_multiple_of(ROWS);
        if threads > 1 && at < rows {
            let ((out0, out1), (x0, x1)) = (out.split(at * n), x.split(at * n));
            let (left0, left1) = left.split_at(at * k);
            let (tiles0, tiles1) = tiles.split_at_mut(at * k);
            let (buffers0, buffers1) = buffers.split_at_mut(threads / 2 * BLOCK * n);
            rayon::join(
                || self.by_blocks((padding, panels), (tiles0, buffers0), out0, x0, left0, threads / 2),
                || {
                    self.by_blocks(
                        (padding, panels),
                        (tiles1, buffers1),
                        out1,
                        x1,
                        left1,
                        threads - threads / 2,
                    )
                },
            );
            return;
        }
        let (mut out, mut x, mut left) = (out, x, left);
        while x.len() > 0 {
            let at = BLOCK.min(x.len() / n);
            let (mut block, rest) = out.split(at * n);
            let ((block_x, rest_x), (block_left, rest_left)) = (x.split(at * n), left.split_at(at * k));
            let tiles = &mut tiles[..at * k];
            block.full_in(buffers, |out| {
                self.rows((padding, panels), tiles, out, block_x, block_left).share(1);
            });
            (out, x, left) = (rest, rest_x, rest_left);
        }
    }

    /// R^T by panels, from panel `first`: for every `width` of its columns k rows of `width`, the last panel filled
    /// up with zeros.
    fn pack(&self, width: usize, first: usize, panels: &mut [E]) {
        for (panel, values) in panels.chunks_exact_mut(self.k * width).enumerate() {
            let first = (first + panel) * width;
            let filled = width.min(self.n - first);
            if filled < width {
                values.fill(E::zero());
            }
            for (c, right) in self.right[first * self.k..][..filled * self.k].chunks_exact(self.k).enumerate()
            {
                for (values, right) in values.chunks_exact_mut(width).zip(right) {
                    values[c] = *right;
                }
            }
        }
    }
}

/// Some rows of `out`.
struct Rows<'a, E> {
    beta: Option<E>,
    alpha: E,
    panels: &'a [E],
    padding: Padding,
    n: usize,
    k: usize,
    out: &'a mut [E],
    x: Values<'a, E>,
    left: &'a [E],
    /// `left` for the tiles: the columns of a tile's rows, one after the other.
    tiles: &'a mut [E],
}

impl<E: FaerElement> Rows<'_, E> {
    /// Halves the threads and the rows until one is left.
    fn share(self, threads: usize) {
        let rows = self.out.len() / self.n;
        let at = (rows / 2).next_multiple_of(ROWS);
        if threads == 1 || at >= rows {
            return tile::run(self.padding.vectors, self);
        }
        let (out0, out1) = self.out.split_at_mut(at * self.n);
        let ((x0, x1), (left0, left1)) = (self.x.split(at * self.n), self.left.split_at(at * self.k));
        let (tiles0, tiles1) = self.tiles.split_at_mut(at * self.k);
        let a = Rows { out: out0, x: x0, left: left0, tiles: tiles0, ..self };
        let b = Rows { out: out1, x: x1, left: left1, tiles: tiles1, ..self };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// The rows from `i`, the columns from `j`, in one panel; `next`: rows and columns of the tile after it.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        prefetch: Prefetch,
        (i, j): (usize, usize),
        (next_i, next_j): (usize, usize),
    ) {
        let (n, k, width) = (self.n, self.k, self.padding.width);
        let panel = &self.panels[j * k..][..width * k];
        let ((x, x_size), out) = (self.x.place(), &*self.out);
        let (left, _) = self.tiles[i * k..(i + R) * k].as_chunks::<R>();
        let a = |run: Range<usize>| {
            let left = &left[run];
            move |t: usize, r: usize| left[t][r]
        };
        let (b, _) = E::vectors::<S>(panel).as_chunks::<V>();
        // All lines of a row of the next tile, spread over the runs.
        let lines = (width / line::<E>()).max(1);
        let lines_per_run = lines.div_ceil(k.div_ceil(RUN).max(1));
        let ahead = |c: usize| {
            for c in c * lines_per_run..lines.min((c + 1) * lines_per_run) {
                for r in 0..R {
                    let at = (next_i + r) * n + next_j + c * line::<E>();
                    prefetch.near_byte(x, at * x_size);
                    prefetch.near(out, at);
                }
            }
        };
        let sum = tile::<E, S, R, V, _>(simd, b, a, ahead);
        if j + width > n {
            return self.end_of_rows::<S, R, V>((i, j), sum);
        }
        let (plus, minus) = (E::splat(simd, self.alpha), E::splat(simd, -self.alpha));
        let beta = self.beta.map(|beta| E::splat(simd, beta));
        // By reference: moving the sums would first store them.
        for (r, sum) in sum.iter().enumerate() {
            let at = (i + r) * n + j;
            let mut buffer = [E::zero(); MOST];
            let x = &E::vectors::<S>(wide(self.x, at..at + width, &mut buffer))[..V];
            let out = &mut E::vectors_mut::<S>(&mut self.out[at..at + width])[..V];
            for v in 0..V {
                let mut value = E::times(simd, minus, sum[v]);
                value = E::fma(simd, plus, x[v], value);
                if let Some(beta) = beta {
                    value = E::fma(simd, beta, out[v], value);
                }
                out[v] = value;
            }
        }
    }

    /// The columns from `j`, fewer than a panel has: the same sums, but `alpha (x - sum)` and `beta out` rounded one by one, where a
    /// whole panel fuses them. So the last bits depend on the column, though not on the number of threads.
    #[inline(always)]
    fn end_of_rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        (i, j): (usize, usize),
        sum: [[E::Vector<S>; V]; R],
    ) {
        for (r, sum) in sum.into_iter().enumerate() {
            let mut rest = [E::zero(); MOST];
            E::vectors_mut::<S>(&mut rest)[..V].copy_from_slice(&sum);
            let range = (i + r) * self.n + j..(i + r + 1) * self.n;
            let mut buffer = [E::zero(); MOST];
            let (x, out) = (wide(self.x, range.clone(), &mut buffer), &mut self.out[range]);
            for ((out, x), sum) in out.iter_mut().zip(x).zip(rest) {
                let old = self.beta.map_or(E::zero(), |beta| beta * *out);
                *out = old + self.alpha * (*x - sum);
            }
        }
    }
}

/// A few of the values in full width, by the caller's instruction set.
#[inline(always)]
fn wide<'b, E: FaerElement>(x: Values<'b, E>, range: Range<usize>, buffer: &'b mut [E; MOST]) -> &'b [E] {
    let len = range.end - range.start;
    match x {
        Values::Full(x) => return &x[range],
        Values::Bf16(x) => buffer.iter_mut().zip(&x[range]).for_each(|(wide, x)| *wide = E::of_bf16(*x)),
        Values::F16(x) => E::widen_f16(&x[range], &mut buffer[..len]),
    }
    &buffer[..len]
}

impl<E: FaerElement> Tiled for Rows<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let rows = self.out.len() / self.n;
        let whole = rows - rows % R;
        let prefetch = Prefetch::new();
        let width = self.padding.width;
        let ahead = width * STEPS_AHEAD.div_ceil(self.k.max(1));
        if self.k > 0 {
            let (tiles, rest) = self.tiles.split_at_mut(whole * self.k);
            let (left, left_rest) = self.left.split_at(whole * self.k);
            for (tile, left) in tiles.chunks_exact_mut(R * self.k).zip(left.chunks_exact(R * self.k)) {
                let (tile, _) = tile.as_chunks_mut::<R>();
                for (r, left) in left.chunks_exact(self.k).enumerate() {
                    tile.iter_mut().zip(left).for_each(|(tile, left)| tile[r] = *left);
                }
            }
            rest.copy_from_slice(left_rest);
        }
        for first in (0..self.n).step_by(COLS) {
            let end = self.n.min(first + COLS);
            for i in (0..whole).step_by(R) {
                for j in (first..end).step_by(width) {
                    let next =
                        if j + ahead < end { (i, j + ahead) } else { (i + R, first + j + ahead - end) };
                    self.tile::<S, R, V>(simd, prefetch, (i, j), next);
                }
            }
            for i in whole..rows {
                for j in (first..end).step_by(width) {
                    self.tile::<S, 1, V>(simd, prefetch, (i, j), (i, j + ahead));
                }
            }
        }
    }
}
