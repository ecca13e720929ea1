//! What the papers state, in `f64`, on random cases with fixed seeds: `docs/lemmas.md` has the statements and the verdicts.
//! A: 2602.11185 (tail shrink), B: 2603.14315 (spectral clip).

mod learning_rate;
mod linear_algebra;
mod noise;
mod one_step;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use spectra_conformance::HostMatrix;
use spectra_conformance::oracle::{Svd, product_of_doubles};

/// Random cases of a statement.
const CASES: usize = 200;

fn generator(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn gaussian(rows: usize, cols: usize, rng: &mut StdRng) -> HostMatrix {
    HostMatrix::from_fn(rows, cols, |_, _| StandardNormal.sample(rng))
}

fn svd(x: &HostMatrix) -> Svd {
    Svd::of(x).expect("a singular value decomposition")
}

/// `X` with its singular values at most c.
fn clipped(x: &HostMatrix, c: f64) -> HostMatrix {
    svd(x).hard_clip(c)
}

fn times(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    product_of_doubles(a, b)
}

/// `<A, B>`.
fn inner(a: &HostMatrix, b: &HostMatrix) -> f64 {
    a.data.iter().zip(&b.data).map(|(a, b)| a * b).sum()
}

fn distance(a: &HostMatrix, b: &HostMatrix) -> f64 {
    a.zip(b, |a, b| a - b).frobenius_norm()
}

/// `A + t B`.
fn plus(a: &HostMatrix, t: f64, b: &HostMatrix) -> HostMatrix {
    a.zip(b, |a, b| a + t * b)
}

/// `rows x rank` with orthonormal columns, uniform: the polar factor of a Gaussian matrix.
fn frame(rows: usize, rank: usize, rng: &mut StdRng) -> HostMatrix {
    svd(&gaussian(rows, rank, rng)).polar_factor()
}
