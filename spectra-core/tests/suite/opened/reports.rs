//! What a step did.

use super::{random, run, step};
use spectra_core::dense::Dense;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterSpec};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn specs() -> Vec<ParameterSpec> {
    Vec::from([
        ParameterSpec::new("a", (20, 30), Rule::Spectral),
        ParameterSpec::new("b", (1, 30), Rule::Elementwise),
    ])
}

#[test]
fn a_report_tells_the_size_of_the_update_and_what_the_map_knows() -> TestResult {
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(0.01).clip_norm(1.0);
        let (mut optimizer, mut weights) = run(config, specs(), 1)?;
        assert!(optimizer.report(0).is_none(), "{name}: nobody asked");
        optimizer.keep_reports(true);
        let (before, _) = (weights.clone(), step(&mut optimizer, &mut weights, 1..2)?);
        for index in [0, 1] {
            let report = optimizer.report(index).ok_or("none")?;
            let (x, y) = (before[index].values(), weights[index].values());
            let moved = x.iter().zip(y).map(|(x, y)| (y - report.rates.decay() * x).powi(2)).sum::<f64>();
            let rms = (moved / x.len() as f64).sqrt() / report.rates.lr;
            // Differences of numbers up to 1, at a rate of 0.01.
            assert!((report.update_rms()? - rms).abs() <= 1e3 * f64::EPSILON, "{name}: {rms}");
            assert!(report.gradient_scale.is_some_and(|scale| scale < 1.0), "{name}");
        }
        let info = &optimizer.report(0).ok_or("none")?.info;
        assert_eq!(info.energy.is_some(), name == "spectra", "{name}");
        if name == "spectra" {
            let report = optimizer.report(0).ok_or("none")?;
            // Matched to 0.2 but for eps = 1e-8 beside an RMS of about 1.
            assert!((report.update_rms()? - 0.2).abs() < 1e-6, "{}", report.update_rms()?);
            let captured = info.energy.as_ref().ok_or("none")?.captured()?;
            // One direction of twenty in a random matrix.
            assert!(captured > 0.05 && captured < 0.5, "{captured}");
        }
        let clips = method.recipe().is_some_and(|recipe| recipe.map.threshold().is_some());
        assert_eq!(info.spectral_norm.is_some(), clips, "{name}");
        optimizer.keep_reports(false);
        assert!(optimizer.report(0).is_none(), "{name}");
    }
    Ok(())
}

#[test]
fn a_report_is_of_the_last_step_only() -> TestResult {
    let (mut optimizer, mut weights) = run(Config::preset("spectra")?.lr(0.01), specs(), 0)?;
    optimizer.keep_reports(true);
    step(&mut optimizer, &mut weights, 0..2)?;
    let told =
        |o: &Optimizer<Dense<f64>>| [0, 1].map(|index| o.report(index).map(|report| report.rates.step));
    assert_eq!(told(&optimizer), [Some(1), Some(1)]);
    // The second has no gradient.
    let gradient = random(7, (20, 30));
    let prepared = optimizer.prepare([(0, &gradient)].into_iter())?;
    assert_eq!(told(&optimizer), [None, None], "none before it is taken");
    optimizer.update(0, &mut weights[0], &gradient, &prepared)?;
    optimizer.finish(prepared);
    assert_eq!(told(&optimizer), [Some(2), None]);
    // A refused step is none.
    let mut bad = random(8, (20, 30));
    bad.values_mut()[3] = f64::NAN;
    assert!(optimizer.prepare([(0, &bad)].into_iter()).is_err());
    assert_eq!(told(&optimizer), [Some(2), None]);
    Ok(())
}
