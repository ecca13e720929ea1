//! The first half of the power iteration in one pass over `M`: momentum, `||M||^2` and `P = alpha M V`.
//!
//! A block of `M` at a time is updated and copied into one piece of memory, then multiplied by a few columns of `V` after the other, of
//! which so many rows are taken at once as stay in the first cache. In the copy all rows are a known distance apart: of rows where they
//! lie, each has an address of its own, for which an AVX2 machine has no registers left. (4096 x 14336, k = 61, with its update, two
//! cores of an AMD EPYC without AVX-512: 61 ms, from where they lie 80; the product alone by faer 41, the update alone 14. Not measured
//! with AVX-512.) Every sum runs in an order that depends on the shapes only, so that the bits do not depend on the number of threads.

use super::FaerElement;
use super::elementwise::map1_loop;
use super::parallel::Split;
use super::reduce::{LANES, add_squares};
use super::scratch;
use super::simd::{Prefetch, vectorized};
use super::storage::{Values, ValuesMut};
use super::tile::{self, Padding, ROWS, RUN, Tiled, add, line, tile};
use core::ops::Range;
use pulp::Simd;

/// Rows of a block, a multiple of every tile's rows. Threads get whole blocks.
const BLOCK: usize = 2 * ROWS;

/// Columns of a block. (256 are 5 % slower in all: short pieces of a row; 1024 no faster.)
const COLS: usize = 512;

/// Bytes of V that a part of a block is multiplied by: with the rows of M beside them they fit the first cache, but for a few.
const PART: usize = 1 << 15;

/// Entries below which a thread would mostly wake up and go back to sleep.
const ENTRIES: usize = 1 << 16;

