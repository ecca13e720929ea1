//! The first half of the power iteration in one pass over `M`: momentum, `||M||^2` and `P = alpha M V`.
//!
//! A few rows at a time are updated, a panel of columns wide, and multiplied while they are in the cache; the panel of
//! `V` stays there for all rows. (4096 x 14336, k = 61, two cores: 20 ms; its parts one after the other 27 ms. Doing the
//! second half `M^T P` in the same pass as well, by blocks of rows that fit the shared cache, gains nothing more: both
//! halves wait for the multipliers.) Every sum runs in an order that depends on the shapes only, so that the bits do not
//! depend on the number of threads.

use super::FaerElement;
use super::elementwise::map1_loop;
use super::parallel::Split;
use super::reduce::dot_loop;
use super::scratch;
use super::simd::{Prefetch, vectorized};
use super::storage::{Values, ValuesMut};
use super::tile::{self, Padding, ROWS, RUN, Tiled, add, line, tile};
use pulp::Simd;

/// Bytes of V in one panel: half of a core's own cache of 1 MiB.
const PANEL: usize = 1 << 19;

/// The most columns of a panel: of a narrow V more would fit, but not the rows of M and G beside them.
const COLS: usize = 2048;

/// The most rows of a tile here.
const MOST_ROWS: usize = 8;

/// Entries below which a thread would mostly wake up and go back to sleep.
const ENTRIES: usize = 1 << 16;

/// The widest V: of more columns a panel would leave the cache.
const WIDEST: usize = 192;

/// Whether the pass is for a V with k columns.
pub(super) fn pays(k: usize) -> bool {
    (1..=WIDEST).contains(&k)
}

/// `M = mu M + scale G`; `mu = None` does not read M.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a, E> {
    pub(super) mu: Option<E>,
    pub(super) scale: E,
    pub(super) gradient: Values<'a, E>,
}

/// `M`, m x n, is updated; then `P = alpha M V`, m x k, for `V` n x k; nothing empty. Returns `||M||_F^2`.
pub(super) fn pass<E: FaerElement>(
    alpha: E,
    m: ValuesMut<'_, E>,
    update: Option<Update<'_, E>>,
    v: &[E],
    p: &mut [E],
    k: usize,
) -> f64 {
    let (rows, n) = (p.len() / k, v.len() / k);
    let padding = Padding::new::<E>(k);
    let threads = rayon::current_num_threads().min(m.len() / ENTRIES).max(1);
    let wide = if matches!(m, ValuesMut::Full(_)) { 0 } else { threads * MOST_ROWS * COLS };
    scratch::with((n + rows) * padding.stride + wide, |buffer: &mut [E]| {
        scratch::with(rows, |squares: &mut [f64]| {
            let (wide, buffer) = buffer.split_at_mut(wide);
            let (padded_v, padded_p) = buffer.split_at_mut(n * padding.stride);
            padding.pad(v, padded_v);
            squares.fill(0.0);
            let forward = Forward { alpha, padding, v: padded_v, update, m, wide, p: padded_p, squares };
            forward.share(threads);
            for (p, padded) in p.chunks_exact_mut(k).zip(padded_p.chunks_exact(padding.stride)) {
                p.copy_from_slice(&padded[..k]);
            }
            squares.iter().sum()
        })
    })
}

/// Some rows.
struct Forward<'a, E> {
    alpha: E,
    padding: Padding,
    /// Padded, by groups of columns.
    v: &'a [E],
    update: Option<Update<'a, E>>,
    m: ValuesMut<'a, E>,
    /// A few rows of a panel of an M that is kept in 16 bits, in full width: `MOST_ROWS` times `COLS` for each thread.
    wide: &'a mut [E],
    /// Padded.
    p: &'a mut [E],
    /// Of each row.
    squares: &'a mut [f64],
}

