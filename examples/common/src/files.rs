//! Writing files so that a reader, or a kill, never meets half of one.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::Failure;

/// Makes sure that files can be created in `folder`, which is made if it is missing.
pub(crate) fn make_writable(folder: &Path) -> Result<(), Failure> {
    let refused = |error: std::io::Error| {
        Failure::input(format!(
            "cannot write to the output folder {}: {error}; name another with --out",
            folder.display()
        ))
    };
    fs::create_dir_all(folder).map_err(refused)?;
    tempfile::tempfile_in(folder).map(drop).map_err(refused)
}

/// Writes `contents` to `path` in one step: the old file stays whole until the new one replaces it.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::run(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(failed)?;
    file.write_all(contents).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    make_readable(file.as_file()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private to their owner; what they become need not be.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.txt");
        write_whole(&path, b"long old contents").expect("first write");
        write_whole(&path, b"new").expect("second write");
        assert_eq!(fs::read(&path).expect("read back"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(matches!(make_writable(file.path()), Err(Failure::Input(_))));
    }
}
