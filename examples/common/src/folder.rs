//! A folder to write in, for one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::files::{make_writable, write_whole};

/// Locked while a process writes in its folder; what it says is that process' number.
const LOCK: &str = ".lock";

/// A folder in which no other process of these programs writes until this is dropped or this process ends, however it
/// ends.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is missing, and takes it.
    ///
    /// A folder that cannot be written to or that another process has is [`Failure::Input`].
    pub fn take(path: &Path) -> Result<Self, Failure> {
        make_writable(path)?;
        let refused = |error: std::io::Error| {
            Failure::input(format!(
                "cannot lock the output folder {}: {error}; name another with --out",
                path.display()
            ))
        };
        let name = path.join(LOCK);
        let mut lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(&name).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {
                // For the message below only: the lock is what counts.
                lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(refused)?;
                Ok(Self { path: path.into(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                // Where a lock also keeps readers out there is no number.
                let number = fs::read_to_string(&name).unwrap_or_default();
                Err(Failure::input(format!(
                    "another process {number} is writing to {}: wait for its end, or name another folder with --out",
                    path.display()
                )))
            }
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces one of its files in one step.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        write_whole(&self.path.join(name), contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a/b");
        let first = Folder::take(&path).expect("a free folder");
        first.write("x", b"1").expect("a file");
        let number = std::process::id().to_string();
        assert!(
            matches!(Folder::take(&path), Err(Failure::Input(line)) if line.contains(&number) && line.contains("--out"))
        );
        assert_eq!(fs::read(path.join("x")).expect("the file"), b"1");
        drop(first);
        assert!(Folder::take(&path).is_ok());
    }
}
