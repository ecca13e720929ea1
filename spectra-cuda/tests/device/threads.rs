//! Clones of one backend on several threads: the bits that each gets alone. `src/backend/threads.rs` goes through the interleavings of
//! single operations; these are whole steps, as they come.

use crate::buffers::{Model, optimizer, pairs, random};
use crate::device::{Outcome, backend, check_violations};
use spectra_core::backend::{Backend, Matrix};
use spectra_core::optimizer::Optimizer as Core;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, CudaMatrix};
use std::thread::scope;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The weights after a few steps of a preset.
fn trained(backend: CudaBackend<f64>, name: &str, seed: u64) -> Result<Vec<Vec<f64>>, Failure> {
    let stream = backend.stream().clone();
    let text = |error: Box<dyn std::error::Error>| error.to_string();
    let config = Config::preset(name)?.lr(1e-2).clip_norm(1.0).weight_decay(0.1);
    let mut own = optimizer(backend, config)?;
    let mut weights = Model::random(&stream, seed, f64::from).map_err(text)?;
    for step in 1..4 {
        let gradients = Model::random(&stream, seed + step, f64::from).map_err(text)?;
        own.step(&mut pairs(&mut weights, &gradients))?;
    }
    Ok(weights.read(&stream).map_err(text)?)
}

/// Two optimizers on clones of a backend train at the same time.
pub(crate) fn optimizers_on_clones() -> Outcome {
    let backend = backend::<f64>()?;
    for names in [["spectra", "spectra-adamw"], ["muon", "spectra"], ["d-muon", "frank-wolfe"]] {
        let run = |at: usize| trained(backend.clone(), names[at], 10 * at as u64);
        let alone = [run(0).map_err(|e| e.to_string())?, run(1).map_err(|e| e.to_string())?];
        let together = scope(|scope| {
            let threads = [0, 1].map(|at| scope.spawn(move || run(at)));
            threads.map(|thread| thread.join().unwrap_or_else(|_| Err("a thread has panicked".into())))
        });
        for (at, found) in together.into_iter().enumerate() {
            if found.map_err(|e| e.to_string())? != alone[at] {
                return Err(format!(
                    "{names:?} at the same time: {} gets other weights than alone",
                    names[at]
                )
                .into());
            }
        }
    }
    check_violations()
}

/// The core's step with several parameters at a time gives what one after the other gives.
pub(crate) fn parameters_side_by_side() -> Outcome {
    let backend = backend::<f64>()?;
    let shapes: Vec<(String, [usize; 2])> =
        (0..6).map(|i| (format!("blocks.{i}.weight"), [24 + 8 * i, 40])).collect();
    let plan = Plan::builder().build(shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..])))?;
    let matrices = |seed: u64| -> spectra_cuda::Result<Vec<CudaMatrix<f64>>> {
        let upload = |(i, (_, [rows, cols])): (usize, &(String, [usize; 2]))| {
            let values = random(seed + 100 * i as u64, rows * cols).into_iter().map(f64::from);
            backend.upload(*rows, *cols, &values.collect::<Vec<_>>())
        };
        shapes.iter().enumerate().map(upload).collect()
    };
    for name in ["spectra", "adamw", "spectra-adamw"] {
        let config = Config::preset(name)?.lr(1e-2).clip_norm(1.0);
        let new = || Core::new(backend.clone(), config, plan.parameters());
        let (mut one_by_one, mut side_by_side) = (new()?, new()?);
        let mut weights = [matrices(1)?, matrices(1)?];
        for step in 2..5 {
            let gradients = matrices(step)?;
            let [first, second] = &mut weights;
            one_by_one.step(&mut first.iter_mut().zip(&gradients).collect::<Vec<_>>())?;
            side_by_side.par_step(&mut second.iter_mut().zip(&gradients).collect::<Vec<_>>())?;
        }
        for (i, (first, second)) in weights[0].iter().zip(&weights[1]).enumerate() {
            let mut values = [0, 1].map(|_| vec![0.0; first.shape().0 * first.shape().1]);
            first.read(&mut values[0])?;
            second.read(&mut values[1])?;
            if values[0] != values[1] {
                return Err(format!("{name}: parameter {i} differs").into());
            }
        }
    }
    check_violations()
}
