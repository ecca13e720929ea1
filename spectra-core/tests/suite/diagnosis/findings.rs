//! Each finding about gradients, state and updates, provoked alone.

use super::*;
use spectra_core::backend::Backend;
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::diagnosis::Severity;
use spectra_core::rules::Rounding;
use spectra_core::schedules::{LearningRateSchedule, Span};

const UP: &str = "layers.0.mlp.up.weight";
const DOWN: &str = "layers.0.mlp.down.weight";

/// Two matrices that have taken three steps.
fn two(config: Config) -> Result<Run, Box<dyn std::error::Error>> {
    let mut run = Run::new(config, &Plan::builder(), &[(UP, &[12, 20]), (DOWN, &[20, 12])])?;
    for t in 0..3 {
        run.step(&run.gradients(t))?;
    }
    Ok(run)
}

fn spectra() -> Result<Config, Box<dyn std::error::Error>> {
    Ok(Config::preset("spectra")?.lr(0.01).rank_ratio(0.25))
}

#[test]
fn a_run_like_others_is_silent_under_every_preset() -> TestResult {
    for (name, method, _) in spectra_core::rules::Method::presets() {
        let mut run = two(Config::new(method).lr(0.003).clip_norm(1.0))?;
        let seen = run.diagnose(&run.gradients(3))?;
        assert_eq!(kinds(&seen), [], "{name}: {seen}");
    }
    Ok(())
}

#[test]
fn a_healthy_model_has_no_findings_at_any_of_its_steps() -> TestResult {
    let mut run = model::Run::healthy()?;
    for step in 0..40 {
        let seen = run.diagnose()?;
        assert_eq!(kinds(&seen), [], "step {step}: {seen}");
        run.train(1)?;
    }
    Ok(())
}

#[test]
fn what_is_not_finite_is_named_and_the_others_are_still_measured() -> TestResult {
    let mut run = two(spectra()?)?;
    let mut gradients = run.gradients(3);
    if let Some(g) = &mut gradients[0] {
        g.values_mut()[7] = f64::NAN;
    }
    let seen = run.diagnose(&gradients)?;
    let finding = only(&seen, UP)?;
    assert_eq!((finding.kind, finding.severity), (FindingKind::NonFinite, Severity::Error));
    assert_eq!(finding.what, "gradient holds a NaN or an infinity");
    let down = seen.block(DOWN).ok_or("no block")?;
    assert!(down.findings.is_empty() && down.figures.update_ratio().is_some(), "{down:?}");

    run.weights[0].values_mut()[3] = f64::INFINITY;
    let seen = run.diagnose(&gradients)?;
    assert_eq!(only(&seen, UP)?.what, "weights, gradient hold a NaN or an infinity");
    assert_eq!(seen.block(UP).ok_or("no block")?.figures.update_rms, None);
    Ok(())
}

#[test]
fn a_state_that_nobody_checked_is_found_not_finite() -> TestResult {
    let mut run = two(spectra()?.check_finite(false))?;
    let mut gradients = run.gradients(3);
    if let Some(g) = &mut gradients[1] {
        g.values_mut()[0] = f64::INFINITY;
    }
    run.step(&gradients)?;
    let seen = run.diagnose(&run.gradients(4))?;
    let finding = only(&seen, DOWN)?;
    assert_eq!(finding.kind, FindingKind::NonFinite);
    assert!(finding.what.contains("weights"), "{}", finding.what);
    Ok(())
}

#[test]
fn gradients_that_are_missing_or_zero_are_told_apart() -> TestResult {
    let mut run = two(spectra()?.require_gradients(true))?;
    let mut gradients = run.gradients(3);
    gradients[0] = None;
    gradients[1] = Some(DenseMatrix::from_fn(20, 12, |_, _| 0.0));
    let seen = run.diagnose(&gradients)?;
    assert_eq!(only(&seen, UP)?.kind, FindingKind::MissingGradient);
    let zero = only(&seen, DOWN)?;
    assert_eq!((zero.kind, zero.severity), (FindingKind::ZeroGradient, Severity::Warning));

    // Before the first step zeros may be those of an adapter; with none at all there is still a diagnosis.
    let mut fresh = Run::new(spectra()?, &Plan::builder(), &[(UP, &[12, 20]), (DOWN, &[20, 12])])?;
    gradients[0] = fresh.gradients(0)[0].clone();
    let seen = fresh.diagnose(&gradients)?;
    assert_eq!(only(&seen, DOWN)?.severity, Severity::Note);
    let seen = fresh.diagnose(&[None, None])?;
    assert_eq!(kinds(&seen), [FindingKind::MissingGradient; 2]);
    Ok(())
}