/// The widest V: beyond, the product is left to faer. (Where the better border lies has not been measured.)
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
    scratch::with(threads * BLOCK * COLS + (n + rows) * padding.stride, |buffer: &mut [E]| {
        scratch::with(rows.div_ceil(BLOCK), |squares: &mut [f64]| {
            let (wide, buffer) = buffer.split_at_mut(threads * BLOCK * COLS);
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
    /// For each thread a block of M, in full width.
    wide: &'a mut [E],
    /// Padded.
    p: &'a mut [E],
    /// Of each block of rows.
    squares: &'a mut [f64],
}

impl<E: FaerElement> Forward<'_, E> {
    /// Halves the threads and the rows until one is left.
    fn share(self, threads: usize) {
        let Self { alpha, padding, v, update, m, wide, p, squares } = self;
        let (rows, n) = (p.len() / padding.stride, v.len() / padding.stride);
        let at = (rows / 2).next_multiple_of(BLOCK);
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
        let (squares0, squares1) = squares.split_at_mut(at / BLOCK);
        let a = Forward { alpha, padding, v, update: update0, m: m0, wide: wide0, p: p0, squares: squares0 };
        let b = Forward { alpha, padding, v, update: update1, m: m1, wide: wide1, p: p1, squares: squares1 };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// The new M in `height` rows from `i` and `width` columns from `j`, and a copy of it.
    #[inline(always)]
    fn update(&mut self, (i, height): (usize, usize), (j, width): (usize, usize)) {
        let n = self.v.len() / self.padding.stride;
        let (wide, _) = self.wide.as_chunks_mut::<COLS>();
        let mut squares = [0.0; LANES];
        for (r, wide) in wide[..height].iter_mut().enumerate() {
            let (range, wide) = ((i + r) * n + j..(i + r) * n + j + width, &mut wide[..width]);
            match (&mut self.m, self.update) {
                (ValuesMut::Full(m), Some(Update { mu, scale, gradient: Values::Full(g) })) => {
                    update(&mut m[range.clone()], mu, scale, &g[range], wide)
                }
                (ValuesMut::Full(m), Some(Update { mu, scale, gradient })) => {
                    widen_and_update(&mut m[range.clone()], mu, scale, gradient.range(range), wide)
                }
                (ValuesMut::Full(m), None) => wide.copy_from_slice(&m[range]),
                (m, by) => {
                    let by = by.map(|by| Update { gradient: by.gradient.range(range.clone()), ..by });
                    update_narrow(m.reborrow().range(range), by, wide)
                }
            }
            add_squares(&mut squares, wide);
        }
        self.squares[i / BLOCK] += squares.iter().sum::<f64>();
    }

    /// `R` rows of P from `i + r`: adds the part's columns of the block times a group of V's. Meanwhile it asks for a share of those
    /// rows of the next block.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        (simd, prefetch): (S, Prefetch),
        (i, r): (usize, usize),
        part: &Part,
    ) {
        let Padding { width: tile_width, stride, .. } = self.padding;
        let n = self.v.len() / stride;
        // By runs: then one comparison tells that a run lies within the block.
        let (runs, _) = self.wide.as_chunks::<RUN>();
        let Some(rows) = runs.as_chunks::<{ COLS / RUN }>().0[r..].first_chunk::<R>() else {
            unreachable!("a block holds whole tiles")
        };
        let a = |run: Range<usize>| {
            let c = (part.first + run.start) / RUN;
            move |t: usize, r: usize| rows[r][c][t]
        };
        let first = part.group * n + part.j + part.first;
        let (v, _) =
            E::vectors::<S>(&self.v[first * tile_width..][..part.width * tile_width]).as_chunks::<V>();
        let per_run = (part.lines * R).div_ceil(part.width / RUN + 1);
        let ((m, size_m), next) = (self.m.shared().place(), part.next + r * n);
        let (g, size_g) = self.update.map_or((m, size_m), |update| update.gradient.place());
        let ahead = |c: usize| {
            for at in c * per_run..(part.lines * R).min((c + 1) * per_run) {
                let at = next + at % R * n + (part.first_line + at / R) * line::<E>();
                prefetch.far(m, at * size_m);
                prefetch.far(g, at * size_g);
            }
        };
        let sum = tile::<E, S, R, V, _>(simd, v, a, ahead);
        for (s, sum) in sum.iter().enumerate() {
            let p = &mut self.p[(i + r + s) * stride + part.group * tile_width..][..tile_width];
            add::<E, S, V>(simd, p, self.alpha, *sum, part.j + part.first > 0);
        }
    }
}

/// Columns of a block for one group of V's columns.
struct Part {
    group: usize,
    /// The block's first column, and the part's in the block.
    j: usize,
    first: usize,
    width: usize,
    /// Where the next block begins, and which cache lines of its rows are asked for.
    next: usize,
    first_line: usize,
    lines: usize,
}

/// `m = mu m + scale g`, the same in `wide`.
#[inline(always)]
fn update<E: FaerElement>(m: &mut [E], mu: Option<E>, scale: E, g: &[E], wide: &mut [E]) {
    let operands = m.iter_mut().zip(g).zip(&mut *wide);
    match mu {
        Some(mu) => operands.for_each(|((m, g), wide)| {
            *wide = mu * *m + scale * *g;
            *m = *wide;
        }),
        None => operands.for_each(|((m, g), wide)| {
            *wide = scale * *g;
            *m = *wide;
        }),
    }
}

/// [`update`] by a gradient kept in 16 bits. Not part of the loop over rows, which it would slow down for every gradient.
#[inline(never)]
fn widen_and_update<E: FaerElement>(m: &mut [E], mu: Option<E>, scale: E, g: Values<'_, E>, wide: &mut [E]) {
    let mut buffer = [E::zero(); COLS];
    let g = g.widened(&mut buffer);
    vectorized(
        #[inline(always)]
        || update(m, mu, scale, g, wide),
    );
}

/// [`update`] of an M kept in 16 bits: `wide` becomes what it is once rounded.
#[inline(never)]
fn update_narrow<E: FaerElement>(m: ValuesMut<'_, E>, by: Option<Update<'_, E>>, wide: &mut [E]) {
    let (mut m, mut buffer) = (m, [E::zero(); COLS]);
    m.shared().widened(wide);
    if let Some(Update { mu, scale, gradient }) = by {
        let g = gradient.widened(&mut buffer);
        vectorized(
            #[inline(always)]
            || map1_loop(wide, mu, scale, g, &|g| g),
        );
        m.round(wide);
        m.shared().widened(wide);
    }
}

impl<E: FaerElement> Tiled for Forward<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let with = (simd, Prefetch::new());
        let Padding { width, stride, .. } = self.padding;
        let (rows, n, groups) = (self.p.len() / stride, self.v.len() / stride, stride / width);
        // Parts whose rows of V fit the first cache, as even as runs allow.
        let parts = (COLS * width * size_of::<E>()).div_ceil(PART);
        let wide = COLS.div_ceil(parts).next_multiple_of(RUN);
        let lines = const { COLS / line::<E>() }.div_ceil(groups * parts);
        let parts = |group: usize| (0..parts).map(move |part| (group, part * wide));
        for i in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - i);
            let whole = height - height % R;
            for j in (0..n).step_by(COLS) {
                let cols = COLS.min(n - j);
                self.update((i, height), (j, cols));
                let next = if j + COLS < n { i * n + j + COLS } else { (i + BLOCK) * n };
                for (share, (group, first)) in (0..groups).flat_map(parts).enumerate() {
                    if first >= cols {
                        continue;
                    }
                    let (width, first_line) = (wide.min(cols - first), share * lines);
                    let part = Part { group, j, first, width, next, first_line, lines };
                    for r in (0..whole).step_by(R) {
                        self.rows::<S, R, V>(with, (i, r), &part);
                    }
                    for r in whole..height {
                        self.rows::<S, 1, V>(with, (i, r), &part);
                    }
                }
            }
        }
    }
}
