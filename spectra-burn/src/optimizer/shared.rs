//! What the optimizers of one model, and their clones on any thread, share: temporaries, counts of steps, and what failed.

use super::clock::Clock;
use super::gradients::Seen;
use super::lockstep::Lockstep;
use super::rules::BurnRule;
use super::state::{Buffers, Typed};
use super::turn::{Outcome, Turns};
use crate::{BurnBackend, BurnElement};
use burn::tensor::Device;
use spectra_core::backend::Error;
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::policy::Stacks;
use spectra_core::rules::UpdateRule;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Temporaries on each device.
type Pool<E> = Mutex<Vec<Workspace<BurnBackend<E>>>>;

/// What stacked steps keep on each device.
type StackPool<E> = Mutex<Vec<(Device, Stacks<BurnBackend<E>>)>>;

/// Shared by all clones of an optimizer. States are not: each clone has its own.
#[derive(Debug, Default)]
pub(super) struct Shared {
    single: Pool<f32>,
    double: Pool<f64>,
    single_stacks: StackPool<f32>,
    double_stacks: StackPool<f64>,
    turns: Mutex<Turns>,
    clock: Mutex<Clock>,
    /// Of steps that no whole model takes.
    failed: Mutex<Option<Error>>,
}

/// The arithmetic of a parameter: which of two pools, rules and states it uses.
pub(super) trait Arithmetic: BurnElement {
    /// The pool.
    fn pool(shared: &Shared) -> &Pool<Self>;
    /// The pool of what stacked steps keep.
    fn stacks(shared: &Shared) -> &StackPool<Self>;
    /// What steps together.
    fn lockstep(outcome: &mut Outcome) -> &mut Lockstep<Self>;
    /// The rule.
    fn rule(rule: &dyn BurnRule) -> &dyn UpdateRule<BurnBackend<Self>>;
    /// The state, if it is of this type.
    fn own(state: Typed) -> Option<Buffers<Self>>;
    /// The state again.
    fn typed(buffers: Buffers<Self>) -> Typed;
    /// Gradients of this type, and none of the other.
    fn both<'s, 'a>(own: &'s [Seen<'a, Self>]) -> Both<'s, 'a>;
}

/// Gradients of both types.
type Both<'s, 'a> = (&'s [Seen<'a, f32>], &'s [Seen<'a, f64>]);

impl Arithmetic for f32 {
    fn pool(shared: &Shared) -> &Pool<Self> {
        &shared.single
    }
    fn stacks(shared: &Shared) -> &StackPool<Self> {
        &shared.single_stacks
    }
    fn lockstep(outcome: &mut Outcome) -> &mut Lockstep<Self> {
        &mut outcome.single
    }
    fn rule(rule: &dyn BurnRule) -> &dyn UpdateRule<BurnBackend<Self>> {
        rule.single()
    }
    fn own(state: Typed) -> Option<Buffers<Self>> {
        if let Typed::Single(buffers) = state { Some(buffers) } else { None }
    }
    fn typed(buffers: Buffers<Self>) -> Typed {
        Typed::Single(buffers)
    }
    fn both<'s, 'a>(own: &'s [Seen<'a, Self>]) -> Both<'s, 'a> {
        (own, &[])
    }
}

impl Arithmetic for f64 {
    fn pool(shared: &Shared) -> &Pool<Self> {
        &shared.double
    }
    fn stacks(shared: &Shared) -> &StackPool<Self> {
        &shared.double_stacks
    }
    fn lockstep(outcome: &mut Outcome) -> &mut Lockstep<Self> {
        &mut outcome.double
    }
    fn rule(rule: &dyn BurnRule) -> &dyn UpdateRule<BurnBackend<Self>> {
        rule.double()
    }
    fn own(state: Typed) -> Option<Buffers<Self>> {
        if let Typed::Double(buffers) = state { Some(buffers) } else { None }
    }
    fn typed(buffers: Buffers<Self>) -> Typed {
        Typed::Double(buffers)
    }
    fn both<'s, 'a>(own: &'s [Seen<'a, Self>]) -> Both<'s, 'a> {
        (&[], own)
    }
}

impl Shared {
    /// The temporaries of this device, to be [given](Self::give) back.
    pub(super) fn take<E: Arithmetic>(&self, backend: &BurnBackend<E>) -> Workspace<BurnBackend<E>> {
        let mut pool = lock(E::pool(self));
        let at = pool.iter().position(|workspace| workspace.backend().device() == backend.device());
        at.map_or_else(|| Workspace::new(backend.clone()), |at| pool.swap_remove(at))
    }

    pub(super) fn give<E: Arithmetic>(&self, workspace: Workspace<BurnBackend<E>>) {
        lock(E::pool(self)).push(workspace);
    }

    /// What stacked steps keep on this device, to be [given](Self::give_stacks) back.
    pub(super) fn take_stacks<E: Arithmetic>(&self, device: &Device) -> Stacks<BurnBackend<E>> {
        let mut pool = lock(E::stacks(self));
        let at = pool.iter().position(|(of, _)| of == device);
        at.map_or_else(Stacks::default, |at| pool.swap_remove(at).1)
    }

    pub(super) fn give_stacks<E: Arithmetic>(&self, device: Device, stacks: Stacks<BurnBackend<E>>) {
        lock(E::stacks(self)).push((device, stacks));
    }

    /// Runs `f` with the temporaries of this device.
    pub(super) fn with_workspace<E: Arithmetic, R>(
        &self,
        backend: &BurnBackend<E>,
        f: impl FnOnce(&mut Workspace<BurnBackend<E>>) -> R,
    ) -> R {
        let mut workspace = self.take(backend);
        let result = f(&mut workspace);
        self.give(workspace);
        result
    }

    pub(super) fn turns(&self) -> &Mutex<Turns> {
        &self.turns
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    /// A state was loaded; see [`Clock::load`]. A record heals what failed before it.
    pub(super) fn load(&self, place: Option<usize>, last: u64) {
        if self.clock().load(place, last) {
            self.take_failed();
        }
    }

    /// Keeps the first error: of this thread's turn until its end, else until it is taken.
    pub(super) fn fail(&self, error: Error) {
        let mut error = Some(error);
        self.with_outcome(|outcome| {
            let error = error.take();
            outcome.failed = outcome.failed.take().or(error);
        });
        if let Some(error) = error {
            lock(&self.failed).get_or_insert(error);
        }
    }

    /// Its text.
    pub(super) fn failure(&self) -> Option<String> {
        let own = self.with_outcome(|outcome| outcome.failed.as_ref().map(Error::to_string));
        own.unwrap_or_else(|| lock(&self.failed).as_ref().map(Error::to_string))
    }

    pub(super) fn take_failed(&self) -> Option<Error> {
        lock(&self.failed).take()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