#[test]
fn skipped_steps_are_counted() -> TestResult {
    let mut run = two(spectra()?)?;
    for t in 3..10 {
        let mut gradients = run.gradients(t);
        gradients[1] = None;
        run.step(&gradients)?;
    }
    let seen = run.diagnose(&run.gradients(10))?;
    let finding = only(&seen, DOWN)?;
    assert_eq!((finding.kind, finding.severity), (FindingKind::SkippedSteps, Severity::Warning));
    assert_eq!(finding.what, "it took 3 of 10 steps");
    assert!(seen.block(UP).is_some_and(|up| up.findings.is_empty()));
    Ok(())
}

/// Entry (i, j) of matrix 0 stays, others become zero.
fn masked(gradients: &mut [Option<M>], keep: impl Fn(usize, usize) -> bool) {
    if let Some(g) = &mut gradients[0] {
        let cols = g.shape().1;
        for (at, x) in g.values_mut().iter_mut().enumerate() {
            *x = if keep(at / cols, at % cols) { *x } else { 0.0 };
        }
    }
}

#[test]
fn dead_rows_columns_and_entries_are_told_apart() -> TestResult {
    type Keep = fn(usize, usize) -> bool;
    let cases: [(FindingKind, Keep, f64, &str); 3] = [
        (FindingKind::DeadRows, |i, _| i >= 3, 0.25, "3 of 12 rows (25 %) have had no gradient so far"),
        (
            FindingKind::DeadColumns,
            |_, j| j % 5 != 2,
            0.2,
            "4 of 20 columns (20 %) have had no gradient so far",
        ),
        (
            FindingKind::DeadEntries,
            |i, j| (i + j) % 2 == 0,
            0.5,
            "120 of 240 entries (50 %) have had no gradient so far",
        ),
    ];
    for preset in ["spectra", "adamw", "muon"] {
        for (kind, keep, share, what) in cases {
            let config = Config::preset(preset)?.lr(0.003);
            let mut run = Run::new(config, &Plan::builder(), &[(UP, &[12, 20]), (DOWN, &[20, 12])])?;
            for t in 0..3 {
                let mut gradients = run.gradients(t);
                masked(&mut gradients, keep);
                run.step(&gradients)?;
            }
            let mut gradients = run.gradients(3);
            masked(&mut gradients, keep);
            let seen = run.diagnose(&gradients)?;
            let finding = only(&seen, UP)?;
            assert_eq!(
                (finding.kind, finding.severity, finding.figure),
                (kind, Severity::Warning, share),
                "{preset}"
            );
            assert_eq!(finding.what, what);
            // What one step brings to life is not dead, now or later: the momentum remembers it.
            let seen = run.diagnose(&run.gradients(3))?;
            assert_eq!(kinds(&seen), [], "{preset}");
            run.step(&run.gradients(3))?;
            let seen = run.diagnose(&gradients)?;
            assert_eq!(kinds(&seen), [], "{preset}");
        }
    }
    Ok(())
}

#[test]
fn one_dead_unit_or_a_token_that_never_occurs_is_a_note() -> TestResult {
    let shapes: [(&str, &[usize]); 2] = [(UP, &[12, 20]), ("embed_tokens.weight", &[12, 20])];
    let mut run = Run::new(spectra()?, &Plan::builder(), &shapes)?;
    for _ in 0..2 {
        let mut gradients = run.gradients(0);
        masked(&mut gradients, |i, _| i != 3);
        gradients.swap(0, 1);
        masked(&mut gradients, |i, _| i % 2 == 0);
        gradients.swap(0, 1);
        let seen = run.diagnose(&gradients)?;
        let of_embedding = only(&seen, "embed_tokens.weight")?;
        assert_eq!((of_embedding.kind, of_embedding.severity), (FindingKind::DeadRows, Severity::Note));
        assert_eq!(only(&seen, UP)?.severity, Severity::Note);
        masked(&mut gradients, |i, _| i != 3);
        run.step(&gradients)?;
    }
    Ok(())
}

/// A run with weights of 16 bits, rounded so.
fn sixteen(
    rounding: Rounding,
    format: SixteenBits,
    lr: f64,
) -> Result<Diagnoses, Box<dyn std::error::Error>> {
    let plan = Plan::builder().build([(UP, [12, 20])])?.with_rounding(rounding, |_| Some(format));
    let mut run = Run::of_plan(spectra()?.lr(lr), plan)?;
    let mut stored = Dense::new().zeros_stored(format, (12, 20), None)?;
    stored.copy_from(&run.weights[0])?;
    run.weights[0] = stored;
    run.step(&run.gradients(0))?;
    Ok(run.diagnose(&run.gradients(1))?)
}

