//! Roots of symmetric matrices by matrix products, of [`spectra_core::linalg::InverseSqrt`], on the backend.

use spectra_core::backend::Backend;
use spectra_core::linalg::{InverseSqrt, Schedule, Steps};

use crate::HostMatrix;
use crate::distance::relative_error;
use crate::inputs::{generator, orthonormal};
use crate::oracle::{Svd, product_nt};
use crate::suite::{Judge, Outcome, Subject};
use crate::tolerance;

/// A symmetric matrix, bit by bit, with eigenvalues from 1 down to `smallest`, equal ratios.
fn symmetric<B: Backend>(subject: &Subject<B>, n: usize, smallest: f64) -> HostMatrix {
    let q = orthonormal(n, n, &mut generator(&format!("symmetric {n}")));
    // A little inside the interval, for rounding.
    let lambda = |i: usize| (1.0 - 1e-5) * (1.001 * smallest).powf(i as f64 / (n.max(2) - 1) as f64);
    let lambda: Vec<f64> = (0..n).map(lambda).collect();
    let matrix = product_nt(&q.scaled_columns(&lambda), &q).rounded(subject.precision());
    HostMatrix::from_fn(n, n, |i, j| matrix.at(i.min(j), i.max(j)))
}

/// `A^{-1/2}` and `A^{1/2}`, by the minimax polynomials and by Newton and Schulz's.
///
/// Finds: a symmetric product that is not symmetric, a step that mixes old and new values.
pub fn inverse_sqrt<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let workspace = &mut subject.workspace();
    for n in [1, 7, 33, 64] {
        judge.at(n, n);
        for smallest in [0.5, 1e-2, 1e-4] {
            let a = symmetric(subject, n, smallest);
            let svd = Svd::of(&a)?;
            let device_a = subject.upload(&a)?;
            for schedule in [Schedule::Minimax, Schedule::Cubic] {
                let what = format!("{schedule:?}, {n} x {n}, eigenvalues from {smallest}");
                let steps = Steps::Auto { tolerance: 2.0 * subject.precision().unit_roundoff() };
                let mut inverse = subject.unreadable(n, n)?;
                let mut root = subject.unreadable(n, n)?;
                let options = InverseSqrt { schedule, steps };
                options.apply(&device_a, smallest, &mut inverse, Some(&mut root), workspace)?;
                let tolerance = tolerance::inverse_sqrt(subject.precision(), n, smallest);
                for (name, computed, power) in [("inverse root", inverse, -0.5), ("root", root, 0.5)] {
                    let values: Vec<f64> = svd.sigma.iter().map(|value| value.powf(power)).collect();
                    let error = relative_error(&subject.download(&computed)?, &svd.with_values(&values));
                    judge.compare(format_args!("{name} by {what}"), error, tolerance)?;
                }
            }
        }
    }
    judge.finish()
}
