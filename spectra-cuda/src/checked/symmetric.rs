//! Symmetric products: the triangle that is needed, and its mirror image.

use super::products::{Products, int, operand};
use super::{Coefficients, Device, Region, Storage};
use crate::error::{At, CudaError};
use crate::raw::blas::Operand;
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

/// Pointers that a product may need.
pub(super) const POINTERS: usize = 3 * triangle(MOST_SIDE);

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

impl Device {
    /// `out = beta out + alpha op(A) op(B)` where the caller knows that the result is symmetric, and that A and B are if both ops are
    /// the same: of a large order as a triangle that is mirrored.
    ///
    /// In full precision by `syrk` and `syrkx`. In a reduced one, which those do not have, by the blocks on and above the diagonal, all in one
    /// batch: `(1 + 1/g) / 2` of the flops for g of them along a side.
    pub(crate) fn gemm_symmetric(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (Region, Op),
        (b, op_b): (Region, Op),
    ) -> Result<()> {
        const NAME: &str = "gemm_symmetric";
        let inner = check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)?;
        check_shape(NAME, (out.rows, out.rows), out.shape())?;
        let kinds = self.products.kinds(NAME, out, a, b)?;
        let full = matches!(self.products, Products::F32 | Products::F64) && a.storage == Storage::Element;
        let blocks = side(out.rows, self.least_block.load(Relaxed));
        match blocks {
            _ if inner == 0 => {}
            _ if full && out.rows >= TRIANGLE => {
                self.triangle(out, keep, c, (a, op_a), b, inner).at(NAME)?;
                return self.mirror(out);
            }
            Some(side) if !full => {
                let block = out.rows / side;
                let (m, k) = (int(block).at(NAME)?, int(inner).at(NAME)?);
                let (a_at, b_at) = (operand(a, op_a).at(NAME)?, operand(b, op_b).at(NAME)?);
                let ld = int(out.ld).at(NAME)?;
                let count = triangle(side);
                self.multiply(keep, c, |multiplier, factors| {
                    let table = multiplier.pointers.pointer();
                    self.block_pointers(table, (out, a, op_a, b, op_b), (block, side))?;
                    let list = |i: usize| table + (8 * i * count) as u64;
                    let (a_list, b_list) =
                        (Operand { pointer: list(0), ..a_at }, Operand { pointer: list(1), ..b_at });
                    // SAFETY: the kernel queued before leaves pointers to blocks of the regions, whose shapes were checked; those of the result
                    // are apart, and the table holds the most that there are.
                    unsafe {
                        let place = (list(2), ld);
                        multiplier.blas.gemm_batch(
                            kinds,
                            (m, m, k),
                            count as i32,
                            factors,
                            a_list,
                            b_list,
                            place,
                        )
                    }
                })
                .at(NAME)?;
                // The other blocks of the result are not touched.
                let written = Region { rows: count, cols: block * block, ..out };
                self.count_product(2 * count * block * block * inner, written, keep, (a, b));
                return self.mirror(out);
            }
            _ => {}
        }
        self.gemm(self.products, out, keep, c, (a, op_a), (b, op_b))
    }

    /// The triangle on and above the diagonal.
    fn triangle(
        &self,
        out: Region,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (Region, Op),
        b: Region,
        inner: usize,
    ) -> std::result::Result<(), CudaError> {
        // `op_a(A) op_a(B)^T`: of equal ops B is symmetric.
        let (sizes, a_at) = ((int(out.rows)?, int(inner)?), operand(a, op_a)?);
        let (b_ld, place) = (int(b.ld.max(1))?, (out.pointer, int(out.ld)?));
        let double = self.products.is_double();
        self.multiply(keep, c, |multiplier, factors| {
            // SAFETY: regions are live and of this device's element type; shapes were checked.
            unsafe { multiplier.blas.syrkx(double, sizes, factors, a_at, b.pointer, b_ld, place) }
        })?;
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
        assert_eq!((side(48, 8), side(56, 8), side(1 << 20, 512)), (Some(6), Some(7), Some(32)));
    }
}
