//! What kernels are given.

use crate::checked::launch::Coefficients;
use crate::raw::Place;
use cudarc::driver::DeviceRepr;
use cudarc::driver::sys::CUdeviceptr;
use std::mem::offset_of;

/// A kernel's argument.
///
/// # Safety
/// It has no padding, and `extract` returns the place of a pointer, at a whole word.
pub(in crate::checked) unsafe trait Argument: DeviceRepr {
    /// Moves the host's numbers to the end of `numbers`: the argument says by how many bytes into them. Returns where it says so.
    fn extract(&mut self, numbers: &mut Vec<u64>) -> Option<usize> {
        let _ = numbers;
        None
    }
}

macro_rules! plain {
    ($($of:ty),+) => { $(
        // SAFETY: a number, without padding.
        unsafe impl Argument for $of {}
    )+ };
}
plain!(i32, u32, i64, u64, f64, Place<'_>);

/// `struct Numbers` of the kernels: numbers of the host, in the launch, or at `place` in device memory if that is not 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(in crate::checked) struct HostNumbers {
    value: [f64; 5],
    place: CUdeviceptr,
}

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for HostNumbers {}

impl HostNumbers {
    pub(in crate::checked) fn of<const N: usize>(numbers: [f64; N]) -> Self {
        let mut value = [0.0; 5];
        value.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        Self { value, place: 0 }
    }
}

// SAFETY: six words.
unsafe impl Argument for HostNumbers {
    fn extract(&mut self, numbers: &mut Vec<u64>) -> Option<usize> {
        self.place = 8 * numbers.len() as CUdeviceptr;
        numbers.extend(std::mem::take(&mut self.value).map(f64::to_bits));
        Some(offset_of!(Self, place))
    }
}

/// `struct Seed` of the kernels, likewise.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(in crate::checked) struct Seed {
    pub(in crate::checked) value: u64,
    place: CUdeviceptr,
}

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for Seed {}

impl Seed {
    pub(in crate::checked) fn of(value: u64) -> Self {
        Self { value, place: 0 }
    }
}

// SAFETY: two words.
unsafe impl Argument for Seed {
    fn extract(&mut self, numbers: &mut Vec<u64>) -> Option<usize> {
        self.place = 8 * numbers.len() as CUdeviceptr;
        numbers.push(std::mem::take(&mut self.value));
        Some(offset_of!(Self, place))
    }
}

// SAFETY: its fields follow each other without padding, as its test of the layout says.
unsafe impl Argument for Coefficients {
    fn extract(&mut self, numbers: &mut Vec<u64>) -> Option<usize> {
        self.numbers = 8 * numbers.len() as CUdeviceptr;
        numbers.extend(self.take_numbers().map(f64::to_bits));
        Some(offset_of!(Self, numbers))
    }
}
