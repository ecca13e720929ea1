//! The optimizer on borrowed buffers: against the portable backend, in bf16, with gaps between rows, resumed, captured.

use crate::buffers::{Model, SHAPES, optimizer, pairs, random};
use crate::device::{Outcome, backend, check_violations, stream};
use half::bf16;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::Optimizer as Core;
use spectra_core::rules::Rounding;
use spectra_cuda::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, Method, Parameter, Precision};

const STEPS: u64 = 6;

pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Every preset follows the portable backend in f64.
pub(crate) fn follows_the_portable_backend() -> Outcome {
    let stream = stream()?;
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(1e-2).clip_norm(1.0).weight_decay(0.1);
        let mut own = optimizer(backend::<f64>()?, config)?;
        let plan = Plan::builder().build(SHAPES)?;
        let mut reference = Core::new(Dense::<f64>::new(), config, plan.parameters())?;
        let mut weights = Model::random(&stream, 1, f64::from)?;
        let dense = |seed: u64, index: usize| {
            let (rows, cols) = plan.entries()[index].view();
            let values = random(seed + 100 * index as u64, rows * cols);
            DenseMatrix::from_vec(rows, cols, values.into_iter().map(f64::from).collect())
        };
        let [mut a, mut b, mut c] = [dense(1, 0)?, dense(1, 1)?, dense(1, 2)?];
        for step in 0..STEPS {
            let gradients = Model::random(&stream, 2 + step, f64::from)?;
            ensure(own.step(&mut pairs(&mut weights, &gradients))? == 0, "a gradient is missing")?;
            let (g, h, i) = (dense(2 + step, 0)?, dense(2 + step, 1)?, dense(2 + step, 2)?);
            reference.step(&mut [(&mut a, &g), (&mut b, &h), (&mut c, &i)])?;
        }
        // Rounding alone tells them apart: a few hundred operations in each step, amplified by the condition of what
        // the maps invert, at most 1e4 for these matrices. A wrong formula shows in the first digits.
        let tolerance = 1e4 * 1e2 * STEPS as f64 * f64::EPSILON;
        for (own, reference) in weights.read(&stream)?.iter().zip([&a, &b, &c]) {
            let error = own.iter().zip(reference.values()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            ensure(error <= tolerance, format!("{name}: {error:e} after {STEPS} steps"))?;
        }
    }
    check_violations()
}

