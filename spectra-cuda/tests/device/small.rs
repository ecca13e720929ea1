//! Numbers and matrices that are very small: squares that vanish, and no entries at all.

use crate::device::{Outcome, backend, check_violations};
use spectra_core::backend::{Backend, Coefficient, Entrywise, Fused, Gradient, Matrix, Op, Scalar};
use spectra_core::linalg::{PowerIteration, Scratch, SmallFactor, Workspace, orthonormalize};
use spectra_cuda::{CudaBackend, CudaElement, CudaMatrix};

fn read<E: CudaElement>(matrix: &CudaMatrix<E>) -> spectra_cuda::Result<Vec<f64>> {
    let mut values = vec![E::narrow(0.0); matrix.shape().0 * matrix.shape().1];
    matrix.read(&mut values)?;
    Ok(values.into_iter().map(|x| x.widen()).collect())
}

/// A factor of a Gram matrix of order 2.
fn factor(factor: SmallFactor, gram: &[f64; 4]) -> spectra_cuda::Result<Vec<f64>> {
    let backend = backend::<f64>()?;
    let mut out = backend.zeros(2, 2, None)?;
    out.small_factor(factor, &backend.upload(2, 2, gram)?, &mut Scratch::new())?;
    read(&out)
}

/// Columns of which the squares are the smallest numbers, or whose squares have none, are as alive as others.
pub(crate) fn columns_whose_squares_vanish() -> Outcome {
    // Lengths 2^-511 and 2^-510: the squares are the smallest normal number and four times that; scales of both multiply to 2^1021,
    // those of squares a hundred times smaller to more than any number.
    for exponent in [-1022, -1070] {
        let unit = 2f64.powi(exponent);
        let cosine = 0.5;
        let gram = [unit, 2.0 * cosine * unit, 2.0 * cosine * unit, 4.0 * unit];
        // R^-1 of the scaled matrix is [1, -c / s; 0, 1 / s] with s = sqrt(1 - c^2), over the lengths of the rows.
        let (length, sine) = (unit.sqrt(), (1.0 - cosine * cosine).sqrt());
        let exact = [1.0 / length, -cosine / sine / length, 0.0, 0.5 / sine / length];
        for (found, exact) in factor(SmallFactor::CholeskyInverse, &gram)?.iter().zip(exact) {
            // A few roundings each.
            if !((found - exact).abs() <= 16.0 * f64::EPSILON * exact.abs()) {
                return Err(format!("Cholesky factor of 2^{exponent}: {found:e}, not {exact:e}").into());
            }
        }
        // Powers of two change no rotation.
        let scaled = gram.map(|x| x / unit);
        let (found, exact) =
            (factor(SmallFactor::Diagonalizer, &gram)?, factor(SmallFactor::Diagonalizer, &scaled)?);
        for (found, exact) in found.iter().zip(exact) {
            // Lengths 2^511 apart from 1 are rounded once more where they are no powers of two; squares of 2^-1070 have 5 bits left.
            let lost = if exponent < -1022 { 2f64.powi(-4) } else { 64.0 * f64::EPSILON };
            if !((found - exact).abs() <= lost) {
                return Err(format!("diagonalizer of 2^{exponent}: {found:e}, not {exact:e}").into());
            }
        }
    }
    vanishing::<f32>(1e-30)?;
    vanishing::<f64>(1e-200)?;
    check_violations()
}

/// A Gram matrix with a NaN leaves no column of the factor as it was.
pub(crate) fn factors_of_nan_are_written() -> Outcome {
    const STALE: f64 = 9.0;
    let backend = backend::<f64>()?;
    for at in [0, 4, 8] {
        for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer]
        {
            let mut gram = [3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0];
            gram[at] = f64::NAN;
            let mut out = backend.upload(3, 3, &[STALE; 9])?;
            out.small_factor(factor, &backend.upload(3, 3, &gram)?, &mut Scratch::new())?;
            let found = read(&out)?;
            if found.contains(&STALE) {
                return Err(format!("{factor:?} with a NaN at {at}: {found:?}").into());
            }
        }
    }
    check_violations()
}

/// Entries whose squares are zero in the element type.
fn vanishing<E: CudaElement>(tiny: f64) -> Outcome {
    let (backend, mut scratch) = (backend::<E>()?, Scratch::new());
    let upload = |rows, cols, values: &[f64]| {
        backend.upload(rows, cols, &values.iter().map(|x| E::narrow(*x)).collect::<Vec<E>>())
    };
    // Only the second column is zero.
    let mut v = upload(3, 2, &[tiny, 0.0, -tiny, 0.0, 0.0, 0.0])?;
    v.seed_zero_columns(7, &mut scratch)?;
    let seeded = read(&v)?;
    let kept = [seeded[0], seeded[2], seeded[4]] == [tiny, -tiny, 0.0].map(|x| E::narrow(x).widen());
    if !kept || seeded[1] == 0.0 {
        return Err(format!("seeded: {seeded:?}").into());
    }
    let mut p = upload(3, 2, &[tiny, 1.0, -tiny, 1.0, 0.0, 0.0])?;
    orthonormalize(&mut p, &mut Workspace::new(backend.clone()))?;
    let half = 0.5f64.sqrt();
    for (found, exact) in read(&p)?.into_iter().zip([half, half, -half, half, 0.0, 0.0]) {
        // Two projections and a division.
        if !((found - exact).abs() <= 16.0 * E::EPSILON) {
            return Err(format!("orthonormalised: {found}, not {exact}").into());
        }
    }
    Ok(())
}

