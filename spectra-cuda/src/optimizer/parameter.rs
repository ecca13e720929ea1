//! A parameter's buffers, borrowed for one step.

use crate::backend::CudaElement;
use crate::checked::Region;
use crate::checked::Storage;
use crate::error::CudaError;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{
    CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop,
};
use half::bf16;

/// Weights and gradient of one parameter.
#[derive(Debug)]
pub struct Parameter<'a, E> {
    /// What changes.
    pub weights: Target<'a, E>,
    /// What it changes by; `None` leaves weights and state alone.
    pub gradient: Option<Source<'a, E>>,
}

impl<'a, E> Parameter<'a, E> {
    /// Weights (`&mut CudaSlice` or `CudaViewMut`) and gradient (`&CudaSlice` or `CudaView`) of the backend's element type
    /// or, for `f32`, of `bf16`; each may have its own storage.
    pub fn new(weights: impl Into<Target<'a, E>>, gradient: impl Into<Source<'a, E>>) -> Self {
        Self { weights: weights.into(), gradient: Some(gradient.into()) }
    }

    /// A parameter that had no gradient.
    pub fn without_gradient(weights: impl Into<Target<'a, E>>) -> Self {
        Self { weights: weights.into(), gradient: None }
    }
}

/// A buffer to write: row-major, without gaps between rows unless [`strided`](Self::strided).
#[derive(Debug)]
pub struct Target<'a, E> {
    memory: Memory<CudaViewMut<'a, E>, CudaViewMut<'a, bf16>>,
    pub(super) ld: Option<usize>,
}

/// A buffer to read: row-major, without gaps between rows unless [`strided`](Self::strided).
#[derive(Debug)]
pub struct Source<'a, E> {
    memory: Memory<CudaView<'a, E>, CudaView<'a, bf16>>,
    pub(super) ld: Option<usize>,
}

#[derive(Debug)]
enum Memory<E, H> {
    Element(E),
    Bf16(H),
}

macro_rules! conversions {
    ($name:ident, $element:ident => $($slice:ty, $half:ty, $view:path;)+) => {
        $(impl<'a, $element: CudaElement> From<$slice> for $name<'a, $element> {
            fn from(slice: $slice) -> Self {
                Self { memory: Memory::Element($view(slice)), ld: None }
            }
        }

        impl<'a> From<$half> for $name<'a, f32> {
            fn from(slice: $half) -> Self {
                Self { memory: Memory::Bf16($view(slice)), ld: None }
            }
        })+
    };
}

conversions! { Target, E =>
    &'a mut CudaSlice<E>, &'a mut CudaSlice<bf16>, CudaSlice::as_view_mut;
    CudaViewMut<'a, E>, CudaViewMut<'a, bf16>, std::convert::identity;
}
conversions! { Source, E =>
    &'a CudaSlice<E>, &'a CudaSlice<bf16>, CudaSlice::as_view;
    CudaView<'a, E>, CudaView<'a, bf16>, std::convert::identity;
}

/// The methods that both have.
macro_rules! buffer {
    ($name:ident) => {
        impl<E: CudaElement> $name<'_, E> {
            /// With `ld` elements from one row to the next, at least as many as columns.
            #[must_use]
            pub fn strided(self, ld: usize) -> Self {
                Self { ld: Some(ld), ..self }
            }

            pub(super) fn storage(&self) -> Storage {
                match self.memory {
                    Memory::Element(_) => Storage::Element,
                    Memory::Bf16(_) => Storage::Bf16,
                }
            }

            /// An error unless the buffer holds the matrix and work on `stream` can be ordered with its own.
            pub(super) fn check(
                &self,
                stream: &CudaStream,
                (rows, cols): (usize, usize),
            ) -> Result<(), CudaError> {
                let (found, own) = match &self.memory {
                    Memory::Element(slice) => (DeviceSlice::len(slice), slice.stream()),
                    Memory::Bf16(slice) => (DeviceSlice::len(slice), slice.stream()),
                };
                if own.context() != stream.context() {
                    return Err(CudaError::ForeignContext);
                }
                if **own != *stream && !stream.context().is_managing_stream_synchronization() {
                    return Err(CudaError::ForeignStream);
                }
                let ld = self.ld.unwrap_or(cols);
                let too_large = CudaError::TooLarge { what: "a leading dimension", size: ld };
                let needed = Region::extent(rows, cols, ld).ok_or(too_large)?;
                if found < needed {
                    return Err(CudaError::BufferTooSmall { needed, found });
                }
                Ok(())
            }
        }
    };
}

buffer!(Target);
buffer!(Source);

impl<E> Target<'_, E> {
    /// The buffer's place, after all work on it that cudarc knows of; other streams wait for what is queued until the
    /// event is dropped.
    pub(super) fn lend<'s>(&'s mut self, stream: &'s CudaStream) -> (CUdeviceptr, SyncOnDrop<'s>) {
        match &mut self.memory {
            Memory::Element(slice) => slice.device_ptr_mut(stream),
            Memory::Bf16(slice) => slice.device_ptr_mut(stream),
        }
    }
}

impl<E> Source<'_, E> {
    /// As [`Target::lend`].
    pub(super) fn lend<'s>(&'s self, stream: &'s CudaStream) -> (CUdeviceptr, SyncOnDrop<'s>) {
        match &self.memory {
            Memory::Element(slice) => slice.device_ptr(stream),
            Memory::Bf16(slice) => slice.device_ptr(stream),
        }
    }
}
