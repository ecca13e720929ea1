//! Products and the fused operations of the power iteration.

use super::*;

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

pub(super) fn low_rank_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    for (m, n) in SHAPES {
        for k in [0, 1, 4] {
            let ((mut out, mut expected), (x, dx)) = (pair(backend, 1, (m, n))?, pair(backend, 2, (m, n))?);
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
