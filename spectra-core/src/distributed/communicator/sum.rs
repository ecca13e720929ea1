//! Sums over the ranks.

use super::pack::{add_range, put_range};
use super::{Communicator, Packed, Reduction};
use crate::backend::{Element, Result};
use crate::distributed::Transport;
use alloc::vec::Vec;

/// Messages up to this many bytes are gathered and summed by everyone; larger ones are summed in parts, one by each rank. The bits are
/// the same; one round of latency costs about as much as 8 KiB on 10 GB/s and 1 us.
const SMALL: usize = 8192;
impl<T: Transport> Communicator<T> {
    /// Sums lists of numbers of the arithmetic type, and some in `f64`, over the ranks, in one call.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::backend::ErrorKind::Lost).
    pub fn sum<E: Element>(&mut self, values: &mut [&mut [E]], numbers: &mut [f64]) -> Result<()> {
        let entries: usize = values.iter().map(|values| values.len()).sum();
        let bytes = entries * E::BYTES + 8 * numbers.len();
        let (rank, size) = (self.rank(), self.size());
        if size == 1 {
            self.traffic.calls += 1;
            return self.check("sum");
        }
        if self.reduction == Reduction::Fast
            && self.transport.has_sum()
            && let Some(done) = self.sum_by_transport(values, numbers, bytes)
        {
            return done;
        }
        if bytes <= SMALL || size == 2 {
            let mut first = true;
            let sent = |out: &mut Vec<u8>| put_range(out, values, 0..entries, numbers, 0..numbers.len());
            // What comes is added to what is here, which must not be sent: packed before anything comes.
            self.check("sum")?;
            let word = self.begin("sum");
            if let Some(out) = self.out.first_mut() {
                out.clear();
                out.extend_from_slice(&word);
                sent(out);
            }
            return self.pass(
                ("sum", Packed::ForAll),
                word,
                |_| bytes,
                |_, got| {
                    add_range(
                        got,
                        values,
                        0..entries,
                        numbers,
                        0..numbers.len(),
                        core::mem::take(&mut first),
                    );
                },
            );
        }
        // Each rank sums its part of everything, then tells the others.
        let part = |rank: usize, len: usize| len * rank / size..len * (rank + 1) / size;
        let count = numbers.len();
        let len = |rank: usize| part(rank, entries).len() * E::BYTES + 8 * part(rank, count).len();
        let mut first = true;
        self.check("sum")?;
        let word = self.begin("sum");
        for (to, out) in self.out.iter_mut().enumerate() {
            out.clear();
            out.extend_from_slice(&word);
            put_range(out, values, part(to, entries), numbers, part(to, count));
        }
        let (mine, mine_numbers) = (part(rank, entries), part(rank, count));
        self.pass(
            ("sum", Packed::ForEach),
            word,
            |_| len(rank),
            |_, got| {
                let first = core::mem::take(&mut first);
                add_range(got, values, mine.clone(), numbers, mine_numbers.clone(), first);
            },
        )?;
        self.traffic.calls -= 1;
        let word = self.begin("sum");
        if let Some(out) = self.out.first_mut() {
            out.clear();
            out.extend_from_slice(&word);
            put_range(out, values, mine.clone(), numbers, mine_numbers.clone());
        }
        self.pass(("sum", Packed::ForAll), word, len, |from, got| {
            add_range(got, values, part(from, entries), numbers, part(from, count), true);
        })
    }

    fn sum_by_transport<E: Element>(
        &mut self,
        values: &mut [&mut [E]],
        numbers: &mut [f64],
        bytes: usize,
    ) -> Option<Result<()>> {
        if let Err(error) = self.check("sum") {
            return Some(Err(error));
        }
        let all = values.iter().flat_map(|values| values.iter());
        let is_single = E::BYTES == 4;
        let mut singles: Vec<f32> =
            if is_single { all.clone().map(|x| x.widen() as f32).collect() } else { Vec::new() };
        let mut doubles: Vec<f64> = if is_single { Vec::new() } else { all.map(|x| x.widen()).collect() };
        doubles.extend_from_slice(numbers);
        let done = self.transport.sum(&mut singles, &mut doubles)?;
        if let Err(lost) = done {
            return Some(Err(self.fail("sum", lost)));
        }
        self.traffic.calls += 1;
        self.traffic.rounds += 1;
        let size = self.size() as u64;
        self.traffic.bytes += 2 * bytes as u64 * (size - 1) / size;
        let of_numbers = doubles.len() - numbers.len();
        numbers.copy_from_slice(&doubles[of_numbers..]);
        let mut singles = singles.into_iter().map(f64::from);
        let mut doubles = doubles.into_iter();
        for x in values.iter_mut().flat_map(|values| values.iter_mut()) {
            if let Some(sum) = if is_single { singles.next() } else { doubles.next() } {
                *x = E::narrow(sum);
            }
        }
        Some(Ok(()))
    }
}
