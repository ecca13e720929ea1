//! What is refused, with words that say what and where; nothing changes and memory is released.

use crate::buffers::{Model, optimizer, pairs};
use crate::device::{Outcome, backend, check_violations, new_backend, simulator, stream};
use half::bf16;
use spectra_core::backend::{Backend, Entrywise, Fused, Gradient, Matrix};
use spectra_core::linalg::{PowerIteration, Workspace};
use spectra_cuda::cudarc::driver::DevicePtr;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, CudaElement, CudaMatrix, Error, Precision, Storage, Target};
use std::fmt::Debug;

/// An error unless `result` is one with all these words.
fn refused<T: Debug>(result: Result<T, Error>, words: &[&str]) -> Outcome {
    match result {
        Ok(value) => Err(format!("accepted: {value:?}, not refused for {words:?}").into()),
        Err(error) => {
            let text = error.to_string();
            if words.iter().all(|word| text.contains(word)) {
                return Ok(());
            }
            Err(format!("{text:?} does not say {words:?}").into())
        }
    }
}

fn config() -> Result<Config, Error> {
    Ok(Config::preset("spectra")?.lr(0.1))
}

pub(crate) fn small_buffers() -> Outcome {
    let stream = stream()?;
    let mut own = optimizer(backend::<f32>()?, config()?)?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    let before = weights.read(&stream)?;
    let mut gradients = Model::random(&stream, 2, |x| x)?;
    gradients.0[1] = stream.alloc_zeros(80 * 48 - 1)?;
    let words = ["mlp.down.weight", "gradient", "3839", "3840"];
    refused(own.step(&mut pairs(&mut weights, &gradients)), &words)?;
    gradients.0[1] = stream.alloc_zeros(80 * 48)?;
    let mut parameters = pairs(&mut weights, &gradients);
    let mut wide = stream.alloc_zeros::<f32>(5000)?;
    parameters[0].weights = Target::from(&mut wide).strided(79);
    refused(own.step(&mut parameters), &["mlp.up.weight", "leading dimension 79", "80"])?;
    if weights.read(&stream)? != before || own.steps() != 0 {
        return Err("a refused step has changed something".into());
    }
    check_violations()
}

pub(crate) fn foreign_streams() -> Outcome {
    let stream = stream()?;
    let other = stream.context().new_stream()?;
    let mut own = optimizer(backend::<f32>()?, config()?)?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    let gradients = Model::random(&other, 2, |x| x)?;
    // Events order the two streams.
    own.step(&mut pairs(&mut weights, &gradients))?;
    other.synchronize()?;
    stream.synchronize()?;
    // SAFETY: both streams are idle, and nothing is queued on `other` until tracking is on again.
    unsafe { stream.context().disable_event_tracking() };
    let unordered = own.step(&mut pairs(&mut weights, &gradients));
    // SAFETY: tracking on is the safe state.
    unsafe { stream.context().enable_event_tracking() };
    refused(unordered, &["mlp.up.weight", "gradient", "another stream"])?;
    check_violations()
}

pub(crate) fn foreign_devices() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    simulator.set_device_count(2);
    let outcome = (|| {
        // Not the default stream: cudarc frees its memory in whatever context is current.
        let there = spectra_cuda::open(1)?.new_stream()?;
        let stream = stream()?;
        let mut own = optimizer(backend::<f32>()?, config()?)?;
        let mut weights = Model::random(&stream, 1, |x| x)?;
        let gradients = Model::random(&there, 2, |x| x)?;
        let words = ["mlp.up.weight", "gradient", "another device or context"];
        refused(own.step(&mut pairs(&mut weights, &gradients)), &words)?;
        let (here, there) = (backend::<f32>()?, CudaBackend::<f32>::new(&there, Precision::F32)?);
        let (a, b) = (here.zeros(2, 2, None)?, there.zeros(2, 2, None)?);
        refused(a.dot(&b), &["dot", "different streams"])?;
        // cudarc frees what belongs to a default stream in whatever context is current: the weights in this one.
        drop(gradients);
        Ok(stream.context().bind_to_thread()?)
    })();
    simulator.set_device_count(1);
    outcome.and_then(|()| check_violations())
}

pub(crate) fn wrong_counts_and_values() -> Outcome {
    let stream = stream()?;
    let mut own = optimizer(backend::<f32>()?, config()?)?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    let mut gradients = Model::random(&stream, 2, |x| x)?;
    let mut parameters = pairs(&mut weights, &gradients);
    parameters.pop();
    refused(own.step(&mut parameters), &["number of parameters", "3 x 1", "2 x 1"])?;
    own.step(&mut pairs(&mut weights, &gradients))?;
    let (before, state) = (weights.read(&stream)?, own.snapshot()?);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = stream.clone_dtoh(&gradients.0[2])?;
        values[7] = bad;
        stream.memcpy_htod(&values, &mut gradients.0[2])?;
        refused(own.step(&mut pairs(&mut weights, &gradients)), &["norm.weight", "NaN or an infinity"])?;
    }
    if weights.read(&stream)? != before || own.snapshot()? != state {
        return Err("a refused step has changed something".into());
    }
    // A parameter without a gradient is left alone, and told.
    let mut parameters = pairs(&mut weights, &gradients);
    parameters[2].gradient = None;
    let missing = own.step(&mut parameters)?;
    if missing != 1 || own.missing_gradients().collect::<Vec<_>>() != ["norm.weight"] {
        return Err("the missing gradient is not told".into());
    }
    check_violations()
}

