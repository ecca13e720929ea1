//! Losses and texts without the frequency of tokens, and without their order.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The weight of each byte's loss, in inverse proportion to how often the text has it, with a mean of 1 over the text; 0 for bytes
/// that it has not.
///
/// Source: 2602.11185, figures 2 and 12 (`sum_j l_j / f(t_j)`). Trap: a factor of all weights scales every singular value; compare spectra by their shape as well.
pub fn inverse_frequencies(text: &[u8]) -> [f32; 256] {
    let mut counts = [0usize; 256];
    text.iter().for_each(|&byte| counts[byte as usize] += 1);
    let distinct = counts.iter().filter(|count| **count > 0).count();
    // sum_t f(t) c / f(t) = c distinct.
    counts.map(|count| match count {
        0 => 0.0,
        count => text.len() as f32 / (distinct * count) as f32,
    })
}

/// The text with the bytes of each line in random order.
///
/// Source: as [`inverse_frequencies`]. The null is a model without knowledge of order, at its initial weights.
pub fn shuffled_bytes(text: &[u8], seed: u64) -> Vec<u8> {
    by_line(text, seed, |line, draws| {
        let mut line = line.to_vec();
        line.shuffle(draws);
        line
    })
}

/// The text with the words of each line in random order.
pub fn shuffled_words(text: &[u8], seed: u64) -> Vec<u8> {
    by_line(text, seed, |line, draws| {
        let mut words: Vec<_> = line.split(|byte| *byte == b' ').collect();
        words.shuffle(draws);
        words.join(&b' ')
    })
}

fn by_line(text: &[u8], seed: u64, change: impl Fn(&[u8], &mut StdRng) -> Vec<u8>) -> Vec<u8> {
    let mut draws = StdRng::seed_from_u64(seed);
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(|line| change(line, &mut draws)).collect();
    lines.join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"in the beginning was the word\nand the word was\n\nend";

    #[test]
    fn weights_make_all_bytes_equal() {
        let weights = inverse_frequencies(TEXT);
        let mean =
            TEXT.iter().map(|&byte| f64::from(weights[byte as usize])).sum::<f64>() / TEXT.len() as f64;
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
        let of = |byte: u8| TEXT.iter().filter(|b| **b == byte).count() as f32 * weights[byte as usize];
        assert!((of(b'e') - of(b'b')).abs() < 1e-5 * of(b'e'));
        assert_eq!(weights[b'z' as usize], 0.0);
    }

    #[test]
    fn lines_keep_their_bytes_or_words() {
        for shuffled in [shuffled_bytes(TEXT, 3), shuffled_words(TEXT, 3)] {
            assert_ne!(shuffled, TEXT);
            assert_eq!(shuffled.len(), TEXT.len());
            for (a, b) in shuffled.split(|b| *b == b'\n').zip(TEXT.split(|b| *b == b'\n')) {
                let sorted = |line: &[u8]| {
                    let mut line = line.to_vec();
                    line.sort_unstable();
                    line
                };
                assert_eq!(sorted(a), sorted(b));
            }
        }
        let words = shuffled_words(TEXT, 3);
        let first = words.split(|b| *b == b'\n').next().expect("a line");
        assert!(first.split(|b| *b == b' ').any(|word| word == b"beginning"));
    }
}
