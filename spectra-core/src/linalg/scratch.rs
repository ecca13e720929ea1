//! Host memory for the small factorisations, grown once and reused.

use super::{SmallFactor, SmallInfo, gram_schmidt};
use crate::backend::Element;
#[cfg(feature = "faer")]
use crate::faer::Kernels;
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
        if k < LARGE {
            return None;
        }
        let len = factor.numbers(k);
        if self.numbers.len() < len {
            self.numbers.resize(len, 0.0);
        }
        match factor {
            SmallFactor::Eigen { ridge, power } if self.values.iter().take(k * k).all(|x| x.is_finite()) => {
                let form = (ridge, power);
                if self.values.len() < 2 * k * k {
                    self.values.resize(2 * k * k, E::zero());
                }
                let Self { values, numbers, stack } = self;
                let found = if let Some(values) = typed(values) {
                    f32::eigen_factor(k, form, &mut values[..2 * k * k], numbers, stack)
                } else {
                    f64::eigen_factor(k, form, &mut typed(values)?[..2 * k * k], numbers, stack)
                };
                // Finite matrices always have them.
                if !found {
                    self.values[..k * k].fill(E::narrow(f64::NAN));
                }
                Some(SmallInfo { dead: 0, condition: 1.0 })
            }
            // Rotations keep the relative accuracy of small eigenvalues.
            SmallFactor::Diagonalizer if E::EPSILON > 1e-10 => self.diagonalizer(k),
            _ => None,
        }
    }

    /// [`SmallFactor::Diagonalizer`] by eigenvectors in `f64`.
    #[cfg(feature = "faer")]
    fn diagonalizer(&mut self, k: usize) -> Option<SmallInfo> {
        let (gram, rest) = self.numbers.split_at_mut(k * k);
        let (vectors, rest) = rest.split_at_mut(k * k);
        let lambda = &mut rest[..k];
        let widen =
            |gram: &mut [f64], values: &[E]| gram.iter_mut().zip(values).for_each(|(c, x)| *c = x.widen());
        widen(gram, &self.values);
        if !f64::eigenvectors(k, gram, vectors, lambda, &mut self.stack) {
            return None;
        }
        widen(gram, &self.values);
        let info = SmallFactor::Diagonalizer.examine::<E>(k, gram, lambda);
        for (i, row) in self.values.chunks_exact_mut(k).take(k).enumerate() {
            // faer's eigenvalues increase.
            row.iter_mut().zip(vectors.chunks_exact(k).rev()).for_each(|(x, v)| *x = E::narrow(v[i]));
        }
        Some(info)
    }

    /// Orthonormalizes the columns of the row-major m x k matrix in the first `m k` [values](Self::slices):
    /// [`gram_schmidt`], or what is faster and as good for this type.
    pub fn orthonormalize(&mut self, m: usize, k: usize) {
        #[cfg(feature = "faer")]
        if k >= MANY {
            if let Some(values) = typed(&mut self.values) {
                return f32::orthonormalize(m, k, &mut values[..m * k]);
            }
            if let Some(values) = typed(&mut self.values) {
                return f64::orthonormalize(m, k, &mut values[..m * k]);
            }
        }
        let (values, numbers) = self.slices(m * k, m * k);
        gram_schmidt(m, k, values, numbers);
    }
}

/// Columns for which Householder's reflections by blocks take less time than Gram-Schmidt.
#[cfg(feature = "faer")]
const MANY: usize = 128;

/// The numbers, if they are of type F.
#[cfg(feature = "faer")]
fn typed<F: Element>(values: &mut dyn core::any::Any) -> Option<&mut Vec<F>> {
    values.downcast_mut()
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
