//! A group of MPI's ranks.

use crate::agreement::{Call, Terms, blame};
use crate::flight::{Flight, Peer};
use crate::library::{InitError, Library, abort};
use spectra_core::distributed::{Lost, Transport};
use std::ffi::c_int;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One rank of a group of processes under MPI.
///
/// Every call has a deadline: it begins MPI's work without waiting, and asks for its end again and again. Before anything is sent, the
/// ranks find out in log2 N short rounds whether all of them make the same call with lengths that fit; if not, all get
/// [`Lost::other_call`]. So nothing hangs, and MPI never ends the job on its own, but for ranks that end: mpirun ends the others then.
/// What is in flight when the deadline is over keeps its memory for good.
///
/// The last group that is dropped ends MPI. The group of all ranks first meets the others; if they do not come, if a group was lost or the
/// thread panics, MPI is not ended, since that would wait for them without a bound: mpirun then ends the job, with a code that is not 0.
///
/// It stays in the thread that has made it, as MPI's least thread level asks.
#[derive(Debug)]
pub struct Mpi {
    library: Rc<Library>,
    /// The group's ranks, as the world numbers them.
    ranks: Vec<c_int>,
    /// This one's place among them.
    rank: usize,
    /// Tells the group's messages from those of others.
    tag: c_int,
    deadline: Duration,
    lost: Option<Lost>,
    /// Memory of the last exchange.
    out: Vec<u8>,
    into: Vec<u8>,
}

/// The tag of the group of all ranks.
const WORLD: c_int = 0;
/// The largest tag that every MPI has.
const LAST_TAG: c_int = 32_767;

