//! Run-time choice of the instruction set.

use faer::traits::pulp::{Arch, NullaryFnOnce};

/// Runs a loop compiled for the widest vectors this machine has (AVX2 on x86-64, NEON on AArch64, else the
/// target's baseline). `f` must be a closure marked `#[inline(always)]` that calls inlined functions only.
#[inline(always)]
pub(super) fn vectorized<R>(f: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Loop(f))
}

/// Calls a closure's body itself. (`FnOnce::call_once` of a closure that only borrows is a shim around the
/// body; the compiler need not inline it, and then the body is compiled for the baseline.)
struct Loop<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}
