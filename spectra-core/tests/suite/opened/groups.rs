//! Groups: rate, decay, rule and schedule of some parameters.

use super::{run, step};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Method, ParameterSpec, Recipe};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MODEL: [(&str, &[usize]); 4] = [
    ("backbone.up.weight", &[12, 8]),
    ("backbone.norm.weight", &[8]),
    ("head.weight", &[4, 8]),
    ("fc.bias", &[4]),
];

fn plan(
    builder: spectra_core::optimizer::plan::PlanBuilder,
) -> Result<Vec<ParameterSpec>, spectra_core::backend::Error> {
    Ok(builder.build(MODEL)?.parameters().collect())
}

fn config() -> Result<Config, spectra_core::backend::Error> {
    Ok(Config::preset("spectra")?.lr(0.01).weight_decay(0.5))
}

#[test]
fn norms_and_biases_are_not_decayed_unless_a_group_says_so() -> TestResult {
    let (_, default) = run(config()?, plan(Plan::builder())?, 3)?;
    let (_, none) = run(config()?.weight_decay(0.0), plan(Plan::builder())?, 3)?;
    let (_, all) = run(config()?, plan(Plan::builder().group("*", |g| g.weight_decay(0.5)))?, 3)?;
    for (i, decayed) in [true, false, true, false].into_iter().enumerate() {
        assert_eq!(default[i] == none[i], !decayed, "{}", MODEL[i].0);
        assert_ne!(all[i], none[i], "{}", MODEL[i].0);
    }
    let table = Plan::builder().build(MODEL)?.table(config()?).to_string();
    assert_eq!(table.matches("decay 0").count(), 2, "{table}");
    Ok(())
}

#[test]
fn a_tenth_of_the_rate_is_a_rate_of_a_tenth() -> TestResult {
    let builder = Plan::builder().group("backbone.*", |g| g.lr(0.1));
    let (mut optimizer, mut grouped) = run(config()?, plan(builder)?, 3)?;
    let (_, plain) = run(config()?, plan(Plan::builder())?, 3)?;
    let (_, tenth) = run(config()?.lr(0.01 * 0.1), plan(Plan::builder())?, 3)?;
    assert_eq!((&grouped[..2], &grouped[2..]), (&tenth[..2], &plain[2..]));

    optimizer.set_group_lr("backbone.*", 0.0)?;
    let before = grouped.clone();
    step(&mut optimizer, &mut grouped, 3..4)?;
    assert_eq!(grouped[..2], before[..2], "rate 0");
    assert_ne!(grouped[2], before[2]);
    let error = optimizer.set_group_lr("backbone", 1.0).err().ok_or("taken")?.to_string();
    assert!(error.contains("`backbone`"), "{error}");
    let error = optimizer.set_group_lr("backbone.*", 1e3).err().ok_or("taken")?.to_string();
    assert!(error.contains("backbone.up.weight") && error.contains("weight_decay"), "{error}");
    Ok(())
}

#[test]
fn a_group_may_have_another_recipe_or_none() -> TestResult {
    let muon = Recipe::preset("muon")?;
    let builder = Plan::builder().group("backbone.up.*", |g| g.recipe(muon)).group("head.*", |g| g.frozen());
    let (optimizer, grouped) = run(config()?, plan(builder)?, 2)?;
    let (_, by_muon) = run(Config::new(muon).lr(0.01), plan(Plan::builder())?, 2)?;
    let (_, start) = run(config()?, plan(Plan::builder())?, 0)?;
    assert_eq!(grouped[0], by_muon[0]);
    assert_eq!(grouped[2], start[2]);
    assert_eq!(optimizer.state_numbers(0), 96, "the momentum alone");
    Ok(())
}

#[test]
fn the_last_group_that_makes_a_setting_counts() -> TestResult {
    let builder = Plan::builder()
        .group("*", |g| g.lr(2.0).weight_decay(0.1))
        .group("backbone.*", |g| g.lr(3.0))
        .group_of("vectors", |_, shape| shape.len() == 1, |g| g.weight_decay(0.2));
    let plan = builder.build(MODEL)?;
    let settings: Vec<_> =
        plan.entries().iter().map(|e| (e.group().lr_factor(), e.group().decay())).collect();
    assert_eq!(settings, [(3.0, Some(0.1)), (3.0, Some(0.2)), (2.0, Some(0.1)), (2.0, Some(0.2))]);
    for refused in
        [Plan::builder().group("*", |g| g.lr(f64::NAN)), Plan::builder().group("*", |g| g.weight_decay(-1.0))]
    {
        assert!(refused.build(MODEL).is_err());
    }
    assert!(Plan::builder().group("bakcbone.*", |g| g.lr(0.1)).build(MODEL).is_err(), "matches nothing");
    Ok(())
}

/// `apply_to = all`: vectors by their norm, for every preset.
#[test]
fn the_spectral_rule_drives_everything_when_asked() -> TestResult {
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(1e-3).apply_to_all();
        let (_, all) = run(config, plan(Plan::builder())?, 2)?;
        let own = |rule| Plan::builder().group("*", move |g| g.rule(rule).recipe(method));
        let (_, by_groups) = run(Config::preset("adamw")?.lr(1e-3), plan(own(Rule::Elementwise))?, 2)?;
        assert_eq!(all, by_groups, "{name}");
    }
    Ok(())
}
