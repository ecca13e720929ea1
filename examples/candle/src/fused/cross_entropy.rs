use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::exponential::exp;
use super::{numbers, shaped_as};

/// Mean over the rows of `log(sum exp(logits)) - logit of the target`.
struct CrossEntropy {
    targets: Vec<u32>,
    /// Softmax of every row, kept for the derivative.
    probabilities: OnceLock<Vec<f32>>,
}

/// Mean cross entropy of rows of logits, in nats; `targets` has the right column of each row.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (rows, columns) = logits.dims2()?;
    if rows != targets.len() || targets.iter().any(|&target| target as usize >= columns) {
        candle_core::bail!("the targets do not fit {rows} x {columns} logits");
    }
    logits.apply_op1(CrossEntropy { targets: targets.to_vec(), probabilities: OnceLock::new() })
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let logits = numbers(logits, layout)?;
        let mut probabilities = vec![0.0; logits.len()];
        let losses: Vec<f64> =
            (probabilities.par_chunks_mut(columns), logits.par_chunks(columns), self.targets.par_iter())
                .into_par_iter()
                .map(|(probabilities, logits, &target)| {
                    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    probabilities.iter_mut().zip(logits).for_each(|(p, logit)| *p = exp(logit - highest));
                    let sum = probabilities.iter().sum::<f32>();
                    probabilities.iter_mut().for_each(|p| *p /= sum);
                    f64::from(sum.ln() + highest - logits[target as usize])
                })
                .collect();
        // A second forward pass of the same operation would give the same probabilities.
        let _ = self.probabilities.set(probabilities);
        let mean = losses.iter().sum::<f64>() / rows as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    /// `(softmax - 1 at the target) / rows`.
    fn bwd(&self, logits: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let (rows, columns) = logits.dims2()?;
        let scale = dloss.to_scalar::<f32>()? / rows as f32;
        let Some(probabilities) = self.probabilities.get() else {
            candle_core::bail!("cross-entropy: backward before forward")
        };
        let mut derivative = probabilities.clone();
        for (row, &target) in derivative.chunks_mut(columns).zip(&self.targets) {
            row[target as usize] -= 1.0;
            row.iter_mut().for_each(|entry| *entry *= scale);
        }
        shaped_as(logits, derivative).map(Some)
    }
}
