//! Spectral optimizers for candle.
#![forbid(unsafe_code)]

mod backend;

pub use backend::{CandleBackend, CandleElement, CandleMatrix, CandleScalar};
