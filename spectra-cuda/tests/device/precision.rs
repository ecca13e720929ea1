//! Products in every precision.

use crate::device::{Outcome, check_violations, stream};
use spectra_core::backend::{Backend, Coefficient, Matrix, Op};
use spectra_core::linalg::uniform;
use spectra_cuda::{CudaBackend, Precision};

/// The error of a product is that of the operands' rounding, and f32 is not rounded in secret.
pub(crate) fn products_are_as_exact_as_they_say() -> Outcome {
    let (m, n, inner) = (33, 17, 64);
    let values = |seed: u64, count: usize| (0..count).map(|i| uniform(seed, i, 1) as f32).collect::<Vec<_>>();
    let (a, b) = (values(1, m * inner), values(2, inner * n));
    let mut errors = Vec::new();
    // Unit roundoff of the operands: 24, 11 and 8 bits of significand.
    for (precision, roundoff) in [
        (Precision::F32, 2f64.powi(-24)),
        (Precision::Tf32, 2f64.powi(-11)),
        (Precision::Bf16, 2f64.powi(-8)),
    ] {
        let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
        let (left, right) = (backend.upload(m, inner, &a)?, backend.upload(inner, n, &b)?);
        let mut out = backend.zeros(m, n, None)?;
        out.gemm(Coefficient::ZERO, Coefficient::ONE, &left, Op::Plain, &right, Op::Plain)?;
        let mut computed = vec![0.0; m * n];
        out.read(&mut computed)?;
        let mut worst = 0.0f64;
        for i in 0..m {
            for j in 0..n {
                let terms = (0..inner).map(|p| f64::from(a[i * inner + p]) * f64::from(b[p * n + j]));
                let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                // Two roundings of operands for each term, and the sum's in f32.
                let allowed = (2.0 * roundoff + inner as f64 * 2f64.powi(-24)) * size;
                let error = (f64::from(computed[i * n + j]) - exact).abs();
                if error > allowed {
                    return Err(format!("{precision:?}: {error:e} at {i}, {j}, allowed {allowed:e}").into());
                }
                worst = worst.max(error / size);
            }
        }
        errors.push(worst);
    }
    // f32 is not rounded in secret, and TF32 is used where it is allowed. bf16 is allowed, not ordered: cuBLAS 13.1 makes
    // TF32 of it on Hopper, to the bit.
    if !(errors[0] * 20.0 < errors[1] && errors[1] <= errors[2]) {
        return Err(format!("errors {errors:?} do not tell the precisions apart").into());
    }
    if CudaBackend::<f64>::new(&stream()?, Precision::Tf32).is_ok() {
        return Err("f64 in TF32 was accepted".into());
    }
    check_violations()
}
