//! Sums and gathers over the ranks of a group.

use super::{Lost, Transport};
use crate::backend::{Element, Error, ErrorKind, Result};
use alloc::{vec, vec::Vec};

/// In which order a sum over ranks is formed. All ranks get the same bits either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// `((x_0 + x_1) + x_2) + ...` in the arithmetic type: the same bits on every transport and in every run.
    #[default]
    Ordered,
    /// As the transport likes, where it has a sum of its own: faster for large messages; the bits depend on the number of ranks, the
    /// length of the message and the engine.
    Fast,
}

/// What a rank has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Collective calls.
    pub calls: u64,
    /// Messages that depend on each other: a large ordered sum has two, all others one.
    pub rounds: u64,
    /// Bytes that left this rank. A transport's own sum counts as a ring's, `2 (N - 1) / N` of the message.
    pub bytes: u64,
}

/// The collectives of a group of ranks over a [`Transport`]: counted, checked, and dead after an error.
///
/// Every message begins with a word for the kind of the call and its number, so that two ranks that do different things are
/// told so instead of adding what does not belong together.
#[derive(Debug)]
pub struct Communicator<T> {
    transport: T,
    reduction: Reduction,
    lost: Option<Lost>,
    traffic: Traffic,
    out: Vec<Vec<u8>>,
    into: Vec<Vec<u8>>,
}

/// Messages up to this many bytes are gathered and summed by everyone; larger ones are summed in parts, one by each rank. The bits are
/// the same; one round of latency costs about as much as 8 KiB on 10 GB/s and 1 us.
const SMALL: usize = 8192;
/// The word before a message.
const PREFIX: usize = 8;

impl<T: Transport> Communicator<T> {
    /// Over this connection, with sums in the order of the ranks.
    pub fn new(transport: T) -> Self {
        let size = transport.size();
        let buffers = || vec![Vec::new(); size];
        let (traffic, reduction) = (Traffic::default(), Reduction::default());
        Self { transport, reduction, lost: None, traffic, out: buffers(), into: buffers() }
    }

    /// Sets the order of sums.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// Sets the order of sums from now on; all ranks must.
    pub fn set_reduction(&mut self, reduction: Reduction) {
        self.reduction = reduction;
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.transport.rank()
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.transport.size()
    }

