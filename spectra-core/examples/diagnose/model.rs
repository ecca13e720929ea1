//! A little model of tokens, healthy or sick on purpose, trained on the core's own optimizer.

use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{SixteenBits, uniform};
use spectra_core::optimizer::diagnosis::Diagnoses;
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::rules::Rounding;

const TOKENS: usize = 12;
const WIDTH: usize = 8;
const HIDDEN: usize = 16;
const LAYERS: usize = 2;

const SHAPES: [(&str, [usize; 2]); 6] = [
    ("embed_tokens.weight", [TOKENS, WIDTH]),
    ("layers.0.mlp.up.weight", [HIDDEN, WIDTH]),
    ("layers.0.mlp.down.weight", [WIDTH, HIDDEN]),
    ("layers.1.mlp.up.weight", [HIDDEN, WIDTH]),
    ("layers.1.mlp.down.weight", [WIDTH, HIDDEN]),
    ("lm_head.weight", [TOKENS, WIDTH]),
];

type M = DenseMatrix<f64>;

/// A run: model, optimizer and plan.
#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    optimizer: Optimizer<Dense<f64>>,
    weights: Vec<M>,
    /// How many of the layers the model makes use of.
    layers: usize,
}

/// Its matrices as lists of rows.
type Rows = Vec<Vec<Vec<f64>>>;

impl Run {
    /// As it should be: the default plan, all layers.
    pub(crate) fn healthy() -> Result<Self> {
        let plan = Plan::builder().build(SHAPES)?;
        Self::new(plan, LAYERS, |at, i, j| uniform(at as u64, i, j) / (SHAPES[at].1[1] as f64).sqrt())
    }

    /// The embedding has a spectral rule, the head a hundred times the learning rate, `layers.0.mlp.down` bf16 weights without a master and
    /// hardly a learning rate, a quarter of `layers.0.mlp.up` is dead, and layer 1 is left out of the model.
    pub(crate) fn sick() -> Result<Self> {
        let plan = Plan::builder()
            .rule("embed_tokens.*", Rule::Spectral)
            .group("lm_head.*", |group| group.lr(100.0))
            .group("layers.0.mlp.down.*", |group| group.lr(0.01).round(Rounding::Nearest))
            .build(SHAPES)?;
        let bf16 = |at| (at == 2).then_some(SixteenBits::Bf16);
        let plan = plan.with_rounding(Rounding::Nearest, bf16);
        let mut run = Self::new(plan, 1, |at, i, j| {
            let x = uniform(at as u64, i, j) / (SHAPES[at].1[1] as f64).sqrt();
            match at {
                0 => x.abs(),
                1 if i < HIDDEN / 4 => -x.abs(),
                _ => x,
            }
        })?;
        let mut stored = Dense::new().zeros_stored(SixteenBits::Bf16, (WIDTH, HIDDEN), None)?;
        stored.copy_from(&run.weights[2])?;
        run.weights[2] = stored;
        Ok(run)
    }

    fn new(plan: Plan, layers: usize, init: impl Fn(usize, usize, usize) -> f64) -> Result<Self> {
        let config = Config::preset("spectra")?.lr(0.01).rank_ratio(0.25);
        let optimizer = Optimizer::new(Dense::new(), config, plan.parameters())?;
        let matrix = |(at, (_, [rows, cols])): (usize, &(&str, [usize; 2]))| {
            DenseMatrix::from_fn(*rows, *cols, |i, j| init(at, i, j))
        };
        let weights = SHAPES.iter().enumerate().map(matrix).collect();
        Ok(Self { plan, optimizer, weights, layers })
    }

    /// So many steps; the loss of the last.
    pub(crate) fn train(&mut self, steps: usize) -> Result<f64> {
        let mut loss = f64::NAN;
        for _ in 0..steps {
            let (gradients, now) = self.gradients()?;
            let weights = self.weights.iter_mut().zip(&gradients).enumerate();
            let mut pairs: Vec<_> = weights.filter_map(|(at, (x, g))| Some((at, x, g.as_ref()?))).collect();
            let prepared = self.optimizer.prepare(pairs.iter().map(|(at, _, g)| (*at, *g)))?;
            for (at, x, g) in &mut pairs {
                self.optimizer.update(*at, *x, *g, &prepared)?;
            }
            self.optimizer.finish(prepared);
            loss = now;
        }
        Ok(loss)
    }

