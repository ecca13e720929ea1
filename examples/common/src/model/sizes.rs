use serde::{Deserialize, Serialize};

use crate::Failure;

/// Distinct byte values.
pub const VOCABULARY: usize = 256;
/// Added to the mean square before its root is taken.
pub const NORM_EPSILON: f64 = 1e-5;
/// The base of the rotary frequencies.
pub const ROTARY_BASE: f64 = 10_000.0;

/// Everything that fixes the shapes of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSizes {
    /// Decoder blocks.
    pub layers: usize,
    /// Features of the residual stream.
    pub width: usize,
    /// Features inside the SwiGLU.
    pub hidden: usize,
    /// Attention heads; they divide the width into even parts.
    pub heads: usize,
    /// Longest sequence, in bytes.
    pub context: usize,
}

impl ModelSizes {
    /// Features of one head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Refuses sizes that make no model.
    pub fn check(&self) -> Result<(), Failure> {
        let sizes = [
            ("--layers", self.layers),
            ("--width", self.width),
            ("--hidden", self.hidden),
            ("--heads", self.heads),
            ("--context", self.context),
        ];
        if let Some((flag, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Failure::input(format!("{flag} is 0; pass at least 1")));
        }
        match self.heads.checked_mul(2) {
            Some(least) if self.width.is_multiple_of(least) => Ok(()),
            Some(least) => Err(Failure::input(format!(
                "--width {} does not divide into --heads {} of even width; pass a multiple of {least}",
                self.width, self.heads
            ))),
            None => Err(Failure::input(format!("--heads {} is more than any --width has", self.heads))),
        }
    }
}