impl<E: FaerElement> Forward<'_, E> {
    /// Halves the threads and the rows until one is left.
    fn share(self, threads: usize) {
        let Self { alpha, padding, v, update, m, wide, p, squares } = self;
        let (rows, n) = (squares.len(), v.len() / padding.stride);
        let at = (rows / 2).next_multiple_of(ROWS);
        if threads == 1 || at >= rows {
            let all = Forward { alpha, padding, v, update, m, wide, p, squares };
            return tile::run(padding.vectors, all);
        }
        let gradients = update.map(|u| u.gradient.split(at * n));
        let update0 = update.zip(gradients).map(|(u, (gradient, _))| Update { gradient, ..u });
        let update1 = update.zip(gradients).map(|(u, (_, gradient))| Update { gradient, ..u });
        let (m0, m1) = m.split(at * n);
        let (wide0, wide1) = wide.split_at_mut(wide.len() / threads * (threads / 2));
        let (p0, p1) = p.split_at_mut(at * padding.stride);
        let (squares0, squares1) = squares.split_at_mut(at);
        let a = Forward { alpha, padding, v, update: update0, m: m0, wide: wide0, p: p0, squares: squares0 };
        let b = Forward { alpha, padding, v, update: update1, m: m1, wide: wide1, p: p1, squares: squares1 };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// The rows from `i`, `width` columns from `j`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        prefetch: Prefetch,
        i: usize,
        (j, width): (usize, usize),
    ) {
        let Padding { width: tile_width, stride, .. } = self.padding;
        let n = self.v.len() / stride;
        for r in 0..R {
            let range = (i + r) * n + j..(i + r) * n + j + width;
            self.squares[i + r] += match (&mut self.m, self.update) {
                (ValuesMut::Full(m), Some(Update { mu, scale, gradient: Values::Full(g) })) => {
                    update(&mut m[range.clone()], mu, scale, &g[range])
                }
                (ValuesMut::Full(m), Some(Update { mu, scale, gradient })) => {
                    widen_and_update(&mut m[range.clone()], mu, scale, gradient.range(range))
                }
                (ValuesMut::Full(m), None) => dot_loop(&m[range.clone()], &m[range]),
                (m, by) => {
                    let by = by.map(|by| Update { gradient: by.gradient.range(range.clone()), ..by });
                    update_narrow(m.reborrow().range(range), by, &mut self.wide[r * COLS..][..width])
                }
            };
        }
        let rows: [&[E]; R] = core::array::from_fn(|r| match &self.m {
            ValuesMut::Full(m) => &m[(i + r) * n + j..][..width],
            _ => &self.wide[r * COLS..][..width],
        });
        let a = |t: usize, r: usize| rows[r][t];
        // The same columns of the next rows.
        let next = (i + R) * n + j;
        let (next_m, size_m) = self.m.shared().place();
        let (next_g, size_g) = self.update.map_or((next_m, size_m), |update| update.gradient.place());
        let ahead = |c: usize| {
            if c.is_multiple_of((line::<E>() / RUN).max(1)) {
                for r in 0..R {
                    prefetch.far(next_m, (next + r * n + c * RUN) * size_m);
                    prefetch.far(next_g, (next + r * n + c * RUN) * size_g);
                }
            }
        };
        for group in 0..stride / tile_width {
            let v = &self.v[(group * n + j) * tile_width..][..width * tile_width];
            let (v, _) = E::vectors::<S>(v).as_chunks::<V>();
            let sum = if group == 0 {
                tile::<E, S, R, V>(simd, v, a, ahead)
            } else {
                tile::<E, S, R, V>(simd, v, a, |_| ())
            };
            for (r, sum) in sum.iter().enumerate() {
                let p = &mut self.p[(i + r) * stride + group * tile_width..][..tile_width];
                add::<E, S, V>(simd, p, self.alpha, *sum, j > 0);
            }
        }
    }
}

/// Entries whose momentum stays in the first cache.
const PIECE: usize = 512;

/// `m = mu m + scale g` and the sum of the new squares.
#[inline(always)]
fn update<E: FaerElement>(m: &mut [E], mu: Option<E>, scale: E, g: &[E]) -> f64 {
    let mut sum = 0.0;
    for (m, g) in m.chunks_mut(PIECE).zip(g.chunks(PIECE)) {
        map1_loop(m, mu, scale, g, &|g| g);
        sum += dot_loop(m, m);
    }
    sum
}

/// [`update`] by a gradient kept in 16 bits. Not part of the loop over rows, which it would slow down for every gradient.
#[inline(never)]
fn widen_and_update<E: FaerElement>(m: &mut [E], mu: Option<E>, scale: E, g: Values<'_, E>) -> f64 {
    let (mut sum, mut buffer) = (0.0, [E::zero(); PIECE]);
    for (i, m) in m.chunks_mut(PIECE).enumerate() {
        let g = g.range(i * PIECE..i * PIECE + m.len()).widened(&mut buffer);
        sum += vectorized(
            #[inline(always)]
            || update(m, mu, scale, g),
        );
    }
    sum
}

/// [`update`] of an M kept in 16 bits: `wide` becomes what it is once rounded.
#[inline(never)]
fn update_narrow<E: FaerElement>(m: ValuesMut<'_, E>, by: Option<Update<'_, E>>, wide: &mut [E]) -> f64 {
    let (mut m, mut sum, mut buffer) = (m, 0.0, [E::zero(); PIECE]);
    for (i, wide) in wide.chunks_mut(PIECE).enumerate() {
        let range = i * PIECE..i * PIECE + wide.len();
        let mut m = m.reborrow().range(range.clone());
        m.shared().widened(wide);
        if let Some(Update { mu, scale, gradient }) = by {
            let g = gradient.range(range).widened(&mut buffer);
            vectorized(
                #[inline(always)]
                || map1_loop(wide, mu, scale, g, &|g| g),
            );
            m.round(wide);
            m.shared().widened(wide);
        }
        sum += vectorized(
            #[inline(always)]
            || dot_loop(wide, wide),
        );
    }
    sum
}

impl<E: FaerElement> Forward<'_, E> {
    /// All rows, `R` at a time.
    #[inline(always)]
    fn all<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let prefetch = Prefetch::new();
        let (rows, n) = (self.squares.len(), self.v.len() / self.padding.stride);
        let whole = rows - rows % R;
        let panel = (PANEL / (self.padding.stride * size_of::<E>())).next_multiple_of(line::<E>()).min(COLS);
        for j in (0..n).step_by(panel) {
            let columns = (j, panel.min(n - j));
            for i in (0..whole).step_by(R) {
                self.rows::<S, R, V>(simd, prefetch, i, columns);
            }
            for i in whole..rows {
                self.rows::<S, 1, V>(simd, prefetch, i, columns);
            }
        }
    }
}

impl<E: FaerElement> Tiled for Forward<'_, E> {
    /// Every row has an address of its own: of more than six or eight some would be kept in memory.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        match (R, V) {
            (12, 1) => self.all::<S, MOST_ROWS, V>(simd),
            (12, _) => self.all::<S, 6, V>(simd),
            _ => self.all::<S, R, V>(simd),
        }
    }
}
