//! The optimizer of a model: norm clip, learning rates, snapshots. Non-finite gradients, frozen parameters and saved
//! buffers are checked by the conformance suite, on every backend.
#![cfg(feature = "serde")]

use spectra_core::backend::{Backend, Error, ErrorKind, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Snapshot, StateHeader, plan::Rule};

type M = DenseMatrix<f64>;

fn random(seed: u64, rows: usize, cols: usize) -> M {
    DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j))
}

fn spec(name: &str, rows: usize, cols: usize, rule: Rule) -> ParameterSpec {
    ParameterSpec { name: name.into(), rows, cols, rule }
}

fn specs() -> [ParameterSpec; 3] {
    [
        spec("mlp", 12, 20, Rule::Spectral),
        spec("norm", 1, 20, Rule::Elementwise),
        spec("rope", 4, 4, Rule::Frozen),
    ]
}

fn optimizer(config: Config) -> Optimizer<Dense<f64>> {
    Optimizer::new(Dense::new(), config, specs()).expect("valid")
}

fn weights() -> [M; 3] {
    [random(1, 12, 20), random(2, 1, 20), random(3, 4, 4)]
}

fn gradients(step: u64) -> [M; 3] {
    [random(10 + step, 12, 20), random(100 + step, 1, 20), random(1000 + step, 4, 4)]
}

fn step(
    optimizer: &mut Optimizer<Dense<f64>>,
    weights: &mut [M; 3],
    gradients: &[M; 3],
) -> Result<(), Error> {
    let [a, b, c] = weights;
    optimizer.step(&mut [(a, &gradients[0]), (b, &gradients[1]), (c, &gradients[2])])
}

#[test]
fn the_norm_clip_equals_scaling_the_gradients() {
    let config = Config::preset("adamw").expect("preset").lr(0.1);
    let (mut clipped, mut plain) = (optimizer(config.clip_norm(0.5)), optimizer(config));
    let (mut x, mut y) = (weights(), weights());
    for t in 0..5 {
        let g = gradients(t);
        let norm = (0..2).map(|i| g[i].dot(&g[i]).expect("host")).sum::<f64>().sqrt();
        let factor = (0.5 / (norm + 1e-6)).min(1.0);
        let scaled = g.clone().map(|m| {
            let (rows, cols) = m.shape();
            DenseMatrix::from_fn(rows, cols, |i, j| factor * m.values()[i * cols + j])
        });
        step(&mut clipped, &mut x, &g).expect("finite");
        step(&mut plain, &mut y, &scaled).expect("finite");
    }
    for (x, y) in x.iter().zip(&y) {
        for (a, b) in x.values().iter().zip(y.values()) {
            // Five Adam steps of a few roundings each.
            assert!((a - b).abs() <= 64.0 * f64::EPSILON, "{a} {b}");
        }
    }
}

#[test]
fn both_learning_rates_are_set_together() {
    let config = Config::preset("adamw").expect("preset").lr(0.1).elementwise_lr(0.02).weight_decay(0.0);
    let mut optimizer = optimizer(config);
    optimizer.set_learning_rate(0.2).expect("valid");
    let mut x = weights();
    step(&mut optimizer, &mut x, &gradients(0)).expect("finite");
    // Adam's first step is lr sign(G) up to eps / |G|.
    let moved = |i: usize| (x[i].values()[3] - weights()[i].values()[3]).abs();
    assert!((moved(0) - 0.2).abs() < 1e-6 && (moved(1) - 0.04).abs() < 1e-6, "{} {}", moved(0), moved(1));
    assert!(optimizer.set_learning_rate(f64::NAN).is_err() && optimizer.set_learning_rate(-1.0).is_err());
}

#[test]
fn a_restored_run_has_the_same_bits() {
    for preset in ["spectra", "adamw"] {
        let config = Config::preset(preset).expect("preset");
        let (mut whole, mut x) = (optimizer(config), weights());
        for t in 0..3 {
            step(&mut whole, &mut x, &gradients(t)).expect("finite");
        }
        let text = serde_json::to_string(&whole.snapshot().expect("snapshot")).expect("json");
        let snapshot: Snapshot<f64> = serde_json::from_str(&text).expect("json");
        let (mut resumed, mut y) = (optimizer(config), x.clone());
        resumed.load_snapshot(&snapshot).expect("same model");
        for t in 3..6 {
            step(&mut whole, &mut x, &gradients(t)).expect("finite");
            step(&mut resumed, &mut y, &gradients(t)).expect("finite");
        }
        assert_eq!(x, y);
        assert_eq!(whole.snapshot().expect("snapshot"), resumed.snapshot().expect("snapshot"));
        assert_eq!(resumed.steps(), 6);
    }
}

