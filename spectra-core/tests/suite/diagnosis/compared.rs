//! What has grown since an earlier diagnosis.

use super::*;

const NAME: &str = "layers.0.mlp.up.weight";

#[test]
fn weights_and_gradients_that_have_grown_are_found() -> TestResult {
    let mut run = Run::new(Config::preset("spectra")?, &Plan::builder(), &[(NAME, &[12, 20])])?;
    let earlier = run.diagnose(&run.gradients(0))?;
    for (weights, gradient, expected) in [
        (1.5, 5.0, &[][..]),
        (2.5, 1.0, &[FindingKind::WeightGrowth][..]),
        (1.0, 20.0, &[FindingKind::GradientGrowth][..]),
    ] {
        let mut now = Run::new(Config::preset("spectra")?, &Plan::builder(), &[(NAME, &[12, 20])])?;
        now.weights[0].values_mut().iter_mut().for_each(|x| *x *= weights);
        let mut gradients = now.gradients(0);
        gradients.iter_mut().flatten().for_each(|g| g.values_mut().iter_mut().for_each(|x| *x *= gradient));
        let seen = now.diagnose(&gradients)?.compared_with(&earlier);
        assert_eq!(kinds(&seen), expected, "{weights} {gradient}");
    }
    Ok(())
}

#[test]
fn growth_from_zero_and_a_healthy_run_are_silent() -> TestResult {
    let mut run = Run::new(Config::preset("spectra")?, &Plan::builder(), &[(NAME, &[12, 20])])?;
    run.weights[0] = DenseMatrix::from_fn(12, 20, |_, _| 0.0);
    let earlier = run.diagnose(&run.gradients(0))?;
    run.weights[0] = DenseMatrix::from_fn(12, 20, |_, _| 0.2);
    assert_eq!(kinds(&run.diagnose(&run.gradients(0))?.compared_with(&earlier)), []);

    let mut run = model::Run::healthy()?;
    let earlier = run.diagnose()?;
    let first = run.train(1)?;
    let last = run.train(40)?;
    assert!(last < 0.8 * first, "it learns: {first} {last}");
    let seen = run.diagnose()?.compared_with(&earlier);
    assert_eq!(kinds(&seen), [], "{seen}");
    Ok(())
}
