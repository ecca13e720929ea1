//! Frank-Wolfe over the spectral ball with weight regularisation (the paper's Figure F.1).

use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::faer::Faer;
use spectra_core::frank_wolfe::{FrankWolfe, Regularizer};
use spectra_core::linalg::Workspace;
use spectra_examples::pictures::Panel;

use super::problem::{Logistic, SHAPE};

/// Radii: the optimum well outside, near, and well inside the ball for small b.
const RADII: [f64; 3] = [0.2, 1.0, 5.0];
const STRENGTHS: [f64; 3] = [0.0, 1e-3, 1e-2];

/// The table's text, and a panel for each radius: the duality gap and the objective above its certified minimum.
pub(crate) fn study(iterations: usize) -> Result<(String, Vec<Panel>)> {
    let (mut train, mut test) = Logistic::train_and_test(1)?;
    let mut workspace = Workspace::new(Faer::new());
    let mut text = format!(
        "Constrained problem after {iterations} Frank-Wolfe steps, full batch, gamma = 2 / (k + 2)\n{:>6} {:>7} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10}\n",
        "D", "b", "objective", "gap", "above bound", "test loss", "||X||_2", "||X||_F"
    );
    let mut panels = Vec::new();
    for radius in RADII {
        let mut curves = Vec::new();
        for b in STRENGTHS {
            let regularizer = if b == 0.0 { Regularizer::None } else { Regularizer::Frobenius { b } };
            let solver = FrankWolfe {
                max_iterations: iterations,
                tolerance: 0.0,
                ..FrankWolfe::new(radius, regularizer)
            };
            let mut x = Faer::new().zeros(SHAPE.0, SHAPE.1, None)?;
            let mut history = Vec::new();
            let outcome = solver.minimize_with(&mut train, &mut x, &mut workspace, |iteration| {
                history.push((iteration.gap, iteration.objective.unwrap_or(f64::NAN)));
            })?;
            let last = outcome.objective.unwrap_or(f64::NAN);
            history.push((outcome.gap, last));
            // No point of the ball is below any objective - gap seen.
            let bound = history.iter().map(|(gap, f)| f - gap).fold(f64::NEG_INFINITY, f64::max);
            let norm = spectral_norm(&x)?;
            text += &format!(
                "{radius:>6} {b:>7} {last:>10.6} {:>10.1e} {:>12.1e} {:>10.4} {norm:>10.4} {:>10.4}\n",
                outcome.gap,
                last - bound,
                test.loss(&x)?,
                x.dot(&x)?.sqrt()
            );
            let over = |f: &dyn Fn(&(f64, f64)) -> f64| -> Vec<(f64, f64)> {
                history.iter().enumerate().map(|(k, row)| (k as f64, f(row))).collect()
            };
            curves.push((format!("b = {b}: gap"), over(&|row| row.0)));
            curves.push((format!("b = {b}: above the bound"), over(&|row| row.1 - bound)));
        }
        panels.push(Panel {
            title: format!("radius D = {radius}"),
            across: "iterations",
            up: "",
            logarithmic: true,
            curves,
        });
    }
    Ok((text, panels))
}

/// The largest singular value, by the exact decomposition.
fn spectral_norm(x: &super::problem::M) -> Result<f64> {
    let (m, n) = SHAPE;
    let mut values = vec![0.0; m * n];
    x.read(&mut values)?;
    let matrix = faer::Mat::from_fn(m, n, |i, j| values[i * n + j]);
    Ok(matrix.singular_values().map_or(f64::NAN, |values| values.first().copied().unwrap_or(0.0)))
}
