//! Values of 16 bits to write, and whether they had room for what was rounded into them.

use super::FaerElement;
use core::sync::atomic::{AtomicBool, Ordering};

/// Values of 16 bits, to change.
#[derive(Debug)]
pub struct Sixteen<'a, T> {
    pub(super) values: &'a mut [T],
    /// Raised when a finite number is rounded to an infinity.
    overflow: Option<&'a AtomicBool>,
}

impl<'a, T> Sixteen<'a, T> {
    pub(super) fn new(values: &'a mut [T]) -> Self {
        Self { values, overflow: None }
    }

    pub(super) fn telling(self, flag: &'a AtomicBool) -> Self {
        Self { overflow: Some(flag), ..self }
    }

    pub(super) fn split(self, at: usize) -> (Self, Self) {
        let overflow = self.overflow;
        let (a, b) = self.values.split_at_mut(at);
        (Self { values: a, overflow }, Self { values: b, overflow })
    }

    pub(super) fn get(self, range: core::ops::Range<usize>) -> Option<Self> {
        Some(Self { values: self.values.get_mut(range)?, ..self })
    }

    pub(super) fn reborrow(&mut self) -> Sixteen<'_, T> {
        Sixteen { values: self.values, overflow: self.overflow }
    }

    /// To be called when `x` has been rounded into the values.
    pub(super) fn tell<E: FaerElement>(&self, x: &[E], is_infinite: impl Fn(&T) -> bool) {
        let Some(overflow) = self.overflow else { return };
        // Without a branch for each: nearly always there is none, and who was infinite before has been told of.
        if self.values.iter().fold(false, |any, value| any | is_infinite(value))
            && self.values.iter().zip(x).any(|(value, x)| is_infinite(value) && x.is_finite())
        {
            overflow.store(true, Ordering::Relaxed);
        }
    }
}
