use super::{COLS, ROWS, assert_close, gradient, initial, ours};
use spectra_core::backend::Result;
use spectra_core::linalg::{Polar, Schedule, Steps};
use spectra_core::optimizer::plan::Plan;
use spectra_core::optimizer::{Config, StepScale};

/// What `adjust_lr_fn` multiplies the learning rate by.
#[derive(Clone, Copy)]
enum Adjust {
    Original,
    MatchRmsAdamw,
}

/// `a b` of row-major matrices, `n x k` and `k x m`.
fn product(a: &[f64], b: &[f64], (n, k, m): (usize, usize, usize)) -> Vec<f64> {
    let entry = |at: usize| (0..k).map(|l| a[at / m * k + l] * b[l * m + at % m]).sum();
    (0..n * m).map(entry).collect()
}

fn transposed(a: &[f64], (n, m): (usize, usize)) -> Vec<f64> {
    (0..n * m).map(|at| a[at % n * m + at / n]).collect()
}

/// `torch.optim._muon._zeropower_via_newtonschulz` of a tall matrix, in f64.
fn newton_schulz(update: &[f64], (a, b, c): (f64, f64, f64), steps: usize, eps: f64) -> Vec<f64> {
    // Tall matrices are worked on as their transposes.
    let (n, m) = (COLS, ROWS);
    let mut x = transposed(update, (ROWS, COLS));
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(eps);
    x.iter_mut().for_each(|x| *x /= norm);
    for _ in 0..steps {
        let gram = product(&x, &transposed(&x, (n, m)), (n, m, n));
        let square = product(&gram, &gram, (n, n, n));
        let both: Vec<f64> = gram.iter().zip(&square).map(|(g, s)| b * g + c * s).collect();
        let add = product(&both, &x, (n, n, m));
        x = x.iter().zip(&add).map(|(x, add)| a * x + add).collect();
    }
    transposed(&x, (n, m))
}

/// Muon's own.
const DEFAULT: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);

/// `torch.optim.Muon` on a tall matrix.
fn torchs(
    lr: f64,
    weight_decay: f64,
    momentum: f64,
    nesterov: bool,
    adjust: Adjust,
    coefficients: (f64, f64, f64),
    steps: usize,
) -> Vec<f64> {
    let (mut weights, mut buffer) = (initial(), vec![0.0; ROWS * COLS]);
    let (rows, cols) = (ROWS as f64, COLS as f64);
    let ratio = match adjust {
        Adjust::Original => (rows / cols).max(1.0).sqrt(),
        Adjust::MatchRmsAdamw => 0.2 * rows.max(cols).sqrt(),
    };
    for step in 0..steps {
        let g = gradient(step);
        let lerp = |from: f64, to: f64, by: f64| from + by * (to - from);
        buffer = buffer.iter().zip(&g).map(|(m, g)| lerp(*m, *g, 1.0 - momentum)).collect();
        let ahead = g.iter().zip(&buffer).map(|(g, m)| if nesterov { lerp(*g, *m, momentum) } else { *m });
        let update = newton_schulz(&ahead.collect::<Vec<_>>(), coefficients, 5, 1e-7);
        for (weight, update) in weights.iter_mut().zip(update) {
            *weight = *weight * (1.0 - lr * weight_decay) - lr * ratio * update;
        }
    }
    weights
}

#[test]
fn values_mean_what_they_mean_there() -> Result<()> {
    // ANCHOR: muon
    // torch.optim.Muon(hidden, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
    //                  ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn="original")
    let newton_schulz = Polar { schedule: Schedule::Muon, steps: Steps::Fixed(5), ..Polar::MUON_TORCH };
    let config = Config::preset("muon")?
        .lr(1e-3)
        .weight_decay(0.1)
        .momentum(0.95)
        .nesterov(true)
        .polar(newton_schulz)
        .scale(StepScale::AspectRatio);
    // ANCHOR_END: muon
    let plan = Plan::builder();
    assert_close(&ours(config, &plan, 4)?, &torchs(1e-3, 0.1, 0.95, true, Adjust::Original, DEFAULT, 4));

    // ANCHOR: match_rms
    // adjust_lr_fn="match_rms_adamw"
    let matched = config.scale(StepScale::MaxDimension { factor: 0.2 });
    // ANCHOR_END: match_rms
    assert_close(
        &ours(matched, &plan, 4)?,
        &torchs(1e-3, 0.1, 0.95, true, Adjust::MatchRmsAdamw, DEFAULT, 4),
    );

    // ANCHOR: coefficients
    // ns_coefficients=(2.0, -1.5, 0.5)
    let own = Polar { schedule: Schedule::Constant { a: 2.0, b: -1.5, c: 0.5 }, ..newton_schulz };
    let config_of_own = config.polar(own);
    // ANCHOR_END: coefficients
    let theirs = torchs(1e-3, 0.1, 0.95, true, Adjust::Original, (2.0, -1.5, 0.5), 4);
    assert_close(&ours(config_of_own, &plan, 4)?, &theirs);

    let plain = config.nesterov(false).momentum(0.9);
    assert_close(&ours(plain, &plan, 4)?, &torchs(1e-3, 0.1, 0.9, false, Adjust::Original, DEFAULT, 4));
    Ok(())
}

#[test]
fn everything_else_has_a_rate_of_its_own() -> Result<()> {
    // ANCHOR: two_rates
    // torch.optim.Muon(hidden, lr=0.02) and torch.optim.AdamW(the_rest, lr=3e-4, betas=(0.9, 0.95)), in one optimizer
    let config = Config::preset("muon")?.lr(0.02).elementwise_lr(3e-4).beta1(0.9).beta2(0.95);
    // ANCHOR_END: two_rates
    config.validate::<f32>()?;
    assert_eq!((config.lr, config.elementwise_lr), (0.02, Some(3e-4)));
    Ok(())
}
