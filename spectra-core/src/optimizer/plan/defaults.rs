//! The default rule of a parameter, and the matrix seen in it.

use super::entry::{Reason, Rule};
use super::names::kind_by_name;
use crate::backend::{Error, Result};

/// The matrix view of a shape: see [`Entry::view`](super::Entry::view).
///
/// # Errors
/// More elements than the address space has bytes.
pub(super) fn matrix_view(shape: &[usize]) -> Result<(usize, usize)> {
    if shape.contains(&0) {
        return Ok((0, 0));
    }
    let product = |dims: &[usize]| dims.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim));
    let (rows, rest) = shape.split_first().map_or((1, &[][..]), |(&rows, rest)| (rows, rest));
    // With elements <= isize::MAX also 2 mn, AdamW's state, is a usize.
    match (product(shape), product(rest)) {
        (Some(elements), _) if elements > isize::MAX as usize => Err(too_large(shape)),
        (Some(elements), Some(cols)) if rows == 1 || cols == 1 => Ok((1, elements)),
        (Some(_), Some(cols)) => Ok((rows, cols)),
        _ => Err(too_large(shape)),
    }
}

fn too_large(shape: &[usize]) -> Error {
    let elements = shape.iter().map(|&dim| dim as f64).product();
    Error::argument("plan", "elements", elements, "at most the largest isize")
}

/// The first row of the table of the [module](super) that fits; `convolutions` is the rule of the last row.
pub(super) fn default_rule(
    name: &str,
    shape: &[usize],
    view: (usize, usize),
    convolutions: Rule,
) -> (Rule, Reason) {
    let (rows, cols) = view;
    if rows == 0 {
        (Rule::Frozen, Reason::Empty)
    } else if let Some(kind) = kind_by_name(name) {
        (Rule::Elementwise, kind)
    } else if rows * cols == 1 {
        (Rule::Elementwise, Reason::Scalar)
    } else if rows == 1 {
        (Rule::Elementwise, Reason::Vector)
    } else if shape.len() > 2 {
        (convolutions, Reason::Convolution { rows, cols })
    } else {
        (Rule::Spectral, Reason::Matrix)
    }
}