/// Every operation on matrices without rows, without columns or without both, and products over nothing.
pub(crate) fn empty_matrices() -> Outcome {
    empty::<f32>()?;
    empty::<f64>()
}

fn empty<E: CudaElement>() -> Outcome {
    let backend = backend::<E>()?;
    let mut workspace = Workspace::new(backend.clone());
    let (beta, alpha) = (Coefficient::from(0.5), Coefficient::from(-0.25));
    for (m, n) in [(0, 5), (5, 0), (0, 0)] {
        let zeros = |rows, cols| backend.zeros(rows, cols, None);
        let (mut out, x) = (zeros(m, n)?, zeros(m, n)?);
        let device = x.dot(&x)?;
        let gradient = Gradient { scale: Coefficient::device(2.0, &device), ..Gradient::new(&x) };
        if device.read()? != 0.0 || x.max_abs()?.read()? != 0.0 {
            return Err("a reduction of nothing is not 0".into());
        }
        out.read(&mut [])?;
        out.write(&[])?;
        out.copy_from(&x)?;
        out.product_add(beta, alpha, &x, &x)?;
        out.quotient_add(beta, Coefficient::device(1.0, &device), &x, &x, 1e-8)?;
        out.sign_add(beta, alpha, &x)?;
        out.seed_zero_columns(1, &mut workspace.scratch)?;
        let mut state = [zeros(m, n)?, zeros(m, n)?, zeros(m, n)?];
        let [first, second, slow] = &mut state;
        let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: Some((0.999, 5.0)) };
        CudaBackend::entrywise_add(
            [&mut out, first, second, slow],
            (0.5, 0.5),
            rule,
            &gradient,
            &mut workspace,
        )?;
        let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: None };
        CudaBackend::entrywise_add([&mut out, first, second], (0.5, 0.5), rule, &gradient, &mut workspace)?;
        for (nesterov, sign) in [(false, false), (true, true)] {
            let rule = Entrywise::Momentum { mu: 0.9, weight: 1.0, nesterov, sign };
            CudaBackend::entrywise_add([&mut out, first], (0.5, 0.5), rule, &gradient, &mut workspace)?;
        }
        for k in [0, 3, 200] {
            out.low_rank_add(beta, alpha, &x, &zeros(m, k)?, &zeros(n, k)?)?;
            out.gemm(beta, alpha, &zeros(m, k)?, Op::Plain, &zeros(k, n)?, Op::Plain)?;
            let mut v = zeros(n, k)?;
            for iteration in
                [PowerIteration::PAPER, PowerIteration { iterations: 2, ..PowerIteration::PAPER }]
            {
                let subspace = iteration.iterate(&mut out, Some((0.5, &gradient)), &mut v, &mut workspace)?;
                if subspace.u.shape() != (m, k) || subspace.w.shape() != (n, k) {
                    return Err("a subspace of nothing has another shape".into());
                }
                subspace.release(&mut workspace);
            }
        }
        let mut square = zeros(m, m)?;
        square.gemm_symmetric(beta, alpha, &x, Op::Plain, &x, Op::Transposed)?;
        orthonormalize(&mut out, &mut workspace)?;
        let mut none = zeros(0, 0)?;
        for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer]
        {
            none.small_factor(factor, &zeros(0, 0)?, &mut workspace.scratch)?;
        }
        // An empty matrix of another shape is refused all the same.
        if out.scale_add(beta, alpha, &zeros(m + 1, n + 1)?).is_ok() || x.dot(&zeros(n + 1, m)?).is_ok() {
            return Err(format!("{m} x {n}: another shape was accepted").into());
        }
    }
    // A product over nothing is zero, also in place of NaN, and leaves what beta keeps.
    let ones = backend.upload(2, 2, &[E::narrow(1.0); 4])?;
    let mut out = backend.upload(2, 2, &[E::narrow(f64::NAN); 4])?;
    let nothing = [backend.zeros(2, 0, None)?, backend.zeros(0, 2, None)?];
    out.gemm(Coefficient::ZERO, Coefficient::ONE, &nothing[0], Op::Plain, &nothing[1], Op::Plain)?;
    if read(&out)? != [0.0; 4] {
        return Err("a product over nothing is not zero".into());
    }
    out.low_rank_add(Coefficient::ONE, Coefficient::ONE, &ones, &nothing[0], &nothing[0])?;
    out.gemm_symmetric(
        Coefficient::from(0.5),
        Coefficient::ONE,
        &nothing[0],
        Op::Plain,
        &nothing[0],
        Op::Transposed,
    )?;
    if read(&out)? != [0.5; 4] {
        return Err("a product over nothing has changed more than beta says".into());
    }
    check_violations()
}
