//! A momentum in bf16: its error over a thousand steps, its bytes, saved states, and who refuses it.
use crate::emulated::Rounded;
use spectra_core::backend::{Backend, Error, ErrorKind, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::{SixteenBits, uniform};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Snapshot};
use spectra_core::rules::MomentumFormat::{self, Bf16, Full};
use spectra_core::state::MOMENTUM;

const SHAPE: (usize, usize) = (24, 40);
const COUNT: usize = SHAPE.0 * SHAPE.1;

fn optimizer<B: Backend>(backend: B, config: Config) -> Result<Optimizer<B>> {
    Optimizer::new(backend, config, [ParameterSpec::new("w", SHAPE, Rule::Spectral)])
}

fn config(name: &str, format: MomentumFormat) -> Config {
    let config = Config::preset(name).expect("preset").lr(0.02).weight_decay(0.0);
    config.momentum_format(format).check_finite(false)
}

fn random(seed: u64) -> FaerMatrix<f32> {
    FaerMatrix::from_fn(SHAPE.0, SHAPE.1, |i, j| uniform(seed, i, j) as f32)
}

fn momentum<B: Backend<Element = f32>>(optimizer: &Optimizer<B>) -> Vec<f32> {
    let mut values = vec![0.0; COUNT];
    let state = &optimizer.state(0).expect("a parameter").state;
    state.named(MOMENTUM).expect("a momentum").read(&mut values).expect("as many");
    values
}

/// A thousand steps on `1/2 ||X - T||^2`, for a momentum with factors mu and c. Returns the largest error of the momentum over its bound, and the final
/// `||X - T||`, of a momentum in this format.
///
/// The error of `M = mu M + c G` beside the same recursion of the same gradients in `f64`: each step adds a rounding of at most
/// `2^-8 |M|` (`2^-24` in full) and the arithmetic's, two products and a sum in `f32`, at most `3 2^-24 (mu |M| + c |G|)`; the old error is multiplied by mu. Below the
/// smallest normal number, 2^-126 in both formats, where a momentum goes whose gradients have become zero, errors are no longer relative.
fn thousand_steps(name: &str, format: MomentumFormat, (mu, c): (f64, f64), lr: f64) -> Result<(f64, f64)> {
    let mut run = optimizer(Faer::<f32>::new(), config(name, format))?;
    let (mut x, target) = (random(1), random(2));
    let u = if format == Bf16 { 2f64.powi(-8) } else { 2f64.powi(-24) };
    let (mut exact, mut bound, mut worst) = (vec![0.0f64; COUNT], vec![0.0f64; COUNT], 0.0f64);
    for t in 0..1000 {
        // To a hundredth, so that sign and shrink come to rest.
        run.set_learning_rate(lr * 0.01f64.powf(t as f64 / 999.0))?;
        let g = FaerMatrix::from_fn(SHAPE.0, SHAPE.1, |i, j| {
            x.values()[i * SHAPE.1 + j] - target.values()[i * SHAPE.1 + j]
        });
        run.step(&mut [(&mut x, &g)])?;
        for (i, m) in momentum(&run).into_iter().enumerate() {
            let g = f64::from(g.values()[i]);
            let parts = mu * exact[i].abs() + c * g.abs();
            exact[i] = mu * exact[i] + c * g;
            bound[i] = mu * bound[i]
                + u * f64::from(m.abs())
                + 2f64.powi(-126)
                + 3.0 * 2f64.powi(-24) * (parts + bound[i]);
            let off = (f64::from(m) - exact[i]).abs();
            worst = worst.max(if off == 0.0 { 0.0 } else { off / bound[i] });
        }
    }
    let distance =
        x.values().iter().zip(target.values()).map(|(x, t)| f64::from(x - t).powi(2)).sum::<f64>().sqrt();
    Ok((worst, distance))
}