/// The same for a matrix of which every thread and block has several entries, columns and tiles.
pub(crate) fn a_larger_matrix_follows_too() -> Outcome {
    let stream = stream()?;
    let shapes: [(&str, &[usize]); 1] = [("w", &[300, 1300])];
    let plan = Plan::builder().build(shapes)?;
    for name in ["spectra", "adamw"] {
        let config = Config::preset(name)?.lr(1e-2).weight_decay(0.1);
        let mut own = spectra_cuda::Optimizer::new(backend::<f64>()?, config, &Plan::builder(), shapes)?;
        let mut reference = Core::new(Dense::<f64>::new(), config, plan.parameters())?;
        let numbers = |seed: u64| random(seed, 300 * 1300).into_iter().map(f64::from).collect::<Vec<_>>();
        let mut weights = stream.clone_htod(&numbers(1))?;
        let mut expected = DenseMatrix::from_vec(300, 1300, numbers(1))?;
        for step in 0..3 {
            let gradient = stream.clone_htod(&numbers(2 + step))?;
            own.step(&mut [Parameter::new(&mut weights, &gradient)])?;
            reference.step(&mut [(&mut expected, &DenseMatrix::from_vec(300, 1300, numbers(2 + step))?)])?;
        }
        let found = stream.clone_dtoh(&weights)?;
        let error = found.iter().zip(expected.values()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        // As above, for sums that are 27 times as long.
        let tolerance = 27.0 * 1e4 * 1e2 * 3.0 * f64::EPSILON;
        ensure(error <= tolerance, format!("{name}: {error:e} after 3 steps"))?;
    }
    check_violations()
}

/// Weights and gradients in bf16 without a master: the bits of an f32 run whose weights are rounded to bf16 after every step.
pub(crate) fn bf16_is_f32_rounded_once() -> Outcome {
    let stream = stream()?;
    for name in ["spectra", "muon", "spectra-adamw", "adamw", "signum", "frank-wolfe", "mars"] {
        let config = Config::preset(name)?.lr(1e-2).clip_norm(1.0).weight_decay(0.1);
        let config = config.rounding(Rounding::Nearest);
        let mut half = optimizer(backend::<f32>()?, config)?;
        let mut full = optimizer(backend::<f32>()?, config)?;
        let mut half_weights = Model::random(&stream, 1, bf16::from_f32)?;
        let mut full_weights = Model::random(&stream, 1, |x| x)?;
        for step in 0..STEPS {
            let half_gradients = Model::random(&stream, 2 + step, bf16::from_f32)?;
            let full_gradients = Model::random(&stream, 2 + step, |x| x)?;
            let parameters = half_weights.0.iter_mut().zip(&half_gradients.0);
            let mut parameters: Vec<Parameter<'_, f32>> =
                parameters.map(|(w, g)| Parameter::new(w, g)).collect();
            half.step(&mut parameters)?;
            full.step(&mut pairs(&mut full_weights, &full_gradients))?;
            for (buffer, values) in
                full_weights.0.iter_mut().zip(full_weights_rounded(&stream, &half_weights)?)
            {
                let unrounded = stream.clone_dtoh(buffer)?;
                let rounded: Vec<f32> = unrounded.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
                ensure(rounded == values, format!("{name}: step {step} differs"))?;
                stream.memcpy_htod(&rounded, buffer)?;
            }
        }
    }
    check_violations()
}

fn full_weights_rounded(
    stream: &std::sync::Arc<spectra_cuda::cudarc::driver::CudaStream>,
    weights: &Model<bf16>,
) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    Ok(weights.read(stream)?.into_iter().map(|v| v.into_iter().map(bf16::to_f32).collect()).collect())
}

/// Buffers with gaps between the rows give the same bits, and the gaps stay as they were.
pub(crate) fn gaps_between_rows() -> Outcome {
    let stream = stream()?;
    let (rows, cols, ld) = (48, 80, 91);
    for name in ["spectra", "muon", "adamw"] {
        let config = Config::preset(name)?.lr(1e-2).weight_decay(0.1);
        let rules = Plan::builder();
        let shapes: [(&str, &[usize]); 1] = [("w", &[48, 80])];
        let mut tight = spectra_cuda::Optimizer::new(backend::<f32>()?, config, &rules, shapes)?;
        let mut loose = spectra_cuda::Optimizer::new(backend::<f32>()?, config, &rules, shapes)?;
        let spread = |values: &[f32]| {
            let mut spread = vec![7.0; (rows - 1) * ld + cols];
            for (row, values) in values.chunks_exact(cols).enumerate() {
                spread[row * ld..row * ld + cols].copy_from_slice(values);
            }
            spread
        };
        let start = random(1, rows * cols);
        let (mut w, mut wide) = (stream.clone_htod(&start)?, stream.clone_htod(&spread(&start))?);
        for step in 0..STEPS {
            let gradient = random(2 + step, rows * cols);
            let (g, wide_g) = (stream.clone_htod(&gradient)?, stream.clone_htod(&spread(&gradient))?);
            tight.step(&mut [Parameter::new(&mut w, &g)])?;
            let weights = spectra_cuda::Target::from(&mut wide).strided(ld);
            loose.step(&mut [Parameter::new(weights, spectra_cuda::Source::from(&wide_g).strided(ld))])?;
        }
        let expected = spread(&stream.clone_dtoh(&w)?);
        let found = stream.clone_dtoh(&wide)?;
        // Sums over rows are grouped otherwise: norms, in f64, may differ in their last bit, and with them the step.
        let close =
            expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= 16.0 * f32::EPSILON * a.abs().max(1.0));
        ensure(close, format!("{name}: entries differ"))?;
        let gaps =
            |v: &[f32]| (0..rows - 1).all(|r| v[r * ld + cols..(r + 1) * ld].iter().all(|x| *x == 7.0));
        ensure(gaps(&found), format!("{name}: the gaps have changed"))?;
    }
    check_violations()
}

