//! Numbers by themselves: `kernels/scalars.cu`.

use super::launch;
use crate::checked::launch::config;
use crate::checked::{Coefficients, Device};
use crate::error::At;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::Result;

impl Device {
    /// `*place = ` coefficient 0.
    pub(crate) fn scalar_evaluate(&self, place: CUdeviceptr, c: &Coefficients) -> Result<()> {
        launch!(self, &self.kernels.scalar_evaluate, config((1, 1)), (place, *c)).at("scalar")
    }

    /// Coefficients 0 and 1 as elements, for the product that is queued next.
    pub(in crate::checked) fn scalar_pair(&self, c: &Coefficients) -> Result<(CUdeviceptr, CUdeviceptr)> {
        // Beyond the partial results of any launch that is queued in between: there is none.
        let place = self.partials.pointer();
        launch!(self, &self.kernels.scalar_pair, config((1, 1)), (place, *c)).at("gemm")?;
        Ok((place, place + self.products().width() as u64))
    }
}
