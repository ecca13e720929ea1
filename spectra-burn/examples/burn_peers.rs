//! Burn's AdamW and Muon beside ours on the same gradients: difference of the weights, time of a step.
//!
//! `cargo run --release -p spectra-burn --example burn_peers -- [ROWS COLS]`
//!
//! From 4 million weights on without the rules that multiply whole matrices: burn's Muon takes minutes there.

use std::time::Instant;

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, MuonConfig};
use burn::tensor::{DType, Device, Distribution, Tensor};
use spectra_burn::{Orientation, SpectralConfig};

const STEPS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let [rows, cols] = match numbers.as_deref() {
        Ok([]) => [1024, 1024],
        Ok([rows @ 2..=usize::MAX, cols @ 2..=usize::MAX]) => [*rows, *cols],
        _ => return Err("usage: burn_peers [ROWS COLS], both at least 2".into()),
    };
    let device = Device::flex();
    device.seed(1);
    let normal = || Tensor::<2>::random([rows, cols], Distribution::Normal(0.0, 1.0), (&device, DType::F32));
    let (start, gradients) = (normal(), (0..STEPS).map(|_| normal()).collect::<Vec<_>>());

    // Burn's Muon takes its step scale from the shape as it is stored.
    let ours = |preset| SpectralConfig::preset(preset)?.with_orientation(Orientation::OutByIn).init();
    let burns_adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01);
    println!("{rows} x {cols}, f32, {STEPS} steps");
    println!("{:<38}{:>10} {:>9} {:>9}", "", "difference", "burn ms", "ours ms");
    let muon = MuonConfig::new();
    for (name, products, burns, ours) in [
        ("AdamW", false, Some(burns_adamw.init()), ours("adamw")?),
        ("Muon, five quintic steps", true, Some(muon.init()), ours("muon")?),
        ("tail shrink, ratio 0.015", false, None, ours("spectra")?),
        ("soft clip of AdamW at 10", true, None, ours("spectra-adamw")?),
    ] {
        if products && rows * cols >= 1 << 22 {
            println!("{name:<38}{:>10}", "left out");
            continue;
        }
        let (mine, our_ms) = train(ours, start.clone(), &gradients);
        let Some(burns) = burns else {
            println!("{name:<38}{:>10} {:>9} {our_ms:>9.1}", "-", "-");
            continue;
        };
        let (theirs, burn_ms) = train(burns, start.clone(), &gradients);
        let moved = (theirs.clone() - start.clone()).abs().max().into_scalar::<f32>();
        let difference = (theirs - mine).abs().max().into_scalar::<f32>() / moved;
        println!("{name:<38}{difference:>10.1e} {burn_ms:>9.1} {our_ms:>9.1}");
    }
    println!(
        "difference: the largest over all weights, over the largest that a weight moved; times: the fastest step"
    );
    Ok(())
}

/// The weight after all gradients, and the time of the fastest step in milliseconds.
fn train(mut optimizer: ModuleOptimizer, start: Tensor<2>, gradients: &[Tensor<2>]) -> (Tensor<2>, f64) {
    let [inputs, outputs] = start.dims();
    let device = start.device().autodiff();
    let mut model: Linear = LinearConfig::new(inputs, outputs).with_bias(false).init(&device);
    // A copy, so that a step may change it in place.
    let weight = (start.zeros_like() + start).autodiff().require_grad();
    model.weight = Param::initialized(model.weight.id, weight);
    let mut fastest = f64::INFINITY;
    for gradient in gradients {
        let mut given = GradientsParams::new();
        given.register::<2>(model.weight.id, gradient.clone());
        let begun = Instant::now();
        model = optimizer.step(0.02, model, given);
        fastest = fastest.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    (model.weight.val().inner(), fastest)
}
