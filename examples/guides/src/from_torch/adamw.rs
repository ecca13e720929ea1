use super::{assert_close, gradient, initial, ours};
use spectra_core::backend::Result;
use spectra_core::optimizer::Config;
use spectra_core::optimizer::plan::Plan;

/// `torch.optim.AdamW`, whose documentation has this loop.
fn torchs(lr: f64, (beta1, beta2): (f64, f64), eps: f64, weight_decay: f64, steps: usize) -> Vec<f64> {
    let mut weights = initial();
    let (mut m, mut v) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
    for step in 0..steps {
        let t = step as i32 + 1;
        for (at, g) in gradient(step).into_iter().enumerate() {
            weights[at] -= lr * weight_decay * weights[at];
            m[at] = beta1 * m[at] + (1.0 - beta1) * g;
            v[at] = beta2 * v[at] + (1.0 - beta2) * g * g;
            let (m, v): (f64, f64) = (m[at] / (1.0 - beta1.powi(t)), v[at] / (1.0 - beta2.powi(t)));
            weights[at] -= lr * m / (v.sqrt() + eps);
        }
    }
    weights
}

#[test]
fn values_mean_what_they_mean_there() -> Result<()> {
    // ANCHOR: adamw
    // torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    let config = Config::preset("adamw")?.lr(3e-4).beta1(0.9).beta2(0.95).eps(1e-8).weight_decay(0.1);
    // AdamW there decays norms and biases as well; ours does if it is told to.
    let plan = Plan::builder().group("*", |g| g.weight_decay(0.1));
    // ANCHOR_END: adamw
    assert_close(&ours(config, &plan, 5)?, &torchs(3e-4, (0.9, 0.95), 1e-8, 0.1, 5));
    Ok(())
}

#[test]
fn defaults_are_torchs() -> Result<()> {
    // ANCHOR: defaults
    // torch.optim.AdamW(model.parameters())
    let config = Config::preset("adamw")?; // lr 1e-3, betas 0.9 and 0.999, eps 1e-8, weight decay 0.01
    // ANCHOR_END: defaults
    assert_close(&ours(config, &Plan::builder(), 5)?, &torchs(1e-3, (0.9, 0.999), 1e-8, 0.01, 5));
    Ok(())
}

#[test]
fn norms_and_biases_are_decayed_if_a_group_says_so() -> Result<()> {
    let shapes = [("mlp.up.weight", &[4usize, 3][..]), ("mlp.up.bias", &[4])];
    let all = Plan::builder().group("*", |g| g.weight_decay(0.1)).build(shapes)?;
    let bias = all.get("mlp.up.bias").map(|entry| entry.group().decay());
    assert_eq!(bias, Some(Some(0.1)));
    let table = Plan::builder().build(shapes)?.table(Config::preset("adamw")?.weight_decay(0.1)).to_string();
    assert!(table.contains("mlp.up.bias"), "{table}");
    Ok(())
}
