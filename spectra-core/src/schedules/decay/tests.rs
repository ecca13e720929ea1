use super::*;

/// Values at x = 0.05 and x = 0.75 on the way from 1 to 0.1, computed with 30 digits.
const EXPECTED: [(DecayCurve, f64, f64); 6] = [
    (DecayCurve::Linear, 0.955, 0.325),
    (DecayCurve::Sqrt, 0.798_753_882_025_018_9, 0.220_577_136_594_005_2),
    (DecayCurve::Cosine, 0.994_459_753_267_812, 0.231_801_948_466_053_5),
    (DecayCurve::Square, 0.997_75, 0.493_75),
    (DecayCurve::MirrorCosine, 0.915_540_246_732_187_9, 0.418_198_051_533_946_4),
    (DecayCurve::Exponential, 0.891_250_938_133_745_6, 0.177_827_941_003_892_3),
];

#[test]
fn every_curve_has_its_formula() {
    for (curve, early, late) in EXPECTED {
        assert!((curve.between(1.0, 0.1, 0.05) - early).abs() < 1e-15, "{curve}");
        assert!((curve.between(1.0, 0.1, 0.75) - late).abs() < 1e-15, "{curve}");
    }
    assert_eq!(EXPECTED.len(), DecayCurve::ALL.len());
}

#[test]
fn every_curve_falls_from_its_start_to_its_end() {
    for curve in DecayCurve::ALL {
        let value = |i: u32| curve.between(3.0, 0.2, f64::from(i) / 64.0);
        assert_eq!(value(0), 3.0, "{curve}");
        assert!((value(64) - 0.2).abs() < 1e-15, "{curve}");
        assert!((0..64).all(|i| value(i) > value(i + 1)), "{curve}");
    }
}

#[test]
fn a_cosine_to_zero_stays_positive_until_it_ends() {
    assert!(DecayCurve::Cosine.between(1.0, 0.0, 1.0 - 1e-12) > 0.0);
}

#[test]
fn names_are_read_back() {
    for curve in DecayCurve::ALL {
        assert_eq!(curve.name().parse::<DecayCurve>().ok(), Some(curve));
    }
    assert!("miror_cosine".parse::<DecayCurve>().is_err());
}

#[test]
fn a_phase_holds_decays_and_ends() {
    let decay = FinalDecay { curve: DecayCurve::Linear, span: Span::Steps(4), final_factor: 0.5 };
    let factors: [f64; 8] = core::array::from_fn(|t| decay.factor(t as u64, 6));
    assert_eq!(factors, [1.0, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.5]);

    let none = FinalDecay { span: Span::Steps(0), ..decay };
    assert_eq!([none.factor(5, 6), none.factor(6, 6)], [1.0, 0.5]);
}

#[test]
fn a_phase_that_cannot_be_is_refused() {
    let decay = FinalDecay::default();
    assert!(decay.check("test", 100, 80).is_ok());
    assert!(decay.check("test", 100, 81).is_err());
    for final_factor in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(FinalDecay { final_factor, ..decay }.check("test", 100, 0).is_err());
    }
    for fraction in [-0.1, 1.1, f64::NAN] {
        assert!(FinalDecay { span: Span::Fraction(fraction), ..decay }.check("test", 100, 0).is_err());
    }
}

#[test]
fn an_exponential_to_zero_is_there_at_its_second_update() {
    for length in [1, 2, 20, 30, 100, 2000, 1_000_000] {
        let decay =
            FinalDecay { curve: DecayCurve::Exponential, span: Span::Steps(length), final_factor: 0.0 };
        assert!(decay.check("test", length, 0).is_ok());
        assert_eq!(decay.factor(0, length), 1.0, "{length}");
        assert!((1..length.min(100)).all(|step| decay.factor(step, length) == 0.0), "{length}");
        assert_eq!(decay.factor(length, length), 0.0, "{length}");
    }
}