/// A snapshot restores training to the bit.
pub(crate) fn resumes_to_the_bit() -> Outcome {
    let stream = stream()?;
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(1e-2);
        let mut first = optimizer(backend::<f32>()?, config)?;
        let mut weights = Model::random(&stream, 1, |x| x)?;
        let step =
            |optimizer: &mut spectra_cuda::Optimizer<f32>, weights: &mut Model<f32>, t: u64| -> Outcome {
                let gradients = Model::random(&stream, 2 + t, |x| x)?;
                optimizer.step(&mut pairs(weights, &gradients))?;
                Ok(())
            };
        for t in 0..3 {
            step(&mut first, &mut weights, t)?;
        }
        let text = serde_json::to_string(&first.snapshot()?)?;
        let copies =
            weights.0.iter().map(|buffer| stream.clone_dtod(buffer)).collect::<Result<Vec<_>, _>>()?;
        let mut copies = Model(copies);
        let mut second = optimizer(backend::<f32>()?, config)?;
        second.load_snapshot(&serde_json::from_str(&text)?)?;
        for t in 3..6 {
            step(&mut first, &mut weights, t)?;
            step(&mut second, &mut copies, t)?;
        }
        ensure(weights.read(&stream)? == copies.read(&stream)?, format!("{name}: resumed training differs"))?;
    }
    check_violations()
}

/// Rates are the new run's, and what differs is told.
pub(crate) fn resumes_with_rates_of_its_own() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("muon")?.lr(0.02).elementwise_lr(0.004);
    let mut first = optimizer(backend::<f32>()?, config)?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    first.step(&mut pairs(&mut weights, &Model::random(&stream, 2, |x| x)?))?;
    first.set_clip_factor(0.5)?;
    let saved = first.snapshot()?;
    let mut resumed = optimizer(backend::<f32>()?, config.lr(0.01))?;
    let restored = resumed.load_snapshot(&saved)?;
    ensure((resumed.steps(), resumed.learning_rate()) == (1, 0.01), "steps or rate")?;
    let told = "restored at step 1; learning rate was 0.02 and is now 0.01; lr was 0.02 and is now 0.01";
    ensure(restored.to_string() == told && restored.clip_factor == 0.5, format!("{restored}"))?;
    check_violations()
}

/// A step captured as a graph does what the step does, as often as it is replayed.
pub(crate) fn a_captured_step_replays() -> Outcome {
    let context = stream()?.context().clone();
    // SAFETY: from here on one stream does everything; the default one is idle after the wait.
    let stream = unsafe {
        context.synchronize()?;
        context.disable_event_tracking();
        context.new_stream()?
    };
    let outcome = (|| -> Outcome {
        for name in ["spectra", "muon", "signum", "d-muon", "sgd-m"] {
            let config = Config::preset(name)?.lr(1e-2).clip_norm(1.0).check_finite(false).apply_to_all();
            let backend = || CudaBackend::<f32>::new(&stream, Precision::F32);
            let (mut captured, mut plain) = (optimizer(backend()?, config)?, optimizer(backend()?, config)?);
            let mut weights = [Model::random(&stream, 1, |x| x)?, Model::random(&stream, 1, |x| x)?];
            let gradients = Model::random(&stream, 2, |x| x)?;
            for _ in 0..2 {
                captured.step(&mut pairs(&mut weights[0], &gradients))?;
                plain.step(&mut pairs(&mut weights[1], &gradients))?;
            }
            stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
            let step = captured.step(&mut pairs(&mut weights[0], &gradients));
            let graph = stream.end_capture(CUgraphInstantiate_flags(0));
            step?;
            let graph = graph?.ok_or("no graph was captured")?;
            for _ in 0..3 {
                graph.launch()?;
                plain.step(&mut pairs(&mut weights[1], &gradients))?;
            }
            ensure(
                weights[0].read(&stream)? == weights[1].read(&stream)?,
                format!("{name}: replays differ"),
            )?;
        }
        check_violations()
    })();
    // SAFETY: the stream is idle; what follows uses the default stream alone.
    unsafe {
        stream.synchronize()?;
        context.enable_event_tracking();
    }
    outcome
}
