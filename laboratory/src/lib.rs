//! The experiments of spectra: claims of the papers, fair comparisons, ablations. Not published.

pub mod diagnosis;
pub mod instruments;
