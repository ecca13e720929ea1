//! A matrix of known singular vectors, and what a map makes of its singular values.

use alloc::{vec, vec::Vec};
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Polar, PowerIteration, SmallFactor, Workspace, gram_schmidt, uniform};
use spectra_core::maps::{HardClip, MapRule, Moment, SoftClip, SpectralMap, TailShrink};
use spectra_core::state::State;

/// Which map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mapping {
    /// The so many largest values to the scale of the others.
    TailShrink(usize),
    /// At this threshold.
    SoftClip(f64),
    /// At this threshold.
    HardClip(f64),
    /// Muon's five Newton-Schulz steps.
    Muon,
}

impl Mapping {
    fn of(self, values: usize) -> SpectralMap {
        match self {
            // In training one iteration a step suffices, as the subspace moves slowly; here each matrix is another.
            Self::TailShrink(rank) => SpectralMap::TailShrink(TailShrink {
                rank_ratio: rank as f64 / values as f64,
                power: PowerIteration { iterations: 40, ..PowerIteration::PAPER },
                ..TailShrink::PAPER
            }),
            Self::SoftClip(threshold) => SpectralMap::SoftClip { clip: SoftClip::AUTO, threshold },
            Self::HardClip(threshold) => SpectralMap::HardClip { clip: HardClip::AUTO, threshold },
            Self::Muon => SpectralMap::Orthogonalize(Polar::MUON),
        }
    }
}

/// What a map made of `X = U diag(s) V^T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `u_i^T O v_i` of the mapped O.
    pub values: Vec<f64>,
    /// The norm of what of O is not on these directions.
    pub elsewhere: f64,
}

/// Maps matrices.
#[derive(Debug)]
pub struct Bench {
    workspace: Workspace<Dense<f64>>,
}

impl Default for Bench {
    fn default() -> Self {
        Self { workspace: Workspace::new(Dense::new()) }
    }
}

impl Bench {
    /// Maps a matrix with these singular values, r x 2 r.
    ///
    /// # Errors
    /// A setting of the map outside its domain; a value that is not finite.
    pub fn map(&mut self, values: &[f64], mapping: Mapping) -> Result<Image> {
        let (r, workspace) = (values.len(), &mut self.workspace);
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let (u, v) = (orthonormal(r, r, 1)?, orthonormal(2 * r, r, 2)?);
        let scaled = DenseMatrix::from_fn(r, r, |i, j| u.values()[i * r + j] * values[j]);
        let mut x = workspace.backend().zeros(r, 2 * r, None)?;
        x.gemm(zero, one, &scaled, Op::Plain, &v, Op::Transposed)?;

        let map = mapping.of(r);
        MapRule::<Dense<f64>>::validate(&map)?;
        let moment = Moment { clip_factor: 1.0, step: 0 };
        let mut state = State::default();
        if let Mapping::TailShrink(_) = mapping {
            // A first time, which finds the subspace that the next one iterates.
            let first = map.apply(&mut x, None, &mut state, &moment, workspace)?;
            if let Some(image) = first.into_dense(&x, workspace)? {
                workspace.give(image);
            }
        }
        let mapped = map.apply(&mut x, None, &mut state, &moment, workspace)?;
        let mut image = mapped.into_dense(&x, workspace)?.unwrap_or(x);

        let mut along = workspace.take(r, 2 * r)?;
        along.gemm(zero, one, &u, Op::Transposed, &image, Op::Plain)?;
        let mut diagonal = workspace.take(r, r)?;
        diagonal.gemm(zero, one, &along, Op::Plain, &v, Op::Plain)?;
        let values: Vec<_> = (0..r).map(|i| diagonal.values()[i * r + i]).collect();
        let on = DenseMatrix::from_fn(r, r, |i, j| u.values()[i * r + j] * values[j]);
        image.gemm(one, (-1.0).into(), &on, Op::Plain, &v, Op::Transposed)?;
        let elsewhere = libm::sqrt(image.dot(&image)?);
        [image, along, diagonal].into_iter().for_each(|matrix| workspace.give(matrix));
        Ok(Image { values, elsewhere })
    }
}

/// Random orthonormal columns.
pub(crate) fn orthonormal(rows: usize, cols: usize, seed: u64) -> Result<DenseMatrix<f64>> {
    let mut values: Vec<_> = (0..rows * cols).map(|at| uniform(seed, at / cols, at % cols)).collect();
    gram_schmidt(rows, cols, &mut values, &mut vec![0.0; rows * cols]);
    DenseMatrix::from_vec(rows, cols, values)
}

/// The singular values of a matrix that is not wider than high, the largest first: the lengths of the columns of `A B` for the orthogonal B that
/// makes `A^T A` diagonal.
///
/// # Errors
/// None of this backend.
pub fn singular_values(a: &DenseMatrix<f64>) -> Result<Vec<f64>> {
    let (m, k) = a.shape();
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let mut b = DenseMatrix::from_fn(k, k, |_, _| 0.0);
    b.gemm(zero, one, a, Op::Transposed, a, Op::Plain)?;
    let factor = SmallFactor::Diagonalizer;
    factor.compute(k, b.values_mut(), &mut vec![0.0; factor.numbers(k)]);
    let mut columns = DenseMatrix::from_fn(m, k, |_, _| 0.0);
    columns.gemm(zero, one, a, Op::Plain, &b, Op::Plain)?;
    let square = |j: usize| columns.values().iter().skip(j).step_by(k).map(|x| x * x).sum::<f64>();
    let mut values: Vec<_> = (0..k).map(|j| libm::sqrt(square(j))).collect();
    values.sort_unstable_by(|x, y| y.total_cmp(x));
    Ok(values)
}
