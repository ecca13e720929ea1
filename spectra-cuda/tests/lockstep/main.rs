//! Blocks of one shape in stacks: a step costs the same whatever their number, and has the bits of blocks that step alone.

#[allow(dead_code)]
#[path = "../device/device.rs"]
mod device;
#[allow(dead_code)]
#[path = "../device/graphs.rs"]
mod graphs;

use crate::device::{Outcome, backend, check_violations, simulator, stream};
use half::bf16;
use libtest_mimic::{Arguments, Trial, run};
use spectra_core::backend::{Backend, Coefficient, Fused, Matrix, Op, Scalar, ScalarOp};
use spectra_core::linalg::uniform;
use spectra_cuda::cudarc::driver::CudaSlice;
use spectra_cuda::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use spectra_cuda::linalg::Schedule;
use spectra_cuda::maps::{AlphaBound, SoftClip, SoftClipMethod};
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, CudaMatrix, Error, Method, Optimizer, Parameter, Precision, Tally};
use spectra_cuda_simulator::{Selection, select};

fn main() {
    let mut arguments = Arguments::from_args();
    // The simulated device's accounts belong to the whole process.
    arguments.test_threads = Some(1);
    let skipped = matches!(select(), Selection::Skipped(_));
    type Test = (&'static str, fn() -> Outcome);
    let tests: [Test; 5] = [
        ("equal_layers_cost_what_one_costs", equal_layers_cost_what_one_costs),
        ("stacks_have_the_bits_of_blocks_alone", stacks_have_the_bits_of_blocks_alone),
        ("a_captured_step_of_stacks_replays", a_captured_step_of_stacks_replays),
        ("a_stack_that_fails_is_named", a_stack_that_fails_is_named),
        ("operations_on_stacks", operations_on_stacks),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || Ok(test().map_err(|e| e.to_string())?)).with_ignored_flag(skipped)
    });
    run(&arguments, trials.collect()).exit();
}

fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Twice as wide as high, which makes the polar factor one of the Gram form; k = 1.
const SHAPE: (usize, usize) = (24, 52);

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    (0..count).map(|i| uniform(seed, i, 0) as f32).collect()
}

/// The fourth step of a model of `count` equal layers, and the device's flops in it.
fn fourth_step(config: Config, count: usize) -> Result<(Tally, u64), Box<dyn std::error::Error>> {
    let stream = stream()?;
    let names: Vec<String> = (0..count).map(|i| format!("h.{i}.w")).collect();
    let shape = [SHAPE.0, SHAPE.1];
    let shapes = names.iter().map(|name| (name.as_str(), &shape[..]));
    let mut optimizer = Optimizer::<f32>::new(backend()?, config, &Plan::builder(), shapes)?;
    let matrix = |seed: u64| stream.clone_htod(&numbers(seed, SHAPE.0 * SHAPE.1));
    let mut weights = (0..count as u64).map(matrix).collect::<Result<Vec<_>, _>>()?;
    let gradients = (100..100 + count as u64).map(matrix).collect::<Result<Vec<_>, _>>()?;
    let (mut tally, mut flops) = (Tally::default(), 0);
    for _ in 0..4 {
        let mut parameters: Vec<_> =
            weights.iter_mut().zip(&gradients).map(|(w, g)| Parameter::new(w, g)).collect();
        let simulator = simulator();
        if let Some(simulator) = &simulator {
            simulator.reset();
        }
        let before = optimizer.backend().tally();
        optimizer.step(&mut parameters)?;
        tally = optimizer.backend().tally() - before;
        if let Some(simulator) = simulator {
            let device = simulator.counters();
            flops = device.flops;
            let counted = (device.launches + device.products, device.products, device.allocations_total);
            ensure(
                counted == (tally.launches, tally.products, tally.allocations),
                format!("counted {tally:?}, the device {device:?}"),
            )?;
            simulator.check()?;
        }
    }
    if let Some(simulator) = simulator() {
        let device = simulator.counters();
        let copies = device.host_to_device_copies + device.device_to_host_copies;
        ensure(copies == 0 && device.host_waits() == 0, format!("copies or waits in a step: {device:?}"))?;
    }
    Ok((tally, flops))
}

