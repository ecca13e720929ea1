//! Every method against the reference backend, on memory and by tensor operations, in f32 and f64.

mod common;

use candle_core::Device;
use common::{distance, host, pair};
use spectra_candle::{CandleBackend, CandleElement, CandleMatrix};
use spectra_core::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result, Scalar};
use spectra_core::dense::DenseMatrix;

/// Odd, wide, tall, a row, a column, one number, empty; and one large enough to be split over threads.
const SHAPES: [(usize, usize); 9] =
    [(7, 5), (5, 33), (65, 3), (1, 17), (19, 1), (1, 1), (0, 4), (4, 0), (301, 257)];

/// Runs `$check::<E>(&backend)` on every kind of this backend.
macro_rules! on_every_kind {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() -> Result<()> {
            checks::$name::<f32>(&CandleBackend::new(&Device::Cpu))?;
            checks::$name::<f64>(&CandleBackend::new(&Device::Cpu))?;
            checks::$name::<f32>(&CandleBackend::by_tensor_operations(&Device::Cpu))?;
            checks::$name::<f64>(&CandleBackend::by_tensor_operations(&Device::Cpu))
        }
    )*};
}

on_every_kind!(
    scale_add,
    product_add,
    quotient_add,
    sign_add,
    gemm,
    gemm_symmetric,
    dot,
    max_abs,
    adam_add,
    low_rank_add,
    power_sweep,
    device_coefficients,
    nan_in_an_output_that_is_not_read,
    nan_in_an_operand,
    shapes_are_checked,
    read_and_write,
    scalars
);

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

mod checks {
    use super::*;

    type Operation<E> = fn(&mut CandleMatrix<E>, &CandleMatrix<E>, &CandleMatrix<E>) -> Result<()>;

