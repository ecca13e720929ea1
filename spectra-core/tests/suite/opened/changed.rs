//! A saved state in a model that has changed.

use super::{run, step};
use spectra_core::backend::Matrix;
use spectra_core::dense::Dense;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Missing, Optimizer, ParameterSpec, RestoreOptions};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const FRESH: RestoreOptions<'static> = RestoreOptions { missing: Missing::Fresh, rename: None };

fn specs(names: &[(&str, Rule)]) -> Vec<ParameterSpec> {
    names.iter().map(|(name, rule)| ParameterSpec::new(*name, (20, 30), *rule)).collect()
}

fn spectra() -> Result<Config, spectra_core::backend::Error> {
    Ok(Config::preset("spectra")?.lr(0.01))
}

#[test]
fn an_unfrozen_layer_and_a_new_head_begin_anew() -> TestResult {
    let (saved, _) =
        run(spectra()?, specs(&[("a", Rule::Spectral), ("b", Rule::Frozen), ("old", Rule::Spectral)]), 3)?;
    let snapshot = saved.snapshot()?;
    let now = specs(&[("head", Rule::Spectral), ("b", Rule::Spectral), ("a", Rule::Spectral)]);
    let (mut optimizer, mut weights) = run(spectra()?, now, 0)?;
    let error = optimizer.load_snapshot(&snapshot).err().ok_or("taken")?.to_string();
    assert!(error.contains("head"), "{error}");

    let restored = optimizer.load_snapshot_with(&snapshot, &FRESH)?;
    let names = |list: &[Box<str>]| list.join(" ");
    assert_eq!(names(&restored.loaded), "a");
    assert_eq!(names(&restored.fresh), "head b");
    assert_eq!(names(&restored.unused), "b old");
    assert_eq!(restored.to_string(), "restored at step 3; fresh: head, b; unused: b, old");
    let state = |index: usize| optimizer.state(index).map(|block| (block.steps, block.state.iter().count()));
    assert_eq!((state(0), state(1), state(2)), (Some((0, 0)), Some((0, 0)), Some((3, 2))));
    step(&mut optimizer, &mut weights, 3..5)?;
    Ok(())
}

#[test]
fn a_renamed_module_is_found() -> TestResult {
    let (mut saved, mut x) =
        run(spectra()?, specs(&[("old.a", Rule::Spectral), ("old.b", Rule::Spectral)]), 3)?;
    let (mut now, _) = run(spectra()?, specs(&[("new.a", Rule::Spectral), ("new.b", Rule::Spectral)]), 0)?;
    let rename = |name: &str| name.replace("old", "new");
    let options = RestoreOptions { rename: Some(&rename), ..RestoreOptions::default() };
    let restored = now.load_snapshot_with(&saved.snapshot()?, &options)?;
    assert!(restored.fresh.is_empty() && restored.unused.is_empty());
    let mut y = x.clone();
    step(&mut saved, &mut x, 3..6)?;
    step(&mut now, &mut y, 3..6)?;
    assert_eq!(x, y);
    // Two parameters may not become one.
    let rename = |_: &str| "new.a".to_owned();
    let options = RestoreOptions { missing: Missing::Fresh, rename: Some(&rename) };
    assert!(now.load_snapshot_with(&saved.snapshot()?, &options).is_err());
    Ok(())
}

/// Another rank keeps the columns that both have; the momentum is the same, so the dominant subspace is found again.
#[test]
fn another_rank_goes_on_from_the_saved_subspace() -> TestResult {
    for (then, now) in [(0.2, 0.1), (0.1, 0.2), (0.1, 1.0), (1.0, 0.1)] {
        let (saved, mut weights) = run(spectra()?.rank_ratio(then), specs(&[("a", Rule::Spectral)]), 3)?;
        let (mut optimizer, _) = run(spectra()?.rank_ratio(now), specs(&[("a", Rule::Spectral)]), 0)?;
        optimizer.load_snapshot(&saved.snapshot()?)?;
        let buffer =
            |o: &Optimizer<Dense<f64>>, name: &str| o.state(0).and_then(|b| b.state.get(name).cloned());
        assert_eq!(buffer(&optimizer, "momentum"), buffer(&saved, "momentum"));
        if let (Some(old), Some(new)) = (buffer(&saved, "subspace"), buffer(&optimizer, "subspace")) {
            let kept = old.shape().1.min(new.shape().1);
            let row = |m: &super::M, i: usize| m.values()[i * m.shape().1..i * m.shape().1 + kept].to_vec();
            assert!((0..30).all(|i| row(&old, i) == row(&new, i)), "{then} to {now}");
            assert!(new.values().iter().all(|x| *x != 0.0));
        }
        step(&mut optimizer, &mut weights, 3..5)?;
        // And saved again, also where the subspace is not there yet.
        let (mut again, _) = run(spectra()?.rank_ratio(now), specs(&[("a", Rule::Spectral)]), 0)?;
        again.load_snapshot(&optimizer.snapshot()?)?;
        assert_eq!(buffer(&again, "subspace"), buffer(&optimizer, "subspace"));
    }
    Ok(())
}

#[test]
fn the_state_of_f32_goes_on_in_f64_and_not_the_other_way() -> TestResult {
    let specs = || specs(&[("a", Rule::Spectral)]);
    let mut single = Optimizer::new(Dense::<f32>::new(), spectra()?, specs())?;
    let mut x = spectra_core::dense::DenseMatrix::from_fn(20, 30, |i, j| (i + j) as f32);
    let g = spectra_core::dense::DenseMatrix::from_fn(20, 30, |i, j| (i * j % 7) as f32);
    single.step(&mut [(&mut x, &g)])?;
    let (mut double, _) = run(spectra()?, specs(), 0)?;
    double.load_snapshot(&single.snapshot()?)?;
    let momentum = double.state(0).and_then(|b| b.state.get("momentum")).ok_or("none")?;
    assert!(momentum.values().iter().zip(g.values()).all(|(m, g)| *m == f64::from(*g)));
    let error = single.load_snapshot(&double.snapshot()?).err().ok_or("taken")?.to_string();
    assert!(error.contains("another type"), "{error}");
    Ok(())
}

/// What buffers mean may not change, even where parameters may.
#[test]
fn another_rule_is_refused_also_with_fresh() -> TestResult {
    let (saved, _) = run(spectra()?, specs(&[("a", Rule::Spectral)]), 1)?;
    let (mut adamw, _) = run(Config::preset("adamw")?, specs(&[("a", Rule::Spectral)]), 0)?;
    let error = adamw.load_snapshot_with(&saved.snapshot()?, &FRESH).err().ok_or("taken")?.to_string();
    assert!(error.contains("parameter `a`") && error.contains("another rule"), "{error}");
    Ok(())
}
