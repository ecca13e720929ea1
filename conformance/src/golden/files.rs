//! Where the golden files lie.
//!
//! They are read from the crate's source folder when a case is asked for. Embedding them would add 2.7 MB to every
//! test binary that uses the suite; the folder exists wherever the crate was compiled, also as a dependency from a
//! registry, and tests run there. Where they do not (a device that runs a cross-compiled test),
//! the environment variable [`DIRECTORY_VARIABLE`] names a copy.

use std::path::PathBuf;
use std::{env, fs};

use super::GoldenError;

/// Environment variable that names the folder of the golden data, if it is not the crate's own.
pub const DIRECTORY_VARIABLE: &str = "SPECTRA_GOLDEN";

const EXTENSION: &str = "safetensors";

/// The folder that the golden data are read from.
#[must_use]
pub fn directory() -> PathBuf {
    env::var_os(DIRECTORY_VARIABLE)
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden"), PathBuf::from)
}

/// The names of all cases that start with `prefix` (`""`: all), sorted.
///
/// # Errors
/// [`GoldenError::Io`] if the folder cannot be listed.
pub fn names(prefix: &str) -> Result<Vec<String>, GoldenError> {
    let folder = directory();
    let io_error = |source| GoldenError::Io { path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            && name.starts_with(prefix)
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The bytes of the case `name`.
pub(super) fn read(name: &str) -> Result<Vec<u8>, GoldenError> {
    let path = directory().join(format!("{name}.{EXTENSION}"));
    fs::read(&path).map_err(|source| GoldenError::Io { path, source })
}
