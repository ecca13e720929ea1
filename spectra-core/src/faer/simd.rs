//! Run-time choice of the instruction set, and its vectors.

use crate::backend::Element;
use pulp::{Arch, NullaryFnOnce, Simd, WithSimd};

/// Runs a loop compiled for wide vectors (AVX2 on x86-64, NEON on AArch64, else the target's baseline). `f` must be
/// a closure marked `#[inline(always)]` that calls inlined functions only.
///
/// AVX-512 is left out: these loops wait for memory, and its loads, as long as a cache line, mostly straddle two of
/// them. (AdamW's pass over 4096 x 14336: 40 ms of processor time with it, 31 without.)
#[inline(always)]
pub(super) fn vectorized<R>(f: impl FnMut() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(Loop(f));
    }
    Arch::new().dispatch(Loop(f))
}

/// Asks for cache lines ahead of their use, where the machine has an instruction for it that is safe to call
/// (x86-64). It changes no result. Reading a line while registers are full of unfinished sums would stall them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefetch {
    #[cfg(target_arch = "x86_64")]
    sse: Option<pulp::core_arch::x86::Sse>,
}

impl Prefetch {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            sse: pulp::core_arch::x86::Sse::try_new(),
        }
    }

    /// The line of element `at` (which need not exist) of `x`, into the first cache.
    #[inline(always)]
    pub(super) fn near<E>(self, x: &[E], at: usize) {
        self.into::<3>(x.as_ptr().wrapping_add(at).cast());
    }

    /// The line of the byte `at` from a place, into the first cache.
    #[inline(always)]
    pub(super) fn near_byte(self, place: *const u8, at: usize) {
        self.into::<3>(place.wrapping_add(at));
    }

    /// The line of the byte `at` from a place, into the second cache.
    #[inline(always)]
    pub(super) fn far(self, place: *const u8, at: usize) {
        self.into::<2>(place.wrapping_add(at));
    }

    #[inline(always)]
    fn into<const HINT: i32>(self, byte: *const u8) {
        #[cfg(target_arch = "x86_64")]
        if let Some(sse) = self.sse {
            sse._mm_prefetch::<HINT>(byte.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = byte;
    }
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

/// An element type's vectors.
pub trait Lanes: Element {
    /// As many elements as a register holds; aligned as one element.
    type Vector<S: Simd>: Copy;
    /// The whole vectors of a slice.
    fn vectors<S: Simd>(x: &[Self]) -> &[Self::Vector<S>];
    /// The whole vectors of a slice.
    fn vectors_mut<S: Simd>(x: &mut [Self]) -> &mut [Self::Vector<S>];
    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a b`
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b + c`, with one rounding where the machine can.
    fn fma<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($element:ty, $vector:ident, $vectors:ident, $vectors_mut:ident, $splat:ident, $mul:ident, $mul_add:ident) => {
        impl Lanes for $element {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn vectors<S: Simd>(x: &[Self]) -> &[S::$vector] {
                S::$vectors(x).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(x: &mut [Self]) -> &mut [S::$vector] {
                S::$vectors_mut(x).0
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn fma<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}

lanes!(f32, f32s, as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_f32s, mul_add_e_f32s);
lanes!(f64, f64s, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_f64s, mul_add_e_f64s);

/// The vector registers of this machine: how many, and how many elements each holds.
pub(super) fn registers<E: Lanes>() -> (usize, usize) {
    struct Count<E>(core::marker::PhantomData<E>);
    impl<E: Lanes> WithSimd for Count<E> {
        type Output = (usize, usize);
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> (usize, usize) {
            (S::REGISTER_COUNT, size_of::<E::Vector<S>>() / size_of::<E>())
        }
    }
    Arch::new().dispatch(Count::<E>(core::marker::PhantomData))
}
