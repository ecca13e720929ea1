//! Nothing of the run changes.

use super::*;
use spectra_core::rules::Method;

fn bits(x: &M) -> Vec<u64> {
    x.values().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_run_that_is_diagnosed_has_the_bits_of_one_that_is_not() -> TestResult {
    let shapes: [(&str, &[usize]); 2] = [("layers.0.mlp.up.weight", &[12, 20]), ("norm.weight", &[20])];
    for (name, method, _) in Method::presets() {
        let new = || Run::new(Config::new(method).lr(0.01).clip_norm(1.0), &Plan::builder(), &shapes);
        let (mut seen, mut alone) = (new()?, new()?);
        seen.optimizer.keep_reports(true);
        for t in 0..4 {
            let reports = seen.optimizer.report(0).is_some();
            let mut gradients = seen.gradients(t);
            seen.diagnose(&gradients)?;
            seen.diagnose(&[None, None])?;
            gradients.iter_mut().flatten().for_each(|g| g.values_mut()[1] = f64::NAN);
            seen.diagnose(&gradients)?;
            assert_eq!(seen.optimizer.report(0).is_some(), reports, "{name}");
            seen.step(&seen.gradients(t))?;
            alone.step(&alone.gradients(t))?;
        }
        for (a, b) in seen.weights.iter().zip(&alone.weights) {
            assert_eq!(bits(a), bits(b), "{name}");
        }
        assert_eq!(seen.optimizer.snapshot()?, alone.optimizer.snapshot()?, "{name}");
    }
    Ok(())
}
