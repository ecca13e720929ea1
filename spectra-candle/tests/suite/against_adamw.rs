//! The preset `adamw` against `candle_nn::AdamW`, over twenty steps.

use crate::common::{gradients, model, vars};
use candle_core::DType;
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use spectra_candle::plan::Plan;
use spectra_candle::{Config, Optimizer};

const STEPS: u64 = 20;

/// With a large eps its place in the formula shows: `sqrt(v_hat) + eps`, after the bias correction.
#[test]
fn same_weights_as_candles_own() -> Result<(), Box<dyn std::error::Error>> {
    for (dtype, unit) in [(DType::F64, f64::EPSILON), (DType::F32, f64::from(f32::EPSILON))] {
        for (eps, weight_decay) in [(1e-8, 0.01), (1e-2, 0.0), (1e-2, 0.3)] {
            let (ours, theirs) = (model(dtype)?, model(dtype)?);
            let lr = 0.01;
            let config = Config::preset("adamw")?.lr(lr).weight_decay(weight_decay);
            let config = config.beta1(0.8).beta2(0.95).eps(eps);
            // Candle's own decays norms and biases, too.
            let plan = Plan::builder().group("*", |group| group.weight_decay(weight_decay));
            let mut optimizer = Optimizer::with_plan(&ours, config, &plan)?;
            let params = ParamsAdamW { lr, beta1: 0.8, beta2: 0.95, eps, weight_decay };
            let mut reference = AdamW::new(theirs.all_vars(), params)?;
            for step in 0..STEPS {
                optimizer.step(&gradients(&ours, step)?)?;
                reference.step(&gradients(&theirs, step)?)?;
            }
            // The gradients do not depend on the weights, so errors add up and do not grow. A step rounds the
            // weights (below 2 here) three times, and the direction (below 4: at most (1 - b1) / sqrt(1 - b2) per
            // unit of gradient over its root mean square) some ten times.
            let tolerance = STEPS as f64 * unit * (3.0 * 2.0 + 10.0 * 4.0 * lr);
            for (name, var) in vars(&ours) {
                let difference = (var.as_tensor() - vars(&theirs)[&name].as_tensor())?.abs()?;
                let difference = difference.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                let largest = difference.into_iter().fold(0.0, f64::max);
                assert!(largest <= tolerance, "{name} {dtype:?} eps {eps}: {largest} > {tolerance}");
            }
        }
    }
    Ok(())
}
