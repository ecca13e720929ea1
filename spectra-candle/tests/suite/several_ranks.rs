//! Candle variables that several ranks train: threads of this process, against one.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer as _;
use spectra_candle::distributed::{Communicator, Mode, Placing, Threads};
use spectra_candle::plan::{Plan, PlanBuilder, Split};
use spectra_candle::{Config, DistributedOptimizer, ErrorKind, Optimizer};
use spectra_core::linalg::uniform;
use std::time::Duration;

type Named = Vec<(String, Var)>;

const SHAPES: [(&str, &[usize]); 5] = [
    ("layers.0.up.weight", &[20, 9]),
    ("layers.0.down.weight", &[7, 18]),
    ("layers.0.qkv.weight", &[8, 12]),
    ("norm.weight", &[9]),
    ("frozen.weight", &[2, 2]),
];

fn variables(dtype: DType) -> Named {
    let variable = |(seed, (name, shape)): (u64, (&str, &[usize]))| {
        let len = shape.iter().product();
        let values: Vec<f64> = (0..len).map(|i| uniform(seed, i, 1)).collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        (name.to_owned(), Var::from_tensor(&tensor).unwrap())
    };
    (3..).zip(SHAPES).map(variable).collect()
}

/// Stored in x out, in columns of query, key and value: blocks that are copies, and transposed.
fn plan() -> PlanBuilder {
    use spectra_candle::plan::Rule;
    Plan::builder().split("*.qkv.weight", Split::columns(3)).rule("frozen.*", Rule::Frozen)
}

/// Of the loss `sum (x - target)^2 / 2` of one share; the shares' mean does not depend on their number.
fn loss(vars: &Named, share: usize, shares: usize) -> Tensor {
    let mut loss = Tensor::zeros((), vars[0].1.dtype(), &Device::Cpu).unwrap();
    for (seed, (_, var)) in (100..).zip(vars) {
        let len = var.elem_count();
        let angle = std::f64::consts::TAU * share as f64 / shares as f64;
        let noise = if shares == 1 { 0.0 } else { angle.cos() };
        let target: Vec<f64> = (0..len).map(|i| uniform(seed, i, 2) + noise * uniform(seed, i, 3)).collect();
        let target =
            Tensor::from_vec(target, var.shape(), &Device::Cpu).unwrap().to_dtype(var.dtype()).unwrap();
        loss = (loss
            + ((var.as_tensor() - target).unwrap().sqr().unwrap().sum_all().unwrap() * 0.5).unwrap())
        .unwrap();
    }
    loss
}

fn gradients(vars: &Named, share: usize, shares: usize) -> GradStore {
    loss(vars, share, shares).backward().unwrap()
}

fn values(vars: &Named) -> Vec<f64> {
    let of = |var: &Var| var.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    vars.iter().flat_map(|(_, var)| of(var)).collect()
}

fn on_ranks<R: Send>(size: usize, run: impl Fn(usize, Communicator<Threads>) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let run = &run;
        let spawn = |(rank, threads)| scope.spawn(move || run(rank, Communicator::new(threads)));
        let group = Threads::group(size, Duration::from_secs(120));
        let ranks: Vec<_> = group.into_iter().enumerate().map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
    })
}

fn config() -> Config {
    Config::preset("spectra").unwrap().lr(0.02).weight_decay(0.1).clip_norm(1.0)
}

fn alone(dtype: DType, steps: usize) -> (Named, Optimizer) {
    let vars = variables(dtype);
    let mut optimizer = Optimizer::from_named_vars(vars.clone(), config(), &plan()).unwrap();
    for _ in 0..steps {
        optimizer.step(&gradients(&vars, 0, 1)).unwrap();
    }
    (vars, optimizer)
}

/// In f32 gradients are added in another order: 5 steps of some roundings each, of numbers of order 1.
#[test]
fn the_weights_are_those_of_one_process() {
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 0.02)] {
        let wanted = values(&alone(dtype, 5).0);
        for size in [1, 2, 3] {
            for placing in [Placing::AUTO, Placing::new(Mode::Divided)] {
                let found = on_ranks(size, |rank, group| {
                    let vars = variables(dtype);
                    let mut optimizer = DistributedOptimizer::<_>::with_plan(
                        vars.clone(),
                        config(),
                        &plan(),
                        group,
                        &placing,
                    )
                    .unwrap();
                    for _ in 0..5 {
                        optimizer.backward_step(&loss(&vars, rank, size)).unwrap();
                    }
                    values(&vars)
                });
                assert!(found.iter().all(|values| *values == found[0]), "equal on all ranks");
                let apart = found[0].iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart <= tolerance, "{dtype:?} {size}: {apart:e}");
                if size == 1 {
                    assert_eq!(found[0], wanted, "{dtype:?}: one rank is one process");
                }
            }
        }
    }
}

