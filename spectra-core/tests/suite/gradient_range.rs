//! Gradients of any size: with a norm clip the step is that of the gradient scaled beforehand, without one it is right or
//! refused by name, and nothing but a NaN or an infinity counts as non-finite.

use spectra_core::backend::{Backend, Element, ErrorKind, Matrix};
use spectra_core::dense::Dense;
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterSpec, plan::Rule};

const LR: f64 = 1e-2;

const MODEL: [(&str, usize, usize, Rule); 3] =
    [("up", 8, 6, Rule::Spectral), ("down", 5, 9, Rule::Spectral), ("norm", 1, 7, Rule::Elementwise)];

/// A direction that dominates, so that the subspace of a tail shrink is determined, and noise.
fn gradients(step: u64) -> Vec<Vec<f64>> {
    let entry = |seed: u64, i: usize, j: usize| {
        let spike = (1.0 + i as f64).cos() * (2.0 + j as f64).sin();
        3.0 * spike + 0.1 * uniform(seed, i, j)
    };
    let of = |(index, (_, rows, cols, _)): (usize, &(_, usize, usize, _))| {
        let seed = 10 * step + index as u64;
        // Numbers that f32 has: both runs see the same gradient.
        (0..rows * cols).map(|at| f64::from(entry(seed, at / cols, at % cols) as f32)).collect()
    };
    MODEL.iter().enumerate().map(of).collect()
}

/// The same gradients, one entry of the first replaced.
fn with_spike(step: u64, spike: f64) -> Vec<Vec<f64>> {
    let mut gradients = gradients(step);
    gradients[0][7] = f64::from(spike as f32);
    gradients
}

fn times(gradients: &[Vec<f64>], factor: f64) -> Vec<Vec<f64>> {
    gradients.iter().map(|g| g.iter().map(|x| factor * x).collect()).collect()
}

struct Run<B: Backend> {
    optimizer: Optimizer<B>,
    weights: Vec<B::Matrix>,
}

impl<B: Backend> Run<B> {
    fn new(backend: &B, config: Config) -> Self {
        let spec = |(name, rows, cols, rule): (&str, usize, usize, Rule)| {
            ParameterSpec::new(name, (rows, cols), rule)
        };
        let weights = MODEL.iter().map(|(_, rows, cols, _)| {
            let start = |at: usize| B::Element::narrow(0.5 * uniform(7, at / cols, at % cols));
            backend.upload(*rows, *cols, &(0..rows * cols).map(start).collect::<Vec<_>>()).expect("memory")
        });
        let weights = weights.collect();
        let optimizer = Optimizer::new(backend.clone(), config, MODEL.map(spec)).expect("valid");
        Self { optimizer, weights }
    }

    fn step(&mut self, gradients: &[Vec<f64>]) -> spectra_core::backend::Result<()> {
        let upload = |(g, (_, rows, cols, _)): (&Vec<f64>, &(_, usize, usize, _))| {
            let narrow = g.iter().map(|x| B::Element::narrow(*x)).collect::<Vec<_>>();
            self.optimizer.backend().upload(*rows, *cols, &narrow)
        };
        let gradients = gradients.iter().zip(&MODEL).map(upload).collect::<Result<Vec<_>, _>>()?;
        self.optimizer.step(&mut self.weights.iter_mut().zip(&gradients).collect::<Vec<_>>())
    }

    fn weights(&self) -> Vec<f64> {
        self.weights.iter().flat_map(values).collect()
    }

    /// Weights and state.
    fn contents(&self) -> Vec<f64> {
        let buffers = self.optimizer.buffers().flat_map(|(_, _, matrix)| values(matrix));
        self.weights().into_iter().chain(buffers).collect()
    }
}

fn values<M: Matrix>(matrix: &M) -> Vec<f64> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut values).expect("host");
    values.iter().map(|x| x.widen()).collect()
}

