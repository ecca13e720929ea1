//! One file of a state for every front-end: candle, CUDA, the core.

use crate::buffers::{Model, SHAPES, optimizer, pairs, random};
use crate::device::{Outcome, backend, check_violations, stream};
use crate::optimizer::ensure;
use candle_core::{Device, Tensor, Var};
use spectra_core::backend::Element;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::Optimizer as Core;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaElement, ErrorKind};
use std::error::Error;
use std::fs;
use std::path::Path;

const LR: f64 = 1e-2;

type Numbers = Vec<Vec<f32>>;

/// The numbers of [`Model::random`].
fn numbers(seed: u64) -> Numbers {
    let of = |(index, (_, shape)): (usize, &(&str, &[usize]))| {
        random(seed + 100 * index as u64, shape.iter().product())
    };
    SHAPES.iter().enumerate().map(of).collect()
}

fn config(preset: &str) -> Result<Config, spectra_cuda::Error> {
    Ok(Config::preset(preset)?.lr(LR).clip_norm(1.0).weight_decay(0.1))
}

/// The model in candle.
struct Candle {
    vars: Vec<(String, Var)>,
    optimizer: spectra_candle::Optimizer,
}

impl Candle {
    fn new(preset: &str, weights: &Numbers) -> Result<Self, Box<dyn Error>> {
        let var = |((name, shape), values): (&(&str, &[usize]), &Vec<f32>)| {
            let tensor = Tensor::from_slice(values, *shape, &Device::Cpu)?;
            Ok((name.to_string(), Var::from_tensor(&tensor)?))
        };
        let vars: Vec<_> = SHAPES.iter().zip(weights).map(var).collect::<candle_core::Result<_>>()?;
        let plan = Plan::builder();
        let optimizer = spectra_candle::Optimizer::from_named_vars(vars.clone(), config(preset)?, &plan)?;
        Ok(Self { vars, optimizer })
    }

    /// A step down `sum(G o W)`.
    fn step(&mut self, gradients: &Numbers) -> Outcome {
        let mut loss = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
        for ((_, var), values) in self.vars.iter().zip(gradients) {
            let gradient = Tensor::from_slice(values, var.shape(), &Device::Cpu)?;
            loss = (loss + (var.as_tensor() * gradient)?.sum_all()?)?;
        }
        self.optimizer.try_step(&loss.backward()?)?;
        Ok(())
    }

    fn weights(&self) -> Result<Numbers, Box<dyn Error>> {
        let values = |(_, var): &(String, Var)| Ok(var.flatten_all()?.to_vec1::<f32>()?);
        self.vars.iter().map(values).collect()
    }
}

/// Weights after a step of a CUDA optimizer that has loaded the file.
fn cuda_step<E: CudaElement + Default>(
    preset: &str,
    path: Option<&Path>,
    weights: &Numbers,
    gradients: &Numbers,
) -> Result<(spectra_cuda::Optimizer<E>, Numbers), Box<dyn Error>> {
    let stream = stream()?;
    let mut own = optimizer(backend::<E>()?, config(preset)?)?;
    if let Some(path) = path {
        ensure(own.load(path)?.fresh.is_empty(), "something begins anew")?;
    }
    let upload = |numbers: &Numbers| {
        let convert = |values: &Vec<f32>| values.iter().map(|x| E::narrow(f64::from(*x))).collect::<Vec<_>>();
        let buffers = numbers.iter().map(|values| stream.clone_htod(&convert(values)));
        buffers.collect::<Result<Vec<_>, _>>().map(Model)
    };
    let (mut model, gradients) = (upload(weights)?, upload(gradients)?);
    own.step(&mut pairs(&mut model, &gradients))?;
    let found = model.read(&stream)?;
    let found = found.iter().map(|values| values.iter().map(|x| x.widen() as f32).collect()).collect();
    Ok((own, found))
}

/// The same of the core's portable backend.
fn dense_step<E: Element>(
    preset: &str,
    path: &Path,
    weights: &Numbers,
    gradients: &Numbers,
) -> Result<Numbers, Box<dyn Error>> {
    let plan = Plan::builder().build(SHAPES)?;
    let mut own = Core::new(Dense::<E>::new(), config(preset)?, plan.parameters())?;
    own.load(path)?;
    let matrices = |numbers: &Numbers| {
        let matrix = |(entry, values): (&spectra_cuda::plan::Entry, &Vec<f32>)| {
            let (rows, cols) = entry.view();
            DenseMatrix::from_vec(rows, cols, values.iter().map(|x| E::narrow(f64::from(*x))).collect())
        };
        plan.entries().iter().zip(numbers).map(matrix).collect::<Result<Vec<_>, _>>()
    };
    let (mut x, g) = (matrices(weights)?, matrices(gradients)?);
    own.step(&mut x.iter_mut().zip(&g).collect::<Vec<_>>())?;
    Ok(x.iter().map(|x| x.values().iter().map(|x| x.widen() as f32).collect()).collect())
}

