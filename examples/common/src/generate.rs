//! Text from a model: one byte after another, drawn by its probability.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Failure;

/// Logits are divided by this: below one the model keeps to what it thinks likely.
const TEMPERATURE: f64 = 0.8;

/// Continues a line end by `length` bytes. `logits` gives those of the byte that follows its argument.
pub fn generate(
    length: usize,
    context: usize,
    seed: u64,
    mut logits: impl FnMut(&[u8]) -> Result<Vec<f32>, Failure>,
) -> Result<String, Failure> {
    let mut draws = StdRng::seed_from_u64(seed);
    let mut bytes = vec![b'\n'];
    for _ in 0..length {
        let seen = &bytes[bytes.len().saturating_sub(context)..];
        let next = draw(&logits(seen)?, draws.random());
        bytes.push(next);
    }
    Ok(String::from_utf8_lossy(&bytes[1..]).into_owned())
}

/// The byte at which the cumulative probability passes `point`.
fn draw(logits: &[f32], point: f64) -> u8 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |&logit: &f32| (f64::from(logit - highest) / TEMPERATURE).exp();
    let mut left = point * logits.iter().map(weight).sum::<f64>();
    for (byte, logit) in (0..=u8::MAX).zip(logits) {
        left -= weight(logit);
        if left < 0.0 {
            return byte;
        }
    }
    b' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_bytes_are_drawn() {
        let text = generate(5, 2, 3, |seen| {
            assert!(seen.len() <= 2);
            let mut logits = vec![0.0; 256];
            logits[usize::from(b'x')] = 1000.0;
            Ok(logits)
        });
        assert_eq!(text.as_deref(), Ok("xxxxx"));
    }
}