/// `min(1, limit / (||G|| + 1e-6))` for entries of any size.
fn clip_factor(gradients: &[Vec<f64>], limit: f64) -> f64 {
    let largest = gradients.iter().flatten().fold(0.0_f64, |a, x| a.max(x.abs()));
    let squares: f64 = gradients.iter().flatten().map(|x| (x / largest).powi(2)).sum();
    (limit / (largest * squares.sqrt() + 1e-6)).min(1.0)
}

/// Every entry within what `steps` steps of `f32` arithmetic may lose: the maps promise 5e-6 of an update, whose entries are
/// at most 10 lr here (the slow momentum of AdEMAMix weighs 8), and weights of size one round at every step.
fn assert_close(computed: &[f64], exact: &[f64], steps: usize, what: &str) {
    let tolerance = steps as f64 * (10.0 * LR * 2e-5 + 4.0 * f64::from(f32::EPSILON));
    for (at, (a, b)) in computed.iter().zip(exact).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: entry {at} is {a}, not {b}");
    }
}

fn clipped_steps<B: Backend>(backend: &B, name: &str) {
    for (preset, method, _) in Method::presets().chain(Method::experiments()) {
        for check in [true, false] {
            for spike in [1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e18, 1e20, 1e22, 1e30, 3e38, -3e38] {
                let config = Config::new(method).lr(LR).check_finite(check);
                let mut clipped = Run::new(backend, config.clip_norm(1.0));
                let mut reference = Run::new(&Dense::<f64>::new(), config);
                for step in 0..4 {
                    let what =
                        format!("{name}, {preset}, one entry of {spike:e}, step {step}, check: {check}");
                    // A spike, and steps after it.
                    let gradients = if step == 1 { with_spike(step, spike) } else { gradients(step) };
                    clipped.step(&gradients).unwrap_or_else(|error| panic!("{what}: {error}"));
                    reference.step(&times(&gradients, clip_factor(&gradients, 1.0))).expect("in range");
                    // The polar factor of the gradient itself, eigenvectors of its Gram matrices: beside 1e10 the other singular values
                    // are lost in f32, and with them their directions.
                    let needs_all = ["polargrad-first", "soap", "shampoo"].contains(&preset);
                    if !needs_all || spike.abs() < 1e6 {
                        assert_close(&clipped.weights(), &reference.weights(), 4, &what);
                    }
                }
                let finite = clipped.contents().iter().all(|x| x.is_finite());
                assert!(finite, "{name}, {preset}, {spike:e}: the state cannot be saved");
            }
        }
    }
}

#[test]
fn a_clipped_step_is_that_of_the_gradient_scaled_beforehand() {
    clipped_steps(&Dense::<f32>::new(), "dense");
    #[cfg(feature = "faer")]
    clipped_steps(&spectra_core::faer::Faer::<f32>::new(), "faer");
}

/// All entries of this size, or one of them: squares leave the range of f64.
#[test]
fn the_norm_of_doubles_neither_overflows_nor_vanishes() {
    for preset in ["adamw", "ademamix", "mars", "signum", "sgd-m", "muon", "spectra", "spectra-adamw"] {
        for size in [1e160, 1e200, 1e300] {
            let config = Config::preset(preset).expect("preset").lr(LR);
            let mut clipped = Run::new(&Dense::<f64>::new(), config.clip_norm(1.0));
            let mut reference = Run::new(&Dense::<f64>::new(), config);
            for step in 0..3 {
                let gradients = if step == 1 { with_spike(step, 1.0) } else { times(&gradients(step), size) };
                clipped.step(&gradients).unwrap_or_else(|error| panic!("{preset}, {size:e}: {error}"));
                reference.step(&times(&gradients, clip_factor(&gradients, 1.0))).expect("in range");
            }
            assert_close(&clipped.weights(), &reference.weights(), 3, &format!("{preset}, {size:e}"));
        }
    }
}

