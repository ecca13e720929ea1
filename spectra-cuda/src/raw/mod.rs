//! The raw level: what cudarc leaves to the caller. Unsafe, unchecked, private.

pub(crate) mod blas;
pub(crate) mod libraries;
#[cfg(feature = "nccl")]
pub(crate) mod nccl;
mod place;

pub(crate) use place::Place;