#[test]
fn only_rounding_to_nearest_stagnates() -> TestResult {
    // Weights of 0.5: bf16 has steps of 1 / 512 there, f16 of 1 / 4096; a step at 1e-4 changes them by about 0.2e-4.
    let seen = sixteen(Rounding::Nearest, SixteenBits::Bf16, 1e-4)?;
    let finding = only(&seen, UP)?;
    assert_eq!((finding.kind, finding.severity), (FindingKind::Stagnation, Severity::Warning));
    assert!(finding.figure > 0.9, "{}", finding.figure);
    for rounding in [Rounding::Master, Rounding::Stochastic { seed: 1 }] {
        let seen = sixteen(rounding, SixteenBits::Bf16, 1e-4)?;
        assert_eq!(kinds(&seen), [], "{rounding:?}");
        assert_eq!(seen.blocks[0].figures.stagnant, None);
    }
    // With steps that are large enough it moves, and f16 is finer.
    let share =
        |format, lr| sixteen(Rounding::Nearest, format, lr).map(|seen| seen.blocks[0].figures.stagnant);
    let [coarse, fine] = [share(SixteenBits::Bf16, 0.05)?, share(SixteenBits::F16, 0.05)?];
    assert!(coarse < Some(0.5) && fine < coarse && fine.is_some(), "{coarse:?} {fine:?}");
    assert_eq!(kinds(&sixteen(Rounding::Nearest, SixteenBits::F16, 0.05)?), []);
    Ok(())
}

#[test]
fn the_share_that_stagnates_is_that_which_the_step_leaves() -> TestResult {
    let plan = Plan::builder().build([(UP, [12, 20])])?;
    let plan = plan.with_rounding(Rounding::Nearest, |_| Some(SixteenBits::Bf16));
    // Its update goes to the weights in one rounding; tail shrink's comes in two parts.
    let mut run = Run::of_plan(Config::preset("muon")?.lr(0.004), plan)?;
    let mut stored = Dense::new().zeros_stored(SixteenBits::Bf16, (12, 20), None)?;
    stored.copy_from(&run.weights[0])?;
    run.weights[0] = stored;
    let read = |x: &M| -> Result<Vec<f64>, spectra_core::backend::Error> {
        let mut values = vec![0.0; 240];
        x.read(&mut values)?;
        Ok(values)
    };
    for t in 0..5 {
        let seen = run.diagnose(&run.gradients(t))?;
        let before = read(&run.weights[0])?;
        run.step(&run.gradients(t))?;
        let still = before.iter().zip(read(&run.weights[0])?).filter(|(a, b)| **a == *b).count();
        // But for what lies half-way between two numbers to the last bit.
        let share = seen.blocks[0].figures.stagnant.ok_or("none")?;
        assert!((240.0 * share - still as f64).abs() < 1.5, "{t}: {share}, {still} of 240");
        assert!(still > 0 && still < 240);
    }
    Ok(())
}

#[test]
fn updates_are_measured_against_the_weights() -> TestResult {
    for (lr, expected) in [
        (4.0, Some((FindingKind::UpdateTooLarge, Severity::Error))),
        (0.5, Some((FindingKind::UpdateTooLarge, Severity::Warning))),
        (1e-2, None),
        (1e-5, None),
        (1e-7, Some((FindingKind::UpdateTooSmall, Severity::Warning))),
        (0.0, Some((FindingKind::ZeroLearningRate, Severity::Note))),
    ] {
        let mut run = Run::new(spectra()?.lr(lr), &Plan::builder(), &[(UP, &[12, 20])])?;
        let seen = run.diagnose(&run.gradients(0))?;
        let found = seen.blocks[0].findings.first().map(|finding| (finding.kind, finding.severity));
        assert_eq!(found, expected, "{lr}");
        // Tail shrink's update has the root mean square 0.2; weights uniform in [-1, 1] have 0.58.
        let ratio = seen.blocks[0].figures.update_ratio().ok_or("no ratio")?;
        assert!((ratio - 0.2 * lr / 0.58).abs() <= 0.15 * ratio, "{lr}: {ratio}");
    }
    Ok(())
}

