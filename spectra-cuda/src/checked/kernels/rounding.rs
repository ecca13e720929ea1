//! Rounding at random: `kernels/rounding.cu`.

use super::launch;
use crate::checked::launch::{config, grid};
use crate::checked::script::Seed;
use crate::checked::{Device, Region};
use crate::error::At;
use spectra_core::backend::Result;
use spectra_core::linalg::SixteenBits;

impl Device {
    /// Every entry to one of the two numbers of `format` next to it.
    pub(crate) fn round_stochastic(&self, x: Region, format: SixteenBits, seed: u64) -> Result<()> {
        if x.is_empty() {
            return Ok(());
        }
        // Each block has draws of its own.
        self.refuse_stacks("round_stochastic", [x])?;
        let ((rows, cols), (precision, smallest, largest)) = (x.shape(), format.form());
        let (m, n) = (rows as i64, cols as i64);
        let kernel = &self.kernels.round_stochastic;
        let grid = grid(1, rows * cols);
        launch!(self, kernel, config(grid), (x.view(), m, n, Seed::of(seed), precision, smallest, largest))
            .at("round_stochastic")?;
        self.count_bytes(&[x], &[x]);
        Ok(())
    }
}
