//! The Frank-Wolfe solver: the optimizer's step under another name, bad settings. The conformance suite runs it with every
//! regulariser and step rule.

use spectra_core::backend::{Coefficient, ErrorKind, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::frank_wolfe::{Averaging, FrankWolfe, Objective, Regularizer, StepRule, WeightDecayForm};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::HardClip;

type M = DenseMatrix<f64>;

fn random(seed: u64, m: usize, n: usize, scale: f64) -> M {
    DenseMatrix::from_fn(m, n, |i, j| scale * uniform(seed, i, j))
}

/// `||X - target||^2 / 2`
struct Distance(M);

impl Objective<Dense<f64>> for Distance {
    fn gradient(&mut self, x: &M, gradient: &mut M) -> Result<()> {
        gradient.copy_from(x)?;
        gradient.scale_add(Coefficient::ONE, (-1.0).into(), &self.0)
    }
    fn value(&mut self, x: &M) -> Result<Option<f64>> {
        let pairs = x.values().iter().zip(self.0.values());
        Ok(Some(pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 2.0))
    }
}

#[test]
fn the_optimizer_step_is_the_frank_wolfe_step() {
    let optimizer = WeightDecayForm { lr: 0.3, weight_decay: 0.2, scale: 1.7, c: 0.9 };
    let form = optimizer.frank_wolfe().unwrap();
    let mut workspace = Workspace::new(Dense::new());
    let (mu, steps) = (0.9, 12);
    let solver = FrankWolfe {
        step: StepRule::Constant(form.step),
        averaging: Averaging::Constant(mu),
        max_iterations: steps,
        tolerance: 0.0,
        ..FrankWolfe::new(form.radius, Regularizer::Frobenius { b: form.b })
    };
    let mut objective = Distance(random(1, 6, 8, 4.0));
    let mut x = random(2, 6, 8, 0.1);

    // X <- (1 - lr wd) X - lr scale clip_c(M), M an average that starts at the first gradient.
    let (mut y, mut gradient, mut clipped) = (x.clone(), x.clone(), x.clone());
    let mut average = x.clone();
    for step in 0..steps {
        objective.gradient(&y, &mut gradient).unwrap();
        let (keep, take) = if step == 0 { (0.0, 1.0) } else { (mu, 1.0 - mu) };
        average.scale_add(keep.into(), take.into(), &gradient).unwrap();
        HardClip::default().apply(&average, optimizer.c, &mut clipped, &mut workspace).unwrap();
        let decay = 1.0 - optimizer.lr * optimizer.weight_decay;
        y.scale_add(decay.into(), (-optimizer.lr * optimizer.scale).into(), &clipped).unwrap();
    }
    let outcome = solver.minimize(&mut objective, &mut x, &mut workspace).unwrap();
    assert_eq!(outcome.iterations, steps);
    let norm = y.dot(&y).unwrap().sqrt();
    for (a, b) in x.values().iter().zip(y.values()) {
        // A dozen steps of a few roundings and the clip's 2e-13.
        assert!((a - b).abs() <= 1e-11 * norm, "{a} {b}");
    }
}

#[test]
fn bad_settings() {
    let mut workspace = Workspace::new(Dense::new());
    let mut objective = Distance(random(3, 5, 7, 2.0));
    let mut x = random(4, 5, 7, 0.0);
    let good = FrankWolfe::new(1.0, Regularizer::None);
    for bad in [
        FrankWolfe { radius: 0.0, ..good },
        FrankWolfe { radius: f64::NAN, ..good },
        FrankWolfe { regularizer: Regularizer::Frobenius { b: 0.0 }, ..good },
        FrankWolfe { regularizer: Regularizer::SchattenP { p: 1.0, b: 1.0 }, ..good },
        FrankWolfe { step: StepRule::Constant(0.0), ..good },
        FrankWolfe { step: StepRule::Constant(1.5), ..good },
        FrankWolfe { averaging: Averaging::Constant(1.0), ..good },
        FrankWolfe { tolerance: f64::NAN, ..good },
    ] {
        let error = bad.minimize(&mut objective, &mut x, &mut workspace).expect_err("accepted");
        assert!(matches!(error.kind(), ErrorKind::Argument { .. }), "{error}");
    }
    let searching = FrankWolfe { step: StepRule::LineSearch, ..good };
    let mut no_values = |x: &M, gradient: &mut M| objective.gradient(x, gradient);
    let error = searching.minimize(&mut no_values, &mut x, &mut workspace).expect_err("accepted");
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let mut not_finite = |_: &M, gradient: &mut M| gradient.write(&[f64::NAN; 35]);
    assert!(good.minimize(&mut not_finite, &mut x, &mut workspace).is_err());
}
