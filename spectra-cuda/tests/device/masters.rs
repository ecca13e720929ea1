//! Weights in bf16 with a master in the state.

use crate::device::{Outcome, backend, check_violations, stream};
use crate::optimizer::ensure;
use half::bf16;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::directions::{Direction, Momentum};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::Optimizer as CpuOptimizer;
use spectra_core::rules::{Recipe, Rounding};
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, Optimizer, Parameter};

const SHAPE: [(&str, &[usize]); 1] = [("w", &[4, 6])];

fn optimizer(config: Config) -> spectra_cuda::Result<Optimizer<f32>> {
    Optimizer::new(backend::<f32>()?, config, &Plan::builder(), SHAPE)
}

/// `(1 - 1e-2)^200 = 0.134`; each step takes away less than half of what bf16 can tell of a weight of 1.
pub(crate) fn a_bf16_weight_decays_with_a_master_and_not_without() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("sgd-m")?.lr(1e-2).weight_decay(0.1);
    for (rounding, wanted, bytes) in
        [(Rounding::Master, (1.0 - 1e-3f64).powi(200), 8 * 24), (Rounding::Nearest, 1.0, 4 * 24)]
    {
        let mut optimizer = optimizer(config.rounding(rounding))?;
        let mut weights = stream.clone_htod(&[bf16::ONE; 24])?;
        let gradient = stream.clone_htod(&[bf16::from_f64(1e-9); 24])?;
        for _ in 0..200 {
            optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?;
        }
        let found = f64::from(stream.clone_dtoh(&weights)?[5].to_f32());
        // Half a unit in the last place of bf16, and two hundred roundings of f32.
        let tolerance = 2f64.powi(-9) + 200.0 * f64::from(f32::EPSILON);
        ensure((found - wanted).abs() <= tolerance, format!("{rounding:?}: {found}, not {wanted}"))?;
        ensure(optimizer.state_bytes() == bytes, format!("{rounding:?}: {} bytes", optimizer.state_bytes()))?;
        let told = optimizer.plan_table().to_string().contains("master");
        ensure(told == (rounding == Rounding::Master), "the plan tells of a master")?;
    }
    check_violations()
}

/// At random the same bits as on the CPU, from the same gradients; no state is kept for it.
pub(crate) fn stochastic_rounding_has_the_bits_of_the_cpu() -> Outcome {
    const SEED: u64 = 7;
    let stream = stream()?;
    // Halves and short numbers: every step is exact until it is rounded.
    let recipe = Recipe { direction: Direction::Momentum(Momentum::polyak(0.5)), ..Recipe::preset("sgd-m")? };
    let config = Config::new(recipe).lr(0.25).rounding(Rounding::Stochastic { seed: SEED });
    let mut on_device = optimizer(config)?;
    let specs = on_device.plan().clone().with_rounding(config.rounding, |_| Some(SixteenBits::Bf16));
    let specs: Vec<_> = specs.parameters().collect();
    let mut on_cpu = CpuOptimizer::new(Dense::<f32>::new(), config, specs)?;
    let mut weights = stream.clone_htod(&[bf16::ONE; 24])?;
    let mut copy = DenseMatrix::from_fn(4, 6, |_, _| 1.0f32);
    for step in 0..12 {
        let values: Vec<bf16> = (0..24).map(|i| bf16::from_f32((i * step % 7) as f32 / 512.0)).collect();
        let gradient = stream.clone_htod(&values)?;
        on_device.step(&mut [Parameter::new(&mut weights, &gradient)])?;
        let gradient = DenseMatrix::from_vec(4, 6, values.iter().map(|x| x.to_f32()).collect())?;
        on_cpu.step(&mut [(&mut copy, &gradient)])?;
    }
    let found: Vec<f32> = stream.clone_dtoh(&weights)?.iter().map(|x| x.to_f32()).collect();
    ensure(found == copy.values(), format!("{found:?}, not {:?}", copy.values()))?;
    ensure(found.iter().any(|x| *x != 1.0), "the weights have moved")?;
    ensure(on_device.state_bytes() == 4 * 24, format!("{} bytes", on_device.state_bytes()))?;
    check_violations()
}

/// A snapshot knows of the master before the first step has seen that the weights are bf16.
pub(crate) fn the_master_is_restored() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("adamw")?.lr(1e-4);
    let mut first = optimizer(config)?;
    let mut weights = stream.clone_htod(&[bf16::ONE; 24])?;
    let gradient = stream.clone_htod(&[bf16::ONE; 24])?;
    for _ in 0..5 {
        first.step(&mut [Parameter::new(&mut weights, &gradient)])?;
    }
    let mut again = optimizer(config)?;
    again.load_snapshot(&first.snapshot()?)?;
    let mut copy = stream.clone_dtod(&weights)?;
    for _ in 0..40 {
        first.step(&mut [Parameter::new(&mut weights, &gradient)])?;
        again.step(&mut [Parameter::new(&mut copy, &gradient)])?;
    }
    let (a, b) = (stream.clone_dtoh(&weights)?, stream.clone_dtoh(&copy)?);
    ensure(a == b && a[0] != bf16::ONE, "the restored run goes on with the same bits")?;
    check_violations()
}
