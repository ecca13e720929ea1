use super::*;
use alloc::string::ToString;

/// As published for `l = 1e-3` with safety 1.02 and cushion 0.02 (microsoft/dion, five steps).
const PUBLISHED: [[f64; 3]; 5] = [
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.042929935166739, -2.808917465908714, 0.5000178451051316],
    [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
    [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
    [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
];

#[test]
fn published_coefficients() {
    let polynomials = Schedule::POLAR_EXPRESS.polynomials(1e-3, 5);
    let mut seen = 0;
    for (p, [a, b, c]) in polynomials.zip(PUBLISHED) {
        for (computed, published) in [(p.a, a), (p.b, b), (p.c, c)] {
            assert!((computed / published - 1.0).abs() < 1e-13, "{computed} {published}");
        }
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn minimax_equioscillates() {
    for l in [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999] {
        let p = OddPolynomial::minimax(l, 1.0);
        let e = 1.0 - p.at(l);
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for i in 0..=10_000 {
            let y = p.at(l + (1.0 - l) * f64::from(i) / 1e4);
            (low, high) = (low.min(y), high.max(y));
        }
        // The grid misses the extrema by at most its spacing squared times the curvature.
        assert!((1.0 - low - e).abs() < 1e-6 && (high - 1.0 - e).abs() < 1e-6, "{l}: {low} {high} {e}");
    }
}

#[test]
fn a_cubic_finishes() {
    // alpha = 101 to 1e-6: three quintics and a cubic.
    let (plan, steps, error) = Schedule::Minimax.plan(1.0 / 101f64.sqrt(), 1e-6);
    assert!(steps == 4 && error < 1e-7, "{steps} {error}");
    assert!(plan.clone().take(3).all(|p| p.c > 0.0) && plan.last().unwrap().c == 0.0);
    let p = OddPolynomial::minimax_cubic(0.3, 1.0);
    let top = p.at((-p.a / (3.0 * p.b)).sqrt());
    assert!((2.0 - p.at(0.3) - top).abs() < 1e-14 && (p.at(1.0) - p.at(0.3)).abs() < 1e-14);
}

#[test]
fn numbers_of_your_own() -> crate::backend::Result<()> {
    let own = |a, b, c| Schedule::Constant { a, b, c };
    let (muon, cubic) = (own(3.4445, -4.775, 2.0315), own(1.5, -0.5, 0.0));
    for (schedule, named) in [(muon, Schedule::Muon), (cubic, Schedule::Cubic)] {
        schedule.validate("polar")?;
        let (ours, theirs) = (schedule.polynomials(1e-3, 7), named.polynomials(1e-3, 7));
        assert!(ours.zip(theirs).all(|(p, q)| p == q));
    }
    // The interval is the same, too: x (3 - x^2) / 2 has its maximum, 1, at 1.
    assert_eq!(cubic.count(0.1, 1e-6).0, Schedule::Cubic.count(0.1, 1e-6).0);
    // Muon's, by its extrema: 0.53 after five steps from 1e-3, 0.32 after six.
    assert_eq!(muon.count(1e-3, 0.5).0, 6);
    // What leaves [0, 2] or changes a sign, at once or in later steps, and what is no number.
    for (a, b, c) in
        [(4.0, 0.0, 0.0), (3.4445, -4.775, 2.5), (3.0, -4.5, 1.0), (-1.5, 0.5, 0.0), (1.2, 0.0, 0.0)]
    {
        let error = own(a, b, c).validate("polar").unwrap_err().to_string();
        assert!(error.contains("polar") && error.contains("stay from 0 to 2"), "{a} {b} {c}: {error}");
    }
    for (a, b, c) in [(f64::NAN, 0.0, 0.0), (1.5, f64::INFINITY, 0.0), (1.5, -0.5, f64::NAN)] {
        assert!(own(a, b, c).validate("polar").unwrap_err().to_string().contains("finite"));
    }
    Ok(())
}

#[test]
fn counts() {
    // alpha = 101: four steps to 2.5e-12, where the cubic takes about ten for 1e-6.
    let (steps, error) = Schedule::Minimax.count(1.0 / 101f64.sqrt(), 1e-6);
    assert!(steps == 4 && error < 1e-11, "{steps} {error}");
    assert_eq!(Schedule::Cubic.count(1.0 / 101f64.sqrt(), 1e-6).0, 10);
    assert_eq!(Schedule::Minimax.count(1.0, 1e-6), (0, 0.0));
    for l in [1e-1, 1e-2, 1e-4, 1e-9] {
        let ((steps, error), cubic) = (Schedule::Minimax.count(l, 1e-13), Schedule::Cubic.count(l, 1e-13).0);
        assert!(error <= 1e-13 && 2 * steps <= cubic, "{l}: {steps} {error} {cubic}");
    }
    assert_eq!(Schedule::Muon.count(0.1, 1e-6).0, MAX_STEPS);
    let (steps, error) = Schedule::Minimax.count(0.0, 1e-12);
    assert!(steps < 60 && error <= 1e-12, "{steps} {error}");
    // NaN is no step at all, not an endless loop.
    assert!(Schedule::Minimax.count(f64::NAN, 1e-6).0 <= MAX_STEPS);
}
