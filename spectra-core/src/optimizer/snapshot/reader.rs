//! The numbers of a snapshot, for whoever restores it.

use super::{FORMAT, SavedBuffer, Snapshot};
use crate::backend::{Element, Error, ErrorKind, Result};
use crate::optimizer::Missing;

/// A snapshot that is whole, and how much of it has been read.
#[derive(Debug)]
pub struct SnapshotReader<'s, E> {
    snapshot: &'s Snapshot<E>,
    read: usize,
}

impl<'s, E: Element> SnapshotReader<'s, E> {
    /// Begins, once format and checksum are right.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a foreign format or a wrong checksum.
    pub fn new(snapshot: &'s Snapshot<E>) -> Result<Self> {
        if snapshot.format != FORMAT {
            return Err(refuse("it is not an optimizer state of this library"));
        }
        if snapshot.checksum != snapshot.sum() {
            return Err(refuse("its checksum is wrong: the file is damaged"));
        }
        Ok(Self { snapshot, read: 0 })
    }

    /// The values of a buffer, row by row.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if there is none of this name, or it does not have this shape.
    pub fn values(&mut self, parameter: &str, buffer: &str, (rows, cols): (usize, usize)) -> Result<&'s [E]> {
        let named = |b: &&SavedBuffer<E>| *b.parameter == *parameter && b.slot == buffer;
        let found = self.snapshot.buffers.iter().find(named).ok_or_else(|| refuse("a buffer is missing"))?;
        self.read += 1;
        if rows.checked_mul(cols) != Some(found.values.len()) {
            return Err(refuse("a buffer has another length than its header says"));
        }
        Ok(&found.values)
    }

    /// Ends: a buffer that nobody can have asked for is of another state. `missing`: whether parameters may have been left out.
    ///
    /// # Errors
    /// [`ErrorKind::State`].
    pub fn finish(self, missing: Missing) -> Result<()> {
        let Snapshot { header, buffers, .. } = self.snapshot;
        let spoken_of = header.parameters.iter().map(|saved| saved.buffers.len()).sum();
        // Version 1 does not say which there are, nor can those of a parameter that is left out be counted.
        let expected = match (header.version < 2, missing) {
            (true, Missing::Refuse) => self.read,
            (true, Missing::Fresh) => buffers.len(),
            (false, _) => spoken_of,
        };
        let speaks_of = |b: &SavedBuffer<E>| {
            let parameter = header.parameters.iter().find(|saved| saved.name == b.parameter);
            parameter.is_some_and(|saved| saved.buffers.iter().any(|shape| *shape.name == *b.slot))
        };
        if buffers.len() == expected && (header.version < 2 || buffers.iter().all(speaks_of)) {
            return Ok(());
        }
        Err(refuse("it has more buffers than its header speaks of"))
    }
}

fn refuse(reason: &'static str) -> Error {
    Error::new("load_snapshot", ErrorKind::State { reason })
}
