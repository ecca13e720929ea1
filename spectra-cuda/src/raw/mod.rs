//! The raw level: what cudarc leaves to the caller. Unsafe, unchecked, private.

pub(crate) mod blas;
pub(crate) mod graph;
pub(crate) mod libraries;
#[cfg(feature = "nccl")]
pub(crate) mod nccl;
pub(crate) mod pinned;
mod place;

pub(crate) use place::Place;
