//! Files that appear whole or not at all.

use crate::backend::Error;
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Replaces the file at `path` by what `write` writes: first a temporary file in the same folder, on the disk
/// before it takes the name. If anything fails the temporary file is removed and the old one untouched.
pub(super) fn replace<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    // A link stays a link; its target is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let prefix = alloc::format!(".{}.", name.to_string_lossy());
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
        Ok(folder) if cfg!(unix) => Ok(folder.sync_all()?),
        _ => Ok(()),
    }
}

/// An error that names the file.
pub(super) fn at(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::device(operation, FileError { path: path.display().to_string(), source })
}

#[derive(Debug)]
struct FileError {
    path: String,
    source: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.source)
    }
}

impl core::error::Error for FileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_writer_that_fails_leaves_the_old_file_and_no_other() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state");
        fs::write(&path, b"old")?;
        for written in [0, 1, 1 << 20] {
            let failed: io::Result<()> = replace(&path, |out| {
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
