//! Products `A^T B` with a large row-major `A` and a narrow `B`: the second half of the power iteration.
//!
//! A library would pack `A` down its columns, four entries of a cache line at a time; here a few columns of a block of rows are
//! copied as they lie, whole lines, and multiplied from the first cache. Read in place, rows a multiple of 4 KiB apart would throw
//! each other out of it at every step. (4096 x 14336, k = 61, two cores of a Xeon: 40 to 48 ms, in place 56 to 68; the copies change no
//! bit.) Their memory is asked for into the second cache: requests into the first fill its few places for misses. The rows of the
//! result that come next are asked for into the first. (Two cores of an AMD EPYC without AVX-512: 46 ms, without asking 53.)

use super::FaerElement;
use super::parallel::for_each_rows;
use super::scratch;
use super::simd::Prefetch;
use super::storage::Values;
use super::tile::{self, MOST, Padding, ROWS, RUN, Tiled, add, line, tile};
use core::ops::Range;
use pulp::Simd;

/// Rows whose products are summed in registers before they are added to `Z`: so many rows of `P` fit the first
/// cache. A multiple of [`ROWS`].
const BLOCK: usize = 96;

/// So many copies ahead memory is asked for.
const AHEAD: usize = 2;

/// Whether that pays for an m x n result and inner dimension l.
pub(super) fn pays(m: usize, n: usize, l: usize) -> bool {
    (2..=512).contains(&n) && 4 * n <= l && 64 <= m && 1 << 18 <= m * n * l
}

/// `out = beta out + alpha A^T B` for `A` l x m and `B` l x n, row-major.
pub(super) fn product<E: FaerElement>(
    out: &mut [E],
    beta: Option<E>,
    alpha: E,
    a: Values<'_, E>,
    b: &[E],
    n: usize,
) {
    let (m, l) = (out.len() / n, b.len() / n);
    let padding = Padding::new::<E>(n);
    scratch::with((m + l) * padding.stride, |buffer: &mut [E]| {
        let (sum, p) = buffer.split_at_mut(m * padding.stride);
        padding.pad(b, p);
        let z = Backward { alpha, padding, m: a, cols: m, p, first: 0, z: sum };
        z.share(rayon::current_num_threads());
        for_each_rows(out, n, &|first, out: &mut [E]| {
            let sums = sum[first * padding.stride..].chunks_exact(padding.stride);
            for (out, sum) in out.chunks_exact_mut(n).zip(sums) {
                match beta {
                    Some(beta) => out.iter_mut().zip(sum).for_each(|(out, sum)| *out = beta * *out + *sum),
                    None => out.copy_from_slice(&sum[..n]),
                }
            }
        });
    });
}

/// `Z (+)= alpha M^T P`, for some rows of Z.
struct Backward<'a, E> {
    alpha: E,
    padding: Padding,
    /// With `cols` columns.
    m: Values<'a, E>,
    cols: usize,
    /// Padded, by groups of columns.
    p: &'a [E],
    /// The column of M that is the first row of `z`.
    first: usize,
    /// Padded.
    z: &'a mut [E],
}