#[test]
fn what_begins_at_zero_and_a_schedules_first_step_are_healthy() -> TestResult {
    let shapes: [(&str, &[usize]); 2] = [(UP, &[12, 20]), ("layers.0.mlp.up.bias", &[12])];
    let mut run = Run::new(spectra()?, &Plan::builder(), &shapes)?;
    run.weights = vec![DenseMatrix::from_fn(12, 20, |_, _| 0.0), DenseMatrix::from_fn(1, 12, |_, _| 0.0)];
    for t in 0..4 {
        let seen = run.diagnose(&run.gradients(t))?;
        assert_eq!(kinds(&seen), [], "{t}: {seen}");
        run.step(&run.gradients(t))?;
    }
    let schedule = LearningRateSchedule::constant().with_warmup(Span::Steps(10), 0.0)?;
    let mut run = Run::new(spectra()?.lr_schedule(schedule), &Plan::builder(), &shapes)?;
    let seen = run.diagnose(&run.gradients(0))?;
    assert_eq!(kinds(&seen), [FindingKind::ZeroLearningRate; 2]);
    assert_eq!(seen.worst(), Some(Severity::Note));
    Ok(())
}

/// `x a b^T + noise`: a dominant direction that `at` chooses.
fn spike(seed: u64, at: usize, size: f64) -> M {
    let noise = random(seed, (24, 16));
    DenseMatrix::from_fn(24, 16, |i, j| {
        noise.values()[16 * i + j] + if j == at { size * (1.0 + i as f64) } else { 0.0 }
    })
}

#[test]
fn a_subspace_that_is_not_refreshed_goes_stale_and_one_that_is_does_not() -> TestResult {
    for every in [1, 1000] {
        let config = Config::preset("spectra")?.lr(0.003).rank_ratio(1.0 / 16.0).refresh_every(every);
        let mut run = Run::new(config, &Plan::builder(), &[(UP, &[24, 16])])?;
        for t in 0..3 {
            run.step(&[Some(spike(t, 3, 1.0))])?;
        }
        let seen = run.diagnose(&[Some(spike(3, 3, 1.0))])?;
        assert_eq!(kinds(&seen), [], "{every}");
        // Another direction takes over; what the basis holds is still more than an average one would.
        for t in 3..6 {
            run.step(&[Some(spike(t, 9, 1.7))])?;
        }
        let seen = run.diagnose(&[Some(spike(6, 9, 1.7))])?;
        let subspace = seen.blocks[0].figures.subspace.ok_or("no subspace")?;
        if every == 1 {
            assert_eq!(kinds(&seen), [], "{subspace:?}");
            assert_eq!(subspace.since_refresh, Some(0));
        } else {
            let finding = only(&seen, UP)?;
            assert_eq!((finding.kind, finding.severity), (FindingKind::StaleSubspace, Severity::Warning));
            assert_eq!(subspace.since_refresh, Some(5));
            assert!(finding.what.ends_with("5 steps after its last refresh"), "{}", finding.what);
        }
    }
    Ok(())
}

#[test]
fn captured_energy_is_that_of_the_exact_singular_values() -> TestResult {
    // Diagonal momentum 5, 3, 1, 1: the two dominant directions hold 34 of 36.
    let diagonal = DenseMatrix::from_fn(6, 4, |i, j| if i == j { [5.0, 3.0, 1.0, 1.0][i] } else { 0.0 });
    let config = Config::preset("spectra")?.lr(0.003).rank_ratio(0.5);
    let mut run = Run::new(config, &Plan::builder(), &[(UP, &[6, 4])])?;
    for _ in 0..8 {
        run.step(&[Some(diagonal.clone())])?;
    }
    let figures = run.diagnose(&[Some(diagonal)])?.blocks.swap_remove(0).figures;
    let subspace = figures.subspace.ok_or("no subspace")?;
    for share in [subspace.captured, subspace.possible] {
        assert!((share - 34.0 / 36.0).abs() < 1e-6, "{subspace:?}");
    }
    assert_eq!(subspace.rank, 2);
    Ok(())
}

#[test]
fn a_norm_clip_that_takes_almost_everything_is_of_the_model() -> TestResult {
    for (limit, found) in [(1.0, &[][..]), (0.01, &[FindingKind::NormClip][..])] {
        let mut run = two(spectra()?.clip_norm(limit))?;
        let seen = run.diagnose(&run.gradients(3))?;
        assert_eq!(kinds(&seen), found, "{limit}");
        assert_eq!(seen.findings.len(), found.len());
        // 480 entries of root mean square 0.58.
        let factor = seen.clip_factor.ok_or("no factor")?;
        assert!((factor * 12.65 / limit - 1.0).abs() < 0.1, "{factor}");
    }
    Ok(())
}
