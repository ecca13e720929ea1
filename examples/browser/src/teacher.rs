//! What there is to learn: the outputs of a network with random weights, from inputs of which some directions are much weaker than others.

use crate::spectrum::orthonormal;
use crate::training::{INPUTS, OUTPUTS, SAMPLES};
use alloc::vec::Vec;
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::uniform;

type M = DenseMatrix<f64>;

/// Hidden units of the teacher: fewer than the student's, so that there is something to be found.
const TEACHERS: usize = 6;

/// Inputs and outputs, a column for each sample.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub(crate) inputs: M,
    pub(crate) outputs: M,
}

impl Lesson {
    /// With inputs whose strongest direction is `condition` times as strong as the weakest.
    pub(crate) fn new(condition: f64) -> Result<Self> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let directions = orthonormal(INPUTS, INPUTS, 3)?;
        let strength: Vec<_> =
            (0..INPUTS).map(|i| libm::pow(condition, -(i as f64) / (INPUTS - 1) as f64)).collect();
        let numbers = M::from_fn(INPUTS, SAMPLES, |i, j| strength[i] * normal(4, i, j));
        let mut inputs = Dense::new().zeros(INPUTS, SAMPLES, None)?;
        inputs.gemm(zero, one, &directions, Op::Plain, &numbers, Op::Plain)?;
        let teacher = Network::random(TEACHERS, 10)?;
        let outputs = teacher.outputs(&inputs)?.1;
        Ok(Self { inputs, outputs })
    }
}

/// `y = W2 max(W1 x, 0)`.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// W1
    pub(crate) hidden: M,
    /// W2
    pub(crate) head: M,
}

impl Network {
    /// Weights of variance two by the number of inputs.
    pub(crate) fn random(hidden: usize, seed: u64) -> Result<Self> {
        let weights = |seed, rows, cols| {
            let scale = libm::sqrt(2.0 / cols as f64);
            M::from_fn(rows, cols, |i, j| scale * normal(seed, i, j))
        };
        Ok(Self { hidden: weights(seed, hidden, INPUTS), head: weights(seed + 1, OUTPUTS, hidden) })
    }

    /// What is active in the hidden layer, and the outputs.
    pub(crate) fn outputs(&self, inputs: &M) -> Result<(M, M)> {
        let (one, zero, samples) = (Coefficient::ONE, Coefficient::ZERO, inputs.shape().1);
        let mut active = Dense::new().zeros(self.hidden.shape().0, samples, None)?;
        active.gemm(zero, one, &self.hidden, Op::Plain, inputs, Op::Plain)?;
        active.values_mut().iter_mut().for_each(|x| *x = x.max(0.0));
        let mut outputs = Dense::new().zeros(OUTPUTS, samples, None)?;
        outputs.gemm(zero, one, &self.head, Op::Plain, &active, Op::Plain)?;
        Ok((active, outputs))
    }

    /// Half the mean squared error of the outputs, and its gradient.
    pub(crate) fn loss(&self, lesson: &Lesson) -> Result<(f64, Self)> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let samples = lesson.inputs.shape().1 as f64;
        let (active, mut error) = self.outputs(&lesson.inputs)?;
        error.scale_add(one, (-1.0).into(), &lesson.outputs)?;
        let loss = error.dot(&error)? / (2.0 * samples);
        error.values_mut().iter_mut().for_each(|x| *x /= samples);

        let mut gradient = Self { hidden: self.hidden.clone(), head: self.head.clone() };
        gradient.head.gemm(zero, one, &error, Op::Plain, &active, Op::Transposed)?;
        let mut below = active.clone();
        below.gemm(zero, one, &self.head, Op::Transposed, &error, Op::Plain)?;
        let inactive = active.values().iter().map(|x| *x == 0.0);
        below
            .values_mut()
            .iter_mut()
            .zip(inactive)
            .filter(|(_, inactive)| *inactive)
            .for_each(|(x, _)| *x = 0.0);
        gradient.hidden.gemm(zero, one, &below, Op::Plain, &lesson.inputs, Op::Transposed)?;
        Ok((loss, gradient))
    }
}

/// A normal number of variance 1 but for its tails: the sum of twelve uniform ones, each of variance 1 / 12.
fn normal(seed: u64, row: usize, col: usize) -> f64 {
    (0..12).map(|i| 0.5 * uniform(1000 * seed + i, row, col)).sum()
}