pub(crate) fn out_of_memory() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    let stream = stream()?;
    let alive = simulator.counters().allocations_alive;
    {
        let mut weights = Model::random(&stream, 1, |x| x)?;
        let gradients = Model::random(&stream, 2, |x| x)?;
        let before = weights.read(&stream)?;
        simulator.set_memory_limit(simulator.counters().bytes_alive + (1 << 20));
        refused(new_backend::<f32>(), &["CudaBackend::new", "no memory left", "33554432"])?;
        simulator.set_memory_limit(simulator.counters().bytes_alive + (34 << 20));
        let mut own = optimizer(new_backend::<f32>()?, config()?)?;
        simulator.set_memory_limit(simulator.counters().bytes_alive + 4096);
        let words = ["mlp.up.weight", "zeros", "no memory left", "15360"];
        refused(own.step(&mut pairs(&mut weights, &gradients)), &words)?;
        if weights.read(&stream)? != before {
            return Err("the first step had no memory and has changed the weights".into());
        }
        simulator.set_memory_limit(16 << 30);
        // With memory it goes on.
        own.step(&mut pairs(&mut weights, &gradients))?;
    }
    simulator.set_memory_limit(16 << 30);
    let left = simulator.counters().allocations_alive;
    if left != alive {
        return Err(format!("{left} allocations alive, not {alive}").into());
    }
    check_violations()
}

pub(crate) fn missing_gradients() -> Outcome {
    let stream = stream()?;
    let nothing: [(&str, &[usize]); 0] = [];
    let empty = spectra_cuda::Optimizer::new(backend::<f32>()?, config()?, &Plan::builder(), nothing);
    refused(empty, &["parameters = 0"])?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    let gradients = Model::random(&stream, 2, |x| x)?;
    let before = weights.read(&stream)?;
    let mut own = optimizer(backend::<f32>()?, config()?)?;
    let mut parameters = pairs(&mut weights, &gradients);
    parameters.iter_mut().for_each(|parameter| parameter.gradient = None);
    refused(own.step(&mut parameters), &["no gradient", "depends on no parameter"])?;
    let mut strict = optimizer(backend::<f32>()?, config()?.require_gradients(true))?;
    let mut parameters = pairs(&mut weights, &gradients);
    parameters[1].gradient = None;
    refused(strict.step(&mut parameters), &["mlp.down.weight", "no gradient"])?;
    if weights.read(&stream)? != before || own.steps() + strict.steps() != 0 {
        return Err("a refused step has changed something".into());
    }
    check_violations()
}

/// Memory for the state, and none for the temporaries of the first update: the step cannot be taken back.
pub(crate) fn half_a_step() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    let stream = stream()?;
    let mut weights = Model::random(&stream, 1, |x| x)?;
    let gradients = Model::random(&stream, 2, |x| x)?;
    let mut own = optimizer(new_backend::<f32>()?, Config::preset("muon")?)?;
    let saved = own.snapshot()?;
    // A momentum for each matrix and two moments for the vector; room for norms, and for no matrix.
    let state = 4 * (2 * 48 * 80 + 2 * 48);
    simulator.set_memory_limit(simulator.counters().bytes_alive + state + 4096);
    let failed =
        refused(own.step(&mut pairs(&mut weights, &gradients)), &["mlp.up.weight", "no memory left"]);
    simulator.set_memory_limit(16 << 30);
    failed?;
    let words = ["mlp.up.weight", "an earlier step failed"];
    refused(own.step(&mut pairs(&mut weights, &gradients)), &words)?;
    refused(own.snapshot(), &words)?;
    own.load_snapshot(&saved)?;
    own.step(&mut pairs(&mut weights, &gradients))?;
    if own.steps() != 1 {
        return Err("the failed step was counted".into());
    }
    check_violations()
}

pub(crate) fn no_such_device() -> Outcome {
    refused(spectra_cuda::open(1000), &["open", "no CUDA device 1000"])
}

/// Sizes that no memory can hold, and those whose product or whose bytes have no number.
pub(crate) fn impossible_sizes() -> Outcome {
    impossible::<f32>()?;
    impossible::<f64>()?;
    check_violations()
}

