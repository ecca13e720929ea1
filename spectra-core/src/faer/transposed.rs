//! Products `A^T B` with a large row-major `A` and a narrow `B`: the second half of the power iteration.
//!
//! A library would pack `A` down its columns, four entries of a cache line at a time; here it is read where it lies.

use super::FaerElement;
use super::parallel::for_each_rows;
use super::scratch;
use super::simd::Prefetch;
use super::tile::{self, Padding, ROWS, RUN, Tiled, add, tile};
use pulp::Simd;

/// Rows whose products are summed in registers before they are added to `Z`: so many rows of `P` fit the first
/// cache. A multiple of [`ROWS`].
const BLOCK: usize = 96;

/// So many columns ahead memory is asked for.
const AHEAD: usize = 24;

/// Whether that pays for an m x n result and inner dimension l.
pub(super) fn pays(m: usize, n: usize, l: usize) -> bool {
    (2..=512).contains(&n) && 4 * n <= l && 64 <= m && 1 << 18 <= m * n * l
}

/// `out = beta out + alpha A^T B` for `A` l x m and `B` l x n, row-major.
pub(super) fn product<E: FaerElement>(out: &mut [E], beta: Option<E>, alpha: E, a: &[E], b: &[E], n: usize) {
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
    m: &'a [E],
    cols: usize,
    /// Padded, by groups of columns.
    p: &'a [E],
    /// The column of M that is the first row of `z`.
    first: usize,
    /// Padded.
    z: &'a mut [E],
}

impl<E: FaerElement> Backward<'_, E> {
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

    /// The rows of `z` from `j`, from `rows` rows of M from `i`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        prefetch: Prefetch,
        (i, rows): (usize, usize),
        j: usize,
    ) {
        let Padding { width, stride, .. } = self.padding;
        let m = &self.m[i * self.cols..][..rows * self.cols];
        let all_rows = self.p.len() / stride;
        for group in 0..stride / width {
            let p = &self.p[(group * all_rows + i) * width..][..rows * width];
            let (p, _) = E::vectors::<S>(p).as_chunks::<V>();
            let a = |t: usize, r: usize| m[t * self.cols + self.first + j..][..R][r];
            // The rows lie far apart: the lines of the tiles to come are not foreseen by the hardware.
            let ahead = |c: usize| {
                for t in c * RUN..(c + 1) * RUN {
                    prefetch.near(m, t * self.cols + self.first + j + AHEAD);
                }
            };
            let sum = if group == 0 {
                tile::<E, S, R, V>(simd, p, a, ahead)
            } else {
                tile::<E, S, R, V>(simd, p, a, |_| ())
            };
            for (r, sum) in sum.iter().enumerate() {
                let z = &mut self.z[(j + r) * stride + group * width..][..width];
                add::<E, S, V>(simd, z, self.alpha, *sum, i > 0);
            }
        }
    }
}

impl<E: FaerElement> Tiled for Backward<'_, E> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let prefetch = Prefetch::new();
        let stride = self.padding.stride;
        let (rows, cols) = (self.p.len() / stride, self.z.len() / stride);
        let whole = cols - cols % R;
        for i in (0..rows).step_by(BLOCK) {
            let block = (i, BLOCK.min(rows - i));
            for j in (0..whole).step_by(R) {
                self.rows::<S, R, V>(simd, prefetch, block, j);
            }
            for j in whole..cols {
                self.rows::<S, 1, V>(simd, prefetch, block, j);
            }
        }
    }
}
