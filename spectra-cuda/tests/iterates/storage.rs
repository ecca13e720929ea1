//! Matrices in 16 bits: what is read, what is written, and their products. On the simulated device the arithmetic is emulated: sums in
//! f32, one rounding for each stored result.

use crate::device::{Outcome, check_violations, stream};
use crate::ensure;
use half::f16;
use spectra_core::backend::{Backend, Coefficient, Fused, Matrix, Op};
use spectra_core::linalg::uniform;
use spectra_cuda::cudarc::driver::DevicePtr;
use spectra_cuda::{CudaBackend, CudaMatrix, Error, Precision, Storage};

/// Each format and half a unit in the last place of 1.
pub(crate) const FORMATS: [(Precision, f64); 2] =
    [(Precision::Bf16, 1.0 / 256.0), (Precision::Fp16, 1.0 / 2048.0)];

pub(crate) fn read(matrix: &CudaMatrix<f32>) -> Result<Vec<f32>, Error> {
    let mut values = vec![0.0; matrix.shape().0 * matrix.shape().1];
    matrix.read(&mut values)?;
    Ok(values)
}

/// An iterate with these entries, rounded.
pub(crate) fn iterate(
    backend: &CudaBackend<f32>,
    (rows, cols): (usize, usize),
    values: &[f32],
) -> Result<CudaMatrix<f32>, Error> {
    let mut matrix = backend.zeros_iterate(rows, cols)?;
    matrix.write(values)?;
    Ok(matrix)
}

/// All 65536 patterns of fp16 are widened as they are, and the numbers half-way between two, and next to those, are rounded to nearest
/// even, by the kernels as by the `half` crate on the host.
pub(crate) fn every_fp16() -> Outcome {
    let (stream, backend) = (stream()?, CudaBackend::<f32>::new(&stream()?, Precision::Fp16)?);
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let memory = stream.clone_htod(&all)?;
    // SAFETY: `memory` outlives the matrix and is of this stream.
    let stored = unsafe { backend.matrix_at(memory.device_ptr(&stream).0, (256, 256), 256, Storage::Fp16) }?;
    let mut widened = backend.zeros(256, 256, None)?;
    widened.copy_from(&stored)?;
    for (x, found) in all.iter().zip(read(&widened)?) {
        let same = x.to_f32().to_bits() == found.to_bits() || x.is_nan() && found.is_nan();
        ensure(same, format!("{:#06x} is widened to {found:e}, not {:e}", x.to_bits(), x.to_f32()))?;
    }
    // To the next pattern: of the largest finite ones that is where infinity begins.
    let mut numbers = Vec::with_capacity(3 << 16);
    for x in &all {
        let next = f16::from_bits(x.to_bits().wrapping_add(1));
        let next =
            if x.is_finite() && next.is_infinite() { 65536f32.copysign(x.to_f32()) } else { next.to_f32() };
        let half = x.to_f32() + (next - x.to_f32()) / 2.0;
        numbers.extend([
            half,
            f32::from_bits(half.to_bits() + 1),
            f32::from_bits(half.to_bits().wrapping_sub(1)),
        ]);
    }
    let mut rounded = backend.zeros_iterate(768, 256)?;
    ensure(rounded.storage() == Storage::Fp16, "an iterate is not in fp16")?;
    rounded.copy_from(&backend.upload(768, 256, &numbers)?)?;
    for (x, found) in numbers.iter().zip(read(&rounded)?) {
        let exact = f16::from_f32(*x).to_f32();
        let same = exact.to_bits() == found.to_bits() || exact.is_nan() && found.is_nan();
        ensure(same, format!("{x:e} is rounded to {found:e}, not {exact:e}"))?;
    }
    check_violations()
}

/// Products of two iterates, in every order, into an iterate and into f32: rounded once, or not at all.
pub(crate) fn products() -> Outcome {
    let (m, n, inner) = (33, 17, 64);
    let values = |seed: u64, count: usize| (0..count).map(|i| uniform(seed, i, 1) as f32).collect::<Vec<_>>();
    for (precision, u) in FORMATS {
        let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
        for (op_a, op_b) in
            [Op::Plain, Op::Transposed].into_iter().flat_map(|a| [(a, Op::Plain), (a, Op::Transposed)])
        {
            let (a, b) = (
                iterate(&backend, op_a.shape((m, inner)), &values(1, m * inner))?,
                iterate(&backend, op_b.shape((inner, n)), &values(2, inner * n))?,
            );
            let (left, right) = (read(&a)?, read(&b)?);
            let at = |x: &[f32], (_, cols): (usize, usize), op: Op, i: usize, j: usize| {
                f64::from(if op == Op::Plain { x[i * cols + j] } else { x[j * cols + i] })
            };
            for (narrow, beta) in [(false, 0.0), (false, 0.5), (true, 0.0), (true, 0.5)] {
                let start = values(3, m * n);
                let mut out =
                    if narrow { iterate(&backend, (m, n), &start)? } else { backend.upload(m, n, &start)? };
                let old = read(&out)?;
                out.gemm(beta.into(), 1.25.into(), &a, op_a, &b, op_b)?;
                for (k, found) in read(&out)?.into_iter().enumerate() {
                    let (i, j) = (k / n, k % n);
                    let terms = (0..inner)
                        .map(|p| at(&left, a.shape(), op_a, i, p) * at(&right, b.shape(), op_b, p, j));
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                    let (exact, size) =
                        (beta * f64::from(old[k]) + 1.25 * sum, beta * f64::from(old[k].abs()) + 1.25 * size);
                    // The sum in f32, two factors, and one rounding where the result is an iterate.
                    let allowed = (inner as f64 + 3.0) * 2f64.powi(-24) * size
                        + if narrow { u * exact.abs() * 1.01 } else { 0.0 };
                    let error = (f64::from(found) - exact).abs();
                    ensure(
                        error <= allowed,
                        format!(
                            "{precision:?} {op_a:?} {op_b:?}: {error:e} at {i}, {j}, allowed {allowed:e}"
                        ),
                    )?;
                }
            }
        }
        // Nothing is nothing: zero has no exponent of its own.
        let (zeros, mut nothing) = (backend.zeros_iterate(9, 9)?, iterate(&backend, (9, 9), &[2.0; 81])?);
        nothing.gemm(Coefficient::ZERO, Coefficient::ONE, &zeros, Op::Plain, &zeros, Op::Plain)?;
        ensure(read(&nothing)?.iter().all(|x| *x == 0.0), "a product of zeros is not zero")?;
        // Two storages do not mix, and nothing has changed then.
        let (a, b) = (iterate(&backend, (3, 3), &values(1, 9))?, backend.upload(3, 3, &values(2, 9))?);
        let (one, mut narrow, mut full) =
            (Coefficient::ONE, iterate(&backend, (3, 3), &[2.0; 9])?, backend.upload(3, 3, &[2.0; 9])?);
        for refused in [
            full.gemm(one, one, &a, Op::Plain, &b, Op::Plain),
            full.gemm_symmetric(one, one, &a, Op::Plain, &b, Op::Plain),
            narrow.gemm(one, one, &b, Op::Plain, &b, Op::Plain),
        ] {
            ensure(
                refused.is_err_and(|e| e.to_string().contains("is not supported")),
                "a mixed product was accepted",
            )?;
        }
        ensure(
            [read(&narrow)?, read(&full)?].concat().iter().all(|x| *x == 2.0),
            "a refused product has changed its result",
        )?;
    }
    check_violations()
}
