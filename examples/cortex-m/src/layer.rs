//! The layer: class scores `W x + b` of an image x, and the cross-entropy of their softmax.

use crate::data::{CLASSES, Image, MEANS, PIXELS};
use spectra_core::dense::DenseMatrix;
use spectra_core::optimizer::Checksum;

/// What is trained: W, 10 x 64, and b, 1 x 10. A gradient has the same form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) weights: DenseMatrix<f32>,
    pub(crate) bias: DenseMatrix<f32>,
}

impl Layer {
    /// All zero.
    pub(crate) fn zeros() -> Self {
        Self {
            weights: DenseMatrix::from_fn(CLASSES, PIXELS, |_, _| 0.0),
            bias: DenseMatrix::from_fn(1, CLASSES, |_, _| 0.0),
        }
    }

    /// What was learned of other writers, the nearest mean: `-||x - m||^2 / 2 = m x - ||m||^2 / 2` but for what all classes share.
    pub(crate) fn pretrained() -> Self {
        let mean = |class: usize, pixel: usize| f32::from(MEANS[class][pixel]) / 4096.0;
        let square = |class| (0..PIXELS).map(|pixel| mean(class, pixel) * mean(class, pixel)).sum::<f32>();
        Self {
            weights: DenseMatrix::from_fn(CLASSES, PIXELS, mean),
            bias: DenseMatrix::from_fn(1, CLASSES, |_, class| -0.5 * square(class)),
        }
    }

    /// The probabilities of the classes.
    fn probabilities(&self, (_, pixels): &Image) -> [f32; CLASSES] {
        let mut scores = [0.0; CLASSES];
        for ((score, row), bias) in
            scores.iter_mut().zip(self.weights.values().chunks_exact(PIXELS)).zip(self.bias.values())
        {
            *score = row.iter().zip(pixels).fold(*bias, |sum, (w, pixel)| sum + w * value(*pixel));
        }
        let largest = scores.iter().fold(f32::MIN, |largest, score| largest.max(*score));
        let exponentials = scores.map(|score| libm::expf(score - largest));
        let sum: f32 = exponentials.iter().sum();
        exponentials.map(|exponential| exponential / sum)
    }

    /// The mean cross-entropy, with its gradient.
    pub(crate) fn loss(&self, images: &[Image], gradient: &mut Self) -> f32 {
        gradient.weights.values_mut().fill(0.0);
        gradient.bias.values_mut().fill(0.0);
        let (mut loss, count) = (0.0, images.len() as f32);
        for image @ (class, pixels) in images {
            let mut errors = self.probabilities(image);
            // Smaller probabilities than any normal number cost as much as that.
            loss -= libm::logf(errors[usize::from(*class)].max(f32::MIN_POSITIVE));
            errors[usize::from(*class)] -= 1.0;
            let rows = gradient.weights.values_mut().chunks_exact_mut(PIXELS);
            for ((row, bias), error) in rows.zip(gradient.bias.values_mut()).zip(errors) {
                *bias += error / count;
                row.iter_mut().zip(pixels).for_each(|(g, pixel)| *g += error / count * value(*pixel));
            }
        }
        loss / count
    }

    /// How many images are taken for what they are.
    pub(crate) fn right(&self, images: &[Image]) -> usize {
        let found = |image: &&Image| {
            let all = self.probabilities(image);
            all.iter().all(|probability| *probability <= all[usize::from(image.0)])
        };
        images.iter().filter(found).count()
    }

    /// A sum over the bits of all weights.
    pub(crate) fn checksum(&self) -> u64 {
        let mut sum = Checksum::new();
        sum.values(self.weights.values());
        sum.values(self.bias.values());
        sum.finish()
    }
}

fn value(pixel: u8) -> f32 {
    f32::from(pixel) / 16.0
}
