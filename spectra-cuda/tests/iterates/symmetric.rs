//! Symmetric products: by blocks in a reduced precision, by `syrkx` in a full one, against the plain product, with what they cost.

use crate::device::{Outcome, check_violations, simulator, stream};
use crate::ensure;
use crate::storage::read;
use spectra_core::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Scalar, ScalarOp};
use spectra_core::linalg::uniform;
use spectra_cuda::{CudaBackend, CudaElement, CudaMatrix, Error, Precision, Tally};

/// Numbers in [-1, 1), symmetric if the matrix is square and `symmetric`.
fn values<E: Element>(seed: u64, (rows, cols): (usize, usize), symmetric: bool) -> Vec<E> {
    let at =
        |i: usize, j: usize| if symmetric { uniform(seed, i.min(j), i.max(j)) } else { uniform(seed, i, j) };
    (0..rows * cols).map(|k| E::narrow(at(k / cols, k % cols))).collect()
}

/// Whether the result is symmetric to the bit, and how far it is from another.
fn compare<E: Element>(n: usize, found: &[E], expected: &[E], tolerance: f64, what: &str) -> Outcome {
    ensure((0..n * n).all(|k| found[k] == found[k % n * n + k / n]), format!("{what} is not symmetric"))?;
    let error = found.iter().zip(expected).map(|(x, y)| (x.widen() - y.widen()).abs()).fold(0.0, f64::max);
    ensure(error <= tolerance, format!("{what}: {error:e}, allowed {tolerance:e}"))
}

/// Of one call, the simulated device's own account included.
fn cost<E: CudaElement>(
    backend: &CudaBackend<E>,
    call: impl FnOnce() -> Result<(), Error>,
) -> Result<Tally, Box<dyn std::error::Error>> {
    check_violations()?;
    let before = backend.tally();
    call()?;
    let tally = backend.tally() - before;
    if let Some(device) = simulator().map(|simulator| simulator.counters()) {
        let (counted, own) = ((device.products, device.flops), (tally.products, tally.flops));
        ensure(counted == own, format!("counted {tally:?}, the device {device:?}"))?;
    }
    Ok(tally)
}

/// Blocks of 8 in TF32, bf16 and fp16: of f32 matrices, of iterates into iterates, and of iterates into f32; `A A^T`, `A^T A`, two symmetric
/// factors; with an old value, and factors that the device knows.
pub(crate) fn by_blocks() -> Outcome {
    for (precision, u) in [
        (Precision::Tf32, 2f64.powi(-11)),
        (Precision::Bf16, 2f64.powi(-8)),
        (Precision::Fp16, 2f64.powi(-11)),
    ] {
        let backend = CudaBackend::<f32>::new(&stream()?, precision)?;
        backend.set_least_block(8);
        // Six and seven blocks along a side; one that cannot be cut; too few.
        for (n, side) in [(48, Some(6)), (56, Some(7)), (50, None), (40, None)] {
            for (op_a, op_b, inner) in
                [(Op::Plain, Op::Transposed, 20), (Op::Transposed, Op::Plain, 70), (Op::Plain, Op::Plain, n)]
            {
                for (operands, result) in [(false, false), (true, true), (true, false)] {
                    if operands && backend.iterate_format().is_none() {
                        continue;
                    }
                    let upload = |narrow: bool, shape: (usize, usize), values: &[f32]| {
                        let mut matrix = if narrow {
                            backend.zeros_iterate(shape.0, shape.1)
                        } else {
                            backend.zeros(shape.0, shape.1, None)
                        }?;
                        matrix.write(values).map(|()| matrix)
                    };
                    let two = op_a == op_b;
                    let a =
                        upload(operands, op_a.shape((n, inner)), &values(1, op_a.shape((n, inner)), two))?;
                    // Commutes with A, and is exact in 16 bits if A is: its double.
                    let twice: Vec<f32> = read(&a)?.iter().map(|x| 2.0 * x).collect();
                    let second = upload(operands, a.shape(), &twice)?;
                    let b = if two { &second } else { &a };
                    let one = b.dot(b)?;
                    let half =
                        Scalar::combine(ScalarOp::Div, &one, &Scalar::combine(ScalarOp::Add, &one, &one)?)?;
                    for (beta, alpha, pair) in [
                        (Coefficient::ZERO, Coefficient::ONE, 0),
                        (0.5.into(), Coefficient::device(1.0, &half), 1),
                    ] {
                        let start = values(3, (n, n), true);
                        let (mut own, mut plain) =
                            (upload(result, (n, n), &start)?, upload(result, (n, n), &start)?);
                        let tally = cost(&backend, || own.gemm_symmetric(beta, alpha, &a, op_a, b, op_b))?;
                        plain.gemm(beta, alpha, &a, op_a, b, op_b)?;
                        let what = format!(
                            "{precision:?}, {n}, {op_a:?} {op_b:?}, 16 bits {operands} {result}, {beta:?}"
                        );
                        // Entries are sums of `inner` products of at most 2, and 1 more, in another order: operands rounded by what is allowed
                        // of f32 ones, sums in f32, and a result that may be rounded to the other of two neighbours.
                        let size = 2.0 * inner as f64 + 1.0;
                        let rounding =
                            inner as f64 * 2f64.powi(-24) + if result || !operands { 2.0 * u } else { 0.0 };
                        compare(n, &read(&own)?, &read(&plain)?, 2.0 * rounding * size, &what)?;
                        let expected = match side {
                            Some(side) => {
                                (3 + pair, (side * (side + 1) / 2 * 2 * (n / side).pow(2) * inner) as u64)
                            }
                            None => (1 + pair, (2 * n * n * inner) as u64),
                        };
                        ensure(
                            (tally.launches, tally.flops) == expected && tally.products == 1,
                            format!("{what}: {tally:?}, {expected:?}"),
                        )?;
                    }
                }
            }
        }
    }
    check_violations()
}