/// The largest power of ten that each preset takes, and the smallest that it refuses, on matrices as small as these. The range
/// of f32 is 3.4e38. Polyak's momentum grows to ten or twenty gradients; V holds squares; a tail shrink multiplies by the
/// momentum; MARS clips, and Muon averages, before anything grows.
const LIMITS: [(&str, i32, i32); 14] = [
    ("spectra", 32, 36),
    ("spectra-adamw", 19, 20),
    ("spectra-signum", 36, 38),
    ("spectra-ademamix", 19, 20),
    ("spectra-mars", 38, 39),
    ("muon", 38, 39),
    ("d-muon", 38, 39),
    ("adamw-post-orth", 19, 20),
    ("frank-wolfe", 36, 38),
    ("adamw", 19, 20),
    ("signum", 36, 38),
    ("ademamix", 19, 20),
    ("mars", 38, 39),
    ("sgd-m", 36, 38),
];

/// Fifty steps with gradients of one size: the momentum grows to twenty times that.
fn unclipped_steps<B: Backend>(backend: &B, name: &str) {
    for (preset, taken, refused) in LIMITS {
        // Vectors by the same rule: those of AdamW would end every run at 1e19.
        let config = Config::preset(preset).expect("preset").lr(LR).apply_to_all();
        for power in (-38..=38).step_by(4).chain([18, 19, 20, 36, 37]) {
            let size = 10.0_f64.powi(power);
            let (mut run, mut reference) =
                (Run::new(backend, config), Run::new(&Dense::<f64>::new(), config));
            for step in 0..50 {
                let what = format!("{name}, {preset}, gradients of 1e{power}, step {step}");
                let gradients: Vec<Vec<f64>> = times(&gradients(step), size / 4.0);
                let before = run.contents();
                match run.step(&gradients) {
                    Ok(()) => {
                        assert!(power < refused, "{what}: is beyond the limit");
                        let finite = run.contents().iter().all(|x| x.is_finite());
                        assert!(finite, "{what}: not finite");
                        reference.step(&gradients).expect("in range");
                    }
                    Err(error) => {
                        assert!(power > taken, "{what}: {error}");
                        let named = MODEL.iter().any(|(name, ..)| error.parameter() == Some(name));
                        let about_range = matches!(error.kind(), ErrorKind::Range { .. });
                        assert!(named && about_range, "{what}: {error}");
                        assert_eq!(run.contents(), before, "{what}");
                        assert_eq!(run.optimizer.steps(), step, "{what}");
                        break;
                    }
                }
            }
            let moved =
                |run: Vec<f64>, start: &[f64]| run.iter().zip(start).map(|(a, b)| a - b).collect::<Vec<_>>();
            let start = Run::new(backend, config).weights();
            let (computed, exact) = (moved(run.weights(), &start), moved(reference.weights(), &start));
            let largest = exact.iter().fold(1.0_f64, |a, x| a.max(x.abs()));
            for (a, b) in computed.iter().zip(&exact) {
                assert!((a - b).abs() <= 1e-3 * largest, "{name}, {preset}, 1e{power}: {a}, not {b}");
            }
        }
    }
}

#[test]
fn without_a_clip_a_step_is_right_or_refused_by_name() {
    unclipped_steps(&Dense::<f32>::new(), "dense");
    #[cfg(feature = "faer")]
    unclipped_steps(&spectra_core::faer::Faer::<f32>::new(), "faer");
}

#[test]
fn only_a_nan_or_an_infinity_is_non_finite() {
    for preset in ["sgd-m", "adamw", "spectra"] {
        for clip in [None, Some(1.0)] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut config = Config::preset(preset).expect("preset");
                config.clip_norm = clip;
                let mut run = Run::new(&Dense::<f64>::new(), config);
                run.step(&gradients(0)).expect("in range");
                let before = run.contents();
                // The sum of squares of the first is infinite, too.
                let mut gradients = times(&gradients(1), 1e200);
                gradients[1][3] = bad;
                let error = run.step(&gradients).expect_err("non-finite");
                assert_eq!(error.parameter(), Some("down"), "{error}");
                assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
                assert_eq!(run.contents(), before);
            }
        }
    }
}
