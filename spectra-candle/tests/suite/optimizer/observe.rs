//! Observations, in candle's tensors.

use super::*;
use spectra_candle::plan::Split;

fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// Every variable that is trained.
const NAMES: [&str; 5] = [
    "embed.weight",
    "layers.0.mlp.up.weight",
    "layers.0.norm.weight",
    "layers.1.conv.weight",
    "layers.1.mlp.down.weight",
];

#[test]
fn an_observed_run_has_the_bits_of_one_that_is_not() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for preset in ["spectra", "muon", "adamw", "spectra-adamw", "soap", "dion", "muon-hyperball"] {
            let config = Config::preset(preset)?.lr(0.02).clip_norm(1.0);
            let (seen, alone) = (model(dtype)?, model(dtype)?);
            let mut watched = Optimizer::from_varmap(&seen, config)?;
            let mut unwatched = Optimizer::from_varmap(&alone, config)?;
            for step in 0..3 {
                let grads = gradients(&seen, step)?;
                let first = watched.observe(&grads, &NAMES)?;
                let held: Vec<_> =
                    first.iter().map(|seen| numbers(&seen.weights)).collect::<Result<_, _>>()?;
                watched.try_step(&grads)?;
                unwatched.try_step(&gradients(&alone, step)?)?;
                for (observation, held) in first.iter().zip(held) {
                    assert_eq!(numbers(&observation.weights)?, held, "a step changes no observation");
                }
            }
            assert_eq!(weights(&seen)?, weights(&alone)?, "{preset} {dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn the_update_is_what_the_step_subtracts() -> TestResult {
    for preset in ["spectra", "muon", "adamw", "spectra-adamw", "soap", "dion"] {
        let varmap = model(DType::F64)?;
        let config = Config::preset(preset)?.weight_decay(0.0).lr(0.02).elementwise_lr(0.01).clip_norm(1.0);
        let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
        for step in 0..2 {
            let grads = gradients(&varmap, step)?;
            let observed = optimizer.observe(&grads, &NAMES)?;
            optimizer.try_step(&grads)?;
            for (name, seen) in NAMES.iter().zip(&observed) {
                let (x, y) = (numbers(&seen.weights)?, numbers(vars(&varmap)[*name].as_tensor())?);
                let lr = seen.rates.lr;
                let update = numbers(&seen.update)?;
                let norm = update.iter().map(|o| o * o).sum::<f64>().sqrt();
                // An ulp of the weights, which are at most 1, and sums of at most 12 products.
                let bound = 8.0 * f64::EPSILON * (1.0 / lr + 12.0 * norm);
                for ((x, y), o) in x.iter().zip(&y).zip(&update) {
                    assert!(((x - y) / lr - o).abs() <= bound, "{preset}, {name}: {o}");
                }
                let momentum = optimizer.state_tensor(name, "momentum")?;
                let found = [seen.momentum(), momentum.as_ref()].map(|m| m.map(numbers).transpose());
                let [seen_momentum, momentum] = found;
                assert_eq!(seen_momentum?, momentum?, "{preset}, {name}");
            }
        }
    }
    Ok(())
}

#[test]
fn blocks_are_observed_by_their_names() -> TestResult {
    let varmap = model(DType::F32)?;
    let rows = Split::rows([8, 4]).names(["q", "k"]);
    let plan = Plan::builder().split("layers.0.mlp.up.weight", rows);
    let mut optimizer = Optimizer::with_plan(&varmap, config()?, &plan)?;
    let grads = gradients(&varmap, 0)?;
    let names = ["layers.0.mlp.up.weight[k]", "layers.0.mlp.up.weight[q]"];
    let observed = optimizer.observe(&grads, &names)?;
    assert_eq!(observed[0].weights.dims(), [4, 8]);
    assert_eq!(observed[1].update.dims(), [8, 8]);
    let whole = numbers(vars(&varmap)["layers.0.mlp.up.weight"].as_tensor())?;
    assert_eq!(numbers(&observed[0].weights)?, whole[64..]);
    Ok(())
}

#[test]
fn what_cannot_be_observed_is_refused_by_its_name() -> TestResult {
    let varmap = model(DType::F32)?;
    let plan = Plan::builder().rule("embed.weight", Rule::Frozen);
    let mut optimizer = Optimizer::with_plan(&varmap, config()?, &plan)?;
    let mut grads = gradients(&varmap, 0)?;
    let before = weights(&varmap)?;
    let refused = |optimizer: &mut Optimizer, grads: &_, name: &str| -> Result<String, String> {
        let outcome = optimizer.observe(grads, &[name]);
        outcome.map(|_| ()).err().map(|error| error.to_string()).ok_or_else(|| format!("{name} was observed"))
    };
    for name in ["embed.weight", "no.such.weight"] {
        let text = refused(&mut optimizer, &grads, name)?;
        assert!(text.contains(name), "{text}");
    }
    grads.remove(&vars(&varmap)["layers.1.mlp.down.weight"]);
    let text = refused(&mut optimizer, &grads, "layers.1.mlp.down.weight")?;
    assert!(text.contains("layers.1.mlp.down.weight") && text.contains("no gradient"), "{text}");
    optimizer.set_learning_rate(-1.0);
    assert!(refused(&mut optimizer, &grads, "scale")?.contains("lr"));
    assert_eq!(weights(&varmap)?, before);
    Ok(())
}
