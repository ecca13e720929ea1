//! What has grown since an earlier diagnosis.

use super::findings::usual_rms;
use super::{Diagnoses, Finding, FindingKind, Severity};
use alloc::format;

/// Weights settle where decay and steps are in balance, by less than a factor of two from where they began; a matrix that doubles between two looks
/// is on its way elsewhere.
const GROWN: f64 = 2.0;

/// Gradients vary by a factor of two or three from batch to batch.
const SURGED: f64 = 10.0;

impl Diagnoses {
    /// The same with what has grown since an `earlier` diagnosis of the same model; blocks are found by their names, and one that was not there
    /// then is not compared.
    #[must_use]
    pub fn compared_with(mut self, earlier: &Self) -> Self {
        for block in &mut self.blocks {
            let Some(before) = earlier.block(&block.block).filter(|before| before.shape == block.shape)
            else {
                continue;
            };
            let (now, then) = (&block.figures, &before.figures);
            let since = earlier.steps;
            let weights = now.weight_rms.zip(then.weight_rms).map(|(now, then)| {
                // What begins at zero grows to the usual size.
                (now / then.max(usual_rms(block.shape)), "weights", GROWN, FindingKind::WeightGrowth)
            });
            let gradient = now.gradient_rms.zip(then.gradient_rms.filter(|rms| *rms > 0.0));
            let gradient =
                gradient.map(|(now, then)| (now / then, "gradient", SURGED, FindingKind::GradientGrowth));
            for (factor, name, limit, kind) in [weights, gradient].into_iter().flatten() {
                if factor >= limit {
                    let what = format!("the {name}: {factor:.1} times as large as at step {since}");
                    block.add(Finding::new(kind, Severity::Warning, factor, what));
                }
            }
        }
        self
    }
}
