//! What a step of a model asks of a device, by the tensor operations of GPUs: burn's operations do not depend on how many equal layers there are.

use crate::common::gradients;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use spectra_burn::{Method, Settings, SpectralConfig, Tally};

#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
}

/// Burn's operations in the fourth step of a model of `count` equal layers of 24 outputs, 52 inputs and a bias, under the norm clip.
fn fourth_step(name: &str, check_finite: bool, count: usize) -> Tally {
    let settings = Settings::preset(name).unwrap().weight_decay(0.1).clip_norm(1.0);
    let config = SpectralConfig::try_from(settings.check_finite(check_finite)).unwrap();
    let layer = |_| LinearConfig::new(52, 24).init(&Device::flex().autodiff());
    let mut model = Layers { layers: (0..count).map(layer).collect() };
    let mut optimizer = config.init_for(&model).unwrap().by_tensor_operations();
    let mut tally = Tally::default();
    for step in 0..4 {
        let given = gradients(&model, step);
        let before = Tally::now();
        model = optimizer.step(0.01, model, given).unwrap();
        tally = Tally::now() - before;
    }
    tally
}

/// Those whose blocks stack: all but those whose map or direction looks at numbers.
const STACKED: [&str; 18] = [
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
];

/// The norm clip's passes over a parameter where the host has not looked at the sum of squares: whose squares may have left the range of f32. Its
/// largest magnitude (8), the larger one of two (1), its quotient (1), the sum of squares of that (3), the sum of two (1).
const UNIT_NORM: usize = 14;

#[test]
fn equal_layers_cost_what_two_cost() {
    let mut wrong = Vec::new();
    for name in STACKED {
        let two = fourth_step(name, false, 2);
        // A stack hands every layer its weight and its bias.
        for count in [5, 9] {
            let found = fourth_step(name, true, count);
            let checked = fourth_step(name, true, 2);
            if found != (Tally { views: found.views, ..checked }) {
                wrong.push(format!("{name}, {count}, checked: {found:?}, of two {checked:?}"));
            }
            let found = fourth_step(name, false, count);
            let passes = two.passes + UNIT_NORM * 2 * (count - 2);
            if found != (Tally { views: found.views, passes, ..two }) {
                wrong.push(format!("{name}, {count}: {found:?}, of two {two:?}"));
            }
        }
        // Tail shrink: which columns are zero, two Cholesky factors, the lengths of the columns.
        let expected = if name == "spectra" { (3, 4) } else { (0, 0) };
        if (two.uploads, two.waits) != expected {
            wrong.push(format!("{name}: {two:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_finite_check_waits_once() {
    for name in STACKED {
        let without = fourth_step(name, false, 3).waits;
        assert_eq!(fourth_step(name, true, 3).waits, without + 1, "{name}");
    }
}

/// The table of the crate's README: how often the host waits in a step of two equal layers, and in one of four.
#[test]
fn presets_that_wait_are_known() {
    let mut waiting = Vec::new();
    for (name, ..) in Method::presets() {
        let [two, four] = [2, 4].map(|count| fourth_step(name, false, count).waits);
        println!("{name:24} {two:3} {four:3}");
        if four > 0 {
            waiting.push((name, two, four));
        }
    }
    assert_eq!(waiting, WAITING);
}

/// Preset, with two layers, with four. Clips by themselves, Dion and the hard clip step one by one.
const WAITING: [(&str, usize, usize); 9] = [
    ("spectra", 4, 4),
    ("spectra-adamw", 2, 4),
    ("spectra-signum", 2, 4),
    ("spectra-ademamix", 2, 4),
    ("spectra-mars", 2, 4),
    ("dion", 2, 4),
    ("dion2", 2, 4),
    ("dion3", 2, 4),
    ("frank-wolfe", 4, 8),
];