/// The bound holds, the run in bf16 uses more than a hundredth of it (so that it is no bound of something else), and it gets as far as the
/// run in `f32`: where the steps are of fixed size (sign, shrink to the RMS), both end within the overshoot `lr mu / (1 - mu)` of a heavy ball
/// per entry, at the last learning rate, twice that allowed.
#[test]
fn a_thousand_steps() -> Result<()> {
    for (name, mu, c, lr, per_step) in [
        ("spectra", 0.95, 1.0, 0.1, Some(0.2)),
        ("signum", 0.95, 1.0, 0.02, Some(1.0)),
        ("lion", 0.99, 0.01, 0.02, Some(1.0)),
        ("sgd-m", 0.9, 1.0, 0.02, None),
    ] {
        let (worst, distance) = thousand_steps(name, Full, (mu, c), lr)?;
        let (worst_narrow, distance_narrow) = thousand_steps(name, Bf16, (mu, c), lr)?;
        println!(
            "{name}: {worst:.2} of the bound, ||X - T|| {distance:.2e}; bf16 {worst_narrow:.2}, {distance_narrow:.2e}"
        );
        assert!(worst <= 1.0 && worst_narrow <= 1.0 && worst_narrow > 0.01, "{name}: {worst} {worst_narrow}");
        let near = match per_step {
            Some(size) => 2.0 * 0.01 * lr * size * (COUNT as f64).sqrt() / (1.0 - mu),
            // A linear iteration on a positive definite quadratic contracts; after the warm part nothing is left but f32's rounding of X.
            None => 1e-3,
        };
        assert!(distance <= near && distance_narrow <= near, "{name}: {distance} {distance_narrow} {near}");
    }
    Ok(())
}

/// Fused on this backend, composed on the portable one: the same momentum but for what the arithmetic before the rounding differs by.
#[test]
fn the_portable_backend_has_the_same_momentum() -> Result<()> {
    for name in ["spectra", "signum", "lion", "adamw", "mars", "muon"] {
        let mut fast = optimizer(Faer::<f32>::new(), config(name, Bf16))?;
        let mut plain = optimizer(Dense::<f32>::new(), config(name, Bf16))?;
        let (mut x, mut y) = (random(1), DenseMatrix::from(random(1)));
        for t in 0..3 {
            let g = random(10 + t);
            fast.step(&mut [(&mut x, &g)])?;
            plain.step(&mut [(&mut y, &DenseMatrix::from(g))])?;
        }
        // One unit in the last place, where rounding errors of f32 lie on both sides of a half; in three steps that is rare.
        let (a, b) = (momentum(&fast), momentum(&plain));
        let off =
            a.iter().zip(&b).map(|(a, b)| (a - b).abs() / a.abs().max(b.abs()).max(1e-6)).fold(0.0, f32::max);
        assert!(off <= 2f32.powi(-7) * 1.01, "{name}: {off}");
        assert!(a.iter().zip(&b).filter(|(a, b)| a != b).count() <= COUNT / 50, "{name}");
        for values in [a, b] {
            assert!(values.iter().all(|x| x.to_bits() & 0xffff == 0), "{name}: no numbers of bf16");
        }
    }
    Ok(())
}

#[test]
fn the_bytes_are_half() -> Result<()> {
    let plan = Plan::builder().build([("mlp.up.weight", &[40, 24][..]), ("norm.weight", &[40])])?;
    for (name, full, narrow) in [
        // 960 + 24 k with k = 1 and 2 x 40 of the norm's AdamW.
        ("spectra", 4 * (960 + 24) + 8 * 40, 2 * 960 + 4 * 24 + 6 * 40),
        ("muon", 4 * 960 + 8 * 40, 2 * 960 + 6 * 40),
        ("adamw", 8 * 960 + 8 * 40, 6 * 960 + 6 * 40),
        ("mars", 12 * 960 + 8 * 40, 10 * 960 + 6 * 40),
        ("adamw-cautious", 8 * 960 + 8 * 40, 6 * 960 + 6 * 40),
    ] {
        for (format, bytes) in [(Full, full), (Bf16, narrow)] {
            let config = config(name, format);
            let run = Optimizer::new(Faer::<f32>::new(), config, plan.parameters())?;
            assert_eq!(run.state_bytes(), bytes, "{name} {format:?}");
            assert_eq!(plan.state(config).bytes, bytes as u64, "{name} {format:?}");
            assert_eq!(plan.state(&run).bytes, bytes as u64, "{name} {format:?}");
        }
    }
    let table = plan.table(config("muon", Bf16)).to_string();
    assert!(table.contains("state: 1,040 numbers, 2.1 KiB"), "{table}");
    Ok(())
}

/// The state after three steps, and one more step's weights.
fn snapshot(format: MomentumFormat) -> Result<(Optimizer<Faer<f32>>, Snapshot<f32>)> {
    let mut run = optimizer(Faer::new(), config("spectra", format))?;
    let mut x = random(1);
    for t in 0..3 {
        run.step(&mut [(&mut x, &random(10 + t))])?;
    }
    let snapshot = run.snapshot()?;
    Ok((run, snapshot))
}

