//! Values kept in 16 bits: widened when they are read and rounded once when they are written, a piece at a time; all
//! arithmetic is that of the element type.

use super::FaerElement;
use super::parallel::{Split, for_each, reduce};
use super::reduce::LEAF;
use super::scratch;
use super::sixteen::Sixteen;
use crate::backend::{Result, check_shape};
use core::sync::atomic::AtomicBool;
use half::{bf16, f16};

/// Row-major values, as they are stored.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a, E> {
    /// In the type of the arithmetic.
    Full(&'a [E]),
    /// As bf16.
    Bf16(&'a [bf16]),
    /// As f16.
    F16(&'a [f16]),
}

/// Row-major values, as they are stored, to change.
#[derive(Debug)]
pub enum ValuesMut<'a, E> {
    /// In the type of the arithmetic.
    Full(&'a mut [E]),
    /// As bf16.
    Bf16(Sixteen<'a, bf16>),
    /// As f16.
    F16(Sixteen<'a, f16>),
}

impl<E> Default for Values<'_, E> {
    /// None.
    fn default() -> Self {
        Self::Full(&[])
    }
}

impl<E> Default for ValuesMut<'_, E> {
    /// None.
    fn default() -> Self {
        Self::Full(&mut [])
    }
}

/// Elements widened at a time: with four operands they leave room in the first cache.
const PIECE: usize = 1024;

fn both<T, U>((a, b): (T, T), f: impl Fn(T) -> U) -> (U, U) {
    (f(a), f(b))
}

impl<E: Sync> Split for Values<'_, E> {
    fn len(&self) -> usize {
        match self {
            Self::Full(x) => x.len(),
            Self::Bf16(x) => x.len(),
            Self::F16(x) => x.len(),
        }
    }

    fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Full(x) => both(x.split_at(at), Self::Full),
            Self::Bf16(x) => both(x.split_at(at), Self::Bf16),
            Self::F16(x) => both(x.split_at(at), Self::F16),
        }
    }
}

impl<E: Send> Split for ValuesMut<'_, E> {
    fn len(&self) -> usize {
        match self {
            Self::Full(x) => x.len(),
            Self::Bf16(x) => x.values.len(),
            Self::F16(x) => x.values.len(),
        }
    }

    fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Full(x) => both(x.split_at_mut(at), Self::Full),
            Self::Bf16(x) => both(x.split(at), Self::Bf16),
            Self::F16(x) => both(x.split(at), Self::F16),
        }
    }
}

impl<'a, E: FaerElement> Values<'a, E> {
    /// A part of the values, if they reach so far.
    pub fn get(self, range: core::ops::Range<usize>) -> Option<Self> {
        Some(match self {
            Self::Full(x) => Self::Full(x.get(range)?),
            Self::Bf16(x) => Self::Bf16(x.get(range)?),
            Self::F16(x) => Self::F16(x.get(range)?),
        })
    }

    /// A part of the values, which reach so far.
    pub(super) fn range(self, range: core::ops::Range<usize>) -> Self {
        match self {
            Self::Full(x) => Self::Full(&x[range]),
            Self::Bf16(x) => Self::Bf16(&x[range]),
            Self::F16(x) => Self::F16(&x[range]),
        }
    }

    /// Where the values begin, and the bytes of one: to ask for their memory.
    #[inline(always)]
    pub(super) fn place(self) -> (*const u8, usize) {
        match self {
            Self::Full(x) => (x.as_ptr().cast(), size_of::<E>()),
            Self::Bf16(x) => (x.as_ptr().cast(), size_of::<bf16>()),
            Self::F16(x) => (x.as_ptr().cast(), size_of::<f16>()),
        }
    }

