//! The kernels of each element type, compiled in this crate.
//!
//! Everything below is generic code, which Rust compiles where it is used. Going through this trait, whose
//! implementations are not generic, it is compiled here, once, and at the optimisation level that a build sets
//! for this crate: a debug build of a program that uses it can keep its kernels fast.

use super::forward::{self, Update};
use super::low_rank::LowRank;
use super::mars::Clip;
use super::scratch::{Buffers, Pool};
use super::simd::{Lanes, vectorized};
use super::storage::{Values, ValuesMut};
use super::{Stack, eigen, elementwise, entrywise, gemm, householder, reduce, symmetric, transposed};
use crate::backend::{Coefficient, Element, Entrywise};
use crate::linalg::SixteenBits;
use faer::MatRef;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

type Coef<'a> = Coefficient<'a, f64>;

/// What an element type of this backend provides. Shapes have been checked.
#[doc(hidden)]
pub trait Kernels: Lanes + faer::traits::RealField {
    /// Working memory of this type.
    fn buffers(pool: &Pool) -> &Buffers<Self>;
    /// For a loop of the caller's instruction set.
    fn of_bf16(x: bf16) -> Self;
    fn widen_bf16(x: &[bf16], out: &mut [Self]);
    fn widen_f16(x: &[f16], out: &mut [Self]);
    /// To nearest, ties to even.
    fn round_bf16(x: &[Self], out: &mut [bf16]);
    fn round_f16(x: &[Self], out: &mut [f16]);
    fn scale_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self]);
    fn sign_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self]);
    fn product_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self], y: &[Self]);
    fn quotient_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self], y: &[Self], eps: f64);
    fn dot(x: &[Self], y: &[Self]) -> f64;
    fn max_abs(x: &[Self]) -> f64;
    fn gemm(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
    /// `out = beta out + alpha A^T B` for a narrow B with `n` columns, both row-major.
    fn transposed(
        out: &mut [Self],
        beta: Coef<'_>,
        alpha: Coef<'_>,
        a: Values<'_, Self>,
        b: &[Self],
        n: usize,
    );
    fn gemm_symmetric(
        out: &mut [Self],
        beta: Coef<'_>,
        alpha: Coef<'_>,
        a: MatRef<'_, Self>,
        b: MatRef<'_, Self>,
    );
    /// [`forward::pass`].
    fn forward(
        alpha: Self,
        m: ValuesMut<'_, Self>,
        update: Option<Update<'_, Self>>,
        v: &[Self],
        p: &mut [Self],
        k: usize,
    ) -> f64;
    /// [`entrywise::add`].
    fn entrywise(
        matrices: &mut [&mut [Self]],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &[Self],
        scale: (Coef<'_>, Clip<Self>),
    );
    fn low_rank(step: LowRank<'_, Self>, out: ValuesMut<'_, Self>, x: Values<'_, Self>, left: &[Self]);
    /// [`householder::orthonormalize`].
    fn orthonormalize(m: usize, k: usize, values: &mut [Self]);
    /// [`eigen::eigenvectors`].
    fn eigenvectors(
        k: usize,
        a: &mut [Self],
        vectors: &mut [Self],
        values: &mut [Self],
        stack: &mut Stack,
    ) -> bool;
    /// [`eigen::factor`].
    fn eigen_factor(
        k: usize,
        form: (f64, f64),
        values: &mut [Self],
        numbers: &mut [f64],
        stack: &mut Stack,
    ) -> bool;
}

/// `None` if the output is not to be read.
pub(super) fn beta_of<E: Element>(beta: Coef<'_>) -> Option<E> {
    if beta.is_zero() { None } else { Some(E::narrow(beta.value())) }
}

macro_rules! kernels {
    ($element:ty, $pool:ident, $to:ident, $to_slice:ident, $round_bf16:expr, $round_f16:expr) => {
        impl Kernels for $element {
            fn buffers(pool: &Pool) -> &Buffers<Self> {
                &pool.$pool
            }
            #[inline(always)]
            fn of_bf16(x: bf16) -> Self {
                x.$to()
            }
            fn widen_bf16(x: &[bf16], out: &mut [Self]) {
                vectorized(
                    #[inline(always)]
                    || out.iter_mut().zip(x).for_each(|(out, x)| *out = x.$to()),
                );
            }
            fn widen_f16(x: &[f16], out: &mut [Self]) {
                x.$to_slice(out);
            }
            fn round_bf16(x: &[Self], out: &mut [bf16]) {
                vectorized(
                    #[inline(always)]
                    || out.iter_mut().zip(x).for_each(|(out, x)| *out = $round_bf16(*x)),
                );
            }
            fn round_f16(x: &[Self], out: &mut [f16]) {
                $round_f16(x, out);
            }
            fn scale_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self]) {
                elementwise::map1(out, beta, alpha, x, |x| x);
            }
            fn sign_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self]) {
                elementwise::map1(out, beta, alpha, x, elementwise::sign);
            }
            fn product_add(out: &mut [Self], beta: Coef<'_>, alpha: Coef<'_>, x: &[Self], y: &[Self]) {
                elementwise::map2(out, beta, alpha, x, y, |x, y| x * y);
            }
            fn quotient_add(
                out: &mut [Self],
                beta: Coef<'_>,
                alpha: Coef<'_>,
                x: &[Self],
                y: &[Self],
                eps: f64,
            ) {
                let eps = <$element>::narrow(eps);
                elementwise::map2(out, beta, alpha, x, y, |x, y| x / (num_traits::Float::sqrt(y) + eps));
            }
            fn dot(x: &[Self], y: &[Self]) -> f64 {
                reduce::dot(x, y)
            }
            fn max_abs(x: &[Self]) -> f64 {
                reduce::max_abs(x)
            }
            fn gemm(
                out: &mut [Self],
                beta: Coef<'_>,
                alpha: Coef<'_>,
                a: MatRef<'_, Self>,
                b: MatRef<'_, Self>,
            ) {
                gemm::gemm(out, beta_of(beta), <$element>::narrow(alpha.value()), a, b);
            }
            fn transposed(
                out: &mut [Self],
                beta: Coef<'_>,
                alpha: Coef<'_>,
                a: Values<'_, Self>,
                b: &[Self],
                n: usize,
            ) {
                transposed::product(out, beta_of(beta), <$element>::narrow(alpha.value()), a, b, n);
            }
            fn gemm_symmetric(
                out: &mut [Self],
                beta: Coef<'_>,
                alpha: Coef<'_>,
                a: MatRef<'_, Self>,
                b: MatRef<'_, Self>,
            ) {
                symmetric::gemm(out, beta_of(beta), <$element>::narrow(alpha.value()), a, b);
            }
            fn forward(
                alpha: Self,
                m: ValuesMut<'_, Self>,
                update: Option<Update<'_, Self>>,
                v: &[Self],
                p: &mut [Self],
                k: usize,
            ) -> f64 {
                forward::pass(alpha, m, update, v, p, k)
            }
            fn entrywise(
                matrices: &mut [&mut [Self]],
                weights: (f64, f64),
                rule: Entrywise,
                gradient: &[Self],
                scale: (Coef<'_>, Clip<Self>),
            ) {
                entrywise::add(matrices, weights, rule, gradient, scale);
            }
            fn low_rank(
                step: LowRank<'_, Self>,
                out: ValuesMut<'_, Self>,
                x: Values<'_, Self>,
                left: &[Self],
            ) {
                step.add(out, x, left);
            }
            fn orthonormalize(m: usize, k: usize, values: &mut [Self]) {
                householder::orthonormalize(m, k, values);
            }
            fn eigenvectors(
                k: usize,
                a: &mut [Self],
                vectors: &mut [Self],
                values: &mut [Self],
                stack: &mut Stack,
            ) -> bool {
                eigen::eigenvectors(k, a, vectors, values, stack)
            }
            fn eigen_factor(
                k: usize,
                form: (f64, f64),
                values: &mut [Self],
                numbers: &mut [f64],
                stack: &mut Stack,
            ) -> bool {
                eigen::factor(k, form, values, numbers, stack)
            }
        }
    };
}

kernels!(f32, single, to_f32, convert_to_f32_slice, bf16::from_f32, |x: &[f32], out: &mut [f16]| {
    out.convert_from_f32_slice(x)
});
// The conversions of `half` look at the first 20 bits of a double's fraction only: what is just above half a unit they take for half.
kernels!(f64, double, to_f64, convert_to_f64_slice, exact_bf16, |x: &[f64], out: &mut [f16]| {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = f16::from_bits(SixteenBits::F16.to_bits(*x)));
});

fn exact_bf16(x: f64) -> bf16 {
    bf16::from_bits(SixteenBits::Bf16.to_bits(x))
}
