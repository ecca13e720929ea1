//! What cannot be diagnosed is refused by its name.

use super::*;
use spectra_core::backend::{Error, ErrorKind};

const SHAPES: [(&str, &[usize]); 2] = [("layers.0.mlp.up.weight", &[12, 20]), ("norm.weight", &[20])];

fn new() -> Result<Run, Box<dyn std::error::Error>> {
    Run::new(Config::preset("spectra")?, &Plan::builder(), &SHAPES)
}

fn refused(outcome: spectra_core::backend::Result<Diagnoses>) -> Result<Error, &'static str> {
    outcome.err().ok_or("it was diagnosed")
}

#[test]
fn shapes_indices_and_plans_of_another_model() -> TestResult {
    let mut run = new()?;
    let (small, g) = (random(0, (3, 4)), run.gradients(0));
    let x = run.weights[0].clone();
    let given = |at: usize| g.iter().flatten().enumerate().filter(move |(i, _)| *i == at);

    let error = refused(run.optimizer.diagnose(&run.plan, given(0), &[(0, &small)]))?;
    assert_eq!(error.parameter(), Some("layers.0.mlp.up.weight"), "{error}");
    let error = refused(run.optimizer.diagnose(&run.plan, [(1, &small)].into_iter(), &[(0, &x)]))?;
    assert_eq!(error.to_string(), "parameter `norm.weight`: diagnose: expected a 1 x 20 matrix, found 3 x 4");
    for (gradient, weights) in [(7, 0), (0, 7)] {
        let error =
            refused(run.optimizer.diagnose(&run.plan, [(gradient, &x)].into_iter(), &[(weights, &x)]))?;
        assert!(matches!(error.kind(), ErrorKind::Argument { name: "index", .. }), "{error}");
    }
    for shapes in [&SHAPES[..1], &[SHAPES[1], SHAPES[0]][..], &[SHAPES[0], SHAPES[1], ("b", &[2, 3])][..]] {
        let other = Plan::builder().build(shapes.iter().copied())?;
        let error = refused(run.optimizer.diagnose(&other, given(0), &[(0, &x)]))?;
        assert!(
            matches!(error.kind(), ErrorKind::Name { .. }) && error.to_string().contains("plan"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn a_gradient_too_large_for_its_rule_is_told_as_by_a_step() -> TestResult {
    let mut run = new()?;
    let mut gradients = run.gradients(0);
    gradients.iter_mut().flatten().for_each(|g| g.values_mut()[0] = 1e300);
    let error = refused(run.diagnose(&gradients))?;
    assert!(matches!(error.kind(), ErrorKind::Range { .. }), "{error}");
    Ok(())
}

#[test]
fn a_step_that_was_not_finished_is_told() -> TestResult {
    let mut run = new()?;
    let gradients = run.gradients(0);
    let given = gradients.iter().flatten().enumerate();
    let prepared = run.optimizer.prepare(given)?;
    let g = gradients[0].as_ref().ok_or("none")?;
    run.optimizer.update(0, &mut run.weights[0], g, &prepared)?;
    let error = refused(run.diagnose(&gradients))?;
    assert!(matches!(error.kind(), ErrorKind::NeedsRestore), "{error}");
    Ok(())
}
