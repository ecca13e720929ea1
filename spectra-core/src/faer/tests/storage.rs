//! Operations on values kept in 16 bits: the bits of the same operation on the widened values, rounded once.

use super::*;
use crate::backend::{Coefficient, Entrywise};
use crate::faer::parallel::GRAIN;
use crate::faer::{FaerElement, MatrixMut, MatrixRef, Values, ValuesMut};
use crate::linalg::SixteenBits;
use alloc::vec;
use half::{bf16, f16};

/// 16 bits and how they are borrowed.
trait Narrow<E>: Copy + PartialEq + core::fmt::Debug + Sync {
    fn round(x: E) -> Self;
    fn wide(self) -> E;
    fn values(x: &[Self]) -> Values<'_, E>;
    fn values_mut(x: &mut [Self]) -> ValuesMut<'_, E>;
}

macro_rules! narrow {
    ($half:ident, $variant:ident, $format:ident, $element:ident, $to:ident) => {
        impl Narrow<$element> for $half {
            fn round(x: $element) -> Self {
                // Not by `half`, which rounds doubles by the first bits of their fraction.
                $half::from_bits(SixteenBits::$format.to_bits(x))
            }
            fn wide(self) -> $element {
                self.$to()
            }
            fn values(x: &[Self]) -> Values<'_, $element> {
                Values::$variant(x)
            }
            fn values_mut(x: &mut [Self]) -> ValuesMut<'_, $element> {
                ValuesMut::$half(x)
            }
        }
    };
}

narrow!(bf16, Bf16, Bf16, f32, to_f32);
narrow!(f16, F16, F16, f32, to_f32);
narrow!(bf16, Bf16, Bf16, f64, to_f64);
narrow!(f16, F16, F16, f64, to_f64);

fn numbers<E: FaerElement, H: Narrow<E>>(len: usize, seed: u64) -> (Vec<H>, Vec<E>) {
    let half: Vec<H> =
        (0..len).map(|i| H::round(E::narrow(crate::linalg::uniform(seed, i / 1000, i % 1000)))).collect();
    let wide = half.iter().map(|x| x.wide()).collect();
    (half, wide)
}

/// That `f` does the same to `out` and reads the same from `x` whether both are kept in 16 bits or not.
fn same<E: FaerElement, H: Narrow<E>>(
    (m, n): (usize, usize),
    f: impl Fn(&mut MatrixMut<'_, E>, MatrixRef<'_, E>),
) {
    let ((mut out, mut wide_out), (x, wide_x)) = (numbers::<E, H>(m * n, 1), numbers::<E, H>(m * n, 2));
    f(
        &mut MatrixMut::stored(H::values_mut(&mut out), m, n).unwrap(),
        MatrixRef::stored(H::values(&x), m, n).unwrap(),
    );
    f(&mut MatrixMut::new(&mut wide_out, m, n).unwrap(), MatrixRef::new(&wide_x, m, n).unwrap());
    let rounded: Vec<H> = wide_out.iter().map(|x| H::round(*x)).collect();
    assert!(out == rounded, "{m} x {n}");
}

fn all<E: FaerElement, H: Narrow<E>>() {
    let (beta, alpha) = (Coefficient::from(0.9), Coefficient::from(-0.3));
    for shape in [(1, 1), (3, 7), (37, 61), (2, GRAIN + 5)] {
        let (m, n) = shape;
        same::<E, H>(shape, |out, x| out.scale_add(beta, alpha, x).unwrap());
        same::<E, H>(shape, |out, x| out.sign_add(beta, alpha, x).unwrap());
        same::<E, H>(shape, |out, x| out.product_add(beta, alpha, x, x).unwrap());
        same::<E, H>(shape, |out, x| {
            let square = x.dot(x).unwrap();
            out.scale_add(Coefficient::ZERO, square.into(), x).unwrap();
        });
        same::<E, H>(shape, |out, x| out.scale_add(Coefficient::ZERO, x.max_abs().into(), x).unwrap());
        let left: Vec<E> = numbers::<E, H>(m * 3, 3).1;
        let right: Vec<E> = numbers::<E, H>(n * 3, 4).1;
        same::<E, H>(shape, |out, x| {
            let (left, right) = (MatrixRef::new(&left, m, 3).unwrap(), MatrixRef::new(&right, n, 3).unwrap());
            out.low_rank_add(beta, alpha, x, left, right).unwrap();
        });
        same::<E, H>(shape, |out, x| {
            let (mut first, mut second) = (numbers::<E, H>(m * n, 5).1, numbers::<E, H>(m * n, 6).1);
            second.iter_mut().for_each(|x| *x = x.abs());
            let matrices = [
                MatrixMut::stored(out.values.reborrow(), m, n).unwrap(),
                MatrixMut::new(&mut first, m, n).unwrap(),
                MatrixMut::new(&mut second, m, n).unwrap(),
            ];
            let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: None };
            MatrixMut::entrywise_add(matrices, (0.9, -0.1), rule, x, 0.5.into()).unwrap();
        });
    }
}

