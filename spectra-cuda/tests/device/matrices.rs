//! What the conformance suite's sizes and shapes do not reach: large symmetric products, high ranks, borrowed memory.

use crate::device::{Outcome, backend, check_violations, stream};
use half::bf16;
use spectra_core::backend::{Backend, Coefficient, Fused, Matrix, Op, Scalar};
use spectra_core::linalg::{Scratch, uniform};
use spectra_cuda::cudarc::driver::DevicePtr;
use spectra_cuda::{CudaElement, CudaMatrix, Storage};

fn values(seed: u64, count: usize) -> Vec<f64> {
    (0..count).map(|i| uniform(seed, i, 3)).collect()
}

fn read(matrix: &CudaMatrix<f64>) -> Result<Vec<f64>, spectra_cuda::Error> {
    let (rows, cols) = matrix.shape();
    let mut out = vec![0.0; rows * cols];
    matrix.read(&mut out)?;
    Ok(out)
}

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> Outcome {
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if error <= tolerance && found.len() == expected.len() {
        return Ok(());
    }
    Err(format!("{what}: {error:e} exceeds {tolerance:e}").into())
}

/// `A A^T` and `A^T A` beyond the order from which a triangle is computed and mirrored.
pub(crate) fn large_symmetric_products() -> Outcome {
    let backend = backend::<f64>()?;
    let (n, inner) = (515, 7);
    // Sums of 7 products of numbers below 1, added to another such number, twice: 32 roundings at most.
    let tolerance = 32.0 * 8.0 * f64::EPSILON;
    for (op_a, op_b, shape) in
        [(Op::Plain, Op::Transposed, (n, inner)), (Op::Transposed, Op::Plain, (inner, n))]
    {
        let a = backend.upload(shape.0, shape.1, &values(1, n * inner))?;
        let half = backend.scalar(0.5)?;
        let on_device = a.dot(&a)?;
        let on_device = Scalar::combine(spectra_core::backend::ScalarOp::Div, &on_device, &on_device)?;
        for (beta, alpha) in [
            (Coefficient::ZERO, Coefficient::ONE),
            (Coefficient::from(0.25), Coefficient::device(2.0, &half)),
            (Coefficient::device(0.25, &on_device), Coefficient::device(-1.0, &on_device)),
        ] {
            let mut start = values(2, n * n);
            for i in 0..n {
                for j in 0..i {
                    start[i * n + j] = start[j * n + i];
                }
            }
            let (mut own, mut plain) = (backend.upload(n, n, &start)?, backend.upload(n, n, &start)?);
            own.gemm_symmetric(beta, alpha, &a, op_a, &a, op_b)?;
            plain.gemm(beta, alpha, &a, op_a, &a, op_b)?;
            let own = read(&own)?;
            close("symmetric product", &own, &read(&plain)?, tolerance)?;
            if (0..n * n).any(|i| own[i].to_bits() != own[i % n * n + i / n].to_bits()) {
                return Err("the symmetric product is not symmetric".into());
            }
        }
    }
    check_violations()
}

/// The weight update at ranks on both sides of the one where it stops being one kernel.
pub(crate) fn weight_updates_of_high_rank() -> Outcome {
    let backend = backend::<f64>()?;
    let (m, n) = (70, 131);
    for k in [0, 1, 17, 128, 129, 140] {
        let upload = |seed, rows, cols| backend.upload(rows, cols, &values(seed, rows * cols));
        let (x, left, right) = (upload(1, m, n)?, upload(2, m, k)?, upload(3, n, k)?);
        let (mut own, mut plain) = (upload(4, m, n)?, upload(4, m, n)?);
        let (beta, alpha) = (Coefficient::from(0.75), Coefficient::from(-0.5));
        own.low_rank_add(beta, alpha, &x, &left, &right)?;
        plain.scale_add(beta, alpha, &x)?;
        plain.gemm(Coefficient::ONE, alpha.times(-1.0), &left, Op::Plain, &right, Op::Transposed)?;
        // A sum of k products of numbers below 1 in two orders, and five roundings more.
        let tolerance = (2.0 * k as f64 + 5.0) * (k as f64 + 2.0) * f64::EPSILON;
        close(&format!("rank {k}"), &read(&own)?, &read(&plain)?, tolerance)?;
    }
    check_violations()
}

/// The weight update of a matrix with whole tiles and rows that begin at 16-byte words, which it then reads and writes, and of
/// one whose rows do not.
pub(crate) fn weight_updates_by_whole_tiles() -> Outcome {
    whole_tiles::<f32>()?;
    whole_tiles::<f64>()
}

fn whole_tiles<E: CudaElement>() -> Outcome {
    let (backend, m) = (backend::<E>()?, 264);
    for (n, k) in [(140, 5), (140, 61), (139, 61)] {
        let round = |values: Vec<f64>| values.into_iter().map(|x| E::narrow(x).widen()).collect::<Vec<f64>>();
        let [x, left, right, old] =
            [(1, m * n), (2, m * k), (3, n * k), (4, m * n)].map(|(seed, count)| round(values(seed, count)));
        let upload = |rows, cols, values: &[f64]| {
            backend.upload(rows, cols, &values.iter().map(|x| E::narrow(*x)).collect::<Vec<E>>())
        };
        let mut out = upload(m, n, &old)?;
        let (beta, alpha) = (0.75, -0.5);
        out.low_rank_add(
            beta.into(),
            alpha.into(),
            &upload(m, n, &x)?,
            &upload(m, k, &left)?,
            &upload(n, k, &right)?,
        )?;
        let mut found = vec![E::narrow(0.0); m * n];
        out.read(&mut found)?;
        let exact: Vec<f64> = (0..m * n)
            .map(|i| {
                let (row, col) = (i / n, i % n);
                let product: f64 = (0..k).map(|p| left[row * k + p] * right[col * k + p]).sum();
                beta * old[i] + alpha * (x[i] - product)
            })
            .collect();
        let found: Vec<f64> = found.iter().map(|x| x.widen()).collect();
        // A sum of k products of numbers below 1, twice, and six roundings of what is made of it.
        let tolerance = (2.0 * k as f64 + 6.0) * (k as f64 + 2.0) * E::EPSILON;
        close(&format!("{n} columns, rank {k}"), &found, &exact, tolerance)?;
    }
    check_violations()
}