/// By a fixed number of steps, which reads nothing.
fn clipped(name: &str, bound: AlphaBound) -> Result<Config, Error> {
    let method = SoftClipMethod::Fixed { schedule: Schedule::Cubic, steps: 3, lower: 0.1, bound };
    Ok(Config::preset(name)?.soft_clip(SoftClip { method, ..SoftClip::AUTO }))
}

/// With the norm clip, and without the check of what the host would read.
fn equal_layers_cost_what_one_costs() -> Outcome {
    let mut configs = Vec::new();
    for name in [
        "spectra",
        "muon",
        "muon-polar-express",
        "d-muon",
        "normuon",
        "adamuon",
        "scion",
        "polargrad",
        "polargrad-first",
        "adamw-post-orth",
        "muon-hyperball",
        "adamw",
        "adamw-cautious",
        "lion",
        "mars",
        "ademamix",
        "signum",
        "sgd-m",
    ] {
        configs.push((name, Config::preset(name)?));
    }
    configs.push(("spectra-adamw, fixed", clipped("spectra-adamw", AlphaBound::Frobenius)?));
    configs.push(("spectra-signum, fixed", clipped("spectra-signum", AlphaBound::RowSumOrFrobenius)?));
    for (name, config) in configs {
        let config = config.weight_decay(0.1).check_finite(false).clip_norm(1.0);
        let (one, flops_of_one) = fourth_step(config, 1)?;
        println!("{name:20} {:>3} launches, {:>2} of them products", one.launches, one.products);
        for count in [2, 5, 9] {
            let (more, flops) = fourth_step(config, count)?;
            ensure(
                (more.launches, more.products, more.waits, more.allocations)
                    == (one.launches, one.products, 0, 0),
                format!("{name}: {count} layers take {more:?}, one {one:?}"),
            )?;
            let expected = count as u64 * flops_of_one;
            ensure(flops == expected, format!("{name}: {flops} flops for {count} layers, not {expected}"))?;
        }
    }
    Ok(())
}

/// Three shapes, two storages and a group with a rate of its own.
const SHAPES: [(&str, &[usize]); 9] = [
    ("h.0.w", &[24, 40]),
    ("h.1.w", &[24, 40]),
    ("h.2.w", &[24, 40]),
    ("h.3.slow", &[24, 40]),
    ("h.0.down", &[40, 24]),
    ("h.1.down", &[40, 24]),
    ("h.0.half", &[24, 40]),
    ("h.1.half", &[24, 40]),
    ("h.0.other", &[7, 5]),
];

enum Memory {
    Element(CudaSlice<f32>),
    Half(CudaSlice<bf16>),
}

fn memory(index: usize, seed: u64) -> Result<Memory, Box<dyn std::error::Error>> {
    let ((name, shape), stream) = (SHAPES[index], stream()?);
    let values = numbers(seed + index as u64, shape[0] * shape[1]);
    Ok(if name.ends_with("half") {
        let rounded: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
        Memory::Half(stream.clone_htod(&rounded)?)
    } else {
        Memory::Element(stream.clone_htod(&values)?)
    })
}

/// All weights as bits after some steps, from new gradient buffers in each; `alone`: with reports, for which blocks step alone.
fn trained(config: Config, alone: bool) -> Result<Vec<Vec<u32>>, Box<dyn std::error::Error>> {
    let stream = stream()?;
    let rules = Plan::builder().group("*.slow", |group| group.lr(0.5));
    let mut optimizer = Optimizer::<f32>::new(backend()?, config, &rules, SHAPES)?;
    optimizer.keep_reports(alone);
    let mut weights = (0..SHAPES.len()).map(|i| memory(i, 1)).collect::<Result<Vec<_>, _>>()?;
    for step in 0..4 {
        let gradients =
            (0..SHAPES.len()).map(|i| memory(i, 1000 + 100 * step)).collect::<Result<Vec<_>, _>>()?;
        let pairs = weights.iter_mut().zip(&gradients);
        let mut parameters: Vec<Parameter<'_, f32>> = pairs
            .filter_map(|pair| match pair {
                (Memory::Element(w), Memory::Element(g)) => Some(Parameter::new(w, g)),
                (Memory::Half(w), Memory::Half(g)) => Some(Parameter::new(w, g)),
                _ => None,
            })
            .collect();
        // In the third step a layer has no gradient: other stacks.
        if step == 2 {
            parameters[1].gradient = None;
        }
        optimizer.step(&mut parameters)?;
    }
    let mut bits = Vec::new();
    for weights in &weights {
        bits.push(match weights {
            Memory::Element(w) => stream.clone_dtoh(w)?.into_iter().map(f32::to_bits).collect(),
            Memory::Half(w) => stream.clone_dtoh(w)?.into_iter().map(|x| u32::from(x.to_bits())).collect(),
        });
    }
    Ok(bits)
}

