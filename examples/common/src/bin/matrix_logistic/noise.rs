//! Sparse spectral spikes in the gradient (the paper's Figures F.5 and F.6): `G = grad f(X) + s U V^T` with U and V
//! uniform on the Stiefel manifold, fresh at every step.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result};
use spectra_core::faer::Faer;
use spectra_core::frank_wolfe::Objective;
use spectra_core::linalg::{Workspace, gram_schmidt};
use spectra_core::maps::HardClip;
use spectra_examples::pictures::Panel;

use super::problem::{Logistic, M, SHAPE};

/// Rank of the spikes.
const RANK: usize = 2;
/// Spike over signal, `s / ||grad f(0)||_2`.
pub(crate) const SCALES: [f64; 5] = [0.0, 1.0, 10.0, 100.0, 1000.0];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Method {
    Plain,
    Global,
    Spectral,
}

impl Method {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Global, Self::Spectral];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "SGD",
            Self::Global => "global clipping",
            Self::Spectral => "spectral clipping",
        }
    }
}

/// What a run ended at.
struct Run {
    lr: f64,
    last: f64,
    curve: Vec<(f64, f64)>,
}

/// The table's text and a panel for each noise scale. Learning rates are tuned for every method and scale
/// over half decades from 1e-6 to 1e3; thresholds are `||grad f(0)||` in the norm that the method clips,
/// for all scales.
pub(crate) fn study(momentum: f64, iterations: usize, seeds: u64) -> Result<(String, Vec<Panel>)> {
    let mut text = format!(
        "Spikes of rank {RANK}, momentum {momentum}, {iterations} steps, lr / sqrt(k + 1); training loss at the end (best lr), mean of {seeds}\n{:>10}",
        "spike"
    );
    for method in Method::ALL {
        text += &format!(" {:>26}", method.name());
    }
    text += "\n";
    let mut panels = Vec::new();
    for scale in SCALES {
        text += &format!("{scale:>10}");
        let mut curves = Vec::new();
        for method in Method::ALL {
            let best = tuned(method, scale, momentum, iterations, seeds)?;
            text += &format!(" {:>26}", format!("{:.4} ({:.1e})", best.last, best.lr));
            curves.push((format!("{} (lr {:.0e})", method.name(), best.lr), best.curve));
        }
        text += "\n";
        let title = format!("spike {scale} x signal");
        panels.push(Panel { title, across: "steps", up: "training loss", logarithmic: true, curves });
    }
    Ok((text, panels))
}

fn tuned(method: Method, scale: f64, momentum: f64, iterations: usize, seeds: u64) -> Result<Run> {
    let mut best: Option<Run> = None;
    for exponent in -12..=6 {
        let lr = 10f64.powf(f64::from(exponent) / 2.0);
        let mut mean = Run { lr, last: 0.0, curve: Vec::new() };
        for seed in 0..seeds {
            let curve = descend(method, scale, momentum, lr, iterations, seed)?;
            // The loss at the end, averaged over the last tenth: with noise a single step is luck.
            let tail = &curve[curve.len() - curve.len() / 10 - 1..];
            let last = tail.iter().map(|p| p.1).sum::<f64>() / tail.len() as f64;
            mean.last += last / seeds as f64;
            if mean.curve.is_empty() {
                mean.curve = curve;
            }
        }
        if mean.last.is_finite() && best.as_ref().is_none_or(|best| mean.last < best.last) {
            best = Some(mean);
        }
    }
    Ok(best.unwrap_or(Run { lr: f64::NAN, last: f64::NAN, curve: Vec::new() }))
}

/// `M = mu M + clip(G)`, `X <- X - lr / sqrt(k + 1) M`; the training loss at every step.
fn descend(
    method: Method,
    scale: f64,
    momentum: f64,
    lr: f64,
    iterations: usize,
    seed: u64,
) -> Result<Vec<(f64, f64)>> {
    let (m, n) = SHAPE;
    let backend = Faer::<f64>::new();
    let (mut problem, _) = Logistic::train_and_test(1)?;
    let zeros = || backend.zeros(m, n, None);
    let (mut x, mut gradient, mut clipped, mut average) = (zeros()?, zeros()?, zeros()?, zeros()?);
    let mut workspace = Workspace::new(backend.clone());
    let rng = &mut StdRng::seed_from_u64(1000 + seed);
    problem.gradient(&x, &mut gradient)?;
    let frobenius = gradient.dot(&gradient)?.sqrt();
    let signal = spectral_norm(&gradient)?;
    let mut curve = Vec::with_capacity(iterations);
    for k in 0..iterations {
        problem.gradient(&x, &mut gradient)?;
        if scale > 0.0 {
            let (u, v) = (stiefel(m, rng)?, stiefel(n, rng)?);
            let s = Coefficient::from(scale * signal);
            gradient.gemm(Coefficient::ONE, s, &u, Op::Plain, &v, Op::Transposed)?;
        }
        match method {
            Method::Plain => clipped.copy_from(&gradient)?,
            Method::Global => {
                let factor = (frobenius / gradient.dot(&gradient)?.sqrt()).min(1.0);
                clipped.scale_add(Coefficient::ZERO, factor.into(), &gradient)?;
            }
            Method::Spectral => {
                HardClip::default().apply(&gradient, signal, &mut clipped, &mut workspace)?;
            }
        }
        average.scale_add(momentum.into(), Coefficient::ONE, &clipped)?;
        x.scale_add(Coefficient::ONE, (-lr / ((k + 1) as f64).sqrt()).into(), &average)?;
        let loss = problem.loss(&x)?;
        if !loss.is_finite() {
            return Ok(vec![(0.0, f64::INFINITY); 2]);
        }
        curve.push((k as f64 + 1.0, loss));
    }
    Ok(curve)
}

/// A uniform orthonormal frame: a Gaussian matrix, orthonormalised.
fn stiefel(rows: usize, rng: &mut StdRng) -> Result<M> {
    let mut values: Vec<f64> = (0..rows * RANK).map(|_| StandardNormal.sample(rng)).collect();
    gram_schmidt(rows, RANK, &mut values, &mut vec![0.0; rows * RANK]);
    Faer::new().upload(rows, RANK, &values)
}

fn spectral_norm(x: &M) -> Result<f64> {
    let (m, n) = x.shape();
    let mut values = vec![0.0; m * n];
    x.read(&mut values)?;
    let matrix = faer::Mat::from_fn(m, n, |i, j| values[i * n + j]);
    Ok(matrix.singular_values().map_or(f64::NAN, |values| values.first().copied().unwrap_or(0.0)))
}
