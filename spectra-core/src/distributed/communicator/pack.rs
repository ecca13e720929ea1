//! Numbers as bytes.

use crate::backend::Element;
use alloc::vec::Vec;

/// Appends words.
pub(in crate::distributed) fn put_words(bytes: &mut Vec<u8>, words: &[u64]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
}

/// The words in these bytes.
pub(in crate::distributed) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

/// Appends entries `range` of the lists one after the other, then numbers.
pub(super) fn put_range<E: Element>(
    out: &mut Vec<u8>,
    values: &[&mut [E]],
    range: core::ops::Range<usize>,
    numbers: &[f64],
    of_numbers: core::ops::Range<usize>,
) {
    let mut start = 0;
    for values in values {
        let (from, to) =
            (range.start.clamp(start, start + values.len()), range.end.clamp(start, start + values.len()));
        E::put(&values[from - start..to - start], out);
        start += values.len();
    }
    f64::put(&numbers[of_numbers], out);
}

/// Adds what [`put_range`] has packed, or takes it instead.
pub(super) fn add_range<E: Element>(
    got: &[u8],
    values: &mut [&mut [E]],
    range: core::ops::Range<usize>,
    numbers: &mut [f64],
    of_numbers: core::ops::Range<usize>,
    instead: bool,
) {
    fn add<E: Element>(got: &[u8], values: &mut [E], instead: bool) {
        for (x, bytes) in values.iter_mut().zip(got.chunks_exact(E::BYTES)) {
            let other = E::get(bytes);
            *x = if instead { other } else { *x + other };
        }
    }
    let (mut start, mut at) = (0, 0);
    for values in values {
        let (from, to) =
            (range.start.clamp(start, start + values.len()), range.end.clamp(start, start + values.len()));
        let bytes = (to - from) * E::BYTES;
        add(&got[at..at + bytes], &mut values[from - start..to - start], instead);
        at += bytes;
        start += values.len();
    }
    add(&got[at..], &mut numbers[of_numbers], instead);
}
