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
        self.check("sum")?;
        self.traffic.calls += 1;
        if size == 1 {
            return Ok(());
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
        let (mut singles, mut doubles) = (Vec::new(), Vec::new());
        let packed = E::list(&mut singles, &mut doubles);
        values.iter().for_each(|values| packed.extend_from_slice(values));
        doubles.extend_from_slice(numbers);
        let done = self.transport.sum(&mut singles, &mut doubles)?;
        if let Err(lost) = done {
            return Some(Err(self.fail("sum", lost)));
        }
        self.traffic.rounds += 1;
        let size = self.size() as u64;
        self.traffic.bytes += 2 * bytes as u64 * (size - 1) / size;
        numbers.copy_from_slice(&doubles.split_off(doubles.len() - numbers.len()));
        let mut sums = E::list(&mut singles, &mut doubles).as_slice();
        for values in values {
            let (these, others) = sums.split_at(values.len());
            values.copy_from_slice(these);
            sums = others;
        }
        Some(Ok(()))
    }
}
