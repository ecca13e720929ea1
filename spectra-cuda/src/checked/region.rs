//! A row-major matrix in device memory, as kernels and products see it.

use cudarc::driver::DeviceRepr;
use cudarc::driver::sys::CUdeviceptr;

/// Where a matrix lies. Whoever makes one promises that the memory is live while work that was queued with it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) pointer: CUdeviceptr,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) ld: usize,
    /// bf16 storage instead of the element type's.
    pub(crate) bf16: bool,
    /// 1, or the parts of a stack: `pointer` is then the place of a table of their places.
    pub(crate) count: usize,
}

impl Region {
    /// For an operand that a kernel does not use.
    pub(super) const NONE: Self = Self { pointer: 0, rows: 0, cols: 0, ld: 0, bf16: false, count: 1 };

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
        View {
            data: self.pointer,
            ld: self.ld as i64,
            bf16: i32::from(self.bf16),
            pointers: if self.count > 1 { self.count as i32 } else { 0 },
        }
    }

    /// Bytes of the entries of all parts, for an element type of `width` bytes.
    pub(crate) fn bytes(&self, width: usize) -> usize {
        self.count * self.rows * self.cols * if self.bf16 { 2 } else { width }
    }
}

/// `struct View` of the kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    data: CUdeviceptr,
    ld: i64,
    bf16: i32,
    pointers: i32,
}

// SAFETY: plain numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for View {}
