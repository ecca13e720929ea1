//! Clones of one backend on two threads, in every interleaving with two switches: each thread gets what it gets alone.

use super::{CudaBackend, CudaMatrix, CudaScalar};
use crate::Precision;
use crate::checked::interleave::{Body, explore};
use crate::checked::tests::simulator;
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, ScalarOp};
use spectra_core::linalg::{Workspace, orthonormalize, uniform};

type Own = CudaBackend<f64>;
/// What a thread computes, or why it does not.
type Bits = std::result::Result<Vec<u64>, String>;

fn new_backend() -> Own {
    CudaBackend::new(&crate::open(0).unwrap().default_stream(), Precision::F32).unwrap()
}

fn bits(matrix: &CudaMatrix<f64>) -> Result<Vec<u64>> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![0.0; rows * cols];
    matrix.read(&mut values)?;
    Ok(values.into_iter().map(f64::to_bits).collect())
}

fn numbers(backend: &Own, seed: u64, rows: usize, cols: usize) -> Result<CudaMatrix<f64>> {
    backend.upload(rows, cols, &(0..rows * cols).map(|i| uniform(seed, i, 0)).collect::<Vec<_>>())
}

/// Runs `f(backend, thread)` on two threads at once. Every one of at least `least` interleavings must give what the calls give alone.
fn on_two_threads(least: usize, f: fn(&Own, usize) -> Result<Vec<u64>>) {
    let Some((simulator, _alone)) = simulator() else { return };
    let backend = new_backend();
    let alone = [0, 1].map(|thread| f(&backend, thread).map_err(|e| e.to_string()));
    assert!(alone.iter().all(std::result::Result::is_ok) && alone[0] != alone[1], "{alone:?}");
    let bodies = || {
        backend.device.forget_working();
        [0, 1].map(|thread| -> Body<'_, Bits> {
            let backend = backend.clone();
            Box::new(move || f(&backend, thread).map_err(|e| e.to_string()))
        })
    };
    let is_right = |found: [Bits; 2]| found == alone && simulator.violations().is_empty();
    let (count, wrong) = explore(2, &bodies, &is_right);
    assert!(wrong.is_none(), "interleaving {count}, switches at {wrong:?}: {:?}", simulator.violations());
    assert!(count >= least, "only {count} interleavings");
    println!("{count} interleavings");
}

#[test]
fn products_keep_their_own_factors() {
    on_two_threads(30, |backend, thread| {
        let x = numbers(backend, 1, 2, 3)?;
        let side = backend.upload(1, 1, &[3.0 + thread as f64])?;
        let factor = side.dot(&side)?;
        let mut out = numbers(backend, 2, 2, 2)?;
        out.gemm(
            Coefficient::from(0.5),
            Coefficient::device(1.0, &factor),
            &x,
            Op::Plain,
            &x,
            Op::Transposed,
        )?;
        bits(&out)
    });
}

#[test]
fn working_memory_is_not_freed_under_a_factorisation() {
    on_two_threads(30, |backend, thread| {
        let mut p = numbers(backend, 3, 5 + 40 * thread, 2)?;
        orthonormalize(&mut p, &mut Workspace::new(backend.clone()))?;
        bits(&p)
    });
}

/// A number whose program has as many steps as one may have.
fn long(of: &CudaScalar, step: f64) -> Result<CudaScalar> {
    (0..14).try_fold(of.clone(), |sum, i| {
        Scalar::combine(ScalarOp::Add, &sum, &CudaScalar::constant(step * (1.0 + f64::from(i))))
    })
}

#[test]
fn coefficients_computed_for_a_launch_are_nobody_elses_before_it() {
    on_two_threads(30, |backend, thread| {
        let side = backend.upload(1, 1, &[3.0 + thread as f64])?;
        let norm = side.dot(&side)?;
        let (beta, alpha) = (long(&norm, 1.0)?, long(&norm, 0.125)?);
        let mut out = backend.upload(1, 1, &[1.0])?;
        // Too long together: each is computed by itself first.
        out.scale_add(Coefficient::device(1.0, &beta), Coefficient::device(1.0, &alpha), &side)?;
        bits(&out)
    });
}
