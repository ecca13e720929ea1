//! A row-major matrix in device memory, as kernels and products see it.

use cudarc::driver::DeviceRepr;
use cudarc::driver::sys::CUdeviceptr;

/// How the entries of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As the backend's element type.
    #[default]
    Element,
    /// As bf16: widened where it is read, rounded once, to nearest, where it is written. For weights and gradients
    /// of an `f32` backend, and the iterates of [`Precision::Bf16`](crate::Precision::Bf16). Both operands of a cuBLAS product have one
    /// storage.
    Bf16,
    /// As fp16, likewise; beyond 65504 infinite.
    Fp16,
}

impl Storage {
    /// Bytes of a number where the element type has `width`.
    pub(crate) fn bytes(self, width: usize) -> usize {
        if self == Self::Element { width } else { 2 }
    }
}

/// Where a matrix lies. Whoever makes one promises that the memory is live while work that was queued with it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) pointer: CUdeviceptr,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) ld: usize,
    pub(crate) storage: Storage,
    /// 1, or the parts of a stack: `pointer` is then the place of a table of their places.
    pub(crate) count: usize,
}

impl Region {
    /// For an operand that a kernel does not use.
    pub(super) const NONE: Self =
        Self { pointer: 0, rows: 0, cols: 0, ld: 0, storage: Storage::Element, count: 1 };

    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Whether the rows follow each other without gaps.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.ld == self.cols || self.rows <= 1
    }

    /// How many elements the memory must hold.
    pub(crate) fn extent(rows: usize, cols: usize, ld: usize) -> Option<usize> {
        if rows == 0 || cols == 0 {
            return Some(0);
        }
        (rows - 1).checked_mul(ld)?.checked_add(cols)
    }

    pub(super) fn view(&self) -> View {
        let pointers = if self.count > 1 { self.count as i32 } else { 0 };
        View { data: self.pointer, ld: self.ld as i64, storage: self.storage as i32, pointers }
    }

    /// Bytes of the entries of all parts, for an element type of `width` bytes.
    pub(crate) fn bytes(&self, width: usize) -> usize {
        self.count * self.rows * self.cols * self.storage.bytes(width)
    }
}

/// `struct View` of the kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    data: CUdeviceptr,
    ld: i64,
    storage: i32,
    pointers: i32,
}

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for View {}
// SAFETY: it has no padding.
unsafe impl super::script::Argument for View {}
