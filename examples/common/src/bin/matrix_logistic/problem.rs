//! Matrix logistic regression: `f(X) = (1 / N) sum_i log(1 + exp(-y_i a_i^T X b_i))`.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::frank_wolfe::Objective;

pub(crate) type M = FaerMatrix<f64>;

/// Rows and columns of X.
pub(crate) const SHAPE: (usize, usize) = (20, 20);

/// Samples and their matrices, with working memory.
pub(crate) struct Logistic {
    a: M,
    b: M,
    /// The same on the host.
    rows: (Vec<f64>, Vec<f64>),
    labels: Vec<f64>,
    ax: M,
    ones: M,
    margins: M,
    margin: Vec<f64>,
}

impl Logistic {
    fn new(count: usize, weights: &[f64], flip: f64, rng: &mut StdRng) -> Result<Self> {
        let (m, n) = SHAPE;
        let backend = Faer::new();
        let a: Vec<f64> = (0..count * m).map(|_| StandardNormal.sample(rng)).collect();
        let b: Vec<f64> = (0..count * n).map(|_| StandardNormal.sample(rng)).collect();
        let labels = (0..count)
            .map(|s| {
                let (a, b) = (&a[s * m..(s + 1) * m], &b[s * n..(s + 1) * n]);
                let score: f64 =
                    (0..m).map(|i| (0..n).map(|j| a[i] * weights[i * n + j] * b[j]).sum::<f64>()).sum();
                let wrong = rng.random::<f64>() < flip;
                if (score > 0.0) != wrong { 1.0 } else { -1.0 }
            })
            .collect();
        Ok(Self {
            a: backend.upload(count, m, &a)?,
            b: backend.upload(count, n, &b)?,
            rows: (a, b),
            labels,
            ax: backend.zeros(count, n, None)?,
            ones: backend.upload(n, 1, &vec![1.0; n])?,
            margins: backend.zeros(count, 1, None)?,
            margin: vec![0.0; count],
        })
    }

    /// A training and a test set whose labels come from one random matrix; a tenth of each is flipped. Fewer
    /// training samples than the 400 entries of X, so that the noise can be learned by heart.
    pub(crate) fn train_and_test(seed: u64) -> Result<(Self, Self)> {
        let rng = &mut StdRng::seed_from_u64(seed);
        let weights: Vec<f64> = (0..SHAPE.0 * SHAPE.1).map(|_| StandardNormal.sample(rng)).collect();
        Ok((Self::new(300, &weights, 0.1, rng)?, Self::new(2000, &weights, 0.1, rng)?))
    }

    /// `z_i = y_i a_i^T X b_i` into `margin`.
    fn score(&mut self, x: &M) -> Result<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        self.ax.gemm(zero, one, &self.a, Op::Plain, x, Op::Plain)?;
        let mut products = Faer::new().zeros(self.ax.shape().0, self.ax.shape().1, None)?;
        products.product_add(zero, one, &self.ax, &self.b)?;
        self.margins.gemm(zero, one, &products, Op::Plain, &self.ones, Op::Plain)?;
        self.margins.read(&mut self.margin)?;
        self.margin.iter_mut().zip(&self.labels).for_each(|(z, y)| *z *= y);
        Ok(())
    }

    /// How many samples there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The mean gradient of these samples, `-(1 / B) sum_s y_s s(-z_s) a_s b_s^T`.
    pub(crate) fn sampled_gradient(&self, x: &M, samples: &[usize], gradient: &mut M) -> Result<()> {
        let (m, n) = SHAPE;
        let (weights, share) = (&mut vec![0.0; m * n], 1.0 / samples.len() as f64);
        x.read(weights)?;
        let mut sum = vec![0.0; m * n];
        for &s in samples {
            let (a, b) = (&self.rows.0[s * m..(s + 1) * m], &self.rows.1[s * n..(s + 1) * n]);
            let of_row = |i: usize| (0..n).map(|j| weights[i * n + j] * b[j]).sum::<f64>();
            let y = self.labels[s];
            let z = y * (0..m).map(|i| a[i] * of_row(i)).sum::<f64>();
            let slope = -y * share / (1.0 + z.exp());
            for (row, a) in sum.chunks_mut(n).zip(a) {
                row.iter_mut().zip(b).for_each(|(sum, b)| *sum += slope * a * b);
            }
        }
        gradient.write(&sum)
    }

    /// f(X).
    pub(crate) fn loss(&mut self, x: &M) -> Result<f64> {
        self.score(x)?;
        // log(1 + e^-z) without overflow.
        let sum: f64 = self.margin.iter().map(|z| (-z.abs()).exp().ln_1p() + (-z).max(0.0)).sum();
        Ok(sum / self.margin.len() as f64)
    }
}

impl Objective<Faer<f64>> for Logistic {
    fn gradient(&mut self, x: &M, gradient: &mut M) -> Result<()> {
        self.score(x)?;
        let count = self.margin.len() as f64;
        // -(1 / N) sum_i y_i s(-z_i) a_i b_i^T = A^T (s 1^T o B)
        let slopes: Vec<f64> =
            self.margin.iter().zip(&self.labels).map(|(z, y)| -y / (1.0 + z.exp()) / count).collect();
        self.margins.write(&slopes)?;
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let mut weighted = Faer::new().zeros(self.b.shape().0, self.b.shape().1, None)?;
        self.ax.gemm(zero, one, &self.margins, Op::Plain, &self.ones, Op::Transposed)?;
        weighted.product_add(zero, one, &self.ax, &self.b)?;
        gradient.gemm(zero, one, &self.a, Op::Transposed, &weighted, Op::Plain)
    }

    fn value(&mut self, x: &M) -> Result<Option<f64>> {
        self.loss(x).map(Some)
    }
}
