//! States that release 0.1 wrote. `tests/fixtures/snapshots_of_0.1.json` was made by its code: three steps of each preset at lr 0.02 and
//! elementwise lr 0.004, decay 0.1, norm clip 1, the learning rate set to 0.01 before the first.

use super::*;
use spectra_core::optimizer::{Difference, StateHeader};

/// The snapshot of this name as JSON.
pub(super) fn snapshot(name: &str) -> serde_json::Value {
    let all = include_str!("../../fixtures/snapshots_of_0.1.json");
    let mut all: serde_json::Value = serde_json::from_str(all).expect("json");
    all[name].take()
}

fn model(config: Config) -> Optimizer<Dense<f32>> {
    let specs = [
        spec("mlp \"up\"", 6, 5, Rule::Spectral),
        spec("norm", 1, 5, Rule::Elementwise),
        spec("rope", 2, 2, Rule::Frozen),
    ];
    Optimizer::new(Dense::new(), config, specs).expect("valid")
}

#[test]
fn states_of_release_0_1_load() {
    for preset in
        ["spectra", "spectra-adamw", "spectra-signum", "spectra-ademamix", "mars", "muon", "adamw", "sgd-m"]
    {
        let saved = snapshot(preset);
        let config = Config::preset(preset).expect("preset").lr(0.03).elementwise_lr(0.006);
        let mut optimizer = model(config);
        let snapshot: Snapshot<f32> = serde_json::from_value(saved.clone()).expect("a snapshot");
        assert_eq!(snapshot.header().version, 1);
        let restored = optimizer.load_snapshot(&snapshot).expect(preset);
        assert_eq!((optimizer.steps(), restored.steps), (3, 3), "{preset}");
        assert_eq!(optimizer.learning_rate(), 0.03, "{preset}: the rate is this run's");
        let Difference { setting, saved: then, now } = &restored.differences[0];
        assert_eq!((&**setting, &**then, &**now), ("learning rate", "0.01", "0.03"), "{preset}");

        let buffers = saved["buffers"].as_array().expect("an array");
        assert_eq!(optimizer.buffers().count(), buffers.len(), "{preset}");
        for ((name, slot, matrix), buffer) in optimizer.buffers().zip(buffers) {
            assert_eq!((Some(name), Some(slot)), (buffer["parameter"].as_str(), buffer["slot"].as_str()));
            let values = buffer["values"].as_array().expect("an array").iter();
            let values: Vec<f32> = values.map(|x| x.as_f64().expect("a number") as f32).collect();
            assert_eq!(matrix.values(), values, "{preset}: {name} {}", slot);
        }
        let ones = |rows, cols| DenseMatrix::from_fn(rows, cols, |_, _| 1f32);
        let (mut a, mut b, mut c) = (ones(6, 5), ones(1, 5), ones(2, 2));
        let (g, h, k) = (a.clone(), b.clone(), c.clone());
        optimizer.step(&mut [(&mut a, &g), (&mut b, &h), (&mut c, &k)]).expect("the next step");
        // What is saved now is of this version, and loads again.
        let again = optimizer.snapshot().expect("snapshot");
        assert_eq!(again.header().version, 2);
        model(config).load_snapshot(&again).expect(preset);
    }
}

/// Formats without field names give the fields in order: five in version 1, six today.
#[test]
fn headers_without_field_names_are_read_in_both_versions() {
    let array = |value: &serde_json::Value, fields: &[&str]| -> serde_json::Value {
        fields.iter().map(|field| value[*field].clone()).collect()
    };
    let old = snapshot("muon")["header"].clone();
    let fields = ["version", "element", "steps", "lr", "parameters", "run"];
    let by_name: StateHeader = serde_json::from_value(old.clone()).expect("by name");
    let in_order: StateHeader = serde_json::from_value(array(&old, &fields[..5])).expect("in order");
    assert_eq!(by_name, in_order);
    assert!(by_name.run.is_none());

    let new = serde_json::to_value(model(Config::preset("muon").expect("preset")).header().expect("whole"));
    let new = new.expect("json");
    let by_name: StateHeader = serde_json::from_value(new.clone()).expect("by name");
    let in_order: StateHeader = serde_json::from_value(array(&new, &fields)).expect("in order");
    assert_eq!(by_name, in_order);
    assert!(by_name.run.is_some());
    serde_json::from_value::<StateHeader>(array(&new, &fields[..5])).expect_err("a field is missing");
}
