//! Ranks that are threads of one process.

use super::{Lost, Transport};
use alloc::{collections::BTreeMap, sync::Arc, vec, vec::Vec};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A wait is cut into pieces of this length: not every system waits for ever.
const LONGEST: Duration = Duration::from_secs(3600);

/// One rank of a group of threads.
///
/// A thread that panics, or drops its rank while the others wait for it, ends the group: they learn it at once. One that does not come
/// ends it when the deadline is over.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    world: Arc<World>,
}

#[derive(Debug)]
struct World {
    size: usize,
    deadline: Duration,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

/// A call of all ranks: they arrive, copy what is theirs, and leave before the next begins.
#[derive(Debug)]
struct Meeting {
    arrived: usize,
    leaving: usize,
    /// How many meetings are over.
    round: u64,
    /// What rank a sends to b, at `a size + b`.
    mail: Vec<Vec<u8>>,
    /// How long each message must be, at the same places.
    wanted: Vec<usize>,
    colors: Vec<u64>,
    parts: BTreeMap<u64, Arc<World>>,
    lost: Option<Lost>,
}

impl Threads {
    /// A group of `size` ranks, to be moved to one thread each. A call fails if not all have come `deadline` after the first.
    pub fn group(size: usize, deadline: Duration) -> Vec<Self> {
        let world = World::new(size, deadline);
        (0..size).map(|rank| Self { rank, world: world.clone() }).collect()
    }

    /// Meets the others: `arrive` leaves what they need, `take` finds what they have left.
    fn meet<R>(
        &mut self,
        arrive: impl FnOnce(&mut Meeting),
        check: impl FnOnce(&Meeting) -> Option<Lost>,
        take: impl FnOnce(&mut Meeting) -> R,
    ) -> Result<R, Lost> {
        let world = &*self.world;
        // None: later than can be said.
        let until = Instant::now().checked_add(world.deadline);
        let mut meeting = world.lock();
        // The last meeting's slower ranks first.
        while meeting.leaving > 0 && meeting.lost.is_none() {
            meeting = world.wait(meeting, until);
        }
        if let Some(lost) = meeting.lost {
            return Err(lost);
        }
        let round = meeting.round;
        arrive(&mut meeting);
        meeting.arrived += 1;
        if meeting.arrived == world.size {
            match check(&meeting) {
                Some(lost) => meeting.lost = Some(lost),
                None => {
                    (meeting.arrived, meeting.leaving) = (0, world.size);
                    meeting.round += 1;
                }
            }
            world.changed.notify_all();
        }
        while meeting.round == round {
            if let Some(lost) = meeting.lost {
                return Err(lost);
            }
            meeting = world.wait(meeting, until);
        }
        let taken = take(&mut meeting);
        meeting.leaving -= 1;
        if meeting.leaving == 0 {
            world.changed.notify_all();
        }
        Ok(taken)
    }
}

impl World {
    fn new(size: usize, deadline: Duration) -> Arc<Self> {
        let meeting = Meeting {
            arrived: 0,
            leaving: 0,
            round: 0,
            mail: vec![Vec::new(); size * size],
            wanted: vec![0; size * size],
            colors: vec![0; size],
            parts: BTreeMap::new(),
            lost: None,
        };
        Arc::new(Self { size, deadline, meeting: Mutex::new(meeting), changed: Condvar::new() })
    }

    /// A thread that panicked with the lock has ended the group in any case.
    fn lock(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, and ends the group if there is none in time.
    fn wait<'a>(&self, meeting: MutexGuard<'a, Meeting>, until: Option<Instant>) -> MutexGuard<'a, Meeting> {
        let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            let mut meeting = meeting;
            meeting.lost.get_or_insert(Lost::DEADLINE);
            self.changed.notify_all();
            return meeting;
        }
        self.changed.wait_timeout(meeting, left.min(LONGEST)).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.world.size
    }

    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        let (rank, size) = (self.rank, self.world.size);
        let wanted: Vec<usize> = into.iter().map(|bytes| bytes.len()).collect();
        let arrive = |meeting: &mut Meeting| {
            for (to, bytes) in out.iter().enumerate() {
                let mail = &mut meeting.mail[rank * size + to];
                mail.clear();
                mail.extend_from_slice(bytes);
            }
            for (from, wanted) in wanted.iter().enumerate() {
                meeting.wanted[from * size + rank] = *wanted;
            }
        };
        let check = |meeting: &Meeting| {
            let fits = |from: usize, to: usize| {
                meeting.mail[from * size + to].len() == meeting.wanted[from * size + to]
            };
            let misfits =
                |rank: usize| (0..size).filter(|other| !fits(rank, *other) || !fits(*other, rank)).count();
            // Who fits with the fewest is to blame.
            let worst = (0..size).rev().max_by_key(|rank| misfits(*rank))?;
            (misfits(worst) > 0).then(|| Lost::other_call(worst))
        };
        self.meet(arrive, check, |meeting| {
            for (from, bytes) in into.iter_mut().enumerate() {
                bytes.copy_from_slice(&meeting.mail[from * size + rank]);
            }
        })
    }

    fn split(&mut self, color: u64) -> Result<Self, Lost> {
        let (rank, size, deadline) = (self.rank, self.world.size, self.world.deadline);
        let arrive = |meeting: &mut Meeting| {
            if meeting.arrived == 0 {
                meeting.parts.clear();
            }
            meeting.colors[rank] = color;
        };
        self.meet(
            arrive,
            |_| None,
            |meeting| {
                let same = |ranks: core::ops::Range<usize>| {
                    meeting.colors[ranks].iter().filter(|other| **other == color).count()
                };
                let (all, before) = (same(0..size), same(0..rank));
                let world = meeting.parts.entry(color).or_insert_with(|| World::new(all, deadline));
                Self { rank: before, world: world.clone() }
            },
        )
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut meeting = self.world.lock();
        if meeting.lost.is_none() {
            // The others are told if they come to another meeting; those of the last one may still take what is theirs.
            meeting.lost = Some(Lost::left(self.rank));
            self.world.changed.notify_all();
        }
    }
}
