//! Safetensors files that appear whole or not at all.

use crate::backend::{CandleElement, CandleMatrix};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use spectra_core::backend::{Error, Matrix, Result};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a tensor's bytes.
type WriteBytes<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// One tensor to be written: its values are fetched when their turn comes.
pub(crate) struct Content<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    len: usize,
    write: Box<WriteBytes<'a>>,
}

impl<'a> Content<'a> {
    pub(crate) fn matrix<E: CandleElement>(name: String, matrix: &'a CandleMatrix<E>) -> Self {
        let (rows, cols) = matrix.shape();
        let write = move |out: &mut dyn Write| {
            matrix.with_values(|values| write_values(out, values)).map_err(io::Error::other)?
        };
        let len = rows * cols * size_of::<E>();
        Self { name, dtype: E::DTYPE.into(), shape: vec![rows, cols], len, write: Box::new(write) }
    }

    pub(crate) fn bytes(name: String, bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self {
            name,
            dtype: Dtype::U8,
            shape: vec![len],
            len,
            write: Box::new(move |out| out.write_all(&bytes)),
        }
    }
}

/// Little-endian, by pieces that stay in the cache.
fn write_values<E: CandleElement>(out: &mut dyn Write, values: &[E]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for values in values.chunks(1 << 13) {
        bytes.clear();
        values.iter().for_each(|x| x.push_le_bytes(&mut bytes));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes a safetensors file in place of `path`. `contents`: by decreasing size of their numbers, which keeps
/// all of them aligned.
pub(crate) fn save(path: &Path, contents: &[Content<'_>], metadata: HashMap<String, String>) -> Result<()> {
    let mut tensors = Vec::new();
    let mut end = 0;
    for content in contents {
        let data_offsets = (end, end + content.len);
        let info = TensorInfo { dtype: content.dtype, shape: content.shape.clone(), data_offsets };
        tensors.push((content.name.clone(), info));
        end += content.len;
    }
    let header = Metadata::new(Some(metadata), tensors).map_err(|e| at("save", path, e))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| at("save", path, e))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let written = replace(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        contents.iter().try_for_each(|content| (content.write)(out))
    });
    written.map_err(|e| at("save", path, e))
}

/// The metadata of a safetensors file.
pub(crate) fn metadata(bytes: &[u8]) -> std::result::Result<HashMap<String, String>, SafeTensorError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// Replaces the file at `path` by what `write` writes: first a temporary file in the same folder, on the disk
/// before it takes the name. If anything fails the temporary file is removed and the old one untouched.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link stays a link; its target is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: less what the process's mask takes away.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(1 << 18, temporary.as_file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    temporary.as_file().sync_all()?;
    temporary.persist(&path).map_err(|e| e.error)?;
    // The name, too, is on the disk only when the folder is. Not every system lets one open a folder.
    match File::open(folder) {
        Ok(folder) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}

/// An error that names the file.
pub(crate) fn at(
    operation: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::device(operation, FileError { path: path.display().to_string(), source: source.into() })
}

#[derive(Debug)]
struct FileError {
    path: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.source)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_fails_leaves_the_old_file_and_no_other() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state");
        fs::write(&path, b"old")?;
        for written in [0, 1, 1 << 20] {
            let failed = replace(&path, |out| {
                out.write_all(&vec![7; written])?;
                Err(io::ErrorKind::StorageFull.into())
            });
            assert_eq!(failed.map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
            assert_eq!(fs::read(&path)?, b"old");
            assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        }
        replace(&path, |out| out.write_all(b"new"))?;
        assert_eq!(fs::read(&path)?, b"new");
        Ok(())
    }

    #[test]
    fn what_a_kill_has_left_is_in_nobodys_way() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state");
        fs::write(folder.path().join(".state.abc123.tmp"), b"half")?;
        replace(&path, |out| out.write_all(b"new"))?;
        assert_eq!(fs::read(&path)?, b"new");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_modes_are_a_new_files() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old")?;
        std::os::unix::fs::symlink(&target, &link)?;
        replace(&link, |out| out.write_all(b"new"))?;
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        assert_eq!(fs::read(&target)?, b"new");
        let fresh = folder.path().join("fresh");
        File::create(&fresh)?;
        assert_eq!(fs::metadata(&target)?.permissions().mode(), fs::metadata(&fresh)?.permissions().mode());
        Ok(())
    }
}