/// cuBLAS may sum in another order in a batch; the simulated one does not.
fn stacks_have_the_bits_of_blocks_alone() -> Outcome {
    if simulator().is_none() {
        return Ok(());
    }
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(1e-2).weight_decay(0.1).clip_norm(1.0).require_gradients(false);
        let (together, alone) = (trained(config, false)?, trained(config, true)?);
        for ((shape, a), b) in SHAPES.iter().zip(&together).zip(&alone) {
            ensure(a == b, format!("{name}: the bits of {shape:?} differ"))?;
        }
    }
    check_violations()
}

/// Stacks go on in graphs, whose tables nobody writes over.
fn a_captured_step_of_stacks_replays() -> Outcome {
    crate::graphs::on_a_stream(|stream, _| {
        for name in ["spectra", "muon"] {
            let config = Config::preset(name)?.lr(1e-2).check_finite(false);
            let shapes = [("a.w", &[24, 40][..]), ("b.w", &[24, 40][..]), ("c.w", &[24, 40][..])];
            let own = CudaBackend::<f32>::new(stream, Precision::F32)?;
            let new = || Optimizer::<f32>::new(own.clone(), config, &Plan::builder(), shapes);
            let (mut captured, mut plain) = (new()?, new()?);
            let matrices = |seed: u64| {
                (seed..seed + 3)
                    .map(|seed| stream.clone_htod(&numbers(seed, 960)))
                    .collect::<Result<Vec<_>, _>>()
            };
            let (mut a, mut b) = (matrices(1)?, matrices(1)?);
            let (gradients, others) = (matrices(10)?, matrices(10)?);
            fn pairs<'a>(w: &'a mut [CudaSlice<f32>], g: &'a [CudaSlice<f32>]) -> Vec<Parameter<'a, f32>> {
                w.iter_mut().zip(g).map(|(w, g)| Parameter::new(w, g)).collect()
            }
            for _ in 0..2 {
                captured.step(&mut pairs(&mut a, &gradients))?;
                plain.step(&mut pairs(&mut b, &gradients))?;
            }
            stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
            let step = captured.step(&mut pairs(&mut a, &gradients));
            let graph = stream.end_capture(CUgraphInstantiate_flags(0));
            step?;
            let graph = graph?.ok_or("no graph was captured")?;
            // The step counts; what it queued has not run. Other gradients in the next one: other tables.
            graph.launch()?;
            plain.step(&mut pairs(&mut b, &gradients))?;
            captured.step(&mut pairs(&mut a, &others))?;
            plain.step(&mut pairs(&mut b, &others))?;
            for _ in 0..2 {
                graph.launch()?;
                plain.step(&mut pairs(&mut b, &gradients))?;
            }
            for (a, b) in a.iter().zip(&b) {
                ensure(stream.clone_dtoh(a)? == stream.clone_dtoh(b)?, format!("{name}: replays differ"))?;
            }
        }
        Ok(())
    })
}

/// A step that fails half-way is refused from then on, naming a block of the stack; one that fails before has changed nothing.
fn a_stack_that_fails_is_named() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    let stream = stream()?;
    let shapes = [("a.w", &[6, 8][..]), ("b.w", &[6, 8][..])];
    let config = Config::preset("muon")?.check_finite(false);
    let mut optimizer = Optimizer::<f32>::new(backend()?, config, &Plan::builder(), shapes)?;
    let matrix = |seed: u64| stream.clone_htod(&numbers(seed, 48));
    let (mut a, mut b, g, h) = (matrix(1)?, matrix(2)?, matrix(3)?, matrix(4)?);
    optimizer.step(&mut [Parameter::new(&mut a, &g), Parameter::new(&mut b, &h)])?;
    simulator.fail_after(9);
    let error = optimizer.step(&mut [Parameter::new(&mut a, &g), Parameter::new(&mut b, &h)]).err();
    let error = error.ok_or("the call that fails is not told")?;
    ensure(error.parameter() == Some("a.w"), format!("{error}"))?;
    let refused = optimizer.step(&mut [Parameter::new(&mut a, &g), Parameter::new(&mut b, &h)]).err();
    let text = refused.ok_or("a half step is gone on from")?.to_string();
    ensure(text.contains("a.w"), text)?;
    simulator.reset();
    Ok(())
}

