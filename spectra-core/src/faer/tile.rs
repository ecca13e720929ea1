//! The inner kernel of all products with a narrow matrix: a tile of the result stays in registers while the inner
//! dimension runs.
//!
//! Libraries pack both operands of a product before they multiply, which is much of the time when one has 61 columns.
//! Here the large operand is copied a piece at a time, whole lines as they lie, and the narrow one read from a buffer whose rows are
//! padded to whole vectors. What a tile broadcasts lies at known distances from one place: rows with an address each leave no registers
//! where there are 16 in all. A tile asks for the memory of later ones while it computes: without that a core waits for memory as
//! long as it computes. (4096 x 14336, k = 61, two cores of a Zen 5: `out += X - L R^T` takes 19 to 20 ms, without asking 28, by packed
//! products 36; `A^T B` 18 against 25.)

use super::parallel::for_each_rows;
use super::simd::{Lanes, registers};
use pulp::{Arch, Simd, WithSimd};

/// Rows are shared out in multiples of this, a multiple of every tile's rows (6 and 12).
pub(super) const ROWS: usize = 24;

/// Elements in the widest tile's row: four vectors of 16 `f32`.
pub(super) const MOST: usize = 64;

/// How the rows of a narrow matrix are padded: to `groups` groups of `vectors` vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Padding {
    /// Columns without padding.
    pub(super) cols: usize,
    /// Vectors in a tile's row.
    pub(super) vectors: usize,
    /// Elements in a tile's row.
    pub(super) width: usize,
    /// Elements in a padded row.
    pub(super) stride: usize,
}

impl Padding {
    /// For `cols` columns: as few groups as the registers allow, of equal width.
    pub(super) fn new<E: Lanes>(cols: usize) -> Self {
        let (registers, lanes) = registers::<E>();
        let most = most_vectors(registers);
        let groups = cols.div_ceil(lanes * most).max(1);
        let vectors = cols.div_ceil(lanes).div_ceil(groups).max(1);
        let width = vectors * lanes;
        Self { cols, vectors, width, stride: groups * width }
    }

    /// For the columns of one panel of a wide matrix with `cols` columns.
    pub(super) fn panel<E: Lanes>(cols: usize) -> Self {
        let (registers, lanes) = registers::<E>();
        Self::new::<E>(cols.min(lanes * most_vectors(registers)))
    }

    /// Writes rows into padded rows, one group of columns after the other.
    pub(super) fn pad<E: Lanes>(&self, x: &[E], padded: &mut [E]) {
        let rows = x.len() / self.cols;
        for (g, group) in padded.chunks_exact_mut(rows * self.width).enumerate() {
            let cols = self.columns(g);
            for_each_rows(group, self.width, &|first, group: &mut [E]| {
                for (x, padded) in
                    x[first * self.cols..].chunks_exact(self.cols).zip(group.chunks_exact_mut(self.width))
                {
                    let (head, tail) = padded.split_at_mut(cols.len());
                    head.copy_from_slice(&x[cols.clone()]);
                    tail.fill(E::zero());
                }
            });
        }
    }

    /// The columns of a group.
    pub(super) fn columns(&self, group: usize) -> core::ops::Range<usize> {
        group * self.width..self.cols.min((group + 1) * self.width)
    }
}

const fn most_vectors(registers: usize) -> usize {
    if registers >= 32 { 4 } else { 2 }
}

/// Work on tiles of `R` rows of `V` vectors, generic over the instruction set.
pub(super) trait Tiled {
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S);
}

/// Runs `work` with the instruction set of this machine and `vectors` vectors in a tile's row: at most 24 accumulators for
/// 32 registers, 12 for 16, and at least so many that no sum waits for the one before.
pub(super) fn run(vectors: usize, work: impl Tiled) {
    struct Run<W>(usize, W);
    impl<W: Tiled> WithSimd for Run<W> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(vectors, work) = self;
            match vectors {
                3.. if most_vectors(S::REGISTER_COUNT) < 3 => unreachable!("Padding gives two at most"),
                4.. => work.run::<S, 6, 4>(simd),
                3 => work.run::<S, 6, 3>(simd),
                2 if S::REGISTER_COUNT >= 32 => work.run::<S, 12, 2>(simd),
                2 => work.run::<S, 6, 2>(simd),
                _ => work.run::<S, 12, 1>(simd),
            }
        }
    }
    Arch::new().dispatch(Run(vectors, work));
}

/// Elements in a cache line.
pub(super) const fn line<E>() -> usize {
    64 / size_of::<E>()
}

/// `tile[r] = sum_t a(t, r) b[t]` for the rows `b` of one group; `a` is asked for by runs of t, and then by the number in the run.
/// Before each `RUN` of them, number c, `ahead(c)` may ask for memory that the next tiles need. (In the innermost loop such a request would keep the compiler from ordering the loads.)
#[inline(always)]
pub(super) fn tile<E: Lanes, S: Simd, const R: usize, const V: usize, A: Fn(usize, usize) -> E>(
    simd: S,
    b: &[[E::Vector<S>; V]],
    a: impl Fn(core::ops::Range<usize>) -> A,
    ahead: impl Fn(usize),
) -> [[E::Vector<S>; V]; R] {
    let mut sum = [[E::splat(simd, E::zero()); V]; R];
    let (runs, rest) = b.as_chunks::<RUN>();
    for (c, run) in runs.iter().enumerate() {
        ahead(c);
        let a = a(c * RUN..c * RUN + RUN);
        for (t, b) in run.iter().enumerate() {
            step(simd, &mut sum, b, |r| a(t, r));
        }
    }
    ahead(runs.len());
    if !rest.is_empty() {
        let a = a(runs.len() * RUN..b.len());
        for (t, b) in rest.iter().enumerate() {
            step(simd, &mut sum, b, |r| a(t, r));
        }
    }
    sum
}

/// Inner steps between two requests for memory.
pub(super) const RUN: usize = 8;

#[inline(always)]
fn step<E: Lanes, S: Simd, const R: usize, const V: usize>(
    simd: S,
    sum: &mut [[E::Vector<S>; V]; R],
    b: &[E::Vector<S>; V],
    a: impl Fn(usize) -> E,
) {
    for (r, sum) in sum.iter_mut().enumerate() {
        let a = E::splat(simd, a(r));
        for v in 0..V {
            sum[v] = E::fma(simd, a, b[v], sum[v]);
        }
    }
}

/// `out = alpha x`, plus `out` if `read`.
#[inline(always)]
pub(super) fn add<E: Lanes, S: Simd, const V: usize>(
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
