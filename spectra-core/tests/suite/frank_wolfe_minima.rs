//! The linear subproblems of Frank-Wolfe: no point of the ball is better than the one that is found, for every regulariser.

use spectra_core::backend::{Coefficient, Error, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::frank_wolfe::{
    Averaging, FrankWolfe, MaxNorm, MaxNormForm, Regularizer, RegularizerRule, StepRule,
};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::{HardClip, HardClipMethod};

type B = Dense<f64>;
type M = DenseMatrix<f64>;

const RADIUS: f64 = 0.7;

fn random(seed: u64, (m, n): (usize, usize), scale: f64) -> M {
    DenseMatrix::from_fn(m, n, |i, j| scale * uniform(seed, i, j))
}

/// The point of the ball next to `x`.
fn project(x: &M, workspace: &mut Workspace<B>) -> Result<M, Error> {
    let mut out = x.clone();
    let clip = HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO };
    clip.apply(x, RADIUS, &mut out, workspace)?;
    Ok(out)
}

fn regularizers(tolerance: f64) -> Vec<Box<dyn RegularizerRule<B>>> {
    let form = MaxNormForm::Solved { tolerance };
    vec![
        Box::new(Regularizer::None),
        Box::new(Regularizer::Frobenius { b: 0.9 }),
        Box::new(Regularizer::Nuclear { t: 0.8 }),
        Box::new(Regularizer::Elastic { t: 0.3, b: 0.9 }),
        Box::new(Regularizer::SchattenP { p: 1.5, b: 0.5 }),
        Box::new(Regularizer::SchattenP { p: 3.0, b: 0.5 }),
        Box::new(MaxNorm { b: 1.0, form }),
        Box::new(MaxNorm { b: 10.0, form }),
        Box::new(MaxNorm { b: 200.0, form }),
    ]
}

/// 2603.14315, section 3.1 and appendix E.2: 1000 feasible perturbations of each minimiser, small and large, of full and of low rank.
#[test]
fn no_feasible_perturbation_is_better() -> Result<(), Error> {
    let (shape, tolerance) = ((6, 5), 1e-8);
    let workspace = &mut Workspace::new(Dense::new());
    let g = random(1, shape, 1.0);
    let mut polar = g.clone();
    Regularizer::None.minimizer(&g, RADIUS, &mut polar, workspace)?;
    let range = -g.dot(&polar)?;
    for psi in regularizers(tolerance) {
        let mut v = g.clone();
        psi.minimizer(&g, RADIUS, &mut v, workspace)?;
        let minimum = g.dot(&v)? + psi.value(&v, workspace)?;
        // Deflation leaves values up to a slack of 1 % above the radius, of which there are none here.
        let inside = project(&v, workspace)?;
        assert!(inside.values().iter().zip(v.values()).all(|(a, b)| (a - b).abs() < 1e-9), "{psi:?}");
        for seed in 0..1000 {
            let size = 10.0f64.powi(-(seed as i32 % 7));
            let mut moved = v.clone();
            if seed % 2 == 0 {
                moved.scale_add(Coefficient::ONE, size.into(), &random(2 + seed, shape, 1.0))?;
            } else {
                let (a, b) = (random(2 + seed, (6, 1), 1.0), random(3 + seed, (5, 1), 1.0));
                let spike = DenseMatrix::from_fn(6, 5, |i, j| a.values()[i] * b.values()[j]);
                moved.scale_add(Coefficient::ONE, size.into(), &spike)?;
            }
            let moved = project(&moved, workspace)?;
            let value = g.dot(&moved)? + psi.value(&moved, workspace)?;
            // The proven accuracy of the one that is iterated; the others are right to rounding.
            assert!(value >= minimum - tolerance * range, "{psi:?}, {seed}: {value} below {minimum}");
        }
    }
    Ok(())
}

