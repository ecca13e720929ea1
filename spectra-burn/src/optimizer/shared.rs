//! What the optimizers of one model share: temporaries, the factor of the norm clip, the count of steps, and what failed.

use super::clock::Clock;
use super::gradients::Seen;
use super::rules::BurnRule;
use super::state::{Buffers, Typed};
use crate::{BurnBackend, BurnElement, BurnScalar};
use spectra_core::backend::Error;
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::StepReport;
use spectra_core::rules::UpdateRule;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Temporaries on each device.
type Pool<E> = Mutex<Vec<Workspace<BurnBackend<E>>>>;

/// Shared by all clones of an optimizer.
#[derive(Debug, Default)]
pub(super) struct Shared {
    single: Pool<f32>,
    double: Pool<f64>,
    prepared: Mutex<Prepared>,
    clock: Mutex<Clock>,
    failed: Mutex<Option<Error>>,
    overflowed: Mutex<Vec<Box<str>>>,
    reports: Mutex<Vec<(Box<str>, StepReport<BurnScalar>)>>,
    turn: Mutex<()>,
}

/// What was found out about all gradients of a step of the whole model. Burn's own type tells nobody: there it is the default.
#[derive(Debug, Default, Clone)]
pub(super) struct Prepared {
    /// The factor of the norm clip.
    pub(super) scale: Option<BurnScalar>,
    /// The factor of the clip threshold that the user set, if one was.
    pub(super) clip_factor: Option<f64>,
    /// The step of the model, counted from 1.
    pub(super) model_step: Option<u64>,
    /// Whether to report what the step does.
    pub(super) keep_reports: bool,
}

/// The arithmetic of a parameter: which of two pools, rules and states it uses.
pub(super) trait Arithmetic: BurnElement {
    /// The pool.
    fn pool(shared: &Shared) -> &Pool<Self>;
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

    /// Held during a step of the whole module, so that clones on other threads wait.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    pub(super) fn prepared(&self) -> Prepared {
        lock(&self.prepared).clone()
    }

    pub(super) fn set_prepared(&self, prepared: Prepared) {
        *lock(&self.prepared) = prepared;
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

    /// Keeps the first error until it is taken: what stepped before it has moved, what comes after it must not.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.failed).get_or_insert(error);
    }

    /// Its text.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failed).as_ref().map(Error::to_string)
    }

    pub(super) fn take_failed(&self) -> Option<Error> {
        lock(&self.failed).take()
    }

    /// Keeps what the step of a matrix did.
    pub(super) fn report(&self, name: &str, report: StepReport<BurnScalar>) {
        lock(&self.reports).push((name.into(), report));
    }

    /// The reports since the last call.
    pub(super) fn take_reports(&self) -> Vec<(Box<str>, StepReport<BurnScalar>)> {
        std::mem::take(&mut *lock(&self.reports))
    }

    /// Keeps the name of a parameter that a finite update has made infinite.
    pub(super) fn overflow(&self, name: &str) {
        lock(&self.overflowed).push(name.into());
    }

    /// The names since the last call.
    pub(super) fn take_overflowed(&self) -> Vec<Box<str>> {
        std::mem::take(&mut *lock(&self.overflowed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