impl Mpi {
    /// Begins MPI and returns the group of all ranks. Without mpirun it is a group of one, for which
    /// Open MPI still starts its daemon `orted`.
    ///
    /// A call fails if the others have not come `deadline` after it began; it must be longer than what one rank may do between two calls
    /// while the others wait. The beginning itself, MPI_Init, is the launcher's and has no deadline.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn init(deadline: Duration) -> Result<Self, InitError> {
        let (library, rank, size) = Library::init(Instant::now().checked_add(deadline))?;
        library.next_tag.set(WORLD + 1);
        let ranks = (0..size as c_int).collect();
        Ok(Self::of(Rc::new(library), ranks, rank, WORLD, deadline))
    }

    /// From now on a panic of any thread, once it is reported, ends all ranks at once with code 101, even one that would be caught.
    ///
    /// Without this a rank that panics ends, and mpirun then ends the others; where the panic is caught, the others meet the deadline.
    pub fn abort_on_panic(&self) {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            report(info);
            abort(101)
        }));
    }

    /// Ends all ranks at once; mpirun returns the code.
    pub fn abort(&self, code: i32) -> ! {
        abort(code)
    }

    fn of(library: Rc<Library>, ranks: Vec<c_int>, rank: usize, tag: c_int, deadline: Duration) -> Self {
        Self { library, ranks, rank, tag, deadline, lost: None, out: Vec::new(), into: Vec::new() }
    }

    fn peer(&self, rank: usize) -> Peer {
        Peer { communicator: self.library.world, rank: self.ranks[rank], tag: self.tag }
    }

    /// A call, unless the group is lost, and after which it is if the call fails.
    fn call<R>(
        &mut self,
        run: impl FnOnce(&mut Self, Option<Instant>) -> Result<R, Lost>,
    ) -> Result<R, Lost> {
        if let Some(lost) = self.lost {
            return Err(lost);
        }
        let done = run(self, Instant::now().checked_add(self.deadline));
        if let Err(lost) = done {
            self.lost = Some(lost);
            self.library.lost.set(true);
        }
        done
    }

    /// An error on all ranks unless what each sends is what the other expects.
    fn agree(&self, terms: &Terms, until: Option<Instant>) -> Result<(), Lost> {
        let digests = self.gather(&[terms.digest(self.rank)], until)?;
        if digests.into_iter().fold(0, |all, digest| all ^ digest) == 0 {
            return Ok(());
        }
        Err(blame(&self.gather(terms.words(), until)?, self.ranks.len()))
    }

    /// The words of all ranks, one rank's after the other's; all give equally many. In log2 N rounds, each of which doubles what a rank
    /// knows (Bruck et al. 1997).
    fn gather(&self, mine: &[u64], until: Option<Instant>) -> Result<Vec<u64>, Lost> {
        let (rank, size) = (self.rank, self.ranks.len());
        // Of this rank and those that follow it, in a circle.
        let mut known = mine.to_vec();
        let mut ranks = 1;
        while ranks < size {
            let more = ranks.min(size - ranks);
            let words = more * mine.len();
            let mut flight = Flight::new(known, vec![0; words]);
            flight.receive(0..words, self.peer((rank + ranks) % size))?;
            flight.send(0..words, self.peer((rank + size - ranks) % size))?;
            let (before, next) = flight.land(until)?;
            known = before;
            known.extend(next);
            ranks += more;
        }
        known.rotate_right(rank * mine.len());
        Ok(known)
    }

    /// The messages to and from the others, whose lengths are agreed on.
    fn pass(&mut self, out: &[&[u8]], into: &mut [&mut [u8]], until: Option<Instant>) -> Result<(), Lost> {
        let (mut sent, mut got) = (std::mem::take(&mut self.out), std::mem::take(&mut self.into));
        sent.clear();
        let mut ranges = Vec::with_capacity(out.len());
        let (mut last, mut source): (_, &[u8]) = (0..0, &[]);
        for (to, bytes) in out.iter().enumerate() {
            // The same for all in a row, as in a gather, is kept once; one's own is not sent.
            let known = std::ptr::eq(source, *bytes) || sent[last.clone()] == **bytes;
            if to != self.rank && !known {
                source = bytes;
                last = sent.len()..sent.len() + bytes.len();
                sent.extend_from_slice(bytes);
            }
            ranges.push(if to == self.rank { 0..0 } else { last.clone() });
        }
        let others = into.iter().enumerate().filter(|(from, _)| *from != self.rank);
        got.resize(others.map(|(_, bytes)| bytes.len()).sum(), 0);

        let mut flight = Flight::new(sent, got);
        let mut start = 0;
        for (from, bytes) in into.iter().enumerate().filter(|(from, _)| *from != self.rank) {
            flight.receive(start..start + bytes.len(), self.peer(from))?;
            start += bytes.len();
        }
        for (to, range) in ranges.into_iter().enumerate() {
            flight.send(range, self.peer(to))?;
        }
        (self.out, self.into) = flight.land(until)?;

        let mut rest = self.into.as_slice();
        for (from, bytes) in into.iter_mut().enumerate() {
            if from == self.rank {
                bytes.copy_from_slice(out[from]);
            } else {
                let (these, others) = rest.split_at(bytes.len());
                bytes.copy_from_slice(these);
                rest = others;
            }
        }
        Ok(())
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.ranks.len()
    }

    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        let ranks = 0..self.ranks.len();
        let message = |bytes: &[u8]| Call::Message(bytes.len());
        let sent = ranks.clone().map(|rank| out.get(rank).map_or(Call::NoMessage, |bytes| message(bytes)));
        let expected = ranks.map(|rank| into.get(rank).map_or(Call::NoRoom, |bytes| message(bytes)));
        let terms = Terms::new(sent.chain(expected));
        self.call(|group, until| {
            group.agree(&terms, until)?;
            group.pass(out, into, until)
        })
    }

    /// In the group of all ranks; another group has none.
    fn has_sum(&self) -> bool {
        self.tag == WORLD
    }

    /// By MPI's own sum.
    fn sum(&mut self, singles: &mut [f32], doubles: &mut [f64]) -> Option<Result<(), Lost>> {
        if !self.has_sum() {
            return None;
        }
        let terms = Terms::same(Call::Sum(singles.len(), doubles.len()), self.ranks.len());
        Some(self.call(|group, until| {
            group.agree(&terms, until)?;
            let mut of_singles = Flight::new(singles.to_vec(), vec![0.0; singles.len()]);
            let mut of_doubles = Flight::new(doubles.to_vec(), vec![0.0; doubles.len()]);
            of_singles.sum(group.library.world)?;
            of_doubles.sum(group.library.world)?;
            singles.copy_from_slice(&of_singles.land(until)?.1);
            doubles.copy_from_slice(&of_doubles.land(until)?.1);
            Ok(())
        }))
    }

    /// Without MPI_Comm_split, which would wait without a bound: the part has the same communicator and a tag of its own.
    fn split(&mut self, color: u64) -> Result<Self, Lost> {
        let terms = Terms::same(Call::Split, self.ranks.len());
        self.call(|group, until| {
            group.agree(&terms, until)?;
            let all = group.gather(&[color, group.library.next_tag.get() as u64], until)?;
            // Larger than the tags of all groups that two of these ranks may have in common.
            let tag = all.chunks_exact(2).map(|told| told[1]).max().unwrap_or(0);
            let tag = c_int::try_from(tag).ok().filter(|tag| *tag < LAST_TAG);
            let tag = tag.ok_or(Lost { rank: None, reason: "the group was split more than 32765 times" })?;
            group.library.next_tag.set(tag + 1);
            let same = |rank: &usize| all[2 * rank] == color;
            let ranks = (0..group.ranks.len()).filter(same).map(|rank| group.ranks[rank]).collect();
            let place = (0..group.rank).filter(same).count();
            Ok(Self::of(group.library.clone(), ranks, place, tag, group.deadline))
        })
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.library.lost.set(true);
        }
        if self.tag == WORLD && !self.library.lost.get() {
            // If it fails the group is lost, as is noted, and MPI will not be ended.
            let terms = Terms::same(Call::Leave, self.ranks.len());
            let _ = self.call(|group, until| group.agree(&terms, until));
        }
    }
}
