//! What is refused, with words that say what and where; nothing changes and memory is released.

use crate::buffers::{Model, optimizer, pairs};
use crate::device::{Outcome, backend, check_violations, new_backend, simulator, stream};
use spectra_core::backend::{Backend, Matrix};
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaBackend, Error, Precision, Target};
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