#[test]
fn foreign_and_damaged_states_are_refused_and_change_nothing() {
    let config = Config::preset("spectra").expect("preset");
    let (mut source, mut x) = (optimizer(config), weights());
    step(&mut source, &mut x, &gradients(0)).expect("finite");
    let snapshot = source.snapshot().expect("snapshot");
    let text = serde_json::to_string(&snapshot).expect("json");

    let mut other_rule = optimizer(Config::preset("adamw").expect("preset"));
    assert!(matches!(other_rule.load_snapshot(&snapshot).expect_err("rule").kind(), ErrorKind::State { .. }));
    assert_eq!(other_rule.steps(), 0);

    let mut shapes = specs();
    shapes[0].rows = 13;
    let mut other_shape = Optimizer::new(Dense::<f64>::new(), config, shapes).expect("valid");
    let error = other_shape.load_snapshot(&snapshot).expect_err("shape");
    assert_eq!(error.parameter(), Some("mlp"));

    // A changed digit anywhere: either not JSON of a snapshot any more, or refused.
    let mut target = optimizer(config);
    let before = target.snapshot().expect("snapshot");
    let mut refused = 0;
    for at in (0..text.len()).filter(|i| text.as_bytes()[*i].is_ascii_digit()).step_by(41) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'3' } else { b'7' };
        let Ok(damaged) = serde_json::from_slice::<Snapshot<f64>>(&bytes) else { continue };
        if damaged == snapshot {
            continue; // a digit beyond the precision of f64
        }
        target.load_snapshot(&damaged).expect_err("damaged");
        refused += 1;
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(target.snapshot().expect("snapshot"), before);
    for length in (0..text.len()).step_by(997) {
        assert!(serde_json::from_str::<Snapshot<f64>>(&text[..length]).is_err());
    }
}

#[test]
fn a_count_of_steps_that_cannot_be_is_refused() {
    let config = Config::preset("spectra").expect("preset");
    let (mut source, mut x) = (optimizer(config), weights());
    step(&mut source, &mut x, &gradients(0)).expect("finite");
    let before = source.snapshot().expect("snapshot");
    let buffers: Vec<M> = source.buffers().map(|(.., matrix)| matrix.clone()).collect();
    let restore = |target: &mut Optimizer<Dense<f64>>, header: &StateHeader| {
        let mut buffers = buffers.iter();
        target.restore(header, |_, _, _, _| Ok(buffers.next().expect("as many as were saved").clone()))
    };
    for most in [(1 << 53) + 1, u64::MAX] {
        let (mut of_all, mut of_one) = (source.header(), source.header());
        of_all.steps = most;
        of_one.parameters[1].steps = most;
        for header in [of_all, of_one] {
            let error = restore(&mut source, &header).expect_err("too many steps");
            assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
            assert_eq!(source.snapshot().expect("snapshot"), before);
        }
    }
    let mut header = source.header();
    header.steps = 1 << 53;
    header.parameters[0].steps = 1 << 53;
    restore(&mut source, &header).expect("very many steps");
    step(&mut source, &mut x, &gradients(1)).expect("one more");
}

#[test]
fn a_snapshot_with_a_buffer_too_many_is_refused() {
    // Saved by a model of one parameter more, whose header was cut: only the buffers tell.
    let config = Config::preset("adamw").expect("preset");
    let (mut source, mut x) = (optimizer(config), weights());
    step(&mut source, &mut x, &gradients(0)).expect("finite");
    let before = source.snapshot().expect("snapshot");
    let mut value = serde_json::to_value(&before).expect("json");
    let extra = value["buffers"][0].clone();
    value["buffers"].as_array_mut().expect("an array").push(extra);
    value["checksum"] = checksum(&source, &value).into();
    let longer: Snapshot<f64> = serde_json::from_value(value).expect("json of a snapshot");
    let error = source.load_snapshot(&longer).expect_err("a buffer too many");
    assert!(error.to_string().contains("more buffers"), "{error}");
    assert_eq!(source.snapshot().expect("snapshot"), before);
}

