use super::*;

/// Values of the schedules of arXiv 2603.14315's program (PyTorch's for the one-cycle) in a run of 100 updates, 10 of
/// warm-up from 1/100, 20 of decay.
const STEPS: [u64; 8] = [0, 3, 10, 50, 83, 95, 99, 102];
const WSD: [(DecayCurve, f64, [f64; 4]); 6] = [
    (DecayCurve::Linear, 0.1, [0.865, 0.325, 0.145_000_000_000_000_05, 0.1]),
    (
        DecayCurve::Sqrt,
        0.0,
        [0.612_701_665_379_258_3, 0.133_974_596_215_561_4, 0.025_320_565_519_103_666, 0.0],
    ),
    (
        DecayCurve::Cosine,
        0.1,
        [0.950_952_935_884_765_5, 0.231_801_948_466_053_65, 0.105_540_246_732_188_06, 0.1],
    ),
    (
        DecayCurve::Exponential,
        0.1,
        [0.707_945_784_384_137_9, 0.177_827_941_003_892_3, 0.112_201_845_430_196_36, 0.1],
    ),
    (DecayCurve::Square, 0.0, [0.977_5, 0.437_5, 0.097_500_000_000_000_03, 0.0]),
    (
        DecayCurve::MirrorCosine,
        0.1,
        [0.779_047_064_115_234_5, 0.418_198_051_533_946_4, 0.184_459_753_267_812_03, 0.1],
    ),
];

fn assert_close(schedule: &LearningRateSchedule, steps: &[u64], expected: &[f64]) {
    assert_eq!(steps.len(), expected.len());
    for (&step, &value) in steps.iter().zip(expected) {
        let factor = schedule.factor(step);
        assert!((factor - value).abs() <= 1e-13, "{schedule:?} at {step}: {factor}, not {value}");
    }
}

#[test]
fn wsd_matches_the_authors_program() -> Result<()> {
    for (curve, final_factor, end) in WSD {
        let decay = FinalDecay { curve, span: Span::Fraction(0.2), final_factor };
        let schedule = LearningRateSchedule::wsd(100, decay)?.with_warmup(Span::Fraction(0.1), 0.01)?;
        assert_close(&schedule, &STEPS[..4], &[0.01, 0.307, 1.0, 1.0]);
        assert_close(&schedule, &STEPS[4..], &end);
    }
    Ok(())
}

#[test]
fn cosine_matches_the_authors_program_with_and_without_a_hold() -> Result<()> {
    let warmup = Span::Steps(10);
    let plain = LearningRateSchedule::cosine(100, 0.1)?.with_warmup(warmup, 0.01)?;
    let middle = [0.628_141_679_950_118_7, 0.176_933_092_350_231_25, 0.106_836_511_144_506_39];
    assert_close(&plain, &STEPS[..3], &[0.01, 0.307, 1.0]);
    assert_close(&plain, &STEPS[3..6], &middle);
    assert_close(&plain, &STEPS[6..], &[0.100_274_127_841_406_9, 0.1]);

    let held =
        LearningRateSchedule::cosine_with_hold(100, Span::Steps(15), 0.1)?.with_warmup(warmup, 0.01)?;
    let end = [0.502_962_191_529_556, 0.101_578_213_337_723_03, 0.1, 0.1, 0.1];
    assert_close(&held, &STEPS[..3], &[0.01, 0.307, 1.0]);
    assert_close(&held, &STEPS[3..], &end);
    Ok(())
}

#[test]
fn one_cycle_matches_pytorch() -> Result<()> {
    let steps = [0, 1, 8, 9, 10, 50, 98, 99];
    let one_cycle =
        |curve| LearningRateSchedule::one_cycle(100, curve, 0.01)?.with_warmup(Span::Fraction(0.1), 0.01);
    let up = [0.01, 0.039_852_152_710_975_315, 0.970_147_847_289_024_6, 1.0];
    let down = [0.999_698_459_374_452_6, 0.573_890_684_975_232_4, 0.010_301_540_625_547_598, 0.01];
    assert_close(&one_cycle(DecayCurve::Cosine)?, &steps[..4], &up);
    assert_close(&one_cycle(DecayCurve::Cosine)?, &steps[4..], &down);
    let linear = [0.01, 0.12, 0.89, 1.0, 0.989, 0.549, 0.021, 0.01];
    assert_close(&one_cycle(DecayCurve::Linear)?, &steps, &linear);
    Ok(())
}

