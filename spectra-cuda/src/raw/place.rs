//! Device memory that is lent.

use cudarc::driver::DeviceRepr;
use cudarc::driver::sys::CUdeviceptr;
use std::marker::PhantomData;

/// Where device memory lies that somebody else may get when `'a` is over: for what is queued before.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Place<'a>(CUdeviceptr, PhantomData<&'a ()>);

// SAFETY: a device pointer and nothing else.
unsafe impl DeviceRepr for Place<'_> {}

impl Place<'_> {
    /// For whoever lends memory, to bind its pointer to that time.
    pub(crate) fn new(pointer: CUdeviceptr) -> Self {
        Self(pointer, PhantomData)
    }

    /// The place `bytes` further on.
    pub(crate) fn after(&self, bytes: usize) -> Self {
        Self::new(self.0 + bytes as u64)
    }

    pub(crate) fn pointer(&self) -> CUdeviceptr {
        self.0
    }
}
