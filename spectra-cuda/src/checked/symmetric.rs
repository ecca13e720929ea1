//! Symmetric products: the triangle that is needed, and its mirror image.

use super::products::{Products, int, operand};
use super::{Coefficients, Device, Region, Storage};
use crate::error::{At, CudaError};
use crate::raw::blas::{Form, Operand, Product};
use spectra_core::backend::{Op, Result, check_gemm, check_shape};
use std::sync::atomic::Ordering::Relaxed;

/// From this order on half the flops of a triangle are worth a second launch to mirror it.
const TRIANGLE: usize = 512;

/// The order from which on a block of a triangle is worth being one, unless set: smaller ones leave tensor cores idle.
pub(super) const LEAST_BLOCK: usize = 512;

/// Blocks along a side. With fewer, the tiles (128 x 128) of the triangle's blocks need as many rounds on an H200's 132
/// multiprocessors as the square's: at 2048 160 and 256 of them, two rounds either way. Reckoned, not measured.
const LEAST_SIDE: usize = 6;

/// The most of them.
const MOST_SIDE: usize = 32;

/// The most along a side of each matrix of a stack in full precision: `(1 + 1/8) / 2` of the flops.
const STACKED_SIDE: usize = 8;

/// The least order of their blocks.
const STACKED_BLOCK: usize = 128;

/// Pointers that a product may need: as one of the most blocks, or as 256 matrices of seven along a side.
pub(super) const POINTERS: usize = 3 * 256 * triangle(7);

/// Blocks on and above the diagonal.
const fn triangle(side: usize) -> usize {
    side * (side + 1) / 2
}

/// Into how many equal blocks of at least `least` a side is cut, the most that there may be; none if they are too few, or not
/// of a multiple of 8, as tensor cores want them.
fn side(order: usize, least: usize) -> Option<usize> {
    let most = (order / least.max(8)).min(MOST_SIDE);
    (LEAST_SIDE..=most).rev().find(|side| order.is_multiple_of(8 * side))
}

/// Into how many equal blocks a side of each of `count` matrices in full precision is cut, so that one call computes them all: cuBLAS has no
/// batch of triangles. None of a single matrix, or where they cannot be cut.
fn stacked_side(order: usize, count: usize) -> Option<usize> {
    let fits = |side: &usize| 3 * triangle(*side) * count <= POINTERS && order.is_multiple_of(8 * side);
    let most = (order / STACKED_BLOCK).min(STACKED_SIDE);
    if count > 1 { (2..=most).rev().find(fits) } else { None }
}

/// How the half of a symmetric product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// In full precision, by `syrk` and `syrkx`.
    Triangle,
    /// In a reduced one, which those do not have, and of stacks, of which they have no batch, by the blocks on and above the diagonal, so many along a side, all in one batch:
    /// `(1 + 1/g) / 2` of the flops for g of them.
    Blocks(usize),
}

impl Half {
    /// Whether one call computes all parts of a stack.
    pub(crate) fn is_for_all(self, out: Region) -> bool {
        match self {
            Self::Triangle => out.count == 1,
            Self::Blocks(side) => 3 * triangle(side) * out.count <= POINTERS,
        }
    }
}

