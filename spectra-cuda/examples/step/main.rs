//! Times the shapes of Table 2 of arXiv 2602.11185 on this machine's GPU, beside the paper's figures for an H200.
//!
//! `cargo run --release -p spectra-cuda --example step`

mod timing;

use spectra_core::backend::{Backend, Gradient};
use spectra_core::linalg::{GramForm, Polar, PowerIteration, Schedule, Workspace, uniform};
use spectra_core::maps::{AlphaBound, SoftClip, SoftClipMethod};
use spectra_core::optimizer::{ParameterState, Rates, Recipe};
use spectra_cuda::cudarc::driver::CudaStream;
use spectra_cuda::{CudaBackend, CudaMatrix, Precision, open};
use std::error::Error;
use std::sync::Arc;
use timing::milliseconds;

/// Rows, columns, and the paper's milliseconds on an H200: Newton-Schulz, then power iterations with T = 1, 2, 4, 8.
const TABLE_2: [(usize, usize, [f64; 5]); 2] = [
    (4096, 4096, [3.5664, 0.9724, 1.6012, 2.8648, 5.3927]),
    (4096, 14336, [9.1465, 1.7799, 2.5622, 4.1315, 7.2676]),
];

const ITERATIONS: [usize; 4] = [1, 2, 4, 8];

fn main() -> Result<(), Box<dyn Error>> {
    let context = match open(0) {
        Ok(context) => context,
        Err(error) => {
            println!("no CUDA on this machine: {error}");
            return Ok(());
        }
    };
    let (name, memory) = (context.name()?, context.total_mem()?);
    if name.contains("simulated") {
        return Err("the device is simulated: its times mean nothing".into());
    }
    println!(
        "{name}, {:.0} GiB; milliseconds, median of {} runs",
        memory as f64 / (1u64 << 30) as f64,
        timing::RUNS
    );
    println!("{:<13} {:<9} {:<22} {:>9} {:>12}", "matrix", "products", "what", "here", "paper, H200");
    let stream = context.default_stream();
    for (rows, cols, paper) in TABLE_2 {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::Fp16] {
            let line = |what: &str, here: f64, paper: Option<f64>| {
                let paper = paper.map_or("-".to_owned(), |ms| format!("{ms:.4}"));
                println!(
                    "{:<13} {:<9} {what:<22} {here:>9.4} {paper:>12}",
                    format!("{rows} x {cols}"),
                    format!("{precision:?}")
                );
            };
            let bench = Bench::new(&stream, precision, rows, cols)?;
            line("Newton-Schulz, 5 steps", bench.polar(GramForm::Auto)?, Some(paper[0]));
            line("... never on X X^T alone", bench.polar(GramForm::Never)?, None);
            line("... all products whole", bench.without_blocks()?, None);
            line("soft clip, 4 steps", bench.soft_clip()?, None);
            for (iterations, paper) in ITERATIONS.into_iter().zip(&paper[1..]) {
                let what = format!("power iteration, T = {iterations}");
                line(&what, bench.power_iteration(iterations)?, Some(*paper));
            }
            for name in ["spectra", "muon", "adamw"] {
                line(&format!("whole step, {name}"), bench.step(name)?, None);
            }
        }
    }
    Ok(())
}

/// A matrix and what is timed on it.
struct Bench<'s> {
    stream: &'s Arc<CudaStream>,
    backend: CudaBackend<f32>,
    values: Vec<f32>,
    shape: (usize, usize),
}

impl<'s> Bench<'s> {
    fn new(
        stream: &'s Arc<CudaStream>,
        precision: Precision,
        rows: usize,
        cols: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let backend = CudaBackend::new(stream, precision)?;
        let values = (0..rows * cols).map(|i| uniform(1, i / cols, i % cols) as f32).collect();
        Ok(Self { stream, backend, values, shape: (rows, cols) })
    }

    fn matrix(&self) -> Result<CudaMatrix<f32>, Box<dyn Error>> {
        Ok(self.backend.upload(self.shape.0, self.shape.1, &self.values)?)
    }

    /// Muon's five quintic steps.
    fn polar(&self, gram: GramForm) -> Result<f64, Box<dyn Error>> {
        let (x, mut out) = (self.matrix()?, self.backend.zeros(self.shape.0, self.shape.1, None)?);
        let mut workspace = Workspace::new(self.backend.clone());
        let polar = Polar { gram, ..Polar::MUON };
        milliseconds(self.stream, || {
            polar.apply(&x, &mut out, &mut workspace)?;
            Ok(())
        })
    }

    /// The same where a reduced precision computes symmetric products as any other: what the blocks gain.
    fn without_blocks(&self) -> Result<f64, Box<dyn Error>> {
        self.backend.set_least_block(usize::MAX);
        let time = self.polar(GramForm::Auto);
        self.backend.set_least_block(512);
        time
    }

    /// Four minimax steps for singular values up to ten times the threshold.
    fn soft_clip(&self) -> Result<f64, Box<dyn Error>> {
        let (x, mut out) = (self.matrix()?, self.backend.zeros(self.shape.0, self.shape.1, None)?);
        let mut workspace = Workspace::new(self.backend.clone());
        let bound = AlphaBound::Frobenius;
        let method = SoftClipMethod::Fixed { schedule: Schedule::Minimax, steps: 4, lower: 0.1, bound };
        let clip = SoftClip { method, ..SoftClip::AUTO };
        milliseconds(self.stream, || {
            clip.apply(&x, 10.0, &mut out, &mut workspace)?;
            Ok(())
        })
    }

    /// From a cached subspace of rank 0.015 min(m, n), without the momentum's update.
    fn power_iteration(&self, iterations: usize) -> Result<f64, Box<dyn Error>> {
        let mut m = self.matrix()?;
        let rank = (0.015 * self.shape.0.min(self.shape.1) as f64).round() as usize;
        let mut v = self.backend.zeros(self.shape.1, rank, None)?;
        let mut workspace = Workspace::new(self.backend.clone());
        let power = PowerIteration { iterations, ..PowerIteration::PAPER };
        milliseconds(self.stream, || {
            power.iterate(&mut m, None, &mut v, &mut workspace)?.release(&mut workspace);
            Ok(())
        })
    }

    fn step(&self, preset: &str) -> Result<f64, Box<dyn Error>> {
        let (mut weights, gradient) = (self.matrix()?, self.matrix()?);
        let mut workspace = Workspace::new(self.backend.clone());
        let mut state = ParameterState::new(Recipe::preset(preset)?)?;
        let rates = Rates::new(1e-3);
        milliseconds(self.stream, || {
            state.step(&mut weights, &Gradient::new(&gradient), rates, &mut workspace)?;
            Ok(())
        })
    }
}
