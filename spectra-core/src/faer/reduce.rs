//! Reductions whose bits depend on the values and the length only.

use super::parallel::reduce;
use super::simd::vectorized;
use crate::backend::Element;

/// Independent accumulators: enough to fill the vector units' pipeline.
pub(super) const LANES: usize = 32;

/// Elements summed without the pairwise tree: 128 additions in each lane.
pub(super) const LEAF: usize = 128 * LANES;

/// Sum of products in `f64`.
pub(super) fn dot<E: Element>(x: &[E], y: &[E]) -> f64 {
    reduce((x, y), LEAF, &|(x, y)| dot_leaf(x, y), &|a, b| a + b)
}

fn dot_leaf<E: Element>(x: &[E], y: &[E]) -> f64 {
    vectorized(
        #[inline(always)]
        || dot_loop(x, y),
    )
}

/// The loop alone, for a caller that has chosen the instruction set.
#[inline(always)]
pub(super) fn dot_loop<E: Element>(x: &[E], y: &[E]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let tail: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x.widen() * y.widen()).sum();
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            sums[i] += x[i].widen() * y[i].widen();
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// Adds the squares of x to the lanes.
#[inline(always)]
pub(super) fn add_squares<E: Element>(sums: &mut [f64; LANES], x: &[E]) {
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for i in 0..LANES {
            sums[i] += x[i].widen() * x[i].widen();
        }
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x.widen() * x.widen());
}

/// The largest magnitude, NaN if there is one.
pub(super) fn max_abs<E: Element>(x: &[E]) -> f64 {
    reduce(x, LEAF, &|x| max_abs_leaf(x), &|a, b| larger(a, b))
}

fn max_abs_leaf<E: Element>(x: &[E]) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            let mut largest = [E::zero(); LANES];
            let chunks = x.chunks_exact(LANES);
            let tail = chunks.remainder();
            for x in chunks {
                for i in 0..LANES {
                    largest[i] = larger(largest[i], x[i].abs());
                }
            }
            largest.iter().chain(tail).fold(0.0, |a, x| larger(a, x.widen().abs()))
        },
    )
}

/// The larger of two magnitudes, NaN if either is NaN. Never returns to a number once `a` is NaN: every
/// comparison with NaN is false.
#[inline(always)]
pub(super) fn larger<E: Element>(a: E, b: E) -> E {
    if b > a || b.is_nan() { b } else { a }
}