fn impossible<E: CudaElement>() -> Outcome {
    let backend = backend::<E>()?;
    for (rows, cols) in [
        (usize::MAX, 1),
        (2, usize::MAX),
        (1 << 32, 1 << 32),
        (usize::MAX / size_of::<E>(), 1),
        (1, usize::MAX / size_of::<E>() + 1),
        (usize::MAX / 2, 1),
    ] {
        refused(backend.zeros(rows, cols, None), &["zeros", &format!("{rows} x {cols}"), "too large"])?;
    }
    if simulator().is_some() {
        refused(backend.zeros(1 << 30, 1 << 10, None), &["zeros", "no memory left"])?;
    }
    // Nothing to store is no impossible size.
    for (rows, cols) in [(usize::MAX, 0), (0, usize::MAX)] {
        if backend.zeros(rows, cols, None)?.shape() != (rows, cols) {
            return Err("an empty matrix has lost its shape".into());
        }
    }
    Ok(())
}

fn values(matrix: &CudaMatrix<f32>) -> Result<Vec<f32>, Error> {
    let mut values = vec![0.0; matrix.shape().0 * matrix.shape().1];
    matrix.read(&mut values)?;
    Ok(values)
}

/// Fused operations that are refused for one operand have not begun with the others.
pub(crate) fn operations_change_nothing() -> Outcome {
    let (stream, backend) = (stream()?, backend::<f32>()?);
    let upload = |rows: usize, cols: usize, x: f32| backend.upload(rows, cols, &vec![x; rows * cols]);
    let memory = stream.clone_htod(&vec![bf16::from_f32(2.0); 4 * 5])?;
    let pointer = memory.device_ptr(&stream).0;
    // SAFETY: `memory` outlives the matrices and is of this stream.
    let half = |rows, cols| unsafe { backend.matrix_at(pointer, (rows, cols), cols, Storage::Bf16) };
    let (gradient, wrong) = (upload(4, 5, 1.0)?, upload(5, 4, 1.0)?);
    let mut state = [upload(4, 5, 1.0)?, upload(4, 5, 2.0)?, upload(4, 5, 3.0)?, upload(4, 5, 4.0)?];
    let mut workspace = Workspace::new(backend.clone());

    // bf16 storage has no products.
    let (mut m, mut v) = (half(4, 5)?, upload(5, 2, 1.0)?);
    let iterated =
        PowerIteration::PAPER.iterate(&mut m, Some((0.5, &Gradient::new(&gradient))), &mut v, &mut workspace);
    refused(iterated, &["power_iteration", "16-bit storage"])?;
    let mut v16 = half(5, 2)?;
    let iterated = PowerIteration::PAPER.iterate(
        &mut state[0],
        Some((0.5, &Gradient::new(&gradient))),
        &mut v16,
        &mut workspace,
    );
    refused(iterated, &["power_iteration", "16-bit storage"])?;

    // Each operand in turn has another shape.
    for at in 0..4 {
        let mut other = upload(5, 4, 9.0)?;
        let [x, first, second, slow] = &mut state;
        let mut matrices = [x, first, second, slow];
        matrices[at] = &mut other;
        let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: Some((0.999, 5.0)) };
        let done = CudaBackend::entrywise_add(
            matrices,
            (0.5, 0.25),
            rule,
            &Gradient::new(&gradient),
            &mut workspace,
        );
        refused(done, &["entrywise_add", "4 x 5", "5 x 4"])?;
    }
    let [x, first, second, _] = &mut state;
    let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: None };
    let done = CudaBackend::entrywise_add(
        [x, first, second],
        (0.5, 0.25),
        rule,
        &Gradient::new(&wrong),
        &mut workspace,
    );
    refused(done, &["entrywise_add", "4 x 5", "5 x 4"])?;
    for ((m, k), (n, l)) in [((5, 130), (5, 130)), ((4, 130), (4, 130)), ((4, 130), (5, 131))] {
        let (left, right) = (upload(m, k, 1.0)?, upload(n, l, 1.0)?);
        refused(state[0].low_rank_add(0.5.into(), 0.25.into(), &gradient, &left, &right), &["low_rank_add"])?;
    }
    for (matrix, value) in state.iter().zip([1.0, 2.0, 3.0, 4.0]) {
        if values(matrix)?.iter().any(|x| *x != value) {
            return Err(format!("a refused operation has changed what held {value}").into());
        }
    }
    if stream.clone_dtoh(&memory)?.iter().any(|x| x.to_f32() != 2.0) || values(&v)?.iter().any(|x| *x != 1.0)
    {
        return Err("a refused power iteration has changed M or V".into());
    }
    // A factor in bf16 is no reason to refuse a weight update, whatever its rank.
    let wide = stream.clone_htod(&vec![bf16::from_f32(2.0); 4 * 130])?;
    let pointer = wide.device_ptr(&stream).0;
    // SAFETY: as above.
    let left = unsafe { backend.matrix_at(pointer, (4, 130), 130, Storage::Bf16) }?;
    state[0].low_rank_add(0.5.into(), 0.25.into(), &gradient, &left, &upload(5, 130, 1.0)?)?;
    // 0.5 + (1 - 130 2) / 4, exactly.
    if values(&state[0])?.iter().any(|x| *x != -64.25) {
        return Err(format!("a weight update with a factor in bf16: {:?}", values(&state[0])?).into());
    }
    check_violations()
}
