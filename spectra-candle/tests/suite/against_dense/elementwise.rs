//! Operations entry by entry.

use super::*;

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

/// A step of the rule on those of X, M, V, S that it has, with half the gradient.
fn step<B: Backend>(
    rule: Entrywise,
    weights: (f64, f64),
    [x, m, v, s]: [&mut B::Matrix; 4],
    g: &B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let half = &Gradient { scale: 0.5.into(), ..Gradient::new(g) };
    match rule.matrices() {
        2 => B::entrywise_add([x, m], weights, rule, half, workspace),
        3 => B::entrywise_add([x, m, v], weights, rule, half, workspace),
        _ => B::entrywise_add([x, m, v, s], weights, rule, half, workspace),
    }
}

pub(super) fn entrywise_add<E: CandleElement>(backend: &CandleBackend<E>) -> Result<()> {
    let (betas, eps) = ((0.9, 0.99), 0.1);
    let rules = [
        Entrywise::Adam { betas, eps, slow: None },
        Entrywise::Adam { betas, eps, slow: Some((0.999, 0.5)) },
        Entrywise::Momentum { mu: 0.9, weight: 0.1, nesterov: true, sign: false },
        Entrywise::Momentum { mu: 0.9, weight: 0.1, nesterov: true, sign: true },
    ];
    let workspace = &mut Workspace::new(backend.clone());
    let dense_workspace = &mut Workspace::new(Dense::new());
    for (shape, weights) in SHAPES.into_iter().flat_map(|shape| COEFFICIENTS.map(|weights| (shape, weights)))
    {
        for rule in rules {
            let ((mut x, mut dx), (mut m, mut dm)) = (pair(backend, 1, shape)?, pair(backend, 2, shape)?);
            let ((g, dg), (mut v, mut dv)) = (pair(backend, 3, shape)?, pair(backend, 4, shape)?);
            let (mut s, mut ds) = pair(backend, 5, shape)?;
            v.product_add(Coefficient::ZERO, Coefficient::ONE, &g, &g)?;
            dv.product_add(Coefficient::ZERO, Coefficient::ONE, &dg, &dg)?;
            step(rule, weights, [&mut x, &mut m, &mut v, &mut s], &g, workspace)?;
            step(rule, weights, [&mut dx, &mut dm, &mut dv, &mut ds], &dg, dense_workspace)?;
            for (found, expected) in [(&x, &dx), (&m, &dm), (&v, &dv), (&s, &ds)] {
                close(found, expected, 1)?;
            }
        }
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