#[test]
fn bf16_and_f16_are_widened_and_rounded_once() {
    all::<f32, bf16>();
    all::<f32, f16>();
    all::<f64, bf16>();
    all::<f64, f16>();
}

/// The momentum and its products with a gradient in 16 bits.
#[test]
fn a_sweep_takes_a_gradient_in_16_bits() {
    for (m, n, k) in [(30, 50, 3), (300, 700, 5), (64, 3000, 33)] {
        let (g, wide_g) = numbers::<f32, bf16>(m * n, 1);
        let (momentum, v) = (numbers::<f32, bf16>(m * n, 2).1, numbers::<f32, bf16>(n * k, 3).1);
        let sweep = |gradient: MatrixRef<'_, f32>| {
            let mut momentum = momentum.clone();
            let (mut p, mut gram, mut z) = (vec![0.0; m * k], vec![0.0; k * k], vec![0.0; n * k]);
            let square = MatrixMut::new(&mut momentum, m, n).unwrap().power_sweep(
                Some((0.95, gradient, 0.5.into())),
                1.0,
                MatrixRef::new(&v, n, k).unwrap(),
                &mut MatrixMut::new(&mut p, m, k).unwrap(),
                &mut MatrixMut::new(&mut gram, k, k).unwrap(),
                &mut MatrixMut::new(&mut z, n, k).unwrap(),
            );
            (momentum, p, gram, z, square.unwrap())
        };
        let narrow = sweep(MatrixRef::stored(Values::Bf16(&g), m, n).unwrap());
        assert!(narrow == sweep(MatrixRef::new(&wide_g, m, n).unwrap()));
    }
}

/// The momentum in 16 bits: advanced, rounded, and multiplied as rounded.
fn narrow_momentum<E: FaerElement, H: Narrow<E>>((m, n, k): (usize, usize, usize)) {
    let (g, v) = (numbers::<E, H>(m * n, 1).1, numbers::<E, H>(n * k, 3).1);
    let gradient = MatrixRef::new(&g, m, n).unwrap();
    let sweep = |mut momentum: MatrixMut<'_, E>,
                 update: Option<(f64, MatrixRef<'_, E>, Coefficient<'_, f64>)>| {
        let zeros = |count| vec![E::zero(); count];
        let (mut p, mut gram, mut z) = (zeros(m * k), zeros(k * k), zeros(n * k));
        let square = MatrixMut::stored(momentum.values.reborrow(), m, n).unwrap().power_sweep(
            update,
            0.7,
            MatrixRef::new(&v, n, k).unwrap(),
            &mut MatrixMut::new(&mut p, m, k).unwrap(),
            &mut MatrixMut::new(&mut gram, k, k).unwrap(),
            &mut MatrixMut::new(&mut z, n, k).unwrap(),
        );
        (p, gram, z, square.unwrap())
    };
    let update = Some((0.95, gradient, 0.5.into()));
    let (mut narrow, mut wide) = numbers::<E, H>(m * n, 2);
    let found = sweep(MatrixMut::stored(H::values_mut(&mut narrow), m, n).unwrap(), update);
    MatrixMut::new(&mut wide, m, n).unwrap().scale_add(0.95.into(), 0.5.into(), gradient).unwrap();
    let mut rounded: Vec<E> = wide.iter().map(|x| H::round(*x).wide()).collect();
    assert!(narrow.iter().map(|x| x.wide()).eq(rounded.iter().copied()), "{m} x {n}: momentum");
    let expected = sweep(MatrixMut::new(&mut rounded, m, n).unwrap(), None);
    assert!(
        (&found.0, &found.1, &found.2) == (&expected.0, &expected.1, &expected.2),
        "{m} x {n}, {k}: products"
    );
    // Sums of positive doubles in another order.
    assert!((found.3 / expected.3 - 1.0).abs() < 1e-12, "{m} x {n}: norm");
}

#[test]
fn a_sweep_takes_a_momentum_in_16_bits() {
    // Rows and columns that no tile divides, several panels, few and many columns, and more than the pass takes.
    for shape in [(30, 50, 3), (301, 700, 5), (67, 5000, 33), (97, 4100, 61), (40, 300, 200)] {
        narrow_momentum::<f32, bf16>(shape);
        narrow_momentum::<f32, f16>(shape);
        narrow_momentum::<f64, bf16>(shape);
    }
}