/// What the clip of the sign matrix costs, and the two ends at which it costs nothing.
#[test]
fn the_largest_entry_is_solved_to_a_proven_accuracy() -> Result<(), Error> {
    let workspace = &mut Workspace::new(Dense::new());
    for shape in [(6, 5), (4, 9), (1, 3), (3, 1)] {
        let g = random(5, shape, 1.0);
        let mut v = g.clone();
        Regularizer::None.minimizer(&g, RADIUS, &mut v, workspace)?;
        let range = -g.dot(&v)?;
        let mut excesses = Vec::new();
        for b in [1e-2, 1.0, 10.0, 100.0, 1000.0] {
            let found = MaxNorm::new(b).solve(&g, (RADIUS, 1e-7), &mut v, workspace)?;
            assert!(found.value - found.bound <= 1e-7 * range, "{shape:?} {b} {found:?}");
            assert!(found.bound >= -range * (1.0 + 1e-12), "{found:?}");
            let inside = project(&v, workspace)?;
            assert!(inside.values().iter().zip(v.values()).all(|(a, b)| (a - b).abs() < 1e-9));
            // The approximation, from its own form.
            let approximate = MaxNorm { b, form: MaxNormForm::ClippedSign };
            let mut sign = g.clone();
            approximate.minimizer(&g, RADIUS, &mut sign, workspace)?;
            let value = g.dot(&sign)? + RegularizerRule::<B>::value(&approximate, &sign, workspace)?;
            assert!((value - found.bound - found.clipped_sign_excess).abs() < 1e-12 * range);
            excesses.push(format!("{:.1e}", found.clipped_sign_excess / range));
            if b == 1000.0 {
                // The minimiser without the ball lies in it.
                let sum: f64 = g.values().iter().map(|x| x.abs()).sum();
                let exact = |(x, g): (&f64, &f64)| (x + sum / b * g.signum()).abs() < 1e-12;
                assert!(found.iterations == 0 && v.values().iter().zip(g.values()).all(exact));
            }
        }
        println!("{shape:?}: excess of the clipped sign over the range, b = 0.01 .. 1000: {excesses:?}");
    }
    Ok(())
}

#[test]
fn a_ball_with_the_largest_entry_is_minimised() -> Result<(), Error> {
    let target = random(8, (6, 5), 2.0);
    let mut gradient = |x: &M, out: &mut M| {
        out.copy_from(x)?;
        out.scale_add(Coefficient::ONE, (-1.0).into(), &target)
    };
    let workspace = &mut Workspace::new(Dense::new());
    let form = MaxNormForm::Solved { tolerance: 1e-6 };
    let solver = FrankWolfe {
        max_iterations: 400,
        tolerance: 0.05,
        ..FrankWolfe::new(RADIUS, MaxNorm { b: 2.0, form })
    };
    let mut x = random(9, (6, 5), 0.0);
    let outcome = solver.minimize(&mut gradient, &mut x, workspace)?;
    assert!(outcome.converged, "{outcome:?}");
    Ok(())
}

#[test]
fn a_setting_of_the_largest_entry_is_refused_by_name() {
    let workspace = &mut Workspace::new(Dense::new());
    let (g, mut out) = (random(1, (3, 2), 1.0), random(2, (3, 2), 1.0));
    for (b, tolerance, name) in
        [(0.0, 1e-3, "b ="), (f64::NAN, 1e-3, "b ="), (1.0, 0.0, "tolerance"), (1.0, 1.0, "tolerance")]
    {
        let psi = MaxNorm { b, form: MaxNormForm::Solved { tolerance } };
        let error = psi.minimizer(&g, 1.0, &mut out, workspace).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    // Below rounding errors.
    let psi = MaxNorm { b: 1.0, form: MaxNormForm::Solved { tolerance: 1e-300 } };
    let error =
        psi.minimizer(&random(1, (2, 2), 1.0), 1.0, &mut random(2, (2, 2), 1.0), workspace).unwrap_err();
    assert!(error.to_string().contains("tolerance"), "{error}");
}

/// `M = (1 - rho_k) M + rho_k G` with `rho_k = 4 / (k + 8)^(2/3)`, `X = (1 - gamma_k) X - gamma_k M / b` with `gamma_k = 2 / (k + 8)`.
#[test]
fn the_stochastic_schedules_are_their_formulas() -> Result<(), Error> {
    const STEPS: usize = 20;
    let (shape, b) = ((3, 2), 0.5);
    let mut seen = 0;
    let mut noise = |_: &M, out: &mut M| {
        seen += 1;
        out.copy_from(&random(seen, shape, 1.0))
    };
    let solver = FrankWolfe {
        step: StepRule::Stochastic,
        averaging: Averaging::Diminishing,
        max_iterations: STEPS,
        tolerance: 0.0,
        ..FrankWolfe::new(1e3, Regularizer::Frobenius { b })
    };
    let mut x = random(99, shape, 1.0);
    let (mut expected, mut m) = (x.values().to_vec(), vec![0.0; 6]);
    solver.minimize(&mut noise, &mut x, &mut Workspace::new(Dense::new()))?;
    for k in 0..STEPS {
        let (rho, gamma) = (4.0 / (k as f64 + 8.0).powf(2.0 / 3.0), 2.0 / (k as f64 + 8.0));
        let g = random(k as u64 + 1, shape, 1.0);
        for ((x, m), g) in expected.iter_mut().zip(&mut m).zip(g.values()) {
            *m = (1.0 - rho) * *m + rho * g;
            *x = (1.0 - gamma) * *x - gamma * *m / b;
        }
    }
    // 20 steps of a few roundings, and the clip's of nothing: 2e-13.
    assert!(x.values().iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11));
    Ok(())
}
