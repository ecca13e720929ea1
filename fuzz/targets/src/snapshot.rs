//! The serde snapshot.

use serde::Deserialize;
use serde_json::Value;
use spectra_core::optimizer::{Snapshot, StateHeader};

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

fn load(snapshot: &Snapshot<f32>) -> bool {
    let mut optimizer = trained();
    let before = state(&optimizer);
    let accepted = optimizer.load_snapshot(snapshot).is_ok();
    let expected = if accepted { snapshot } else { &before };
    assert_eq!(&state(&optimizer), expected, "accepted: {accepted}");
    assert!(step(&mut optimizer).is_ok(), "the next step");
    accepted
}

/// What the checksum covers.
#[derive(Deserialize)]
struct Parts {
    header: StateHeader,
    buffers: Vec<Buffer>,
}

#[derive(Deserialize)]
struct Buffer {
    parameter: String,
    slot: String,
    values: Vec<f32>,
}

impl Parts {
    /// FNV-1a over header and numbers, as [`Snapshot`] computes it; the corpus' sound snapshot shows if they part ways.
    fn checksum(&self) -> u64 {
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        add(format!("{:?}", self.header).as_bytes());
        for buffer in &self.buffers {
            add(buffer.parameter.as_bytes());
            add(buffer.slot.as_bytes());
            for value in &buffer.values {
                add(&f64::from(*value).to_bits().to_le_bytes());
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::{Parts, snapshot_seed};

    #[test]
    fn the_checksum_is_the_librarys() {
        let seed = snapshot_seed();
        let parts: Parts = serde_json::from_str(&seed).unwrap();
        let value: serde_json::Value = serde_json::from_str(&seed).unwrap();
        assert_eq!(value["checksum"].as_u64(), Some(parts.checksum()));
    }
}
