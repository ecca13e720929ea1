use super::*;
use crate::schedules::{DecayCurve, Span};

fn schedule() -> Result<LearningRateSchedule> {
    LearningRateSchedule::wsd(100, FinalDecay::default())?.with_warmup(Span::Steps(10), 0.01)
}

fn assert_close(clip: &ClipSchedule, expected: &[(u64, f64)]) {
    for &(step, value) in expected {
        let c = 10.0 * clip.factor(step);
        assert!((c - value).abs() <= 1e-13 * value, "{clip:?} at {step}: {c}, not {value}");
    }
}

/// Thresholds of arXiv 2603.14315's program, c = 10, at updates 79, 81, 90 and 99 of 100, 20 of decay.
const DECAYED: [(DecayCurve, f64, [f64; 4]); 5] = [
    (DecayCurve::Linear, 0.0, [10.0, 9.5, 5.0, 0.500_000_000_000_000_4]),
    (DecayCurve::Sqrt, 0.1, [10.0, 7.987_538_820_250_189, 3.636_038_969_321_071_5, 1.227_885_089_671_933]),
    (DecayCurve::Cosine, 0.0, [10.0, 9.938_441_702_975_69, 5.0, 0.061_558_297_024_311_7]),
    (
        DecayCurve::Exponential,
        0.1,
        [10.0, 8.912_509_381_337_456, 3.162_277_660_168_379_5, 1.122_018_454_301_963_6],
    ),
    (DecayCurve::Square, 0.1, [10.0, 9.977_500_000_000_001, 7.75, 1.877_500_000_000_000_4]),
];

#[test]
fn warmup_and_decay_match_the_authors_program() -> Result<()> {
    let warmup = [
        (0, 1000.0),
        (1, 91.743_119_266_055_03),
        (5, 19.801_980_198_019_802),
        (9, 11.098_779_134_295_228),
        (10, 10.0),
    ];
    for (curve, final_factor, c) in DECAYED {
        let decay = FinalDecay { curve, span: Span::Fraction(0.2), final_factor };
        let threshold = ClipSchedule::new(schedule()?).with_decay(decay)?;
        assert_close(&threshold, &warmup);
        assert_close(&threshold, &[(79, c[0]), (81, c[1]), (90, c[2]), (99, c[3])]);
    }
    let plain = ClipSchedule::new(schedule()?);
    assert_close(&plain, &warmup);
    assert_close(&plain, &[(79, 10.0), (81, 10.0), (99, 10.0)]);
    Ok(())
}

#[test]
fn a_one_cycle_warmup_matches_the_authors_program() -> Result<()> {
    let one_cycle =
        LearningRateSchedule::one_cycle(100, DecayCurve::Cosine, 0.01)?.with_warmup(Span::Steps(10), 0.01)?;
    let threshold = ClipSchedule::new(one_cycle);
    let expected =
        [(0, 1000.0), (1, 250.927_473_668_090_98), (5, 16.921_737_951_780_937), (9, 10.0), (99, 10.0)];
    assert_close(&threshold, &expected);
    Ok(())
}

#[test]
fn the_bound_on_the_update_is_constant_in_the_warmup() -> Result<()> {
    let (schedule, threshold) = (schedule()?, ClipSchedule::new(schedule()?));
    for step in 0..=10 {
        assert!((schedule.factor(step) * threshold.factor(step) - 1.0).abs() < 1e-14);
    }
    assert_eq!(threshold.without_warmup().factor(0), 1.0);
    Ok(())
}

#[test]
fn thresholds_are_positive_and_finite_at_every_step() -> Result<()> {
    let from_zero =
        LearningRateSchedule::wsd(100, FinalDecay::default())?.with_warmup(Span::Steps(10), 0.0)?;
    for curve in DecayCurve::ALL {
        let final_factor = if curve == DecayCurve::Exponential { f64::MIN_POSITIVE } else { 0.0 };
        let decay = FinalDecay { curve, final_factor, span: Span::Fraction(0.9) };
        let threshold = ClipSchedule::new(from_zero).with_decay(decay)?;
        for step in (0..120).chain([u64::MAX]) {
            let c = threshold.factor(step);
            assert!(c > 0.0 && c.is_finite(), "{curve} at {step}: {c}");
        }
    }
    Ok(())
}

#[test]
fn settings_that_cannot_be_are_refused() -> Result<()> {
    assert!(ClipSchedule::constant().with_decay(FinalDecay::default()).is_err());
    let threshold = ClipSchedule::new(schedule()?);
    let too_long = FinalDecay { span: Span::Steps(91), ..FinalDecay::default() };
    assert!(threshold.with_decay(too_long).is_err());
    assert!(threshold.with_decay(FinalDecay { span: Span::Steps(90), ..too_long }).is_ok());
    let collapsing = FinalDecay { curve: DecayCurve::Exponential, ..FinalDecay::default() };
    assert!(threshold.with_decay(collapsing).is_err());
    Ok(())
}
