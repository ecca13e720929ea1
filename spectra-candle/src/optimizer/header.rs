//! What a saved state says of itself: one JSON text with a checksum in front.

use serde_json::{Value, json};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::{Checksum, StateHeader};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const FORMAT: &str = "spectra optimizer state";

/// The header of a saved state, and the checksum of each of its tensors.
pub(super) struct Header {
    pub(super) state: StateHeader,
    pub(super) checksums: BTreeMap<String, String>,
}

pub(super) fn refuse(reason: &'static str) -> Error {
    Error::new("load", ErrorKind::State { reason })
}

impl Header {
    /// The checksum in sixteen digits, a line break, the JSON text.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let value = json!({ "format": FORMAT, "header": self.state, "checksums": self.checksums });
        let text = serde_json::to_string(&value).map_err(|e| Error::device("save", e))?;
        Ok(format!("{}\n{text}", sum(text.as_bytes())).into_bytes())
    }

    /// # Errors
    /// [`ErrorKind::State`] for anything that [`encode`](Self::encode) did not write.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || refuse("its description is damaged");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (checksum, text) = text.split_once('\n').ok_or_else(damaged)?;
        if checksum != sum(text.as_bytes()) {
            return Err(damaged());
        }
        let value: Value = serde_json::from_str(text).map_err(|_| damaged())?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(refuse("it is not an optimizer state of this library"));
        }
        let field = |name| value.get(name).cloned().unwrap_or(Value::Null);
        let state = serde_json::from_value(field("header"));
        let checksums = serde_json::from_value(field("checksums"));
        match (state, checksums) {
            (Ok(state), Ok(checksums)) => Ok(Self { state, checksums }),
            _ => Err(refuse("it was written by another version")),
        }
    }

    /// The metadata of a state's file, for whoever looks at it; all of it follows from the header.
    pub(super) fn metadata(&self) -> HashMap<String, String> {
        let state = &self.state;
        let rules: BTreeSet<&str> = state.parameters.iter().map(|p| p.rule.as_str()).collect();
        let mut plan = Checksum::new();
        for p in &state.parameters {
            plan.bytes(format!("{} {} {} {}", p.name, p.rows, p.cols, p.rule).as_bytes());
        }
        [
            ("format", FORMAT.to_owned()),
            ("version", state.version.to_string()),
            ("element", state.element.clone()),
            ("recipes", rules.into_iter().collect::<Vec<_>>().join("; ")),
            ("plan", hex(&plan)),
            ("step", state.steps.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

fn sum(bytes: &[u8]) -> String {
    let mut checksum = Checksum::new();
    checksum.bytes(bytes);
    hex(&checksum)
}

/// Sixteen hexadecimal digits.
pub(super) fn hex(checksum: &Checksum) -> String {
    format!("{:016x}", checksum.finish())
}
