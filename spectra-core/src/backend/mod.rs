//! The traits, errors and scalar types: who implements a backend starts here.
mod error;
pub use error::{Error, ErrorKind, Result};
#[allow(unused_imports)]
pub(crate) use error::require;
