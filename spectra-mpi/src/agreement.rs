//! Do all ranks make the same call? Found out before anything is sent: MPI's own answer to lengths that differ is to end the job, or to
//! wait for ever.

use spectra_core::distributed::Lost;
use spectra_core::optimizer::Checksum;

/// What a rank does next, with the lengths that must be the same at both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    /// A message of so many bytes from one rank to another.
    Message(usize),
    /// A sum of so many `f32` and `f64`.
    Sum(usize, usize),
    Split,
    Leave,
    /// The caller has given no message for a rank, or no room for one: this fits nothing.
    NoMessage,
    NoRoom,
}

impl Call {
    fn word(self) -> u64 {
        let parts = match self {
            Self::Message(bytes) => [1, bytes, 0],
            Self::Sum(singles, doubles) => [2, singles, doubles],
            Self::Split => [3, 0, 0],
            Self::Leave => [4, 0, 0],
            Self::NoMessage => [5, 0, 0],
            Self::NoRoom => [6, 0, 0],
        };
        let mut sum = Checksum::new();
        parts.into_iter().for_each(|part| sum.word(part as u64));
        sum.finish()
    }
}

/// What one rank says of its next call: a word for what it sends to each rank, then one for what it expects from each.
#[derive(Debug)]
pub(crate) struct Terms(Vec<u64>);

impl Terms {
    /// Of sent messages, then of expected ones.
    pub(crate) fn new(calls: impl Iterator<Item = Call>) -> Self {
        Self(calls.map(Call::word).collect())
    }

    /// The same with every rank.
    pub(crate) fn same(call: Call, size: usize) -> Self {
        Self::new((0..2 * size).map(|_| call))
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    /// Of all ranks' digests the exclusive or is 0 if all that is sent is expected: each pair's word then occurs twice. If not, it is 0 with
    /// a chance of about 2^-64.
    pub(crate) fn digest(&self, rank: usize) -> u64 {
        let size = self.0.len() / 2;
        let of_pair = |at: usize, word: u64| {
            let (from, to) = if at < size { (rank, at) } else { (at - size, rank) };
            let mut sum = Checksum::new();
            [word, from as u64, to as u64, 0].into_iter().for_each(|word| sum.word(word));
            sum.finish()
        };
        self.0.iter().enumerate().fold(0, |digest, (at, word)| digest ^ of_pair(at, *word))
    }
}

/// Who is to blame, of all ranks' terms one after the other: who leaves, or who fits with the fewest.
pub(crate) fn blame(all: &[u64], size: usize) -> Lost {
    let terms = |rank: usize| &all[2 * size * rank..2 * size * (rank + 1)];
    let leaves = |rank: &usize| terms(*rank)[0] == Call::Leave.word();
    if let Some(rank) = (0..size).find(leaves) {
        return Lost::left(rank);
    }
    let fits = |from: usize, to: usize| terms(from)[to] == terms(to)[size + from];
    let misfits = |rank: usize| (0..size).filter(|other| !fits(rank, *other) || !fits(*other, rank)).count();
    Lost::other_call((0..size).rev().max_by_key(|rank| misfits(*rank)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rank r sends `lens[r]` bytes to everyone; `odd` expects something else.
    fn gather(lens: &[usize], odd: Option<(usize, Call)>) -> Vec<Terms> {
        let terms = |rank: usize| match odd {
            Some((odd, call)) if odd == rank => Terms::same(call, lens.len()),
            _ => {
                let sent = lens.iter().map(|_| Call::Message(lens[rank]));
                Terms::new(sent.chain(lens.iter().map(|len| Call::Message(*len))))
            }
        };
        (0..lens.len()).map(terms).collect()
    }

    fn agreed(all: &[Terms]) -> bool {
        all.iter().enumerate().fold(0, |digest, (rank, terms)| digest ^ terms.digest(rank)) == 0
    }

    #[test]
    fn equal_calls_agree_and_others_are_blamed() {
        for size in 1..9 {
            let lens: Vec<usize> = (0..size).map(|rank| 8 * (rank % 3)).collect();
            assert!(agreed(&gather(&lens, None)));
            for call in [Call::Sum(3, 4), Call::Split, Call::Leave, Call::NoRoom, Call::Message(1 << 40)] {
                let same: Vec<_> = (0..size).map(|_| Terms::same(call, size)).collect();
                assert!(agreed(&same), "{call:?}");
                for odd in 0..size {
                    let all = gather(&lens, Some((odd, call)));
                    // Alone it agrees with itself; of two, both misfit alike and the first is blamed.
                    assert_eq!(agreed(&all), size == 1, "{size} {odd} {call:?}");
                    let words: Vec<u64> = all.iter().flat_map(|terms| terms.words().to_vec()).collect();
                    let lost = match call {
                        Call::Leave => Lost::left(odd),
                        _ => Lost::other_call(if size == 2 { 0 } else { odd }),
                    };
                    assert_eq!(blame(&words, size), lost, "{size} {call:?}");
                }
            }
        }
    }
}
