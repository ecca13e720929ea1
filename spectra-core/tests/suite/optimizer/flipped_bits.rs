//! Every flipped bit of a serialized snapshot is found, or has changed nothing.

use super::*;
use spectra_core::optimizer::StateHeader;

/// The state's bits.
fn bits(optimizer: &Optimizer<Dense<f64>>) -> (StateHeader, Vec<u64>) {
    let numbers = optimizer.buffers().flat_map(|(.., matrix)| matrix.values().iter().map(|x| x.to_bits()));
    (optimizer.header().expect("whole"), numbers.collect())
}

/// Flips every bit of `text`; what can still be read must be refused, unless it is the same snapshot (`1e-3` and `1E-3`, a
/// digit beyond the precision). Returns how many could be read and were refused.
fn flip_every_bit(text: &str, target: &mut Optimizer<Dense<f64>>) -> usize {
    let whole: Snapshot<f64> = serde_json::from_str(text).expect("json");
    target.load_snapshot(&whole).expect("whole");
    let before = bits(target);
    let mut refused = 0;
    for bit in 0..8 * text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(damaged) = serde_json::from_slice::<Snapshot<f64>>(&bytes) else { continue };
        match target.load_snapshot(&damaged) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
                refused += 1;
            }
            Ok(_) => assert_eq!(damaged, whole, "bit {bit} is not found"),
        }
        assert_eq!(bits(target), before, "bit {bit} has changed something");
    }
    refused
}

/// A model of few numbers, so that every bit can be tried.
fn small(config: Config) -> Optimizer<Dense<f64>> {
    let specs = [spec("mlp", 3, 2, Rule::Spectral), spec("norm \"n\"", 1, 2, Rule::Elementwise)];
    Optimizer::new(Dense::new(), config, specs).expect("valid")
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_found() {
    let mut optimizer = small(Config::preset("spectra").expect("preset").clip_norm(1.0));
    optimizer.set_clip_factor(0.5).expect("valid");
    let (mut a, mut b) = (random(1, 3, 2), random(2, 1, 2));
    for t in 0..2 {
        optimizer
            .step(&mut [(&mut a, &random(3 + t, 3, 2)), (&mut b, &random(5 + t, 1, 2))])
            .expect("finite");
    }
    let text = serde_json::to_string(&optimizer.snapshot().expect("snapshot")).expect("json");
    let refused = flip_every_bit(&text, &mut optimizer);
    assert!(refused > 3 * text.len() / 2, "{refused} of {} bits", 8 * text.len());
}

#[test]
fn every_flipped_bit_of_a_snapshot_of_release_0_1_is_found() {
    let saved = super::release_0_1::snapshot("small");
    let mut optimizer = small(Config::preset("spectra").expect("preset"));
    let text = serde_json::to_string(&saved).expect("json");
    let refused = flip_every_bit(&text, &mut optimizer);
    assert!(refused > 3 * text.len() / 2, "{refused} of {} bits", 8 * text.len());
}