/// A borrowed matrix with gaps between its rows does what an owned one does, and the gaps stay.
pub(crate) fn borrowed_with_gaps() -> Outcome {
    let (stream, backend) = (stream()?, backend::<f64>()?);
    let (rows, cols, ld) = (37, 21, 25);
    let memory = stream.clone_htod(&vec![9.0; (rows - 1) * ld + cols])?;
    let pointer = memory.device_ptr(&stream).0;
    // SAFETY: `memory` outlives the matrix and is of this stream.
    let mut borrowed = unsafe { backend.matrix_at(pointer, (rows, cols), ld, Storage::Element) }?;
    let start = values(1, rows * cols);
    borrowed.write(&start)?;
    let mut owned = backend.upload(rows, cols, &start)?;
    let same = |what: &str, borrowed: &CudaMatrix<f64>, owned: &CudaMatrix<f64>| -> Outcome {
        // Products of 21 or 37 terms below 1, in another order at most.
        close(what, &read(borrowed)?, &read(owned)?, 37.0 * 37.0 * f64::EPSILON)
    };
    same("write", &borrowed, &owned)?;
    let other = backend.upload(rows, cols, &values(2, rows * cols))?;
    let square = backend.upload(rows, rows, &values(3, rows * rows))?;
    for matrix in [&mut borrowed, &mut owned] {
        matrix.scale_add(0.5.into(), 2.0.into(), &other)?;
        matrix.product_add(1.0.into(), 1.0.into(), &other, &other)?;
        matrix.sign_add(1.0.into(), 0.125.into(), &other)?;
        matrix.gemm(0.5.into(), 0.25.into(), &square, Op::Plain, &other, Op::Plain)?;
    }
    same("operations", &borrowed, &owned)?;
    let (dot, largest) = (borrowed.dot(&other)?.read()?, borrowed.max_abs()?.read()?);
    close("dot", &[dot], &[owned.dot(&other)?.read()?], 1e3 * 1e2 * f64::EPSILON)?;
    close("max_abs", &[largest], &[owned.max_abs()?.read()?], 37.0 * 37.0 * f64::EPSILON)?;
    let mut products = [backend.zeros(cols, cols, None)?, backend.zeros(cols, cols, None)?];
    for (product, matrix) in products.iter_mut().zip([&borrowed, &owned]) {
        product.gemm(0.0.into(), 0.01.into(), matrix, Op::Transposed, matrix, Op::Plain)?;
    }
    same("product", &products[0], &products[1])?;
    for matrix in [&mut borrowed, &mut owned] {
        matrix.write(&vec![0.0; rows * cols])?;
        matrix.seed_zero_columns(5, &mut Scratch::new())?;
    }
    same("seed", &borrowed, &owned)?;
    drop(borrowed);
    let all = stream.clone_dtoh(&memory)?;
    let kept = (0..rows - 1).all(|row| all[row * ld + cols..(row + 1) * ld].iter().all(|x| *x == 9.0));
    if !kept {
        return Err("the gaps have changed".into());
    }
    check_violations()
}

/// bf16 storage: read, written, rounded to nearest even; not multiplied with others.
pub(crate) fn bf16_storage() -> Outcome {
    let (stream, backend) = (stream()?, backend::<f32>()?);
    let (rows, cols) = (5, 12);
    let memory = stream.alloc_zeros::<bf16>(rows * cols)?;
    let pointer = memory.device_ptr(&stream).0;
    // SAFETY: `memory` outlives the matrix and is of this stream.
    let mut half = unsafe { backend.matrix_at(pointer, (rows, cols), cols, Storage::Bf16) }?;
    // Halves between two neighbours, numbers just beside them, the ends of the range, no number at all.
    let mut numbers: Vec<f32> = values(1, rows * cols).into_iter().map(|x| x as f32).collect();
    let tie = 1.0 + 2f32.powi(-8);
    numbers[..8].copy_from_slice(&[
        tie,
        tie + 2f32.powi(-7),
        -tie,
        tie * (1.0 + f32::EPSILON),
        3.4e38,
        1e-40,
        f32::INFINITY,
        f32::NAN,
    ]);
    let full = backend.upload(rows, cols, &numbers)?;
    half.copy_from(&full)?;
    let mut found = vec![0.0; rows * cols];
    half.read(&mut found)?;
    let stored = stream.clone_dtoh(&memory)?;
    for ((x, found), stored) in numbers.iter().zip(&found).zip(&stored) {
        let exact = bf16::from_f32(*x);
        if x.is_nan() != stored.is_nan() || (!x.is_nan() && (exact != *stored || *found != exact.to_f32())) {
            return Err(format!("{x:e} is stored as {stored}, not {exact}").into());
        }
    }
    let mut product = backend.zeros(rows, rows, None)?;
    let refused = product.gemm(0.0.into(), 1.0.into(), &half, Op::Plain, &full, Op::Transposed);
    if !refused.is_err_and(|error| error.to_string().contains("different storage is not supported")) {
        return Err("a product of two storages was accepted".into());
    }
    check_violations()
}
