//! What a saved state says of itself: one JSON text with a checksum in front.

use super::refuse;
use crate::backend::{Element, Error, Result};
use crate::optimizer::{Checksum, SavedParameter, StateHeader};
use crate::state::SUBSPACE;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};
use serde_json::{Value, json};

const FORMAT: &str = super::super::FORMAT;

/// The header of a saved state and the checksum of each of its tensors: the bytes of the tensor
/// [`NAME`](Self::NAME). For front-ends that keep the state among tensors of their own; a file has it, too.
#[derive(Debug, Clone)]
pub struct StateDescription {
    header: StateHeader,
    pub(super) checksums: BTreeMap<String, String>,
}

impl StateDescription {
    /// The name of the tensor that describes the others.
    pub const NAME: &'static str = "optimizer.state";

    /// The name of a buffer's tensor.
    #[must_use]
    pub fn key(parameter: &str, buffer: &str) -> String {
        format!("optimizer.{parameter}.{buffer}")
    }

    /// Of no tensors yet; [`add`](Self::add) those of the header's buffers.
    #[must_use]
    pub fn new(header: StateHeader) -> Self {
        Self { header, checksums: BTreeMap::new() }
    }

    /// Adds a buffer's tensor.
    pub fn add<E: Element>(&mut self, parameter: &str, buffer: &str, values: &[E]) {
        self.checksums.insert(Self::key(parameter, buffer), sum_of(values));
    }

    /// What the state says of itself.
    #[must_use]
    pub fn header(&self) -> &StateHeader {
        &self.header
    }

    /// The checksum in sixteen digits, a line break, the JSON text.
    ///
    /// # Errors
    /// A number in the header that JSON has not.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let value = json!({ "format": FORMAT, "header": self.header, "checksums": self.checksums });
        let text = serde_json::to_string(&value).map_err(|e| Error::device("save", e))?;
        Ok(format!("{}\n{text}", sum(text.as_bytes())).into_bytes())
    }

    /// What [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::backend::ErrorKind::State) for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || refuse("its description is damaged");
        let text = core::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (checksum, text) = text.split_once('\n').ok_or_else(damaged)?;
        if checksum != sum(text.as_bytes()) {
            return Err(damaged());
        }
        let value: Value = serde_json::from_str(text).map_err(|_| damaged())?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(refuse("it is not an optimizer state of this library"));
        }
        let field = |name| value.get(name).cloned().unwrap_or(Value::Null);
        let header = serde_json::from_value(field("header"));
        let checksums = serde_json::from_value(field("checksums"));
        match (header, checksums) {
            (Ok(header), Ok(checksums)) => Ok(Self { header, checksums }),
            _ => Err(refuse("it was written by another version")),
        }
    }

    /// The names of a parameter's buffers, and their shapes. Version 1 tells of the names by its tensors only.
    pub(super) fn buffers_of<'a>(
        &'a self,
        saved: &'a SavedParameter,
    ) -> Vec<(&'a str, Option<(usize, usize)>)> {
        if self.header.version >= 2 {
            return saved.buffers.iter().map(|b| (&*b.name, Some((b.rows, b.cols)))).collect();
        }
        let prefix = Self::key(&saved.name, "");
        let keys = self.checksums.range(prefix.clone()..).map(|(key, _)| key.as_str());
        let names = keys.map_while(|key| key.strip_prefix(&*prefix)).filter(|name| !name.contains('.'));
        // All but the subspace, whose rank it does not tell, are of the parameter's shape.
        names.map(|name| (name, (name != SUBSPACE).then_some((saved.rows, saved.cols)))).collect()
    }

    /// The metadata of a state's file, for whoever looks at it; all of it follows from the header.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let header = &self.header;
        let rules: BTreeSet<&str> = header.parameters.iter().map(|p| p.rule.as_str()).collect();
        let mut plan = Checksum::new();
        for p in &header.parameters {
            plan.bytes(format!("{} {} {} {}", p.name, p.rows, p.cols, p.rule).as_bytes());
        }
        [
            ("format", FORMAT.to_owned()),
            ("version", header.version.to_string()),
            ("element", header.element.clone()),
            ("recipes", rules.into_iter().collect::<Vec<_>>().join("; ")),
            ("plan", hex(&plan)),
            ("step", header.steps.to_string()),
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

/// The checksum of a buffer's numbers.
pub(super) fn sum_of<E: Element>(values: &[E]) -> String {
    let mut checksum = Checksum::new();
    checksum.values(values);
    hex(&checksum)
}

/// Sixteen hexadecimal digits.
fn hex(checksum: &Checksum) -> String {
    format!("{:016x}", checksum.finish())
}
