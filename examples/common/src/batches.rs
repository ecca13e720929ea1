//! Which bytes are seen at which step: the same for every optimizer and every framework.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Sequences of equal length, row after row, and the byte that follows each of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of sequences.
    pub sequences: usize,
    /// Number of sequences that all ranks see together.
    pub of: usize,
    /// Bytes in each.
    pub context: usize,
    /// `sequences * context` byte values.
    pub inputs: Vec<u32>,
    /// For each input the byte that follows it.
    pub targets: Vec<u32>,
}

impl Batch {
    /// Cuts the windows that begin at `starts`; each must have `context + 1` bytes left.
    fn cut(bytes: &[u8], starts: &[usize], context: usize) -> Self {
        let windows = |shift: usize| {
            let window = |&start: &usize| &bytes[start + shift..start + shift + context];
            starts.iter().flat_map(window).map(|&byte| u32::from(byte)).collect()
        };
        let (sequences, inputs, targets) = (starts.len(), windows(0), windows(1));
        Self { sequences, of: sequences, context, inputs, targets }
    }

    /// The sequences of one rank: all get as many as the others, or one more.
    pub fn share(&self, rank: usize, size: usize) -> Self {
        let start = |rank: usize| self.sequences * rank / size;
        let sequences = start(rank)..start(rank + 1);
        let of = |bytes: &[u32]| bytes[sequences.start * self.context..sequences.end * self.context].to_vec();
        Self { sequences: sequences.len(), inputs: of(&self.inputs), targets: of(&self.targets), ..*self }
    }

    /// What a rank's mean loss must be multiplied by, so that the mean over ranks is the mean over all sequences.
    pub fn weight(&self, size: usize) -> f64 {
        (size * self.sequences) as f64 / self.of as f64
    }
}

/// The training batch of `step`: windows drawn evenly from `train`.
///
/// The draw depends on seed and step alone, so that the position in the data order is the step number and
/// nothing else has to be saved to resume.
pub fn training_batch(train: &[u8], sequences: usize, context: usize, seed: u64, step: usize) -> Batch {
    let mut draws = StdRng::seed_from_u64(seed.rotate_left(32) ^ step as u64);
    let starts: Vec<_> = (0..sequences).map(|_| draws.random_range(0..train.len() - context)).collect();
    Batch::cut(train, &starts, context)
}

/// At most `batches` fixed batches that lie evenly spread over `validation`.
pub fn validation_batches(validation: &[u8], sequences: usize, context: usize, batches: usize) -> Vec<Batch> {
    let places = validation.len() - context;
    let windows = (sequences * batches).min(places);
    let starts: Vec<_> = (0..windows).map(|window| window * places / windows).collect();
    starts.chunks(sequences).map(|starts| Batch::cut(validation, starts, context)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_inputs_moved_by_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        let batch = training_batch(&bytes, 3, 16, 7, 0);
        assert_eq!(batch.inputs.len(), 48);
        assert!(batch.inputs.iter().zip(&batch.targets).all(|(input, target)| input + 1 == *target));
    }

    #[test]
    fn the_order_depends_on_seed_and_step_alone() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let starts = |seed, step| training_batch(&bytes, 4, 8, seed, step);
        assert_eq!(starts(1, 2), starts(1, 2));
        assert_ne!(starts(1, 2), starts(1, 3));
        assert_ne!(starts(1, 2), starts(2, 2));
    }

    #[test]
    fn shares_are_the_batch_and_weigh_as_much() {
        let bytes: Vec<u8> = (0..=255).collect();
        let batch = training_batch(&bytes, 7, 3, 1, 0);
        assert_eq!(batch.share(0, 1), batch);
        for size in [2, 3, 7] {
            let shares: Vec<_> = (0..size).map(|rank| batch.share(rank, size)).collect();
            let joined: Vec<_> = shares.iter().flat_map(|share| share.targets.clone()).collect();
            assert_eq!(joined, batch.targets);
            assert!(shares.iter().all(|share| share.inputs.len() == 3 * share.sequences && share.of == 7));
            let weights: f64 = shares.iter().map(|share| share.weight(size)).sum();
            assert!((weights - size as f64).abs() < 1e-14);
        }
    }

    #[test]
    fn the_smallest_texts_give_a_batch() {
        assert_eq!(training_batch(b"ab", 2, 1, 0, 0).inputs, [97, 97]);
        assert_eq!(validation_batches(b"ab", 2, 1, 4).len(), 1);
    }
}