    /// The values in full width, in `buffer` if they have to be widened.
    #[inline]
    pub(super) fn widened<'b>(self, buffer: &'b mut [E]) -> &'b [E]
    where
        'a: 'b,
    {
        match self {
            Self::Full(x) => return x,
            Self::Bf16(x) => E::widen_bf16(x, &mut buffer[..x.len()]),
            Self::F16(x) => E::widen_f16(x, &mut buffer[..x.len()]),
        }
        &buffer[..self.len()]
    }

    /// `f` of the values in full width: of a copy for the time of the call, if they have to be widened.
    pub fn full<R>(self, f: impl FnOnce(&[E]) -> R) -> R {
        if let Self::Full(x) = self {
            return f(x);
        }
        scratch::with(self.len(), |buffer: &mut [E]| {
            for_each((self, &mut *buffer), &|(x, out): (Self, &mut [E])| {
                x.widened(out);
            });
            f(buffer)
        })
    }
}

impl<'a, E: FaerElement> ValuesMut<'a, E> {
    /// A part of the values, if they reach so far.
    pub fn get(self, range: core::ops::Range<usize>) -> Option<Self> {
        Some(match self {
            Self::Full(x) => Self::Full(x.get_mut(range)?),
            Self::Bf16(x) => Self::Bf16(x.get(range)?),
            Self::F16(x) => Self::F16(x.get(range)?),
        })
    }

    /// A part of the values, which reach so far.
    pub(super) fn range(self, range: core::ops::Range<usize>) -> Self {
        let (head, _) = self.split(range.end);
        head.split(range.start).1
    }

    /// Values of bf16.
    pub fn bf16(values: &'a mut [bf16]) -> Self {
        Self::Bf16(Sixteen::new(values))
    }

    /// Values of f16.
    pub fn f16(values: &'a mut [f16]) -> Self {
        Self::F16(Sixteen::new(values))
    }

    /// Raises the flag whenever a finite number is rounded to an infinity, which values in full width never do: it left the
    /// range of the 16 bits.
    #[must_use]
    pub fn telling(self, flag: &'a AtomicBool) -> Self {
        match self {
            Self::Full(x) => Self::Full(x),
            Self::Bf16(x) => Self::Bf16(x.telling(flag)),
            Self::F16(x) => Self::F16(x.telling(flag)),
        }
    }

    /// Replaces the values, rounding them once.
    ///
    /// # Errors
    /// If there are more or fewer of them.
    pub fn write(&mut self, x: &[E]) -> Result<()> {
        check_shape("write", (1, self.shared().len()), (1, x.len()))?;
        if let Self::Full(out) = self {
            out.copy_from_slice(x);
        }
        self.round(x);
        Ok(())
    }

