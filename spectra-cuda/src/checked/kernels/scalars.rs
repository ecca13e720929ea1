//! Numbers by themselves: `kernels/scalars.cu`.

use super::launch;
use crate::checked::launch::{config, each};
use crate::checked::{Coefficients, Device, Region};
use crate::error::{At, CudaError};
use crate::raw::Place;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Op, Result};

impl Device {
    /// `*place = ` coefficient 0; of a stack of `count` one number after the other.
    pub(crate) fn scalar_evaluate(&self, place: CUdeviceptr, c: &Coefficients, count: usize) -> Result<()> {
        let config = each(config((1, 1)), Region { count, ..Region::NONE });
        launch!(self, &self.kernels.scalar_evaluate, config, (place, *c)).at("scalar")
    }

    /// Coefficients 0 and 1 as elements, one after the other, for the product that is queued next.
    pub(in crate::checked) fn scalar_pair(
        &self,
        place: &Place<'_>,
        c: &Coefficients,
    ) -> std::result::Result<(), CudaError> {
        launch!(self, &self.kernels.scalar_pair, config((1, 1)), (place.pointer(), *c))
    }

    /// The pointers to the blocks on and above the diagonal of `out = op(A) op(B)`, `side` times `side` of order `block`: a list for A, one
    /// for B, one for `out`.
    pub(in crate::checked) fn block_pointers(
        &self,
        table: CUdeviceptr,
        (out, a, op_a, b, op_b): (Region, Region, Op, Region, Op),
        (block, side): (usize, usize),
    ) -> std::result::Result<(), CudaError> {
        let width = self.products().width();
        let rows = |region: Region| (block * region.ld * region.storage.bytes(width)) as i64;
        let cols = |region: Region| (block * region.storage.bytes(width)) as i64;
        let a_step = if op_a == Op::Plain { rows(a) } else { cols(a) };
        let b_step = if op_b == Op::Plain { cols(b) } else { rows(b) };
        let (down, right, side) = (rows(out), cols(out), side as i32);
        let kernel = &self.kernels.block_pointers;
        let starts = (a.pointer, b.pointer, out.pointer);
        let (config, parts) = (each(config((1, 1)), out), out.count as i32);
        launch!(
            self,
            kernel,
            config,
            (table, starts.0, starts.1, starts.2, a_step, b_step, down, right, side, parts)
        )
    }
}