#[test]
fn an_exponential_to_zero_is_there_at_its_second_update() -> Result<()> {
    for length in [20, 30, 100, 2000] {
        let decay =
            FinalDecay { curve: DecayCurve::Exponential, span: Span::Steps(length), final_factor: 0.0 };
        let wsd = LearningRateSchedule::wsd(10_000, decay)?;
        let begin = 10_000 - length;
        let factors = [begin - 1, begin, begin + 1, 9_999, 10_000].map(|t| wsd.factor(t));
        assert_eq!(factors, [1.0, 1.0, 0.0, 0.0, 0.0], "{length}");
    }
    let one_cycle = LearningRateSchedule::one_cycle(100, DecayCurve::Exponential, 0.0)?;
    assert_eq!([0, 1, 99, 100].map(|t| one_cycle.factor(t)), [1.0, 0.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn runs_of_a_few_updates_are_defined() -> Result<()> {
    let factors = |schedule: LearningRateSchedule| [0, 1, 2, u64::MAX].map(|t| schedule.factor(t));
    let whole = FinalDecay { span: Span::Fraction(1.0), curve: DecayCurve::Linear, final_factor: 0.0 };
    assert_eq!(factors(LearningRateSchedule::wsd(1, whole)?), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(factors(LearningRateSchedule::cosine(1, 0.5)?), [1.0, 0.5, 0.5, 0.5]);
    assert_eq!(factors(LearningRateSchedule::one_cycle(1, DecayCurve::Cosine, 0.5)?), [1.0, 0.5, 0.5, 0.5]);
    assert_eq!(factors(LearningRateSchedule::one_cycle(2, DecayCurve::Linear, 0.5)?), [1.0, 0.5, 0.5, 0.5]);
    let warmup = LearningRateSchedule::constant().with_warmup(Span::Steps(2), 0.0)?;
    assert_eq!(factors(warmup), [0.0, 0.5, 1.0, 1.0]);
    let only_warmup = LearningRateSchedule::cosine(2, 0.5)?.with_warmup(Span::Fraction(1.0), 0.0)?;
    assert_eq!(factors(only_warmup), [0.0, 0.5, 0.5, 0.5]);
    Ok(())
}

#[test]
fn settings_that_cannot_be_are_refused() -> Result<()> {
    let decay = FinalDecay::default();
    let wsd = LearningRateSchedule::wsd(100, decay)?;
    assert!(LearningRateSchedule::wsd(0, decay).is_err());
    assert!(LearningRateSchedule::wsd(100, FinalDecay { span: Span::Steps(101), ..decay }).is_err());
    assert!(wsd.with_warmup(Span::Steps(80), 0.0).is_ok());
    assert!(wsd.with_warmup(Span::Steps(81), 0.0).is_err());
    assert!(LearningRateSchedule::cosine(10, 0.0)?.with_warmup(Span::Steps(11), 0.0).is_err());
    assert!(LearningRateSchedule::cosine_with_hold(10, Span::Steps(11), 0.0).is_err());
    for bad in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
        assert!(LearningRateSchedule::cosine(100, bad).is_err(), "final {bad}");
        assert!(LearningRateSchedule::one_cycle(100, DecayCurve::Linear, bad).is_err(), "final {bad}");
        assert!(wsd.with_warmup(Span::Steps(10), bad).is_err(), "initial {bad}");
        assert!(wsd.with_warmup(Span::Fraction(bad), 0.0).is_err(), "warm-up {bad}");
    }
    assert!(LearningRateSchedule::constant().with_warmup(Span::Fraction(0.1), 0.0).is_err());
    let exponential = LearningRateSchedule::one_cycle(100, DecayCurve::Exponential, 0.01)?;
    assert!(exponential.with_warmup(Span::Steps(10), 0.0).is_err());
    assert!(exponential.with_warmup(Span::Steps(10), 0.01).is_ok());
    Ok(())
}
