//! B: sparse spectral noise, `X = S + ell U V^T` with uniform U and V of rank r (Assumption 4, Definition 1, Lemmas 3 and 4).

use super::{clipped, distance, frame, gaussian, generator, inner, plus, svd, times};
use spectra_conformance::HostMatrix;

/// Rows and columns, and the rank of the noise.
const SIDE: usize = 64;
const RANK: usize = 2;
const DRAWS: usize = 6;
/// Sizes of the noise over the norm of the signal.
const SIZES: [f64; 5] = [1.0, 10.0, 100.0, 1e3, 1e4];

/// Signals of spectral norm 1 with noise of size `ell`.
fn pairs(ell: f64) -> impl Iterator<Item = (HostMatrix, HostMatrix)> {
    let mut rng = generator(7);
    (0..DRAWS).map(move |_| {
        let signal = gaussian(SIDE, SIDE, &mut rng);
        let norm = svd(&signal).sigma[0];
        let signal = signal.map(|x| x / norm);
        let (u, v) = (frame(SIDE, RANK, &mut rng), frame(SIDE, RANK, &mut rng));
        let noisy = plus(&signal, ell, &times(&u, &v.transposed()));
        (signal, noisy)
    })
}

/// `E[U U^T] = (r / m) I`.
#[test]
fn definition_1_gaussian_polar_frames() {
    const ROWS: usize = 6;
    const FRAMES: usize = 10_000;
    let rng = &mut generator(8);
    let mut mean = HostMatrix::zeros(ROWS, ROWS);
    for _ in 0..FRAMES {
        let u = frame(ROWS, RANK, rng);
        mean = plus(&mean, 1.0 / FRAMES as f64, &times(&u, &u.transposed()));
    }
    let share = RANK as f64 / ROWS as f64;
    let wanted = HostMatrix::from_fn(ROWS, ROWS, |i, j| if i == j { share } else { 0.0 });
    // An entry of a projector is at most 1 and has variance at most 1/4: the mean of 10^4 has a deviation of 1/200, and 36 entries stay below four.
    let worst = mean.zip(&wanted, |a, b| a - b).max_abs();
    assert!(worst < 4.0 / 200.0, "{worst}");
    assert!(distance(&mean, &wanted) > 0.0);
}

/// The clip at `c = ||S||_2` keeps the signal and bounds the second moment, whatever the size of the noise.
///
/// `||clip(X)||^2 <= ||S||^2 + r c^2` for every X: `sigma_{i + r}(X) <= sigma_i(S)`, Weyl's inequality, and no value exceeds c.
#[test]
fn lemma_3_the_clip_keeps_the_signal_at_any_size_of_the_noise() {
    let mut kept = Vec::new();
    for ell in SIZES {
        let mut sum = 0.0;
        for (signal, noisy) in pairs(ell) {
            let (clip, energy) = (clipped(&noisy, 1.0), inner(&signal, &signal));
            assert!(inner(&clip, &clip) <= (energy + RANK as f64) * (1.0 + 1e-12), "ell = {ell}");
            sum += inner(&clip, &signal) / energy;
        }
        kept.push(sum / DRAWS as f64);
    }
    // Of 64 directions a side two are the noise's: the rest of the signal goes through.
    let untouched = (1.0 - RANK as f64 / SIDE as f64).powi(2);
    assert!(kept.iter().all(|share| (untouched - 0.1..=1.1).contains(share)), "{kept:?}");
}

/// Clipping by the Frobenius norm of the whole matrix has no threshold that does both: what keeps a quarter of the signal lets a
/// second moment of `ell^2 r / 32` through. The mean is over the noise and its negative, which is as likely.
#[test]
fn lemma_4_no_global_threshold_does_both() {
    for ell in SIZES.into_iter().filter(|ell| *ell >= 10.0) {
        let both = |(signal, noisy): (HostMatrix, HostMatrix)| {
            let mirrored = plus(&signal.map(|x| 2.0 * x), -1.0, &noisy);
            [(signal.clone(), noisy), (signal, mirrored)]
        };
        let pairs: Vec<_> = pairs(ell).flat_map(both).collect();
        let mut keep = 0;
        for c in (-2..=12).map(|e| 10f64.powf(f64::from(e) / 2.0)) {
            let (mut kept, mut moment) = (0.0, 0.0);
            for (signal, noisy) in &pairs {
                let factor = (c / noisy.frobenius_norm()).min(1.0);
                kept += factor * inner(noisy, signal) / inner(signal, signal) / pairs.len() as f64;
                moment += (factor * noisy.frobenius_norm()).powi(2) / pairs.len() as f64;
            }
            if kept >= 0.25 {
                keep += 1;
                assert!(moment >= ell * ell * RANK as f64 / 32.0, "ell {ell}, c {c}: {kept}, {moment}");
            }
        }
        assert!((1..15).contains(&keep), "{keep} of 15 thresholds keep the signal at ell = {ell}");
    }
}