    pub(super) fn scale_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            for (beta, alpha) in COEFFICIENTS {
                let ((mut out, mut expected), (x, y)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
                out.scale_add(beta.into(), alpha.into(), &x)?;
                expected.scale_add(beta.into(), alpha.into(), &y)?;
                close(&out, &expected, 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn product_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            for (beta, alpha) in COEFFICIENTS {
                let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
                let (y, dy) = pair(backend, 3, shape)?;
                out.product_add(beta.into(), alpha.into(), &x, &y)?;
                expected.product_add(beta.into(), alpha.into(), &dx, &dy)?;
                close(&out, &expected, 1)?;
                // The same operand twice: one storage, locked once.
                out.product_add(beta.into(), alpha.into(), &x, &x)?;
                expected.product_add(beta.into(), alpha.into(), &dx, &dx)?;
                close(&out, &expected, 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn quotient_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            for (beta, alpha) in COEFFICIENTS {
                let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
                let (mut y, mut dy) = pair(backend, 3, shape)?;
                y.product_add(Coefficient::ZERO, Coefficient::ONE, &x, &x)?;
                dy.product_add(Coefficient::ZERO, Coefficient::ONE, &dx, &dx)?;
                out.quotient_add(beta.into(), alpha.into(), &x, &y, 0.1)?;
                expected.quotient_add(beta.into(), alpha.into(), &dx, &dy, 0.1)?;
                close(&out, &expected, 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn sign_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        let x = backend.upload(1, 5, &[0.0, -0.0, -3.0, f64::INFINITY, f64::NAN].map(E::narrow))?;
        let mut out = backend.zeros(1, 5, None)?;
        out.sign_add(Coefficient::ZERO, Coefficient::ONE, &x)?;
        let out = host(&out)?;
        assert_eq!(out[..4], [0.0, 0.0, -1.0, 1.0]);
        assert!(out[4].is_nan());
        for shape in SHAPES {
            let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
            out.sign_add(0.5.into(), (-2.0).into(), &x)?;
            expected.sign_add(0.5.into(), (-2.0).into(), &dx)?;
            close(&out, &expected, 1)?;
        }
        Ok(())
    }

    fn stored(op: Op, shape: (usize, usize)) -> (usize, usize) {
        op.shape(shape)
    }

    pub(super) fn gemm<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for (m, n) in SHAPES {
            for inner in [0, 1, 13, 70] {
                for (op_a, op_b) in [
                    (Op::Plain, Op::Plain),
                    (Op::Transposed, Op::Plain),
                    (Op::Plain, Op::Transposed),
                    (Op::Transposed, Op::Transposed),
                ] {
                    let (beta, alpha) = COEFFICIENTS[(m + inner) % 4];
                    let (mut out, mut expected) = pair(backend, 1, (m, n))?;
                    let (a, da) = pair(backend, 2, stored(op_a, (m, inner)))?;
                    let (b, db) = pair(backend, 3, stored(op_b, (inner, n)))?;
                    out.gemm(beta.into(), alpha.into(), &a, op_a, &b, op_b)?;
                    expected.gemm(beta.into(), alpha.into(), &da, op_a, &db, op_b)?;
                    close(&out, &expected, inner)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn gemm_symmetric<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for (m, n) in SHAPES {
            let (a, da) = pair(backend, 2, (m, n))?;
            let (mut out, mut expected) =
                (backend.zeros(n, n, None)?, DenseMatrix::from_fn(n, n, |_, _| E::zero()));
            out.gemm_symmetric(Coefficient::ZERO, 0.5.into(), &a, Op::Transposed, &a, Op::Plain)?;
            expected.gemm(Coefficient::ZERO, 0.5.into(), &da, Op::Transposed, &da, Op::Plain)?;
            close(&out, &expected, m)?;
        }
        Ok(())
    }

    pub(super) fn dot<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            let ((x, dx), (y, dy)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
            let (found, expected) = (x.dot(&y)?.read()?, dx.dot(&dy)?);
            // Each product is below 1; sums of rows and of the column of sums in E.
            let tolerance = E::EPSILON * (shape.0 + shape.1) as f64 * (1.0 + dx.dot(&dx)?);
            assert!((found - expected).abs() <= tolerance, "{shape:?}: {found} {expected}");
        }
        Ok(())
    }

    pub(super) fn max_abs<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            let (x, dx) = pair(backend, 1, shape)?;
            assert_eq!(x.max_abs()?.read()?, dx.max_abs()?, "{shape:?}");
        }
        for nan in [0, 3, 8] {
            let mut values: Vec<E> = (0..9).map(|i| E::narrow(f64::from(i))).collect();
            values[nan] = E::nan();
            assert!(backend.upload(3, 3, &values)?.max_abs()?.read()?.is_nan(), "NaN at {nan}");
        }
        let infinite = backend.upload(1, 2, &[E::neg_infinity(), E::one()])?;
        assert_eq!(infinite.max_abs()?.read()?, f64::INFINITY);
        Ok(())
    }

    pub(super) fn adam_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for shape in SHAPES {
            for (beta, alpha) in COEFFICIENTS {
                let ((mut x, mut dx), (mut m, mut dm)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
                let ((g, dg), (mut v, mut dv)) = (pair(backend, 3, shape)?, pair(backend, 4, shape)?);
                v.product_add(Coefficient::ZERO, Coefficient::ONE, &g, &g)?;
                dv.product_add(Coefficient::ZERO, Coefficient::ONE, &dg, &dg)?;
                let half = Gradient { scale: 0.5.into(), square: 0.25.into(), ..Gradient::new(&g) };
                x.adam_add(beta.into(), alpha.into(), &mut m, &mut v, &half, (0.9, 0.99), 0.1)?;
                let half = Gradient { scale: 0.5.into(), square: 0.25.into(), ..Gradient::new(&dg) };
                dx.adam_add(beta.into(), alpha.into(), &mut dm, &mut dv, &half, (0.9, 0.99), 0.1)?;
                for (found, expected) in [(&x, &dx), (&m, &dm), (&v, &dv)] {
                    close(found, expected, 1)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn low_rank_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for (m, n) in SHAPES {
            for k in [0, 1, 4] {
                let ((mut out, mut expected), (x, dx)) =
                    (pair(backend, 1, (m, n))?, pair(backend, 2, (m, n))?);
                let ((l, dl), (r, dr)) = (pair(backend, 3, (m, k))?, pair(backend, 4, (n, k))?);
                out.low_rank_add(0.9.into(), (-0.3).into(), &x, &l, &r)?;
                expected.low_rank_add(0.9.into(), (-0.3).into(), &dx, &dl, &dr)?;
                close(&out, &expected, k + 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn power_sweep<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        for (m, n) in SHAPES {
            let k = 3;
            let ((mut x, mut dx), (g, dg)) = (pair(backend, 1, (m, n))?, pair(backend, 2, (m, n))?);
            let ((v, dv), (mut p, mut dp)) = (pair(backend, 3, (n, k))?, pair(backend, 4, (m, k))?);
            let ((mut c, mut dc), (mut z, mut dz)) = (pair(backend, 5, (k, k))?, pair(backend, 6, (n, k))?);
            let norm = x.power_sweep(Some((0.9, &Gradient::new(&g))), 0.5, &v, &mut p, &mut c, &mut z)?;
            let expected =
                dx.power_sweep(Some((0.9, &Gradient::new(&dg))), 0.5, &dv, &mut dp, &mut dc, &mut dz)?;
            let error = (norm.read()? - expected).abs();
            assert!(error <= 8.0 * E::EPSILON * (m + n) as f64 * expected.max(1.0), "{norm:?} {expected}");
            for (found, expected) in [(&x, &dx), (&p, &dp), (&c, &dc), (&z, &dz)] {
                close(found, expected, m * n)?;
            }
        }
        Ok(())
    }

    /// Coefficients with a part on the device, computed there.
    pub(super) fn device_coefficients<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
        let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, (4, 3))?, pair(backend, 2, (4, 3))?);
        let (norm, reference) = (x.dot(&x)?.sqrt()?, dx.dot(&dx)?.sqrt());
        out.scale_add(Coefficient::device(0.5, &norm), Coefficient::device(-2.0, &norm), &x)?;
        expected.scale_add((0.5 * reference).into(), (-2.0 * reference).into(), &dx)?;
        close(&out, &expected, 4)
    }

    pub(super) fn nan_in_an_output_that_is_not_read<E: CandleElement>(
        backend: &CandleBackend<E>,
    ) -> Result<()> {
        let nan = || backend.upload(3, 3, &[E::nan(); 9]);
        let (x, _) = pair(backend, 2, (3, 3))?;
        let mut square = nan()?;
        square.product_add(Coefficient::ZERO, Coefficient::ONE, &x, &x)?;
        let gradient = Gradient::new(&x);
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let outputs: [Operation<E>; 7] = [
            |out, x, _| out.scale_add(Coefficient::ZERO, Coefficient::ONE, x),
            |out, x, _| out.copy_from(x),
            |out, x, y| out.product_add(Coefficient::ZERO, Coefficient::ONE, x, y),
            |out, x, y| out.quotient_add(Coefficient::ZERO, Coefficient::ONE, x, y, 0.1),
            |out, x, _| out.sign_add(Coefficient::ZERO, Coefficient::ONE, x),
            |out, x, y| out.gemm(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, y, Op::Plain),
            |out, x, _| {
                out.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, x, Op::Transposed)
            },
        ];
        for (i, f) in outputs.iter().enumerate() {
            let mut out = nan()?;
            f(&mut out, &x, &square)?;
            assert!(host(&out)?.iter().all(|x| x.is_finite()), "operation {i}");
        }
        let (mut out, mut first) = (nan()?, backend.zeros(3, 3, None)?);
        out.adam_add(zero, one, &mut first, &mut square, &gradient, (0.9, 0.9), 0.1)?;
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
        assert!(out.adam_add(one, one, &mut m, &mut y, &Gradient::new(&x), (0.9, 0.9), 0.1).is_err());
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
        let number =
            |x: f64| backend.upload(1, 1, &[E::narrow(x)])?.dot(&backend.upload(1, 1, &[E::one()])?);
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
}
