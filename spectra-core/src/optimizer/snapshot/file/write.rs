//! Writing: the file's header first, each buffer once, the description last, because it holds their checksums.

use super::atomic::{at, replace};
use super::description::StateDescription;
use crate::backend::{Element, Error, ErrorKind, Result};
use crate::optimizer::{SavedParameter, SavedShape, StateHeader};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// What ends the writing.
enum Failure {
    File(io::Error),
    Of(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

/// Writes a safetensors file in place of `path`. `read(parameter, buffer, values)` fills `values` with each buffer that the header speaks
/// of, in its order.
pub(super) fn write<E: Element>(
    path: &Path,
    header: &StateHeader,
    mut read: impl FnMut(&str, &str, &mut Vec<E>) -> Result<()>,
) -> Result<()> {
    if header.element != E::NAME {
        return Err(refuse("its numbers are of another type than its header says"));
    }
    let mut description = StateDescription::new(header.clone());
    let head = head::<E>(&mut description)?;
    let written = replace(path, |out| {
        out.write_all(&(head.len() as u64).to_le_bytes())?;
        out.write_all(&head)?;
        let mut values = Vec::new();
        for (saved, shape) in buffers_of(header) {
            let named = |error: Error| error.for_parameter(&saved.name);
            read(&saved.name, &shape.name, &mut values).map_err(named)?;
            if shape.rows.checked_mul(shape.cols) != Some(values.len()) {
                return Err(named(refuse("a buffer has another length than its header says")).into());
            }
            description.add(&saved.name, &shape.name, &values);
            write_values(out, &values)?;
        }
        out.write_all(&description.encode()?)?;
        Ok(())
    });
    written.map_err(|failure| match failure {
        Failure::File(error) => at("save", path, error),
        Failure::Of(error) => error,
    })
}

/// The header of the file. The length of the description, which it says, does not depend on what the checksums are; here they
/// are those of nothing.
fn head<E: Element>(description: &mut StateDescription) -> Result<Vec<u8>> {
    let header = description.header().clone();
    let mut tensors = BTreeMap::<String, Value>::new();
    let mut end = 0usize;
    let mut place = |len: Option<usize>| {
        let start = end;
        end = len.and_then(|len| start.checked_add(len)).ok_or_else(|| refuse("it is too large"))?;
        Ok::<_, Error>([start, end])
    };
    // Those of whole numbers first: whatever their length, all are aligned.
    for (saved, SavedShape { name, rows, cols }) in buffers_of(&header) {
        let offsets = place(rows.checked_mul(*cols).and_then(|len| len.checked_mul(size_of::<E>())))?;
        let info = json!({ "dtype": dtype::<E>(), "shape": [rows, cols], "data_offsets": offsets });
        if tensors.insert(StateDescription::key(&saved.name, name), info).is_some() {
            return Err(refuse("two buffers have one name").for_parameter(&saved.name));
        }
        description.add::<E>(&saved.name, name, &[]);
    }
    let len = description.encode()?.len();
    let info = json!({ "dtype": "U8", "shape": [len], "data_offsets": place(Some(len))? });
    if tensors.insert(StateDescription::NAME.into(), info).is_some() {
        return Err(refuse("a buffer has the name of the description"));
    }
    tensors.insert("__metadata__".into(), json!(description.metadata()));
    let mut head = serde_json::to_vec(&tensors).map_err(|error| Error::device("save", error))?;
    head.resize(head.len().next_multiple_of(8), b' ');
    Ok(head)
}

fn buffers_of(header: &StateHeader) -> impl Iterator<Item = (&SavedParameter, &SavedShape)> {
    header.parameters.iter().flat_map(|saved| saved.buffers.iter().map(move |shape| (saved, shape)))
}

fn refuse(reason: &'static str) -> Error {
    Error::new("save", ErrorKind::State { reason })
}

/// `"F32"` or `"F64"`.
fn dtype<E: Element>() -> &'static str {
    if E::NAME == f32::NAME { "F32" } else { "F64" }
}

/// Little-endian, by pieces that stay in the cache.
fn write_values<E: Element>(out: &mut dyn Write, values: &[E]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for values in values.chunks(1 << 13) {
        bytes.clear();
        for x in values {
            if E::NAME == f32::NAME {
                // Exact: it was one.
                bytes.extend_from_slice(&(x.widen() as f32).to_le_bytes());
            } else {
                bytes.extend_from_slice(&x.widen().to_le_bytes());
            }
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}
