//! Host memory for the small factorisations, grown once and reused.

use super::{SmallFactor, SmallInfo};
use crate::backend::Element;
use alloc::vec::Vec;

/// Reusable host buffers: a step that has run once finds them large enough and allocates nothing.
#[derive(Debug, Default, Clone)]
pub struct Scratch<E> {
    values: Vec<E>,
    numbers: Vec<f64>,
    /// Of faer's solvers.
    #[cfg(feature = "faer")]
    stack: crate::faer::Stack,
}

impl<E: Element> Scratch<E> {
    /// Empty buffers.
    pub fn new() -> Self {
        Self {
            values: Vec::new(),
            numbers: Vec::new(),
            #[cfg(feature = "faer")]
            stack: crate::faer::Stack::default(),
        }
    }

    /// `values` elements and `numbers` f64, with unspecified contents.
    pub fn slices(&mut self, values: usize, numbers: usize) -> (&mut [E], &mut [f64]) {
        if self.values.len() < values {
            self.values.resize(values, E::zero());
        }
        if self.numbers.len() < numbers {
            self.numbers.resize(numbers, 0.0);
        }
        (&mut self.values[..values], &mut self.numbers[..numbers])
    }

    /// Replaces the k x k Gram matrix in the first `k^2` [values](Self::slices) by the factor:
    /// [`SmallFactor::compute`], or what is faster and as good for this type.
    pub fn factorize(&mut self, factor: SmallFactor, k: usize) -> SmallInfo {
        #[cfg(feature = "faer")]
        if let Some(info) = self.eigenvectors(factor, k) {
            return info;
        }
        let (values, numbers) = self.slices(k * k, factor.numbers(k));
        factor.compute(k, values, numbers)
    }

    /// The factors made of eigenvectors by faer; none where rotations are better or it does not converge.
    #[cfg(feature = "faer")]
    fn eigenvectors(&mut self, factor: SmallFactor, k: usize) -> Option<SmallInfo> {
        /// Below this rotations take no longer.
        const LARGE: usize = 64;
        let fits = match factor {
            // Rotations keep the relative accuracy of small eigenvalues.
            SmallFactor::Diagonalizer => E::EPSILON > 1e-10,
            SmallFactor::Eigen { .. } => self.values.iter().take(k * k).all(|x| x.is_finite()),
            _ => false,
        };
        if k < LARGE || !fits {
            return None;
        }
        let len = factor.numbers(k);
        if self.numbers.len() < len {
            self.numbers.resize(len, 0.0);
        }
        let (gram, rest) = self.numbers.split_at_mut(k * k);
        let (vectors, rest) = rest.split_at_mut(k * k);
        gram.iter_mut().zip(&self.values).for_each(|(c, x)| *c = x.widen());
        if !crate::faer::eigenvectors(k, gram, vectors, &mut rest[..k], &mut self.stack) {
            return None;
        }
        if let SmallFactor::Eigen { ridge, power } = factor {
            let (lambda, order) = rest[..2 * k].split_at_mut(k);
            // As rows.
            for (i, row) in vectors.chunks_exact(k).enumerate() {
                row.iter().enumerate().for_each(|(j, x)| gram[j * k + i] = *x);
            }
            super::eigen::assemble((ridge, power), gram, lambda, order, &mut self.values[..k * k]);
            return Some(SmallInfo { dead: 0, condition: 1.0 });
        }
        let info = factor.examine::<E>(k, gram, &mut rest[..k]);
        for (row, values) in vectors.chunks_exact(k).zip(self.values.chunks_exact_mut(k)) {
            // faer's come in increasing order.
            values.iter_mut().zip(row.iter().rev()).for_each(|(x, v)| *x = E::narrow(*v));
        }
        Some(info)
    }
}

#[cfg(all(test, feature = "faer"))]
mod tests {
    use super::*;
    use crate::linalg::uniform;
    use alloc::vec::Vec;

    /// The solver for large k and the rotations find the same directions, up to their sign.
    #[test]
    fn large_gram_matrices_are_diagonalized_as_small_ones() {
        const K: usize = 70;
        // Columns of lengths 1 to 71: eigenvalues far apart.
        let column = |r: usize, j: usize| uniform(5, r, j) * 0.1 + if r == j { (j + 1) as f64 } else { 0.0 };
        let entry = |at: usize| (0..K).map(|r| column(r, at / K) * column(r, at % K)).sum::<f64>() as f32;
        let gram: Vec<f32> = (0..K * K).map(entry).collect();
        let factor = SmallFactor::Diagonalizer;
        let (mut single, mut double) = (Scratch::<f32>::new(), Scratch::<f64>::new());
        single.slices(K * K, 0).0.copy_from_slice(&gram);
        double.slices(K * K, 0).0.iter_mut().zip(&gram).for_each(|(x, g)| *x = f64::from(*g));
        let infos = (single.factorize(factor, K), double.factorize(factor, K));
        assert_eq!((infos.0.dead, infos.1.dead), (0, 0));
        let (single, double) = (single.slices(K * K, 0).0, double.slices(K * K, 0).0);
        for i in 0..K {
            let along: f64 = (0..K).map(|r| f64::from(single[r * K + i]) * double[r * K + i]).sum();
            // Rounded to f32: each vector is off by eps of its length at most.
            assert!((along.abs() - 1.0).abs() < 4.0 * f64::from(f32::EPSILON), "column {i}: {along}");
        }
    }
}
