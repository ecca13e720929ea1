//! Run-time choice of the instruction set.

use faer::traits::pulp::{Arch, NullaryFnOnce};

/// Runs a loop compiled for the widest vectors this machine has (AVX2 on x86-64, NEON on AArch64, else the
/// target's baseline). `f` must be a closure marked `#[inline(always)]` that calls inlined functions only.
#[inline]
pub(super) fn vectorized<R>(f: impl NullaryFnOnce<Output = R>) -> R {
    Arch::new().dispatch(f)
}
