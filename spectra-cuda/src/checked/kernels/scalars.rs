//! Numbers by themselves: `kernels/scalars.cu`.

use super::launch;
use crate::checked::launch::{config, each};
use crate::checked::{Coefficients, Device, Region};
use crate::error::{At, CudaError};
use crate::raw::Place;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::Result;

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
}