fn distance(a: &Numbers, b: &Numbers) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

pub(crate) fn a_state_goes_from_candle_to_cuda_to_the_core_and_back() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, back) = (folder.path().join("state"), folder.path().join("back"));
    // The step itself is in f32: some hundred operations on numbers of size one, whose rounding the inverses in a map enlarge by
    // ten at most, times the rate; and the weights, of size one, are rounded once or twice.
    let eps = f64::from(f32::EPSILON);
    let tolerance = 2.0 * eps + LR * 1e3 * eps;
    for preset in ["spectra", "adamw", "muon", "ademamix", "spectra-mars"] {
        let mut candle = Candle::new(preset, &numbers(1))?;
        candle.step(&numbers(2))?;
        candle.step(&numbers(3))?;
        candle.optimizer.save(&path)?;
        let (weights, gradients) = (candle.weights()?, numbers(4));
        candle.step(&gradients)?;
        let expected = candle.weights()?;

        let (cuda, found) = cuda_step::<f32>(preset, Some(&path), &weights, &gradients)?;
        let (_, wide) = cuda_step::<f64>(preset, Some(&path), &weights, &gradients)?;
        let dense = dense_step::<f32>(preset, &path, &weights, &gradients)?;
        let wide_dense = dense_step::<f64>(preset, &path, &weights, &gradients)?;
        let (_, anew) = cuda_step::<f32>(preset, None, &weights, &gradients)?;
        for (what, found) in
            [("f32", found.clone()), ("f64", wide), ("core", dense), ("core, f64", wide_dense)]
        {
            let error = distance(&found, &expected);
            ensure(error <= tolerance, format!("{preset}, {what}: {error:e}, more than {tolerance:e}"))?;
        }
        // A state that was not loaded would be seen.
        let error = distance(&anew, &expected);
        ensure(error > 100.0 * tolerance, format!("{preset}: without the state {error:e}"))?;

        // And back: CUDA's third step is candle's.
        cuda.save(&back)?;
        let mut resumed = Candle::new(preset, &found)?;
        let restored = resumed.optimizer.load(&back)?;
        ensure((restored.steps, restored.differences.len()) == (3, 0), format!("{restored}"))?;
        for side in [&mut resumed, &mut candle] {
            side.step(&numbers(5))?;
        }
        // Both steps' roundings, and what the first one's do in the second.
        let error = distance(&resumed.weights()?, &candle.weights()?);
        ensure(error <= 3.0 * tolerance, format!("{preset}, back: {error:e}"))?;

        // The same state is the same file, whoever writes it.
        let mut again = optimizer(backend::<f32>()?, config(preset)?)?;
        again.load(&path)?;
        again.save(&back)?;
        ensure(fs::read(&back)? == fs::read(&path)?, format!("{preset}: the files differ"))?;
    }
    check_violations()
}

pub(crate) fn a_damaged_file_is_refused_by_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let (own, _) = cuda_step::<f32>("spectra", None, &numbers(1), &numbers(2))?;
    own.save(&path)?;
    let whole = fs::read(&path)?;
    let mut other = optimizer(backend::<f32>()?, config("spectra")?)?;
    let before = other.snapshot()?;
    // The buffers lie in the order of the plan behind the header: the first is the momentum of the first matrix.
    let start = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into()?))?;
    let mut damaged = whole.clone();
    damaged[start + 4 * 80 * 24 + 1] ^= 0x10;
    fs::write(&path, &damaged)?;
    let error = other.load(&path).err().ok_or("a damaged number is accepted")?;
    let text = error.to_string();
    ensure(error.parameter() == Some("mlp.up.weight") && text.contains("damaged"), text)?;
    for (what, bytes) in [("cut", &whole[..whole.len() - 5]), ("foreign", b"a text"), ("empty", b"")] {
        fs::write(&path, bytes)?;
        let error = other.load(&path).err().ok_or("accepted")?;
        ensure(matches!(error.kind(), ErrorKind::State { .. }), format!("{what}: {error}"))?;
        ensure(!error.to_string().contains('\n'), format!("{what}: more than a line: {error}"))?;
    }
    let absent = other.load(folder.path().join("absent")).err().ok_or("accepted")?.to_string();
    ensure(absent.contains("absent"), absent)?;
    // A double does not fit into f32, a float does into f64.
    let (wide, _) = cuda_step::<f64>("spectra", None, &numbers(1), &numbers(2))?;
    wide.save(&path)?;
    let error = other.load(&path).err().ok_or("f64 in f32")?.to_string();
    ensure(error.contains("another type"), error)?;
    ensure(other.snapshot()? == before, "a refused file has changed something")?;
    check_violations()
}
