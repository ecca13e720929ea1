//! Trains a layer whose weights and gradients are CUDA buffers of the program's own.
//!
//! `cargo run --release --features spectra-guides/cuda --example cuda`

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, Optimizer, Parameter, Precision};
use spectra_guides::{Guide, Program, losses};

const ROWS: usize = 48;
const COLS: usize = 32;

/// NVIDIA's driver where there is one; else the simulated device of this project's tests, whose kernels run on the CPU.
fn choose_device() -> Result<(), Box<dyn Error>> {
    if Path::new("/dev/nvidiactl").exists() {
        return Ok(());
    }
    println!("no NVIDIA driver: kernels run on a simulated device (g++ builds it once, half a minute)");
    spectra_cuda_simulator::install()?;
    Ok(())
}

/// `1 / (1 + i)` times waves: a matrix whose singular values fall off, as those of weights do.
fn target() -> Vec<f32> {
    let wave = |at: usize, k: usize| ((at * (k + 1)) as f32 * 0.37 + k as f32).sin();
    let entry = |i: usize, j: usize| (0..16).map(|k| wave(i, k) * wave(j, k) / (1 + k) as f32).sum::<f32>();
    (0..ROWS * COLS).map(|at| entry(at / COLS, at % COLS)).collect()
}

fn run(guide: &Guide) -> Result<(), Box<dyn Error>> {
    choose_device()?;
    let target = target();
    let mut curves = Vec::new();
    for (name, lr) in [("adamw", 0.05), ("spectra", 0.25), ("muon", 0.2)] {
        // ANCHOR: cuda
        let stream = spectra_cuda::open(0)?.default_stream();
        let mut weights = stream.alloc_zeros::<f32>(ROWS * COLS)?;
        let mut gradient = stream.alloc_zeros::<f32>(ROWS * COLS)?;
        let backend = CudaBackend::<f32>::new(&stream, Precision::F32)?;
        let config = Config::preset(name)?.lr(lr).check_finite(false); // nothing waits
        let shapes = [("mlp.up.weight", &[ROWS, COLS][..])];
        let mut optimizer = Optimizer::new(backend, config, &Plan::builder(), shapes)?;
        let mut run = guide.run(name);
        for step in 1..=guide.steps {
            // Here your kernels compute a gradient on the device. This one is the host's, of |W - T|^2 / 2.
            let error: Vec<f32> =
                stream.clone_dtoh(&weights)?.iter().zip(&target).map(|(w, t)| w - t).collect();
            stream.memcpy_htod(&error, &mut gradient)?;
            optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?; // queued on `stream`
            run.step(step, error.iter().map(|e| f64::from(e * e)).sum::<f64>() / 2.0)?;
        }
        optimizer.save(guide.path("state.safetensors"))?; // candle, burn and the core read it as well
        // ANCHOR_END: cuda
        println!("{name}: loss {:.3}", run.last());
        curves.push(run.end());
    }
    println!("device: {}", spectra_cuda::open(0)?.name()?);
    Ok(guide.picture("cuda.png", &[losses("One layer in CUDA buffers", curves)])?)
}

fn main() -> ExitCode {
    let about = "Trains a layer in CUDA buffers, on a simulated device where there is no other";
    Program { name: "cuda", about, steps: 40, resumes: false }.main(run)
}
