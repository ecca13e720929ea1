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
/// brings it back. Clones on several threads that step the same model side by side (burn's data-parallel learner) have
/// one count, as the first rule counts a step once however many of them take it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Steps begun.
    steps: u64,
    /// The places of the states of the record that was loaded last, until a parameter is stepped. If there are any, the next
    /// parameter opens a step, whichever it is.
    loaded: Vec<Option<usize>>,
    /// For each thread the place of its last parameter, and the step it took part in.
    places: Vec<(ThreadId, usize, u64)>,
}

impl Clock {
    /// The step, counted from 1, that a parameter takes part in now: `place` is its place in the plan, if there is one,
    /// `last` the step of the model that it took part in last, 0 if none.
    pub(super) fn step(&mut self, place: Option<usize>, last: u64) -> u64 {
        let thread = thread::current().id();
        let before = self.places.iter_mut().find(|(id, ..)| *id == thread);
        let back = match (place, &before) {
            (Some(place), Some((_, before, step))) => place <= *before && *step == self.steps,
            _ => false,
        };
        if last >= self.steps || back || !self.loaded.is_empty() {
            self.steps = self.steps.max(last) + 1;
            self.loaded.clear();
        }
        let now = (thread, place.unwrap_or(0), self.steps);
        match before {
            Some(before) => *before = now,
            None => self.places.push(now),
        }
        self.steps
    }

    /// A state was loaded, of the parameter at `place`, if the plan has it, which had taken part in the step `last`. True for
    /// the first one of a record, which replaces the count.
    pub(super) fn load(&mut self, place: Option<usize>, last: u64) -> bool {
        let first = self.loaded.is_empty() || place.is_some() && self.loaded.contains(&place);
        if first {
            *self = Self::default();
        }
        self.loaded.push(place);
        self.steps = self.steps.max(last);
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
    fn clones_on_two_threads_have_one_count() {
        let mut clock = Clock::default();
        let mut here = [0; 2];
        let mut there = [0; 2];
        for step in 1..5 {
            for (place, last) in here.iter_mut().enumerate() {
                *last = clock.step(Some(place), *last);
                assert_eq!(*last, step);
                let other = std::thread::scope(|scope| {
                    let (clock, last) = (&mut clock, there[place]);
                    scope.spawn(move || clock.step(Some(place), last)).join().unwrap()
                });
                there[place] = other;
                assert_eq!(other, step);
            }
        }
    }
}
