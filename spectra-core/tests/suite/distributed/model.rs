//! A model whose gradients depend on its weights, and what the ranks have of it.

use spectra_core::backend::{Element, Error, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{Collectives, DistributedOptimizer, Mode, Placing};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::rules::Rules;

/// Tall, wide, square, with fewer rows than ranks, and vectors.
pub(crate) const SHAPES: [(&str, (usize, usize), Rule); 7] = [
    ("tall", (24, 10), Rule::Spectral),
    ("wide", (9, 21), Rule::Spectral),
    ("square", (12, 12), Rule::Spectral),
    ("few", (3, 17), Rule::Spectral),
    ("embedding", (19, 6), Rule::Elementwise),
    ("frozen", (2, 2), Rule::Frozen),
    ("norm", (1, 10), Rule::Elementwise),
];

pub(crate) fn specs() -> Vec<ParameterSpec> {
    SHAPES.iter().map(|(name, shape, rule)| ParameterSpec::new(*name, *shape, *rule)).collect()
}

/// Which matrices are divided; the others have owners.
pub(crate) fn placing(divided: &[&str]) -> Placing {
    let divide = |placing: Placing, name: &&str| placing.matching(name, Mode::Divided);
    divided.iter().fold(Placing::new(Mode::Owners), divide)
}

pub(crate) type Weights<E> = Vec<DenseMatrix<E>>;

/// `U diag(3^-i) V^T`-like: singular values that are apart, so that the subspace is well defined.
fn graded<E: Element>(seed: u64, (rows, cols): (usize, usize)) -> DenseMatrix<E> {
    let entry = |i, j| {
        let term = |r: usize| uniform(seed, i, r) * uniform(seed + 1, j, r) * 0.3f64.powi(r as i32);
        E::narrow((0..rows.min(cols)).map(term).sum())
    };
    DenseMatrix::from_fn(rows, cols, entry)
}

pub(crate) fn start<E: Element>() -> Weights<E> {
    (7..).zip(SHAPES).map(|(seed, (_, shape, _))| graded(2 * seed, shape)).collect()
}

/// The gradient of share `share` of `shares` at these weights: with equal shares, its mean over them is the same for every number of them
/// but for rounding.
pub(crate) fn gradients<E: Element>(
    weights: &Weights<E>,
    step: u64,
    share: usize,
    shares: usize,
) -> Weights<E> {
    let pull = |(index, x): (usize, &DenseMatrix<E>)| {
        let (rows, cols) = x.shape();
        let push = graded::<f64>(1000 + 100 * index as u64 + 2 * step, (rows, cols));
        let of_share = |i: usize, j: usize| {
            // Sums to zero over the shares.
            let angle = core::f64::consts::TAU * share as f64 / shares as f64;
            let noise = if shares == 1 { 0.0 } else { 0.3 * angle.cos() * uniform(5, i, j) };
            noise + 0.5 * x.values()[i * cols + j].widen() + push.values()[i * cols + j]
        };
        DenseMatrix::from_fn(rows, cols, |i, j| E::narrow(of_share(i, j)))
    };
    weights.iter().enumerate().map(pull).collect()
}

pub(crate) fn pairs<'a, E: Element>(
    weights: &'a mut Weights<E>,
    gradients: &'a Weights<E>,
) -> Vec<(&'a mut DenseMatrix<E>, Option<&'a DenseMatrix<E>>)> {
    weights.iter_mut().zip(gradients.iter().map(Some)).collect()
}

/// The same for one process.
pub(crate) fn pairs_alone<'a, E: Element>(
    weights: &'a mut Weights<E>,
    gradients: &'a Weights<E>,
) -> Vec<(&'a mut DenseMatrix<E>, &'a DenseMatrix<E>)> {
    weights.iter_mut().zip(gradients).collect()
}

/// The weights after some steps of one process.
pub(crate) fn alone<E: Element>(config: &Config, steps: u64) -> Weights<E> {
    let mut optimizer = Optimizer::new(Dense::new(), *config, specs()).unwrap();
    let mut weights = start();
    for step in 0..steps {
        let gradients = gradients(&weights, step, 0, 1);
        optimizer.step(&mut pairs_alone(&mut weights, &gradients)).unwrap();
    }
    weights
}

pub(crate) fn optimizer<E: Element, C: Collectives<Dense<E>>>(
    group: C,
    config: &Config,
    divided: &[&str],
) -> DistributedOptimizer<Dense<E>, C> {
    placed(group, config, &placing(divided)).unwrap()
}

pub(crate) fn placed<E: Element, C: Collectives<Dense<E>>>(
    group: C,
    config: &Config,
    placing: &Placing,
) -> Result<DistributedOptimizer<Dense<E>, C>, Error> {
    DistributedOptimizer::with_rules(Dense::new(), group, *config, specs(), Rules::new(), placing)
}

/// The bits of everything.
pub(crate) fn bits<E: Element>(weights: &Weights<E>) -> Vec<u64> {
    weights.iter().flat_map(|x| x.values()).map(|x| x.widen().to_bits()).collect()
}

/// `||a - b||_F / ||b - from||_F`, the largest of any matrix that moves.
pub(crate) fn difference<E: Element>(a: &Weights<E>, b: &Weights<E>, from: &Weights<E>) -> f64 {
    let distance = |a: &DenseMatrix<E>, b: &DenseMatrix<E>| {
        let square = |(a, b): (&E, &E)| (a.widen() - b.widen()).powi(2);
        a.values().iter().zip(b.values()).map(square).sum::<f64>().sqrt()
    };
    let of = |((a, b), from)| (distance(a, b), distance(b, from));
    let pairs = a.iter().zip(b).zip(from).map(of);
    pairs.filter(|(_, moved)| *moved > 0.0).map(|(apart, moved)| apart / moved).fold(0.0, f64::max)
}
