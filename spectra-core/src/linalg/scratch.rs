//! Host memory for the small factorisations, grown once and reused.

use crate::backend::Element;
use alloc::vec::Vec;

/// Reusable host buffers: a step that has run once finds them large enough and allocates nothing.
#[derive(Debug, Default, Clone)]
pub struct Scratch<E> {
    values: Vec<E>,
    numbers: Vec<f64>,
}

impl<E: Element> Scratch<E> {
    /// Empty buffers.
    pub fn new() -> Self {
        Self { values: Vec::new(), numbers: Vec::new() }
    }

    /// `values` elements and `numbers` f64, with unspecified contents.
    pub fn slices(&mut self, values: usize, numbers: usize) -> (&mut [E], &mut [f64]) {
        if self.values.len() < values {
            self.values.resize(values, E::zero());
        }
        if self.numbers.len() < numbers {
            self.numbers.resize(numbers, 0.0);
        }
        (&mut self.values[..values], &mut self.numbers[..numbers])
    }
}