/// FNV-1a over header and buffers, as the snapshot has it.
fn checksum(optimizer: &Optimizer<Dense<f64>>, snapshot: &serde_json::Value) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(format!("{:?}", optimizer.header()).as_bytes());
    for buffer in snapshot["buffers"].as_array().expect("an array") {
        for name in ["parameter", "slot"] {
            add(buffer[name].as_str().expect("a text").as_bytes());
        }
        for number in buffer["values"].as_array().expect("an array") {
            add(&number.as_f64().expect("a number").to_bits().to_le_bytes());
        }
    }
    sum
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    let huge = 1_usize << (usize::BITS - 1);
    assert!(Dense::<f64>::new().zeros(huge, 2, None).is_err());
    assert!(Dense::<f64>::new().zeros(huge / 4, 1, None).is_err());
    assert!(M::from_vec(huge, 2, Vec::new()).is_err());
    // Three buffers of this size are more numbers than a usize counts.
    let recipe = Config::preset("spectra-ademamix").expect("preset").spectral;
    assert_eq!(recipe.state_numbers(huge / 4, 3), usize::MAX);
}

#[test]
fn wrong_arguments_are_refused() {
    let config = Config::preset("spectra").expect("preset");
    let twice = [spec("a", 2, 2, Rule::Spectral), spec("a", 2, 2, Rule::Spectral)];
    assert!(Optimizer::new(Dense::<f64>::new(), config, twice).is_err());
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(Optimizer::new(Dense::<f64>::new(), config.lr(bad), specs()).is_err(), "{bad}");
        assert!(Optimizer::new(Dense::<f64>::new(), config.weight_decay(bad), specs()).is_err(), "{bad}");
    }
    assert!(Optimizer::new(Dense::<f64>::new(), config.clip_norm(0.0), specs()).is_err());
    let mut optimizer = optimizer(config);
    let mut x = weights();
    x[0] = random(1, 20, 12);
    let error = step(&mut optimizer, &mut x, &gradients(0)).expect_err("shape");
    assert_eq!(error.parameter(), Some("mlp"));
}

#[test]
fn the_pre_clip_bounds_the_gradient_and_comes_before_the_norm_clip() {
    use spectra_core::linalg::Workspace;
    use spectra_core::maps::SoftClip;
    use spectra_core::optimizer::PreClip;
    // SGD without momentum shows the gradient that was used: X - X' = lr G.
    let mut config = Config::preset("sgd-m").expect("preset").lr(1.0);
    config.elementwise = config.spectral;
    let mut workspace = Workspace::new(Dense::<f64>::new());
    let mut clipped = gradients(0);
    let c = 0.25;
    SoftClip::AUTO.apply(&gradients(0)[0], c, &mut clipped[0], &mut workspace).expect("finite");
    let norm = (0..2).map(|i| clipped[i].dot(&clipped[i]).expect("host")).sum::<f64>().sqrt();
    for clip_norm in [None, Some(0.5)] {
        let factor = clip_norm.map_or(1.0, |limit: f64| (limit / (norm + 1e-6)).min(1.0));
        let mut config = config.pre_clip(PreClip::new(2.0 * c));
        config.clip_norm = clip_norm;
        let mut optimizer = optimizer(config);
        optimizer.set_pre_clip_factor(0.5).expect("valid");
        let mut x = weights();
        step(&mut optimizer, &mut x, &gradients(0)).expect("finite");
        for i in 0..2 {
            for ((new, old), g) in x[i].values().iter().zip(weights()[i].values()).zip(clipped[i].values()) {
                // Rounding of weights and gradients of size one.
                assert!((old - new - factor * g).abs() <= 8.0 * f64::EPSILON, "{new} {old} {g}");
            }
        }
    }
    assert!(Config::preset("sgd-m").expect("preset").pre_clip(PreClip::new(0.0)).validate::<f64>().is_err());
}
