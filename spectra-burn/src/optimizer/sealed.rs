//! State files: a burnpack container, which burn reads, too, and a seal behind it over every byte.

use burn::tensor::Bytes;
use burn_pack::{AtomicFile, EXTENSION, Reader, Writer};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::Checksum;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Metadata of a container with a seal, so that a seal that was cut off is missed.
const SEALED: &str = "spectra_sealed";

/// The seal: these bytes and the checksum of all before them.
const MAGIC: [u8; 8] = *b"spectra\x02";
const SEAL: usize = MAGIC.len() + size_of::<u64>();

/// The container with its seal.
pub(super) fn seal(writer: Writer) -> Result<Vec<u8>> {
    let device = |e| Error::device("save", e);
    let writer = writer.with_metadata(SEALED, "true");
    let size = writer.size().map_err(device)?;
    let mut bytes = vec![0; size];
    bytes.reserve_exact(SEAL);
    writer.write_into(&mut bytes).map_err(device)?;
    let sum = checksum(&bytes);
    bytes.extend(MAGIC);
    bytes.extend(sum.to_le_bytes());
    Ok(bytes)
}

/// A container whose seal, if it has one or must have one, is whole. Version 0.1 and burn's own files have none.
///
/// # Errors
/// [`ErrorKind::State`] for a damaged file; those of burnpack.
pub(super) fn open(bytes: Bytes) -> Result<Reader> {
    let refuse = |reason| Err(Error::new("load", ErrorKind::State { reason }));
    let seal = bytes.len().checked_sub(SEAL).map(|start| bytes.split_at(start));
    let seal = seal.filter(|(_, seal)| seal.starts_with(&MAGIC));
    if let Some((container, seal)) = seal
        && seal[MAGIC.len()..] != checksum(container).to_le_bytes()
    {
        return refuse("its checksum is wrong: the file is damaged");
    }
    let is_sealed = seal.is_some();
    // Burnpack reads up to its last tensor: what stands behind does not matter.
    let reader = Reader::from_bytes(bytes).map_err(|e| Error::device("load", e))?;
    if !is_sealed && reader.metadata().contains_key(SEALED) {
        return refuse("its checksum is missing: the file is damaged");
    }
    Ok(reader)
}

/// Writes a file in one piece: a failure leaves what was there. As burn, `.bpk` is appended to a name without extension.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = if path.extension().is_none() { path.with_extension(EXTENSION) } else { path.to_owned() };
    let (scratch, mut file) = AtomicFile::create(&path).map_err(|e| Error::device("save", e))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| Error::device("save", e))?;
    drop(file);
    scratch.commit().map_err(|e| Error::device("save", e))
}

/// Reads a file; `.bpk` is appended to a name without extension that does not exist.
pub(super) fn read(path: &Path) -> Result<Bytes> {
    let append = path.extension().is_none() && !path.exists();
    let path = if append { path.with_extension(EXTENSION) } else { PathBuf::from(path) };
    let bytes = fs::read(&path)
        .map_err(|e| Error::device("load", format!("cannot read '{}': {e}", path.display())))?;
    Ok(Bytes::from_bytes_vec(bytes))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::new();
    sum.bytes(bytes);
    sum.finish()
}
