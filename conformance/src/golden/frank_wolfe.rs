//! The golden runs of composite Frank-Wolfe.

use std::error::Error;

use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result as CoreResult, Scalar};
use spectra_core::frank_wolfe::{FrankWolfe, Iteration, Objective, Regularizer};
use spectra_core::linalg::Workspace;

use super::Golden;
use super::replay::{download, upload};
use crate::distance::max_error;

/// `f(X) = ||A X B - C||_F^2 / 2`
struct LeastSquares<B: Backend> {
    a: B::Matrix,
    b: B::Matrix,
    c: B::Matrix,
    left: B::Matrix,
    residual: B::Matrix,
}

impl<B: Backend> LeastSquares<B> {
    fn residual(&mut self, x: &B::Matrix) -> CoreResult<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        self.left.gemm(zero, one, &self.a, Op::Plain, x, Op::Plain)?;
        self.residual.copy_from(&self.c)?;
        self.residual.gemm((-1.0).into(), one, &self.left, Op::Plain, &self.b, Op::Plain)
    }
}

impl<B: Backend> Objective<B> for LeastSquares<B> {
    fn gradient(&mut self, x: &B::Matrix, gradient: &mut B::Matrix) -> CoreResult<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        self.residual(x)?;
        self.left.gemm(zero, one, &self.residual, Op::Plain, &self.b, Op::Transposed)?;
        gradient.gemm(zero, one, &self.a, Op::Transposed, &self.left, Op::Plain)
    }

    fn value(&mut self, x: &B::Matrix) -> CoreResult<Option<f64>> {
        self.residual(x)?;
        Ok(Some(self.residual.dot(&self.residual)?.read()? / 2.0))
    }
}

/// Replays a `frank_wolfe_*` case on an `f64` backend: both histories, the last point, and that the certified gap
/// holds at the known minimum. The largest error as a fraction of its tolerance.
///
/// # Errors
/// A missing array, or an error of the backend.
pub fn replay_frank_wolfe<B: Backend>(backend: &B, name: &str) -> Result<f64, Box<dyn Error>> {
    let case = Golden::load(name)?;
    let matrix = |name: &str| -> Result<B::Matrix, Box<dyn Error>> {
        upload(backend, &case.inputs().parameter(name)?)
    };
    let (a, b, c) = (matrix("A")?, matrix("B")?, matrix("C")?);
    let left = backend.zeros(a.shape().0, b.shape().0, None)?;
    let residual = backend.zeros(c.shape().0, c.shape().1, None)?;
    let mut objective = LeastSquares::<B> { a, b, c, left, residual };
    let mut x = matrix("X0")?;
    let regularizer = match (case.hyper_number("b")?, case.hyper_number("tau")?) {
        (b, 0.0) => Regularizer::Frobenius { b },
        (0.0, t) => Regularizer::Nuclear { t },
        (b, t) => Regularizer::Elastic { t, b },
    };
    let steps = case.hyper_count("iterations")?;
    case.hyper_must_be("gamma", "2/(k+2)")?;
    case.unused(
        "outputs.X_star",
        "the minimiser, which 200 steps do not reach; F_star says how far they are",
    )?;
    let solver = FrankWolfe {
        max_iterations: steps,
        tolerance: 0.0,
        ..FrankWolfe::new(case.hyper_number("D")?, regularizer)
    };
    let (mut gaps, mut values) = (Vec::new(), Vec::new());
    let mut workspace = Workspace::new(backend.clone());
    let outcome = solver.minimize_with(&mut objective, &mut x, &mut workspace, |iteration: &Iteration| {
        gaps.push(iteration.gap);
        values.push(iteration.objective.unwrap_or(f64::NAN));
    })?;
    let last = outcome.objective.ok_or("no values")?;
    values.push(last);

    let array = |name: &str| -> Result<Vec<f64>, Box<dyn Error>> {
        Ok(case.outputs().array(name)?.to_f64().ok_or("integers")?)
    };
    let mut worst = 0.0f64;
    for (computed, name) in [(&values, "objective"), (&gaps, "gap"), (&download(&x)?, "X_final")] {
        let error = max_error(computed, &array(name)?) / case.tolerance_of(name)?;
        worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
    }
    let minimum = array("F_star")?[0];
    if last - minimum > outcome.gap {
        return Err(format!("{name}: {last} is further above {minimum} than the gap {}", outcome.gap).into());
    }
    case.finish()?;
    Ok(worst)
}
