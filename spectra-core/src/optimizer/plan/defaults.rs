//! The default rule of a parameter, and the matrix seen in it.

use super::entry::{Reason, Rule};
use super::names::Name;
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

/// A convolution's kernel in one dimension is at most this long; a longer last dimension of three is features.
const LONGEST_KERNEL: usize = 16;

/// The first row of the table of the [module](super) that fits; `convolutions` is the rule of convolutions.
pub(super) fn default_rule(
    name: &str,
    shape: &[usize],
    (rows, cols): (usize, usize),
    convolutions: Rule,
) -> (Rule, Reason) {
    let lower = name.to_ascii_lowercase();
    let name = Name::new(&lower);
    // No table has four dimensions: that is how images and sounds are embedded, by a convolution.
    let kind = name.kind().filter(|kind| *kind != Reason::Embedding || shape.len() < 4);
    let reason = match kind {
        _ if rows == 0 => Reason::Empty,
        Some(kind) => kind,
        None if rows * cols == 1 => Reason::Scalar,
        None if rows == 1 => Reason::Vector,
        None => by_shape(&name, shape, (rows, cols)),
    };
    let rule = match reason {
        Reason::Empty => Rule::Frozen,
        Reason::Matrix => Rule::Spectral,
        Reason::Convolution { .. } => convolutions,
        _ => Rule::Elementwise,
    };
    (rule, reason)
}

/// What a parameter is whose name tells nothing, or only that it holds experts.
fn by_shape(name: &Name<'_>, shape: &[usize], (rows, cols): (usize, usize)) -> Reason {
    if name.stacks_experts(shape.len() > 2) {
        return Reason::Experts;
    }
    match *shape {
        [_, _] => Reason::Matrix,
        [_, 1, length] if length <= LONGEST_KERNEL || name.is_convolution() => Reason::Depthwise,
        [_, 1, _, _] | [_, 1, _, _, _] => Reason::Depthwise,
        [_, _, ..=LONGEST_KERNEL] | [_, _, _, _] | [_, _, _, _, _] => Reason::Convolution { rows, cols },
        _ => Reason::Unknown,
    }
}