impl<E: FaerElement> Backward<'_, E> {
    /// Columns of M that are copied together: three cache lines, a multiple of every tile's columns.
    const COLUMNS: usize = 3 * line::<E>();

    /// Halves the threads and the columns until one is left.
    fn share(self, threads: usize) {
        let cols = self.z.len() / self.padding.stride;
        let at = (cols / 2).next_multiple_of(8 * ROWS);
        if threads == 1 || at >= cols {
            return tile::run(self.padding.vectors, self);
        }
        let (z0, z1) = self.z.split_at_mut(at * self.padding.stride);
        let a = Backward { z: z0, ..self };
        let b = Backward { z: z1, first: self.first + at, ..self };
        rayon::join(|| a.share(threads / 2), || b.share(threads - threads / 2));
    }

    /// Copies the columns from `j` of `rows` rows of M from `i`, close together: where they lie, a large power of two apart, each row
    /// would take the place of another in the first cache.
    #[inline(always)]
    fn copy(&self, (i, rows): (usize, usize), j: usize, columns: &mut [E]) -> usize {
        let width = Self::COLUMNS.min(self.z.len() / self.padding.stride - j);
        let copies = columns.chunks_exact_mut(Self::COLUMNS).take(rows);
        for (t, copy) in copies.enumerate() {
            let at = (i + t) * self.cols + self.first + j;
            let copy = &mut copy[..width];
            match self.m {
                Values::Full(m) => copy_row(copy, &m[at..at + width]),
                Values::Bf16(m) => {
                    copy.iter_mut().zip(&m[at..at + width]).for_each(|(copy, m)| *copy = E::of_bf16(*m));
                }
                Values::F16(m) => E::widen_f16(&m[at..at + width], copy),
            }
        }
        width
    }

    /// `R` rows of `z` from `j`, from the columns from `c` of the copy of `rows` rows of M from `i`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        (columns, c): (&[E], usize),
        (i, rows): (usize, usize),
        j: usize,
        prefetch: Prefetch,
        ahead: impl Fn(usize),
    ) {
        let Padding { width, stride, .. } = self.padding;
        let all_rows = self.p.len() / stride;
        let columns = &columns[..rows * Self::COLUMNS];
        for group in 0..stride / width {
            let p = &self.p[(group * all_rows + i) * width..][..rows * width];
            let (p, _) = E::vectors::<S>(p).as_chunks::<V>();
            let a = |run: Range<usize>| {
                let columns = &columns[run.start * Self::COLUMNS + c..];
                let columns = &columns[..(run.len() - 1) * Self::COLUMNS + R];
                move |t: usize, r: usize| columns[t * Self::COLUMNS + r]
            };
            let (z, next) = (&*self.z, (j + c + R) * stride + group * width);
            let both = |run: usize| {
                if run < R {
                    for at in (0..width).step_by(line::<E>()) {
                        prefetch.near(z, next + run * stride + at);
                    }
                }
                if group == 0 {
                    ahead(run);
                }
            };
            let sum = tile::<E, S, R, V, _>(simd, p, a, both);
            for (r, sum) in sum.iter().enumerate() {
                let z = &mut self.z[(j + c + r) * stride + group * width..][..width];
                add::<E, S, V>(simd, z, self.alpha, *sum, i > 0);
            }
        }
    }
}

/// A copy through registers where there are as many as `Backward::COLUMNS` of either type: all is read before any of it is written
/// (4096 x 4096, k = 61: 13.4 ms; by eight at a time 14.5), and a slice would be a call for every row.
#[inline(always)]
fn copy_row<E: FaerElement>(copy: &mut [E], x: &[E]) {
    #[inline(always)]
    fn whole<E: Copy, const N: usize>(copy: &mut [E], x: &[E]) {
        match (copy.first_chunk_mut::<N>(), x.first_chunk()) {
            (Some(copy), Some(x)) => *copy = *x,
            _ => copy.copy_from_slice(x),
        }
    }
    match copy.len() {
        48 => whole::<E, 48>(copy, x),
        24 => whole::<E, 24>(copy, x),
        _ => copy.copy_from_slice(x),
    }
}

/// The copied columns, from the start of a cache line.
#[repr(align(64))]
struct Columns<E>([E; BLOCK * MOST]);

impl<E: FaerElement> Tiled for Backward<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let prefetch = Prefetch::new();
        let stride = self.padding.stride;
        let (rows, cols) = (self.p.len() / stride, self.z.len() / stride);
        let ((m, size), m_cols) = (self.m.place(), self.cols);
        let mut columns = Columns([E::zero(); BLOCK * MOST]);
        for i in (0..rows).step_by(BLOCK) {
            let block = (i, BLOCK.min(rows - i));
            for j in (0..cols).step_by(Self::COLUMNS) {
                let width = self.copy(block, j, &mut columns.0);
                // The columns after the next ones, at the end of the rows the first ones of the next rows.
                let (row, column) = if j + AHEAD * Self::COLUMNS < cols {
                    (i, j + AHEAD * Self::COLUMNS)
                } else {
                    (i + BLOCK, j + AHEAD * Self::COLUMNS - cols)
                };
                let next = row * self.cols + self.first + column;
                let whole = width - width % R;
                for c in (0..whole).step_by(R) {
                    // Every tile asks for its share of the rows.
                    let row = c * BLOCK / Self::COLUMNS;
                    let per_run = R * RUN / Self::COLUMNS;
                    let ahead = |run: usize| {
                        for t in row + run * per_run..row + (run + 1) * per_run {
                            for line in 0..3 {
                                prefetch.far(m, (next + t * m_cols) * size + 64 * line);
                            }
                        }
                    };
                    self.rows::<S, R, V>(simd, (&columns.0, c), block, j, prefetch, ahead);
                }
                for c in whole..width {
                    self.rows::<S, 1, V>(simd, (&columns.0, c), block, j, prefetch, |_| ());
                }
            }
        }
    }
}