    /// What this rank has sent so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The connection.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// A group of those that give the same color, in the order of their ranks here.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn split(&mut self, color: u64) -> Result<Self> {
        self.check("split")?;
        let part = self.transport.split(color);
        let transport = part.map_err(|lost| self.fail("split", lost))?;
        Ok(Self::new(transport).reduction(self.reduction))
    }

    /// One message to each rank and from each: `fill(r, bytes)` appends what rank r gets, `len(r)` bytes come from it, of which
    /// `take(r, bytes)` is told in the order of the ranks.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn exchange(
        &mut self,
        operation: &'static str,
        mut fill: impl FnMut(usize, &mut Vec<u8>),
        len: impl Fn(usize) -> usize,
        take: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.check(operation)?;
        let word = self.begin(operation);
        for (rank, bytes) in self.out.iter_mut().enumerate() {
            bytes.clear();
            bytes.extend_from_slice(&word);
            fill(rank, bytes);
        }
        self.pass((operation, Packed::ForEach), word, len, take)
    }

    /// What every rank gives, to every rank: as [`exchange`](Self::exchange) of one message for all, which is packed once.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn gather(
        &mut self,
        operation: &'static str,
        fill: impl FnOnce(&mut Vec<u8>),
        len: impl Fn(usize) -> usize,
        take: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.check(operation)?;
        let word = self.begin(operation);
        if let Some(bytes) = self.out.first_mut() {
            bytes.clear();
            bytes.extend_from_slice(&word);
            fill(bytes);
        }
        self.pass((operation, Packed::ForAll), word, len, take)
    }

    /// The words of all ranks, one rank's after the other's; every rank gives equally many.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn gather_words(&mut self, mine: &[u64]) -> Result<Vec<u64>> {
        let mut all = Vec::with_capacity(mine.len() * self.size());
        let fill = |bytes: &mut Vec<u8>| put_words(bytes, mine);
        self.gather("gather_words", fill, |_| 8 * mine.len(), |_, bytes| all.extend(words(bytes)))?;
        Ok(all)
    }

    /// The largest of the ranks' numbers; NaN if one is.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn max(&mut self, mine: f64) -> Result<f64> {
        let all = self.gather_words(&[mine.to_bits()])?;
        let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        Ok(all.into_iter().map(f64::from_bits).fold(f64::NEG_INFINITY, larger))
    }

    /// The bytes of rank `root`, to every rank.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<()> {
        let (mine, len) = (self.rank() == root, bytes.len());
        let mut result = Vec::new();
        self.exchange(
            "broadcast",
            |_, out| out.extend_from_slice(if mine { &*bytes } else { &[] }),
            |rank| if rank == root { len } else { 0 },
            |rank, got| {
                if rank == root {
                    result.extend_from_slice(got);
                }
            },
        )?;
        bytes.copy_from_slice(&result);
        Ok(())
    }

    /// Sums lists of numbers of the arithmetic type, and some in `f64`, over the ranks, in one call.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn sum<E: Element>(&mut self, values: &mut [&mut [E]], numbers: &mut [f64]) -> Result<()> {
        let entries: usize = values.iter().map(|values| values.len()).sum();
        let bytes = entries * E::BYTES + 8 * numbers.len();
        let (rank, size) = (self.rank(), self.size());
        if size == 1 {
            self.traffic.calls += 1;
            return self.check("sum");
        }
        if self.reduction == Reduction::Fast
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

    /// The word before the messages of the next call.
    fn begin(&mut self, operation: &'static str) -> [u8; PREFIX] {
        self.traffic.calls += 1;
        self.traffic.rounds += 1;
        let mut sum = crate::optimizer::Checksum::new();
        sum.bytes(operation.as_bytes());
        sum.word(self.traffic.rounds);
        sum.finish().to_le_bytes()
    }

    /// Sends what was packed.
    fn pass(
        &mut self,
        (operation, packed): (&'static str, Packed),
        word: [u8; PREFIX],
        len: impl Fn(usize) -> usize,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let me = self.rank();
        for (from, bytes) in self.into.iter_mut().enumerate() {
            bytes.resize(PREFIX + len(from), 0);
        }
        let first = self.out.first().map_or(&[][..], Vec::as_slice);
        let message = |bytes| if packed == Packed::ForAll { first } else { Vec::as_slice(bytes) };
        let out: Vec<&[u8]> = self.out.iter().map(message).collect();
        let mut into: Vec<&mut [u8]> = self.into.iter_mut().map(Vec::as_mut_slice).collect();
        let sent = out.iter().enumerate().filter(|(to, _)| *to != me).map(|(_, bytes)| bytes.len() - PREFIX);
        self.traffic.bytes += sent.sum::<usize>() as u64;
        let done = self.transport.exchange(&out, &mut into);
        done.map_err(|lost| self.fail(operation, lost))?;
        if let Some(other) = self.into.iter().position(|bytes| bytes[..PREFIX] != word) {
            return Err(self.fail(operation, Lost::other_call(other)));
        }
        self.into.iter().enumerate().for_each(|(from, bytes)| take(from, &bytes[PREFIX..]));
        Ok(())
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        match self.lost {
            Some(lost) => Err(Error::new(operation, ErrorKind::Lost(lost))),
            None => Ok(()),
        }
    }

    fn fail(&mut self, operation: &'static str, lost: Lost) -> Error {
        let lost = *self.lost.get_or_insert(lost);
        Error::new(operation, ErrorKind::Lost(lost))
    }
}

/// Which messages were packed.
#[derive(Clone, Copy, PartialEq)]
enum Packed {
    /// One for each rank.
    ForEach,
    /// The first, for all.
    ForAll,
}

/// Appends words.
pub(super) fn put_words(bytes: &mut Vec<u8>, words: &[u64]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
}

/// The words in these bytes.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

/// Appends entries `range` of the lists one after the other, then numbers.
fn put_range<E: Element>(
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
fn add_range<E: Element>(
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
