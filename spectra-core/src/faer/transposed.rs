//! Products `A^T B` with a large row-major `A` and a narrow `B`: the second half of the sweep.
//!
//! A library would pack `A` down its columns, four entries of a cache line at a time; here it is read where it lies.

use super::FaerElement;
use super::sweep::Backward;
use super::tile::Padding;

/// Whether that pays for an m x n result and inner dimension l.
pub(super) fn pays(m: usize, n: usize, l: usize) -> bool {
    (2..=512).contains(&n) && 4 * n <= l && 64 <= m && 1 << 18 <= m * n * l
}

/// `out = beta out + alpha A^T B` for `A` l x m and `B` l x n, row-major.
pub(super) fn product<E: FaerElement>(out: &mut [E], beta: Option<E>, alpha: E, a: &[E], b: &[E], n: usize) {
    let (m, l) = (out.len() / n, b.len() / n);
    let padding = Padding::new::<E>(n);
    E::buffers().with((m + l) * padding.stride, E::zero(), |buffer| {
        let (sum, p) = buffer.split_at_mut(m * padding.stride);
        padding.pad(b, p);
        let z = Backward { alpha, padding, m: a, cols: m, p, first: 0, z: sum, add: false };
        z.share(rayon::current_num_threads());
        for (out, sum) in out.chunks_exact_mut(n).zip(sum.chunks_exact(padding.stride)) {
            match beta {
                Some(beta) => out.iter_mut().zip(sum).for_each(|(out, sum)| *out = beta * *out + *sum),
                None => out.copy_from_slice(&sum[..n]),
            }
        }
    });
}
