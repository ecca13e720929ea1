//! The serde snapshot.

use serde::Deserialize;
use serde_json::Value;
use spectra_core::optimizer::{Checksum, Snapshot, StateHeader};

use crate::model::{state, step, trained};

/// A snapshot as JSON, once as it is and once with its checksum set right, so that what lies behind it is reached.
pub fn snapshot(data: &[u8]) -> bool {
    let as_it_is = serde_json::from_slice(data).is_ok_and(|snapshot| load(&snapshot));
    let Ok(mut value) = serde_json::from_slice::<Value>(data) else { return as_it_is };
    let Ok(parts) = Parts::deserialize(&value) else { return as_it_is };
    value["checksum"] = parts.checksum().into();
    serde_json::from_value(value).is_ok_and(|snapshot| load(&snapshot)) || as_it_is
}

/// A snapshot of the trained model.
pub fn snapshot_seed() -> String {
    serde_json::to_string(&state(&trained())).expect("finite numbers have a JSON form")
}

/// The checksum that a snapshot's JSON should have.
pub fn snapshot_checksum(json: &str) -> serde_json::Result<u64> {
    serde_json::from_str(json).map(|parts: Parts| parts.checksum())
}

fn load(snapshot: &Snapshot<f32>) -> bool {
    let mut optimizer = trained();
    let before = state(&optimizer);
    let accepted = optimizer.load_snapshot(snapshot).is_ok();
    let after = state(&optimizer);
    if accepted {
        // Counts and buffers are the snapshot's, everything else is the optimizer's, whatever version the snapshot has.
        let (saved, now) = (parts(snapshot), parts(&after));
        assert_eq!((saved.header.steps, saved.buffers), (now.header.steps, now.buffers));
        assert_eq!(now.header.lr, before.header().lr);
    } else {
        assert_eq!(after, before);
    }
    assert!(step(&mut optimizer).is_ok(), "the next step");
    accepted
}

fn parts(snapshot: &Snapshot<f32>) -> Parts {
    let value = serde_json::to_value(snapshot).expect("finite numbers have a JSON form");
    Parts::deserialize(&value).expect("the parts of a snapshot")
}

/// What the checksum covers.
#[derive(Deserialize)]
struct Parts {
    header: StateHeader,
    buffers: Vec<Buffer>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Buffer {
    parameter: String,
    slot: String,
    values: Vec<f32>,
}

impl Parts {
    /// As the documentation of [`Snapshot`] says; the corpus' sound snapshot shows if they part ways. That of version 1 is not
    /// set right: mutations of its sound seed are refused for it.
    fn checksum(&self) -> u64 {
        let mut sum = Checksum::new();
        sum.bytes(b"spectra optimizer state");
        self.header.add_to(&mut sum);
        sum.word(self.buffers.len() as u64);
        for Buffer { parameter, slot, values } in &self.buffers {
            sum.bytes(parameter.as_bytes());
            sum.bytes(slot.as_bytes());
            sum.values(values);
        }
        sum.finish()
    }
}