fn next(run: &mut Optimizer<Faer<f32>>) -> Result<Vec<f32>> {
    let mut x = random(5);
    run.step(&mut [(&mut x, &random(20))])?;
    Ok(x.values().to_vec())
}

#[test]
fn states_go_from_each_format_into_each() -> Result<()> {
    let formats = [Full, Bf16];
    for from in formats {
        for to in formats {
            let (mut saved, state) = snapshot(from)?;
            let mut run = optimizer(Faer::new(), config("spectra", to))?;
            let restored = run.load_snapshot(&state)?;
            let told = restored.differences.iter().any(|d| &*d.setting == "spectral.momentum_format");
            assert_eq!(told, from != to, "{restored}");
            let nearest = |x: f32| -> f32 { SixteenBits::Bf16.from_bits(SixteenBits::Bf16.to_bits(x)) };
            let expected = momentum(&saved).into_iter().map(|x| if to == Bf16 { nearest(x) } else { x });
            assert_eq!(momentum(&run), expected.collect::<Vec<_>>(), "{from:?} into {to:?}");
            assert_eq!(
                run.state_bytes(),
                optimizer(Faer::<f32>::new(), config("spectra", to))?.state_bytes()
            );
            if from == to {
                assert_eq!(next(&mut run)?, next(&mut saved)?, "{from:?}: the same bits");
            }
        }
    }
    Ok(())
}

/// What does not fit is refused with nothing changed.
#[test]
fn a_momentum_beyond_bf16_is_refused() -> Result<()> {
    let specs = || [ParameterSpec::new("w", (2, 3), Rule::Spectral)];
    let mut large = Optimizer::new(Dense::<f64>::new(), Config::preset("sgd-m")?, specs())?;
    let g = DenseMatrix::from_fn(2, 3, |_, _| 1e39);
    large.step(&mut [(&mut g.clone(), &g)])?;
    let narrow =
        || Optimizer::new(Dense::<f64>::new(), Config::preset("sgd-m")?.momentum_format(Bf16), specs());
    let error = narrow()?.load_snapshot(&large.snapshot()?).expect_err("beyond 3.4e38");
    assert!(error.to_string().contains("16 bits") && error.to_string().contains("`w`"), "{error}");
    let mut x = g.clone();
    let error = narrow()?.step(&mut [(&mut x, &g)]).expect_err("a gradient that the momentum cannot hold");
    assert!(error.to_string().contains("`w`") && x == g, "{error}");
    Ok(())
}

#[test]
fn who_cannot_keep_it_says_so_by_name() -> Result<()> {
    let refused = |done: Result<()>, words: &[&str]| {
        let error: Error = done.expect_err("refused");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        error
    };
    // A backend that overrides nothing.
    let backend = || Rounded(Faer::<f32>::new(), None);
    let error =
        refused(optimizer(backend(), config("spectra", Bf16)).map(|_| ()), &["momentum_format", "`w`"]);
    assert!(matches!(error.kind(), ErrorKind::Name { .. }));
    optimizer(backend(), config("spectra", Full))?;
    // A memory so long that an average in bf16 stands still.
    let config = config("muon", Bf16);
    refused(config.momentum(0.995).validate::<f32>(), &["momentum_format", "0.995"]);
    config.momentum(0.99).validate::<f32>()?;
    // A rule without a recipe, and no recipe beside it.
    let mut dion = Config::preset("dion")?;
    dion.elementwise = dion.spectral;
    refused(dion.momentum_format(Bf16).validate::<f32>(), &["momentum_format"]);
    Ok(())
}

/// Written as a fifth field, read from files without it.
#[test]
fn settings_have_it_by_name() {
    let text = |config: Config| serde_json::to_string(&config).expect("a configuration");
    let (full, narrow) = (Config::preset("muon").expect("preset"), config("muon", Bf16));
    assert!(text(narrow).contains(r#""momentum_format":"Bf16""#), "{}", text(narrow));
    for config in [full, narrow, config("adamw-cautious", Bf16)] {
        let read: Config = serde_json::from_str(&text(config)).expect("what was written");
        assert_eq!(read, config);
    }
    assert!(!text(full).contains("momentum_format"), "as it always was");
}