    /// What ails it.
    pub(crate) fn diagnose(&mut self) -> Result<Diagnoses> {
        let (gradients, _) = self.gradients()?;
        let given = gradients.iter().enumerate().filter_map(|(at, g)| Some((at, g.as_ref()?)));
        let weights: Vec<_> = self.weights.iter().enumerate().collect();
        self.optimizer.diagnose(&self.plan, given, &weights)
    }

    /// Of the mean cross entropy over all tokens, each of which is to be followed by another; and that.
    fn gradients(&self) -> Result<(Vec<Option<M>>, f64)> {
        let w = self.rows()?;
        let mut d: Rows = w.iter().map(|x| vec![vec![0.0; x[0].len()]; x.len()]).collect();
        let (head, mut loss) = (SHAPES.len() - 1, 0.0);
        for token in 0..TOKENS {
            let mut x = w[0][token].clone();
            let mut seen = Vec::new();
            for layer in 0..self.layers {
                let (up, down) = (&w[1 + 2 * layer], &w[2 + 2 * layer]);
                let h: Vec<f64> = times(up, &x).into_iter().map(|a| a.max(0.0)).collect();
                let out = times(down, &h);
                seen.push((x.clone(), h));
                x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
            }
            let logits = times(&w[head], &x);
            let all: f64 = logits.iter().map(|a| a.exp()).sum();
            let target = (5 * token + 1) % TOKENS;
            loss -= (logits[target].exp() / all).ln() / TOKENS as f64;
            let hit = |i: usize| f64::from(u8::from(i == target));
            let g: Vec<f64> =
                logits.iter().enumerate().map(|(i, a)| (a.exp() / all - hit(i)) / TOKENS as f64).collect();
            add_outer(&mut d[head], &g, &x);
            let mut gx = times_transposed(&w[head], &g);
            for (layer, (x, h)) in seen.iter().enumerate().rev() {
                let (up, down) = (1 + 2 * layer, 2 + 2 * layer);
                add_outer(&mut d[down], &gx, h);
                let gh = times_transposed(&w[down], &gx);
                let ga: Vec<f64> = gh.iter().zip(h).map(|(g, h)| if *h > 0.0 { *g } else { 0.0 }).collect();
                add_outer(&mut d[up], &ga, x);
                gx.iter_mut().zip(times_transposed(&w[up], &ga)).for_each(|(gx, more)| *gx += more);
            }
            d[0][token].iter_mut().zip(&gx).for_each(|(d, gx)| *d += gx);
        }
        let is_used = |at: usize| at == 0 || at == head || (at - 1) / 2 < self.layers;
        let matrix = |(at, d): (usize, Vec<Vec<f64>>)| {
            is_used(at).then(|| DenseMatrix::from_fn(d.len(), d[0].len(), |i, j| d[i][j]))
        };
        Ok((d.into_iter().enumerate().map(matrix).collect(), loss))
    }

    fn rows(&self) -> Result<Rows> {
        let rows = |x: &M| {
            let (rows, cols) = x.shape();
            let mut values = vec![0.0; rows * cols];
            x.read(&mut values)?;
            Ok(values.chunks_exact(cols).map(<[f64]>::to_vec).collect())
        };
        self.weights.iter().map(rows).collect()
    }
}

fn times(a: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

fn times_transposed(a: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    (0..a[0].len()).map(|j| a.iter().zip(x).map(|(row, x)| row[j] * x).sum()).collect()
}

fn add_outer(out: &mut [Vec<f64>], a: &[f64], b: &[f64]) {
    for (row, a) in out.iter_mut().zip(a) {
        row.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
    }
}

/// What the example prints, and docs/troubleshooting.md shows.
pub(crate) fn report() -> Result<[String; 2]> {
    let (mut healthy, mut sick) = (Run::healthy()?, Run::sick()?);
    healthy.train(20)?;
    sick.train(5)?;
    Ok([healthy.diagnose()?.to_string(), sick.diagnose()?.to_string()])
}
