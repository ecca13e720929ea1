//! Memory of a call, and what lies in it.

use super::Nccl;
use crate::backend::CudaElement;
use crate::checked::{Buffer, Coefficients, Elementwise, Region, Storage};
use crate::error::At;
use crate::raw::nccl::Message;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::nccl::sys::ncclDataType_t as DataType;
use spectra_core::backend::Result;

/// Places in the scratch memory of a call, one after the other.
#[derive(Debug, Default)]
pub(super) struct Layout(usize);

impl Layout {
    /// The offset of so many bytes, aligned as NCCL likes it.
    pub(super) fn take(&mut self, bytes: usize) -> usize {
        let at = self.0;
        self.0 += bytes.next_multiple_of(16);
        at
    }
}

impl<E: CudaElement> Nccl<E> {
    /// Scratch memory of that layout, which the next call gets again.
    pub(super) fn scratch(&mut self, operation: &'static str, layout: &Layout) -> Result<CUdeviceptr> {
        if !self.scratch.as_ref().is_some_and(|scratch| scratch.holds(layout.0)) {
            self.scratch = None; // freed before the larger one is made
            self.scratch = Some(self.device.allocate::<u8>(layout.0).at(operation)?);
        }
        Ok(self.scratch.as_ref().map_or(0, Buffer::pointer))
    }

    /// `count` elements at `pointer`.
    pub(super) fn elements(pointer: CUdeviceptr, count: usize) -> Message {
        let kind = if E::BYTES == 8 { DataType::ncclFloat64 } else { DataType::ncclFloat32 };
        Message { pointer, count, kind }
    }

    pub(super) fn doubles(pointer: CUdeviceptr, count: usize) -> Message {
        Message { pointer, count, kind: DataType::ncclFloat64 }
    }

    pub(super) fn bytes(pointer: CUdeviceptr, count: usize) -> Message {
        Message { pointer, count, kind: DataType::ncclUint8 }
    }

    /// A matrix without gaps, in the element type.
    pub(super) fn packed(pointer: CUdeviceptr, (rows, cols): (usize, usize)) -> Region {
        Region { pointer, rows, cols, ld: cols, storage: Storage::Element, count: 1 }
    }

    pub(super) fn copy(&self, out: Region, x: Region) -> Result<()> {
        let once = Coefficients::of([0.0, 1.0, 1.0, 1.0]);
        self.device.elementwise(Elementwise::Scale, out, false, &once, x, None, 0.0)
    }
}