#[test]
fn all_ranks_begin_with_the_weights_of_the_first() {
    let found = on_ranks(2, |rank, group| {
        let vars = variables(DType::F32);
        for (_, var) in vars.iter().filter(|_| rank == 1) {
            var.set(&var.ones_like().unwrap()).unwrap();
        }
        let optimizer =
            DistributedOptimizer::<_>::with_plan(vars.clone(), config(), &plan(), group, &Placing::AUTO);
        assert_eq!(optimizer.unwrap().size(), 2);
        values(&vars)
    });
    assert!(found.iter().all(|found| *found == values(&variables(DType::F32))));
}

#[test]
fn a_state_goes_from_ranks_to_one_process_and_back() {
    let results = on_ranks(3, |rank, group| {
        let vars = variables(DType::F32);
        let placing = Placing::new(Mode::Divided);
        let mut optimizer =
            DistributedOptimizer::<_>::with_plan(vars.clone(), config(), &plan(), group, &placing).unwrap();
        for _ in 0..3 {
            optimizer.try_step(&gradients(&vars, rank, 3)).unwrap();
        }
        let momentum = optimizer.state_tensor("layers.0.up.weight", "momentum").unwrap().unwrap();
        (optimizer.state_tensors(1).unwrap(), momentum.flatten_all().unwrap().to_vec1::<f32>().unwrap())
    });
    assert!(results[0].0.is_none() && results[2].0.is_none());
    let tensors = results[1].0.as_ref().unwrap();
    let (_, mut one) = alone(DType::F32, 0);
    assert_eq!(one.load_state_tensors(tensors).unwrap().steps, 3);
    let momentum = one.state_tensor("layers.0.up.weight", "momentum").unwrap().unwrap();
    let momentum = momentum.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(results.iter().all(|(_, seen)| *seen == momentum));
    let again = one.state_tensors().unwrap();
    on_ranks(2, |_, group| {
        let vars = variables(DType::F32);
        let mut optimizer =
            DistributedOptimizer::<_>::with_plan(vars, config(), &plan(), group, &Placing::AUTO).unwrap();
        assert_eq!(optimizer.load_state_tensors(&again).unwrap().steps, 3);
    });
}

#[test]
fn errors_on_one_rank_are_errors_on_all() {
    let errors = on_ranks(2, |rank, group| {
        let vars = variables(DType::F32);
        let mut optimizer =
            DistributedOptimizer::<_>::with_plan(vars.clone(), config(), &plan(), group, &Placing::AUTO)
                .unwrap();
        let before = values(&vars);
        let mut errors = Vec::new();
        // A NaN, a missing gradient, a learning rate outside its domain.
        let mut grads = gradients(&vars, rank, 2);
        if rank == 1 {
            grads.insert(&vars[1].1, (vars[1].1.as_tensor() * f64::NAN).unwrap());
        }
        errors.push(optimizer.try_step(&grads).unwrap_err());
        grads = gradients(&vars, rank, 2);
        if rank == 0 {
            grads.remove(&vars[3].1);
        }
        errors.push(optimizer.try_step(&grads).unwrap_err());
        optimizer.set_learning_rate(if rank == 1 { f64::NAN } else { 0.01 });
        errors.push(optimizer.try_step(&gradients(&vars, rank, 2)).unwrap_err());
        assert_eq!(values(&vars), before);
        optimizer.set_learning_rate(0.02);
        optimizer.try_step(&gradients(&vars, rank, 2)).unwrap();
        errors
    });
    for errors in errors {
        assert!(matches!(errors[0].kind(), ErrorKind::NonFinite { .. }), "{}", errors[0]);
        assert_eq!(errors[0].parameter(), Some("layers.0.down.weight"));
        assert!(errors[1].to_string().contains("`norm.weight`"), "{}", errors[1]);
        assert!(errors[2].to_string().contains("lr"), "{}", errors[2]);
    }
}