impl Device {
    /// How much is saved of `op(A) op(B)` where the caller knows that the result is symmetric, and that A and B are if both ops are
    /// the same; nothing of a small order.
    pub(crate) fn half(
        &self,
        out: Region,
        (a, op_a): (Region, Op),
        (b, op_b): (Region, Op),
    ) -> Result<Option<Half>> {
        const NAME: &str = "gemm_symmetric";
        let inner = check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)?;
        check_shape(NAME, (out.rows, out.rows), out.shape())?;
        self.products.kinds(NAME, out, a, b)?;
        let full = matches!(self.products, Products::F32 | Products::F64) && a.storage == Storage::Element;
        Ok(match full {
            _ if inner == 0 => None,
            true if out.rows < TRIANGLE => None,
            true => Some(stacked_side(out.rows, out.count).map_or(Half::Triangle, Half::Blocks)),
            false => side(out.rows, self.least_block.load(Relaxed)).map(Half::Blocks),
        })
    }

    /// `out = beta out + alpha op(A) op(B)` on and above the diagonal, in the way that [`half`](Self::half) said, for
    /// [`mirror`](Self::mirror); of a stack if [that way is for all](Half::is_for_all).
    pub(crate) fn triangle(
        &self,
        half: Half,
        out: Region,
        keep: bool,
        c: &Coefficients,
        a: (Region, Op),
        b: (Region, Op),
    ) -> Result<()> {
        const NAME: &str = "gemm_symmetric";
        let inner = check_gemm(out.shape(), a.0.shape(), a.1, b.0.shape(), b.1)?;
        if (a.0.count, b.0.count) != (out.count, out.count) || c.differ() || !half.is_for_all(out) {
            self.refuse_stacks(NAME, [out, a.0, b.0])?;
        }
        match half {
            Half::Triangle => self.by_triangle(out, keep, c, a, b.0, inner).at(NAME),
            Half::Blocks(side) => self.by_blocks(out, keep, c, (a, b), (side, inner)),
        }
    }

    fn by_blocks(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        ((a, op_a), (b, op_b)): ((Region, Op), (Region, Op)),
        (side, inner): (usize, usize),
    ) -> Result<()> {
        const NAME: &str = "gemm_symmetric";
        let kinds = self.products.kinds(NAME, out, a, b)?;
        let block = out.rows / side;
        let (m, k) = (int(block).at(NAME)?, int(inner).at(NAME)?);
        let (a_at, b_at) = (operand(a, op_a).at(NAME)?, operand(b, op_b).at(NAME)?);
        let ld = int(out.ld).at(NAME)?;
        let count = out.count * triangle(side);
        let form = Form::Batch(int(count).at(NAME)?);
        // SAFETY: the kernel queued before leaves pointers to blocks of the regions, whose shapes were checked; those of the result
        // are apart, and the table holds so many.
        let done = unsafe {
            self.multiply(keep, c, |multiplier| {
                let table = multiplier.pointers.pointer();
                self.block_pointers(table, (out, a, op_a, b, op_b), (block, side))?;
                let list = |i: usize| table + (8 * i * count) as u64;
                let (a, b) = (Operand { pointer: list(0), ..a_at }, Operand { pointer: list(1), ..b_at });
                Ok(Product { kinds, sizes: (m, m, k), a, b, c: (list(2), ld), form })
            })
        };
        done.at(NAME)?;
        // The other blocks of the result are not touched.
        let written = Region { rows: count, cols: block * block, count: 1, ..out };
        self.count_product(2 * count * block * block * inner, written, keep, (a, b));
        Ok(())
    }

    fn by_triangle(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (Region, Op),
        b: Region,
        inner: usize,
    ) -> std::result::Result<(), CudaError> {
        // `op_a(A) op_a(B)^T`: of equal ops B is symmetric.
        let (n, k) = (int(out.rows)?, int(inner)?);
        let kinds = self.products.full_kinds();
        let (a_at, b_at, c_at) = (operand(a, op_a)?, operand(b, op_a)?, (out.pointer, int(out.ld)?));
        let product = Product { kinds, sizes: (n, n, k), a: a_at, b: b_at, c: c_at, form: Form::Triangle };
        // SAFETY: regions are live and of this device's element type; shapes were checked.
        unsafe { self.multiply(keep, c, |_| Ok(product)) }?;
        self.count_product(out.rows * (out.rows + 1) * inner, out, keep, (a, b));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_cut_into_equal_blocks() {
        // d_model and d_ff of common models, by the default.
        for (order, expected) in [
            (768, None),
            (2048, None),
            (3072, Some(6)),
            (3584, Some(7)),
            (4096, Some(8)),
            (5120, Some(10)),
            (11008, Some(16)),
            (4099, None),
        ] {
            assert_eq!(side(order, LEAST_BLOCK), expected, "{order}");
        }
        // Of stacks in full precision; a prime times 8 cannot be cut, and 256 matrices have no room for eight along a side.
        for (order, count, expected) in
            [(512, 2, Some(4)), (1024, 28, Some(8)), (520, 2, None), (1024, 256, Some(4)), (1024, 1, None)]
        {
            assert_eq!(stacked_side(order, count), expected, "{order}, {count}");
        }
        assert_eq!((side(48, 8), side(56, 8), side(1 << 20, 512)), (Some(6), Some(7), Some(32)));
    }
}
