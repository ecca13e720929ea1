//! Every interleaving of two threads, up to a number of switches that nothing forces, as systematic concurrency testing does
//! (Musuvathi and Qadeer 2007). One thread runs at a time; it may be interrupted where another one could notice: before it
//! takes a lock and before it queues a kernel. Everything between two such points is one step for the other thread, because the
//! simulated device runs what is queued at once.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a thread does.
pub(crate) type Body<'a, R> = Box<dyn FnOnce() -> R + Send + 'a>;

thread_local! {
    /// The schedule of this thread, and which of the two it is.
    static OWN: RefCell<Option<(Arc<Schedule>, usize)>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Schedule {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    done: [bool; 2],
    /// Points passed so far.
    points: usize,
    /// Those at which the running thread is interrupted, and at which it could have been.
    switches: Vec<usize>,
    possible: Vec<usize>,
}

impl Schedule {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other thread runs until it is this one's turn again.
    fn give_way<'a>(&'a self, mut state: MutexGuard<'a, State>, own: usize) {
        state.running = 1 - own;
        self.turn.notify_all();
        self.wait(state, own);
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, own: usize) {
        while state.running != own && !state.done[1 - own] {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running = own;
    }

    fn point(&self, own: usize) {
        let mut state = self.state();
        let point = state.points;
        state.points += 1;
        if state.done[1 - own] {
            return;
        }
        state.possible.push(point);
        if state.switches.contains(&point) {
            self.give_way(state, own);
        }
    }

    fn wait_until(&self, own: usize, free: impl Fn() -> bool) {
        self.point(own);
        let mut seen = None;
        while !free() {
            let state = self.state();
            assert!(seen != Some(state.points), "a deadlock: neither thread has come any further");
            seen = Some(state.points);
            self.give_way(state, own);
        }
    }
}

fn own() -> Option<(Arc<Schedule>, usize)> {
    OWN.try_with(|own| own.borrow().clone()).ok().flatten()
}

/// A place where the other thread may come in.
pub(crate) fn point() {
    if let Some((schedule, own)) = own() {
        schedule.point(own);
    }
}

/// Lets the other thread run as long as `free` is false.
pub(crate) fn wait_until(free: impl Fn() -> bool) {
    if let Some((schedule, own)) = own() {
        schedule.wait_until(own, free);
    }
}

/// Gives the turn away for good, also in a panic.
struct Finish(Arc<Schedule>, usize);

impl Drop for Finish {
    fn drop(&mut self) {
        OWN.with(|own| own.borrow_mut().take());
        self.0.state().done[self.1] = true;
        self.0.turn.notify_all();
    }
}

/// Runs two threads with these switches; their results, and where else there could have been switches.
fn run<R: Send>(switches: &[usize], bodies: [Body<'_, R>; 2]) -> ([R; 2], Vec<usize>) {
    let schedule = Arc::new(Schedule::default());
    schedule.state().switches = switches.to_vec();
    let [first, second] = bodies;
    let start = |body: Body<'_, R>, own: usize| {
        let finish = Finish(schedule.clone(), own);
        OWN.with(|at| *at.borrow_mut() = Some((schedule.clone(), own)));
        schedule.wait(schedule.state(), own);
        point();
        let result = body();
        drop(finish);
        result
    };
    let results = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| start(first, 0)), scope.spawn(|| start(second, 1))];
        threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let possible = std::mem::take(&mut schedule.state().possible);
    (results, possible)
}

/// Runs `bodies()` in every interleaving with up to `most` switches that no lock forces. Returns how many those are, and the switches
/// of the first one whose results `is_right` does not accept.
pub(crate) fn explore<'a, R: Send>(
    most: usize,
    bodies: &dyn Fn() -> [Body<'a, R>; 2],
    is_right: &dyn Fn([R; 2]) -> bool,
) -> (usize, Option<Vec<usize>>) {
    let (mut count, mut open) = (0, vec![Vec::new()]);
    while let Some(switches) = open.pop() {
        let (results, possible) = run(&switches, bodies());
        count += 1;
        if !is_right(results) {
            return (count, Some(switches));
        }
        if switches.len() < most {
            let later = possible.into_iter().filter(|point| switches.last().is_none_or(|last| point > last));
            open.extend(later.map(|point| [&switches[..], &[point]].concat()));
        }
    }
    (count, None)
}
