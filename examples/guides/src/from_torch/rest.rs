//! What stands around an optimizer there: schedulers, groups, clipping, scalers, states.

use super::{COLS, ROWS};
use spectra_core::backend::{ErrorKind, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::schedules::{DecayCurve, FinalDecay, LearningRateSchedule, Span};
use std::f64::consts::PI;

fn assert_near(ours: f64, torchs: f64) {
    assert!((ours - torchs).abs() < 1e-12, "{ours} and {torchs}");
}

#[test]
fn cosine_annealing() -> Result<()> {
    // ANCHOR: cosine
    // CosineAnnealingLR(optimizer, T_max=1000, eta_min=1e-5), with lr=1e-3
    let cosine = LearningRateSchedule::cosine(1000, 1e-5 / 1e-3)?;
    // ANCHOR_END: cosine
    for t in [0, 1, 250, 999, 1000] {
        let torchs = 1e-5 + (1e-3 - 1e-5) * (1.0 + (PI * t as f64 / 1000.0).cos()) / 2.0;
        assert_near(1e-3 * cosine.factor(t), torchs);
    }
    Ok(())
}

#[test]
fn linear_warmup() -> Result<()> {
    // ANCHOR: linear
    // LinearLR(optimizer, start_factor=1/3, total_iters=5)
    let linear = LearningRateSchedule::constant().with_warmup(Span::Steps(5), 1.0 / 3.0)?;
    // ANCHOR_END: linear
    for t in 0..8 {
        assert_near(linear.factor(t), 1.0 / 3.0 + (1.0 - 1.0 / 3.0) * (t as f64 / 5.0).min(1.0));
    }
    Ok(())
}

#[test]
fn warmup_then_cosine() -> Result<()> {
    // ANCHOR: warmup_cosine
    // SequentialLR(optimizer, [LinearLR(optimizer, 0.01, total_iters=100), CosineAnnealingLR(optimizer, T_max=900)], [100])
    let both = LearningRateSchedule::cosine(1000, 0.0)?.with_warmup(Span::Steps(100), 0.01)?;
    let config = Config::preset("spectra")?.lr(1e-3).lr_schedule(both); // nothing to call at each step
    // ANCHOR_END: warmup_cosine
    config.validate::<f32>()?;
    assert_near(both.factor(50), 0.01 + 0.99 * 0.5);
    assert_near(both.factor(550), 0.5);
    Ok(())
}

#[test]
fn one_cycle() -> Result<()> {
    // ANCHOR: one_cycle
    // OneCycleLR(optimizer, max_lr=1e-3, total_steps=1000, pct_start=0.3, div_factor=25, final_div_factor=1e4)
    let one_cycle = LearningRateSchedule::one_cycle(1000, DecayCurve::Cosine, 1.0 / 25.0 / 1e4)?
        .with_warmup(Span::Fraction(0.3), 1.0 / 25.0)?;
    // ANCHOR_END: one_cycle
    assert_near(one_cycle.factor(0), 1.0 / 25.0);
    assert_near(one_cycle.factor(299), 1.0);
    assert_near(one_cycle.factor(999), 1.0 / 25.0 / 1e4);
    Ok(())
}

#[test]
fn linear_decay_at_the_end() -> Result<()> {
    // ANCHOR: wsd
    // no scheduler of its own there: constant, then linearly to zero over the last 200 of 1000 steps
    let decay = FinalDecay { curve: DecayCurve::Linear, span: Span::Steps(200), final_factor: 0.0 };
    let wsd = LearningRateSchedule::wsd(1000, decay)?;
    // ANCHOR_END: wsd
    assert_near(wsd.factor(900), 0.5);
    Ok(())
}

#[test]
fn parameter_groups() -> Result<()> {
    // ANCHOR: groups
    // [{"params": backbone, "lr": 1e-4}, {"params": head, "weight_decay": 0.0}, {"params": norms, ...}], lr=1e-3; embed.requires_grad_(False)
    let plan = Plan::builder()
        .group("backbone.*", |g| g.lr(0.1)) // a factor of the model's learning rate
        .group("head.*", |g| g.weight_decay(0.0))
        .rule("embed.*", Rule::Frozen);
    // ANCHOR_END: groups
    let shapes = [("backbone.up.weight", [8, 4]), ("head.weight", [10, 8]), ("embed.weight", [10, 4])];
    let plan = plan.build(shapes)?;
    let entry = |name: &str| plan.get(name).expect("a parameter");
    assert_eq!(entry("backbone.up.weight").group().lr_factor(), 0.1);
    assert_eq!(entry("head.weight").group().decay(), Some(0.0));
    assert_eq!(entry("embed.weight").rule(), Rule::Frozen);
    Ok(())
}

fn optimizer(config: Config) -> Result<Optimizer<Dense<f32>>> {
    let plan = Plan::builder().build([("mlp.up.weight", [ROWS, COLS])])?;
    Optimizer::new(Dense::new(), config, plan.parameters())
}

#[test]
fn clipping_by_norm() -> Result<()> {
    // ANCHOR: clip
    // torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    let config = Config::preset("sgd-m")?.lr(1.0).clip_norm(1.0);
    // ANCHOR_END: clip
    let mut weights = DenseMatrix::from_fn(ROWS, COLS, |_, _| 0.0);
    let gradient = DenseMatrix::from_fn(ROWS, COLS, |_, _| 5.0);
    optimizer(config)?.step(&mut [(&mut weights, &gradient)])?;
    let norm = weights.values().iter().map(|w| w * w).sum::<f32>().sqrt();
    assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    Ok(())
}

#[test]
fn a_step_with_an_infinity_is_skipped() -> Result<()> {
    let mut optimizer = optimizer(Config::preset("spectra")?)?;
    let mut weights = DenseMatrix::from_fn(ROWS, COLS, |_, _| 1.0);
    let gradient = DenseMatrix::from_fn(ROWS, COLS, |_, _| f32::INFINITY);
    // ANCHOR: scaler
    // scaler.step(optimizer) skips a step whose gradients hold an infinity or a NaN; here that is an error before anything changes
    match optimizer.step(&mut [(&mut weights, &gradient)]) {
        Err(error) if matches!(error.kind(), ErrorKind::NonFinite { .. }) => println!("skipped: {error}"),
        other => other?,
    }
    // ANCHOR_END: scaler
    assert_eq!((weights.values()[0], optimizer.steps()), (1.0, 0));
    Ok(())
}

#[test]
fn maximize() -> Result<()> {
    // ANCHOR: maximize
    // maximize=True: the gradient of the negated loss
    let mut optimizer = optimizer(Config::preset("adamw")?)?;
    let mut weights = DenseMatrix::from_fn(ROWS, COLS, |_, _| 1.0);
    let gradient_of_minus_loss = DenseMatrix::from_fn(ROWS, COLS, |_, _| -1.0);
    optimizer.step(&mut [(&mut weights, &gradient_of_minus_loss)])?;
    // ANCHOR_END: maximize
    assert!(weights.values()[0] > 1.0);
    Ok(())
}

#[test]
fn state_dict() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("spectra-guides-{}.safetensors", std::process::id()));
    let config = Config::preset("spectra")?;
    let (mut first, mut weights) = (optimizer(config)?, DenseMatrix::from_fn(ROWS, COLS, |_, _| 1.0));
    let gradient = DenseMatrix::from_fn(ROWS, COLS, |i, j| (i + 2 * j) as f32);
    first.step(&mut [(&mut weights, &gradient)])?;
    let path = &folder;
    // ANCHOR: state
    // torch.save(optimizer.state_dict(), path); optimizer.load_state_dict(torch.load(path))
    first.save(path)?;
    let mut second = optimizer(config)?;
    let restored = second.load(path)?;
    // ANCHOR_END: state
    std::fs::remove_file(path).expect("the file");
    assert_eq!((second.steps(), restored.differences.len()), (1, 0));
    Ok(())
}