    /// The values, to read.
    pub(super) fn shared(&self) -> Values<'_, E> {
        match self {
            Self::Full(x) => Values::Full(x),
            Self::Bf16(x) => Values::Bf16(x.values),
            Self::F16(x) => Values::F16(x.values),
        }
    }

    /// A handle for a shorter time.
    pub(super) fn reborrow(&mut self) -> ValuesMut<'_, E> {
        match self {
            Self::Full(x) => ValuesMut::Full(x),
            Self::Bf16(x) => ValuesMut::Bf16(x.reborrow()),
            Self::F16(x) => ValuesMut::F16(x.reborrow()),
        }
    }

    /// The values in full width, in `buffer` if they have to be widened; then [`round`](Self::round) brings them back.
    #[inline]
    fn widened<'b>(&'b mut self, buffer: &'b mut [E]) -> &'b mut [E] {
        match self {
            Self::Full(x) => x,
            _ => {
                let len = self.shared().widened(buffer).len();
                &mut buffer[..len]
            }
        }
    }

    /// Rounds `x` into values that are not kept in full width.
    pub(super) fn round(&mut self, x: &[E]) {
        match self {
            Self::Full(_) => {}
            Self::Bf16(out) => {
                E::round_bf16(x, out.values);
                out.tell(x, |value| value.is_infinite());
            }
            Self::F16(out) => {
                E::round_f16(x, out.values);
                out.tell(x, |value| value.is_infinite());
            }
        }
    }

    /// [`full`](Self::full) in the caller's `buffer`, at least as long as the values.
    pub(super) fn full_in(&mut self, buffer: &mut [E], f: impl FnOnce(&mut [E])) {
        f(self.widened(buffer));
        self.round(&buffer[..self.shared().len()]);
    }

    /// Runs `f` on the values in full width: on a copy for the time of the call, if they have to be widened and rounded.
    pub fn full<R>(&mut self, f: impl FnOnce(&mut [E]) -> R) -> R {
        if let Self::Full(x) = self {
            return f(x);
        }
        scratch::with(self.shared().len(), |buffer: &mut [E]| {
            for_each((self.shared(), &mut *buffer), &|(x, out): (Values<'_, E>, &mut [E])| {
                x.widened(out);
            });
            let result = f(buffer);
            for_each((self.reborrow(), &*buffer), &|(mut out, x): (ValuesMut<'_, E>, &[E])| out.round(x));
            result
        })
    }
}

/// Runs `f(out, x)`, which works entry by entry, on all threads.
pub(super) fn change<E: FaerElement>(
    out: &mut ValuesMut<'_, E>,
    x: Values<'_, E>,
    f: impl Fn(&mut [E], &[E]) + Sync,
) {
    if let (ValuesMut::Full(out), Values::Full(x)) = (&mut *out, x) {
        return f(out, x);
    }
    change_several([out.reborrow()], x, &|[out]: [&mut [E]; 1], x: &[E]| f(out, x));
}

/// Runs `f(written, x)`, which works entry by entry, on all threads; on small pieces of what is kept in 16 bits.
pub(super) fn change_several<E: FaerElement, const N: usize>(
    written: [ValuesMut<'_, E>; N],
    x: Values<'_, E>,
    f: &(impl Fn([&mut [E]; N], &[E]) + Sync),
) {
    let full = matches!(x, Values::Full(_)) && written.iter().all(|x| matches!(x, ValuesMut::Full(_)));
    let most = if full { usize::MAX } else { PIECE };
    for_each((written, x), &|(mut written, mut x): ([ValuesMut<'_, E>; N], Values<'_, E>)| {
        let (mut buffers, mut wide_x) = ([[E::zero(); PIECE]; N], [E::zero(); PIECE]);
        while x.len() > 0 {
            let at = most.min(x.len());
            let (mut piece, rest) = written.split(at);
            let (piece_x, rest_x) = x.split(at);
            let mut spare = buffers.iter_mut();
            let wide = piece.each_mut().map(|piece| {
                piece.widened(spare.next().map(|buffer| buffer.as_mut_slice()).unwrap_or_default())
            });
            f(wide, piece_x.widened(&mut wide_x));
            for (piece, wide) in piece.iter_mut().zip(&buffers) {
                piece.round(&wide[..at.min(PIECE)]);
            }
            (written, x) = (rest, rest_x);
        }
    });
}

/// [`Kernels::dot`](super::kernels::Kernels::dot); the sum has the bits of the widened values' sum.
pub(super) fn dot<E: FaerElement>(x: Values<'_, E>, y: Values<'_, E>) -> f64 {
    if let (Values::Full(x), Values::Full(y)) = (x, y) {
        return E::dot(x, y);
    }
    let leaf = |(x, y): (Values<'_, E>, Values<'_, E>)| {
        let mut buffers = [[E::zero(); LEAF]; 2];
        let [wide_x, wide_y] = &mut buffers;
        E::dot(x.widened(wide_x), y.widened(wide_y))
    };
    reduce((x, y), LEAF, &leaf, &|a, b| a + b)
}

/// [`Kernels::max_abs`](super::kernels::Kernels::max_abs).
pub(super) fn max_abs<E: FaerElement>(x: Values<'_, E>) -> f64 {
    if let Values::Full(x) = x {
        return E::max_abs(x);
    }
    let leaf = |x: Values<'_, E>| E::max_abs(x.widened(&mut [E::zero(); LEAF]));
    reduce(x, LEAF, &leaf, &|a, b| super::reduce::larger(a, b))
}