/// In f32 and f64 half the flops of two symmetric factors, and of one with itself.
pub(crate) fn by_triangles() -> Outcome {
    triangles::<f32>()?;
    triangles::<f64>()
}

/// Of a stack in full precision one call, of blocks, and half of the flops and an eighth: cuBLAS has no batch of triangles.
pub(crate) fn of_stacks() -> Outcome {
    stacks::<f32>()?;
    stacks::<f64>()
}

fn stacks<E: CudaElement>() -> Outcome {
    const COUNT: usize = 3;
    let (n, inner, backend) = (512, 24, crate::device::backend::<E>()?);
    let stacking = backend.stacking().ok_or("no stacks")?;
    let all = |shape: (usize, usize), seed: u64| -> Result<Vec<_>, Error> {
        (0..COUNT as u64).map(|i| backend.upload(shape.0, shape.1, &values(seed + i, shape, false))).collect()
    };
    let (a, out) = (all((n, inner), 1)?, all((n, n), 5)?);
    let stack = |x: &[CudaMatrix<E>]| stacking.stack(&x.iter().collect::<Vec<_>>(), None);
    let (stacked, mut result) = (stack(&a)?, stack(&out)?);
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let tally =
        cost(&backend, || result.gemm_symmetric(zero, one, &stacked, Op::Plain, &stacked, Op::Transposed))?;
    // Four blocks of 128 along a side; their places, the batch and the mirror.
    let expected = (3, 1, (COUNT * 10 * 2 * 128 * 128 * inner) as u64);
    ensure((tally.launches, tally.products, tally.flops) == expected, format!("{tally:?}, {expected:?}"))?;
    for (i, (a, own)) in a.iter().zip(&out).enumerate() {
        let mut plain = backend.zeros(n, n, None)?;
        plain.gemm(zero, one, a, Op::Plain, a, Op::Transposed)?;
        let read = |matrix: &CudaMatrix<E>| {
            let mut values = vec![E::narrow(0.0); n * n];
            matrix.read(&mut values).map(|()| values)
        };
        // Sums of `inner` products below 1, in whatever order.
        let tolerance = (inner * inner) as f64 * E::EPSILON;
        compare(n, &read(own)?, &read(&plain)?, tolerance, &format!("part {i}"))?;
    }
    check_violations()
}

fn triangles<E: CudaElement>() -> Outcome {
    let (n, backend) = (520, crate::device::backend::<E>()?);
    let a = backend.upload(n, n, &values(1, (n, n), true))?;
    let mut twice = backend.zeros(n, n, None)?;
    twice.scale_add(Coefficient::ZERO, 2.0.into(), &a)?;
    let all = |matrix: &CudaMatrix<E>| {
        let mut out = vec![E::narrow(0.0); n * n];
        matrix.read(&mut out).map(|()| out)
    };
    for (b, op) in [(&twice, Op::Plain), (&twice, Op::Transposed), (&a, Op::Plain)] {
        let start = values(2, (n, n), true);
        let (mut own, mut plain) = (backend.upload(n, n, &start)?, backend.upload(n, n, &start)?);
        let tally = cost(&backend, || own.gemm_symmetric(0.5.into(), 0.25.into(), &a, op, b, op))?;
        plain.gemm(0.5.into(), 0.25.into(), &a, op, b, op)?;
        // A sum of n products of at most 2 and another number below 1, twice; the sums' errors are random.
        let tolerance = 8.0 * (n as f64).sqrt() * E::EPSILON * 2.0;
        compare(n, &all(&own)?, &all(&plain)?, tolerance, &format!("{n}, {op:?}"))?;
        let expected = (2, 1, (n * (n + 1) * n) as u64);
        ensure(
            (tally.launches, tally.products, tally.flops) == expected,
            format!("{tally:?}, {expected:?}"),
        )?;
    }
    check_violations()
}