/// Operations on stacks are those on their parts, and what a stack cannot be asked is refused by name.
fn operations_on_stacks() -> Outcome {
    let own = backend::<f64>()?;
    let stacking = own.stacking().ok_or("no stacks")?;
    let of = stacking.of(3)?;
    let values = |seed: u64, count: usize| (0..count).map(|i| uniform(seed, i, 0)).collect::<Vec<_>>();
    let parts = |seed: u64, rows: usize, cols: usize| {
        (seed..seed + 3)
            .map(|seed| own.upload(rows, cols, &values(seed, rows * cols)))
            .collect::<Result<Vec<_>, _>>()
    };
    let read = |x: &CudaMatrix<f64>| {
        let mut values = vec![0.0; x.shape().0 * x.shape().1];
        x.read(&mut values).map(|()| values)
    };
    let stack = |x: &[CudaMatrix<f64>]| stacking.stack(&x.iter().collect::<Vec<_>>(), None);
    // Long enough for a second block, and of 600 rows for a triangle.
    let (a, mut together, mut alone) = (parts(1, 600, 20)?, parts(4, 600, 600)?, parts(4, 600, 600)?);
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    {
        let (x, mut out) = (stack(&a)?, stack(&together)?);
        let each = x.dot(&x)?.sqrt()?;
        let largest = Scalar::combine(ScalarOp::Max, &each, &x.max_abs()?)?;
        out.gemm_symmetric(one, one, &x, Op::Plain, &x, Op::Transposed)?;
        // A factor of its own for each part, with and without the old values.
        out.gemm(one, Coefficient::device(0.5, &largest), &x, Op::Plain, &x, Op::Transposed)?;
        let mut small = of.zeros(20, 20, None)?;
        small.gemm(zero, Coefficient::device(0.25, &each), &x, Op::Transposed, &x, Op::Plain)?;
        let mut thin = of.zeros(600, 20, None)?;
        thin.gemm(zero, one, &x, Op::Plain, &small, Op::Plain)?;
        out.low_rank_add(Coefficient::device(1.0, &each), one, &of.zeros(600, 600, None)?, &thin, &x)?;
        for (a, out) in a.iter().zip(&mut alone) {
            let each = a.dot(a)?.sqrt()?;
            let largest = Scalar::combine(ScalarOp::Max, &each, &a.max_abs()?)?;
            out.gemm_symmetric(one, one, a, Op::Plain, a, Op::Transposed)?;
            out.gemm(one, Coefficient::device(0.5, &largest), a, Op::Plain, a, Op::Transposed)?;
            let mut small = own.zeros(20, 20, None)?;
            small.gemm(zero, Coefficient::device(0.25, &each), a, Op::Transposed, a, Op::Plain)?;
            let mut thin = own.zeros(600, 20, None)?;
            thin.gemm(zero, one, a, Op::Plain, &small, Op::Plain)?;
            out.low_rank_add(Coefficient::device(1.0, &each), one, &own.zeros(600, 600, None)?, &thin, a)?;
        }
        let refused = [
            x.read(&mut [0.0; 12_000]).err(),
            each.read().err(),
            out.copy_from(&own.zeros(600, 600, None)?).err(),
            out.scale_add(
                Coefficient::device(1.0, &stacking.of(2)?.zeros(1, 1, None)?.max_abs()?),
                one,
                &of.zeros(600, 600, None)?,
            )
            .err(),
            stacking.stack(&[&a[0], &together[0]], None).err(),
            stacking.of(257).err(),
        ];
        for (i, error) in refused.into_iter().enumerate() {
            ensure(error.is_some(), format!("refusal {i} has not come"))?;
        }
    }
    for (together, alone) in together.iter_mut().zip(&alone) {
        // Bits on the simulated device; a real cuBLAS may sum in another order: 20 products, 600 rows.
        let (a, b) = (read(together)?, read(alone)?);
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e4 * f64::EPSILON * b.abs().max(1.0);
        let equal = if simulator().is_some() { a == b } else { a.iter().zip(&b).all(close) };
        ensure(equal, "a stack differs from its parts")?;
    }
    check_violations()
}
