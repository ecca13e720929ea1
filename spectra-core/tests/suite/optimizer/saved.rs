//! Snapshots: what comes back, and what is refused.

use super::*;
use spectra_core::optimizer::{Checksum, StateHeader};

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
    let saved = before.header();
    let buffers: Vec<M> = source.buffers().map(|(.., matrix)| matrix.clone()).collect();
    let restore = |target: &mut Optimizer<Dense<f64>>, header: &StateHeader| {
        let mut buffers = buffers.iter();
        target.restore(header, |_, _, _, _| Ok(buffers.next().expect("as many as were saved").clone()))
    };
    for most in [(1 << 53) + 1, u64::MAX] {
        let (mut of_all, mut of_one) = (saved.clone(), saved.clone());
        of_all.steps = most;
        of_one.parameters[1].steps = most;
        for header in [of_all, of_one] {
            let error = restore(&mut source, &header).expect_err("too many steps");
            assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
            assert_eq!(source.snapshot().expect("snapshot"), before);
        }
    }
    let mut header = saved.clone();
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
    value["checksum"] = checksum(before.header(), &value).into();
    let longer: Snapshot<f64> = serde_json::from_value(value).expect("json of a snapshot");
    let error = source.load_snapshot(&longer).expect_err("a buffer too many");
    assert!(error.to_string().contains("more buffers"), "{error}");
    assert_eq!(source.snapshot().expect("snapshot"), before);
}

/// As the documentation of `Snapshot` says.
fn checksum(header: &StateHeader, snapshot: &serde_json::Value) -> u64 {
    let mut sum = Checksum::new();
    sum.bytes(b"spectra optimizer state");
    header.add_to(&mut sum);
    let buffers = snapshot["buffers"].as_array().expect("an array");
    sum.word(buffers.len() as u64);
    for buffer in buffers {
        for name in ["parameter", "slot"] {
            sum.bytes(buffer[name].as_str().expect("a text").as_bytes());
        }
        let values = buffer["values"].as_array().expect("an array");
        let values: Vec<f64> = values.iter().map(|x| x.as_f64().expect("a number")).collect();
        sum.values(&values);
    }
    sum.finish()
}

/// The words of the sum, written out by hand: neither a serde format nor a `Debug` form decides them.
#[test]
fn the_checksum_is_over_the_documented_words() {
    let mut by_hand = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = |w: u64| by_hand = (by_hand.rotate_left(23) ^ w).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The text's length and its bytes, lowest first, filled up with zeros; a number; the count and bits of values.
    word(9);
    word(u64::from_le_bytes(*b"optimize"));
    word(u64::from(b'r'));
    word(7);
    word(2);
    word(0.1f64.to_bits());
    word(f64::from(-0.0f32).to_bits());
    let mut sum = Checksum::new();
    sum.bytes(b"optimizer");
    sum.word(7);
    sum.word(2);
    sum.word(0.1f64.to_bits());
    sum.word((-0.0f64).to_bits());
    assert_eq!(sum.finish(), by_hand);
    let mut values = Checksum::new();
    values.bytes(b"optimizer");
    values.word(7);
    values.values(&[0.1f64, -0.0]);
    assert_eq!(values.finish(), by_hand);

    // And of a header with everything in it.
    let (mut source, mut x) = (optimizer(Config::preset("muon").expect("preset")), weights());
    step(&mut source, &mut x, &gradients(0)).expect("finite");
    let snapshot = source.snapshot().expect("snapshot");
    let value = serde_json::to_value(&snapshot).expect("json");
    assert_eq!(value["checksum"].as_u64(), Some(checksum(snapshot.header(), &value)));
    let header = snapshot.header();
    let mut written = Checksum::new();
    written.word(2);
    written.bytes(b"f64");
    written.word(1);
    written.word(1e-3f64.to_bits());
    written.word(3);
    for (name, rows, cols, rule, steps, buffers) in [
        ("mlp", 12, 20, "averaged momentum + orthogonalize", 1, &["momentum"][..]),
        ("norm", 1, 20, "adam + identity", 1, &["momentum", "second_moment"]),
        ("rope", 4, 4, "frozen", 0, &[]),
    ] {
        written.bytes(name.as_bytes());
        written.word(rows);
        written.word(cols);
        written.bytes(rule.as_bytes());
        written.word(steps);
        written.word(buffers.len() as u64);
        for buffer in buffers {
            written.bytes(buffer.as_bytes());
            written.word(rows);
            written.word(cols);
        }
    }
    let settings = &header.run.as_ref().expect("a run").settings;
    for word in [1, 1f64.to_bits(), 1f64.to_bits(), settings.len() as u64] {
        written.word(word);
    }
    for setting in settings {
        written.bytes(setting.name.as_bytes());
        written.bytes(setting.value.as_bytes());
    }
    let mut sum = Checksum::new();
    header.add_to(&mut sum);
    assert_eq!(sum.finish(), written.finish());
}
