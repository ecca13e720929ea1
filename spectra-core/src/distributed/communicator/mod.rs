//! Sums and gathers over the ranks of a group.

mod pack;
mod sum;

pub(super) use pack::{put_words, words};

use super::{Lost, Transport};
use crate::backend::{Error, ErrorKind, Result};
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
        self.traffic.calls += 1;
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
        self.traffic.calls += 1;
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

    /// The word before the messages of the next round.
    fn begin(&mut self, operation: &'static str) -> [u8; PREFIX] {
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
