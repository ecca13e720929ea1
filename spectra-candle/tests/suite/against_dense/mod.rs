//! Every method against the reference backend, on memory and by tensor operations, in f32 and f64.

mod elementwise;
mod products;
mod rules;

use crate::common::{distance, host, pair};
use candle_core::Device;
use spectra_candle::{CandleBackend, CandleElement, CandleMatrix};
use spectra_core::backend::{Backend, Coefficient, Entrywise, Fused, Gradient, Matrix, Op, Result, Scalar};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::Workspace;

/// Odd, wide, tall, a row, a column, one number, empty; and one large enough to be split over threads.
const SHAPES: [(usize, usize); 9] =
    [(7, 5), (5, 33), (65, 3), (1, 17), (19, 1), (1, 1), (0, 4), (4, 0), (301, 257)];

/// Runs `$check::<E>(&backend)` on every kind of this backend.
macro_rules! on_every_kind {
    ($($module:ident: $($name:ident),*;)*) => {$($(
        #[test]
        fn $name() -> Result<()> {
            $module::$name::<f32>(&CandleBackend::new(&Device::Cpu))?;
            $module::$name::<f64>(&CandleBackend::new(&Device::Cpu))?;
            $module::$name::<f32>(&CandleBackend::by_tensor_operations(&Device::Cpu))?;
            $module::$name::<f64>(&CandleBackend::by_tensor_operations(&Device::Cpu))
        }
    )*)*};
}

on_every_kind! {
    elementwise: scale_add, product_add, quotient_add, sign_add, entrywise_add, dot, max_abs;
    products: gemm, gemm_symmetric, low_rank_add, power_sweep;
    rules: device_coefficients, nan_in_an_output_that_is_not_read, nan_in_an_operand, shapes_are_checked, read_and_write, scalars;
}

/// A few roundings of numbers of size 1, for sums of `terms` of them.
fn close<E: CandleElement, M: Matrix>(candle: &CandleMatrix<E>, dense: &M, terms: usize) -> Result<()> {
    let (a, b) = (host(candle)?, host(dense)?);
    let error = distance(&a, &b);
    let tolerance = 8.0 * E::EPSILON * (terms.max(1) as f64).sqrt();
    assert!(error <= tolerance, "{:?}: {error} > {tolerance}", candle.shape());
    Ok(())
}

/// `beta`, `alpha` of interest.
const COEFFICIENTS: [(f64, f64); 4] = [(0.0, 1.0), (1.0, 0.3), (-0.7, 1.0), (0.9, -1.25)];
