//! Which step of the model a parameter's step belongs to, where nothing but parameters' steps is seen.

use std::thread::{self, ThreadId};

/// The model's count of steps under burn's own type, which calls an optimizer once for every parameter that has a
/// gradient, in the module's order, and tells it neither the step nor when one begins.
///
/// Every parameter is stepped at most once in a step of the model. So a new one has begun
///
/// * when a parameter comes whose last step was the current one: it cannot take part twice;
/// * when a parameter of a plan comes that stands before or at the place of the one before it. With that, one that had no
///   gradient for 500 steps counts right also if it is the first of the module.
///
/// Every state keeps the count after its last step, so the count is that of the most advanced parameter, and a record
/// brings it back.
///
/// Every thread has a count of its own: burn's data-parallel learner steps a replica, with a clone of the optimizer, on each, and
/// none of them waits for the others, so one may be a step ahead. The first parameter of a thread opens a step, after the last one
/// that it took part in itself: if an optimizer goes on on another thread just when its first parameter had no gradient, that
/// parameter counts from its own last step, once.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The count of the record that was loaded last.
    begun: u64,
    /// The places of the states of that record, until a parameter is stepped.
    loaded: Vec<Option<usize>>,
    threads: Vec<(ThreadId, Count)>,
}

/// A thread's count.
#[derive(Debug)]
struct Count {
    /// Steps begun.
    steps: u64,
    /// The place of its last parameter.
    place: Option<usize>,
}

impl Clock {
    /// The step, counted from 1, that a parameter takes part in now: `place` is its place in the plan, if there is one,
    /// `last` the step of the model that it took part in last, 0 if none.
    pub(super) fn step(&mut self, place: Option<usize>, last: u64) -> u64 {
        self.step_on(thread::current().id(), place, last)
    }

    fn step_on(&mut self, thread: ThreadId, place: Option<usize>, last: u64) -> u64 {
        self.loaded.clear();
        let Some((_, count)) = self.threads.iter_mut().find(|(id, _)| *id == thread) else {
            let steps = self.begun.max(last) + 1;
            self.threads.push((thread, Count { steps, place }));
            return steps;
        };
        let is_back = place.is_some() && place <= count.place;
        if is_back || last >= count.steps {
            count.steps = count.steps.max(last) + 1;
        }
        count.place = place;
        count.steps
    }

    /// A state was loaded, of the parameter at `place`, if the plan has it, which had taken part in the step `last`. True for
    /// the first one of a record, which replaces the count.
    pub(super) fn load(&mut self, place: Option<usize>, last: u64) -> bool {
        let first = self.loaded.is_empty() || place.is_some() && self.loaded.contains(&place);
        if first {
            *self = Self::default();
        }
        self.loaded.push(place);
        self.begun = self.begun.max(last);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    /// Steps the parameters of each model step in turn; the states' counts, and what the clock said.
    fn run(clock: &mut Clock, last: &mut [u64], steps: &[&[usize]], planned: bool) -> Vec<u64> {
        let mut said = Vec::new();
        for step in steps {
            for &place in *step {
                last[place] = clock.step(planned.then_some(place), last[place]);
                said.push(last[place]);
            }
        }
        said
    }

    #[test]
    fn a_late_parameter_counts_as_the_model_does() {
        // Parameter 0 stands first and has its first gradient at the model's third step; 2 misses that step.
        let steps: [&[usize]; 5] = [&[1, 2], &[1, 2], &[0, 1], &[0, 1, 2], &[0, 1, 2]];
        let (mut clock, mut last) = (Clock::default(), [0; 3]);
        let said = run(&mut clock, &mut last, &steps, true);
        assert_eq!(said, [1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5]);
    }

    #[test]
    fn without_a_plan_the_most_advanced_parameter_counts() {
        // A late one is at most one step behind.
        let steps: [&[usize]; 4] = [&[1, 2], &[1, 2], &[0, 1, 2], &[0, 1, 2]];
        let (mut clock, mut last) = (Clock::default(), [0; 3]);
        let said = run(&mut clock, &mut last, &steps, false);
        assert_eq!(said, [1, 1, 2, 2, 2, 3, 3, 3, 4, 4]);
    }

    #[test]
    fn a_record_brings_the_count_back_also_to_an_earlier_step() {
        let (mut clock, mut last) = (Clock::default(), [0; 3]);
        run(&mut clock, &mut last, &[&[1, 2][..]; 9], true);
        for record in [[0, 20, 18], [0, 7, 5]] {
            for place in [1, 2] {
                clock.load(Some(place), record[place]);
            }
        }
        let mut last = [0, 7, 5];
        assert_eq!(run(&mut clock, &mut last, &[&[0, 1, 2], &[0, 1, 2]], true), [8, 8, 8, 9, 9, 9]);
    }

    #[test]
    fn replicas_on_threads_of_their_own_count_by_themselves() {
        let other = std::thread::spawn(|| ()).thread().id();
        let this = std::thread::current().id();
        let mut clock = Clock::default();
        clock.load(Some(0), 7);
        clock.load(Some(1), 6);
        let (mut here, mut there) = ([7, 6], [7, 6]);
        // One has begun its second step before the other has ended its first.
        for (thread, place, step) in [
            (this, 0, 8),
            (other, 0, 8),
            (this, 1, 8),
            (this, 0, 9),
            (other, 1, 8),
            (this, 1, 9),
            (other, 0, 9),
            (this, 1, 10),
            (other, 1, 9),
        ] {
            let last: &mut [u64; 2] = if thread == this { &mut here } else { &mut there };
            last[place] = clock.step_on(thread, Some(place), last[place]);
            assert_eq!(last[place], step);
        }
    }

    #[test]
    fn an_optimizer_goes_on_on_another_thread() {
        let (mut clock, mut last) = (Clock::default(), [0; 2]);
        for step in 1..5 {
            let thread = std::thread::spawn(|| ()).thread().id();
            for (place, last) in last.iter_mut().enumerate() {
                *last = clock.step_on(thread, Some(place), *last);
                assert_eq!(*last, step);
            }
        }
    }
}
