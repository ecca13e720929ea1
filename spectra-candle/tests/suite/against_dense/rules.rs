//! What holds for every operation: coefficients, NaN, shapes, scalars.

use super::*;

/// Coefficients with a part on the device, computed there.
pub(super) fn device_coefficients<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, (4, 3))?, pair(backend, 2, (4, 3))?);
    let (norm, reference) = (x.dot(&x)?.sqrt()?, dx.dot(&dx)?.sqrt());
    out.scale_add(Coefficient::device(0.5, &norm), Coefficient::device(-2.0, &norm), &x)?;
    expected.scale_add((0.5 * reference).into(), (-2.0 * reference).into(), &dx)?;
    close(&out, &expected, 4)
}

const ADAM: Entrywise = Entrywise::Adam { betas: (0.9, 0.9), eps: 0.1, slow: None };

type Operation<E> = fn(&mut CandleMatrix<E>, &CandleMatrix<E>, &CandleMatrix<E>) -> Result<()>;

pub(super) fn nan_in_an_output_that_is_not_read<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    let nan = || backend.upload(3, 3, &[E::nan(); 9]);
    let (x, _) = pair(backend, 2, (3, 3))?;
    let mut square = nan()?;
    square.product_add(Coefficient::ZERO, Coefficient::ONE, &x, &x)?;
    let gradient = Gradient::new(&x);
    let one = Coefficient::ONE;
    let outputs: [Operation<E>; 7] = [
        |out, x, _| out.scale_add(Coefficient::ZERO, Coefficient::ONE, x),
        |out, x, _| out.copy_from(x),
        |out, x, y| out.product_add(Coefficient::ZERO, Coefficient::ONE, x, y),
        |out, x, y| out.quotient_add(Coefficient::ZERO, Coefficient::ONE, x, y, 0.1),
        |out, x, _| out.sign_add(Coefficient::ZERO, Coefficient::ONE, x),
        |out, x, y| out.gemm(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, y, Op::Plain),
        |out, x, _| out.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, x, Op::Transposed),
    ];
    for (i, f) in outputs.iter().enumerate() {
        let mut out = nan()?;
        f(&mut out, &x, &square)?;
        assert!(host(&out)?.iter().all(|x| x.is_finite()), "operation {i}");
    }
    let (mut out, mut first) = (nan()?, backend.zeros(3, 3, None)?);
    let workspace = &mut Workspace::new(backend.clone());
    CandleBackend::entrywise_add(
        [&mut out, &mut first, &mut square],
        (0.0, 1.0),
        ADAM,
        &gradient,
        workspace,
    )?;
    assert!(host(&out)?.iter().all(|x| x.is_finite()));
    // A beta of zero that only the device knows is a number like any other: 0 * NaN is NaN.
    let mut out = nan()?;
    out.scale_add(Coefficient::device(1.0, &backend.scalar(0.0)?), one, &x)?;
    assert!(host(&out)?.iter().all(|x| x.is_nan()));
    Ok(())
}

pub(super) fn nan_in_an_operand<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    let nan = backend.upload(2, 2, &[E::nan(); 4])?;
    let (x, _) = pair(backend, 2, (2, 2))?;
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let mut out = backend.zeros(2, 2, None)?;
    out.gemm(zero, one, &nan, Op::Plain, &x, Op::Plain)?;
    assert!(host(&out)?.iter().all(|x| x.is_nan()));
    out.quotient_add(zero, one, &x, &nan, 0.1)?;
    assert!(host(&out)?.iter().all(|x| x.is_nan()));
    let zeros = backend.zeros(2, 2, None)?;
    out.quotient_add(zero, one, &zeros, &zeros, 0.0)?;
    assert!(host(&out)?.iter().all(|x| x.is_nan()), "0 / 0");
    assert!(nan.dot(&x)?.read()?.is_nan());
    Ok(())
}

pub(super) fn shapes_are_checked<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    let ((mut out, before), (x, _)) = (pair(backend, 1, (2, 3))?, pair(backend, 2, (3, 2))?);
    let (mut y, _) = pair(backend, 2, (3, 2))?;
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    assert!(out.scale_add(one, one, &x).is_err());
    assert!(out.product_add(one, one, &x, &x).is_err());
    assert!(out.quotient_add(one, one, &x, &x, 1.0).is_err());
    assert!(out.sign_add(one, one, &x).is_err());
    assert!(out.gemm(zero, one, &x, Op::Plain, &x, Op::Plain).is_err());
    assert!(out.gemm_symmetric(zero, one, &x, Op::Transposed, &x, Op::Transposed).is_err());
    assert!(out.dot(&x).is_err());
    let (mut m, _) = pair(backend, 1, (2, 3))?;
    let (gradient, workspace) = (&Gradient::new(&x), &mut Workspace::new(backend.clone()));
    let matrices = [&mut out, &mut m, &mut y];
    assert!(CandleBackend::entrywise_add(matrices, (1.0, 1.0), ADAM, gradient, workspace).is_err());
    assert!(out.read(&mut [E::zero(); 5]).is_err());
    assert!(out.write(&[E::zero(); 7]).is_err());
    assert!(backend.upload(2, 2, &[E::zero(); 3]).is_err());
    close(&out, &before, 0)
}

pub(super) fn read_and_write<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    for shape in SHAPES {
        let (_, expected) = pair(backend, 9, shape)?;
        let mut out = backend.zeros(shape.0, shape.1, None)?;
        assert_eq!(out.shape(), shape);
        assert!(host(&out)?.iter().all(|x| *x == 0.0));
        out.write(expected.values())?;
        assert_eq!(host(&out)?, host(&expected)?);
    }
    Ok(())
}

pub(super) fn scalars<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    use spectra_core::backend::ScalarOp as S;
    let on_memory = format!("{backend:?}").contains("tensor_operations: false");
    // Numbers that only the matrix's side knows: sums of one element.
    let number = |x: f64| backend.upload(1, 1, &[E::narrow(x)])?.dot(&backend.upload(1, 1, &[E::one()])?);
    let numbers = [0.0, 1.5, -2.0, f64::INFINITY, f64::NAN];
    for op in [S::Add, S::Sub, S::Mul, S::Div, S::Min, S::Max, S::Less] {
        for (a, b) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))) {
            let expected = op.on_host(a, b);
            for (left, right) in [
                (number(a)?, number(b)?),
                (backend.scalar(a)?, number(b)?),
                (number(a)?, backend.scalar(b)?),
                (backend.scalar(a)?, backend.scalar(b)?),
            ] {
                let found = Scalar::combine(op, &left, &right)?.read()?;
                let equal = found == expected || (found - expected).abs() <= E::EPSILON * expected.abs();
                assert!(equal || found.is_nan() && expected.is_nan(), "{op:?} {a} {b}: {found}");
            }
        }
    }
    assert_eq!(number(2.25)?.sqrt()?.read()?, 1.5);
    assert!(number(-1.0)?.sqrt()?.read()?.is_nan());
    assert_eq!(number(1.0)?.known().is_some(), on_memory);
    Ok(())
}
