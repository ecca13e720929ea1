//! The matrix seen in a parameter, rows = output features, and the parameter again.

use super::Orientation;
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::Result;
use spectra_core::optimizer::plan::Rule;

/// How a parameter is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `out x in`, `out x in x kernel`: as it is. Also everything that is no matrix.
    OutByIn,
    /// `in x out`: seen as its transpose, without moving an entry.
    InByOut,
    /// `in x (out / groups) x kernel`, as burn's transposed convolutions: seen as `out x (in / groups) x kernel`, as which
    /// a convolution is stored. Two copies a step: no strides describe that matrix.
    InByOutByKernel {
        /// Groups of channels.
        groups: usize,
    },
}

/// The matrix seen in a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) rule: Rule,
    /// Output features.
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) layout: Layout,
}

impl Layout {
    /// The shape with output features first.
    pub(super) fn out_by_in(self, stored: &[usize]) -> Vec<usize> {
        match (self, stored) {
            (Self::InByOut, [inputs, outputs]) => vec![*outputs, *inputs],
            (Self::InByOutByKernel { groups }, [inputs, outputs, kernel @ ..]) => {
                [outputs * groups, inputs / groups].iter().chain(kernel).copied().collect()
            }
            _ => stored.to_vec(),
        }
    }
}

/// What a group sees in a parameter of this shape.
pub(super) fn group_view(shape: &[usize], orientation: Orientation) -> View {
    let (first, rest) = flat(shape);
    if first <= 1 || rest <= 1 {
        return View { rule: Rule::Elementwise, rows: 1, cols: first * rest, layout: Layout::OutByIn };
    }
    let rule = Rule::Spectral;
    if shape.len() == 2 && orientation == Orientation::InByOut {
        return View { rule, rows: rest, cols: first, layout: Layout::InByOut };
    }
    View { rule, rows: first, cols: rest, layout: Layout::OutByIn }
}

/// `first x (the rest)`.
pub(super) fn flat(shape: &[usize]) -> (usize, usize) {
    shape.split_first().map_or((1, 1), |(first, rest)| (*first, rest.iter().product()))
}

/// The matrix of a parameter or its gradient.
pub(super) fn see<E: Arithmetic, const D: usize>(
    backend: &BurnBackend<E>,
    tensor: Tensor<D>,
    view: View,
) -> Result<BurnMatrix<E>> {
    let View { rows, cols, .. } = view;
    match view.layout {
        // A vector is one row however it is stored.
        _ if rows <= 1 => backend.matrix(tensor, (rows, cols)),
        Layout::OutByIn => backend.matrix(tensor, (rows, cols)),
        Layout::InByOut => backend.transposed(tensor, (rows, cols)),
        Layout::InByOutByKernel { groups } => {
            let [inputs, outputs] = [tensor.dims()[0], tensor.dims()[1]];
            backend.matrix(swapped(tensor, [groups, inputs / groups, outputs]), (rows, cols))
        }
    }
}

/// The parameter again, of its shape and type.
pub(super) fn unsee<const D: usize>(
    matrix: Tensor<2>,
    view: View,
    shape: [usize; D],
    dtype: DType,
) -> Tensor<D> {
    let tensor = if matrix.dtype() == dtype { matrix } else { matrix.cast(dtype) };
    match view.layout {
        Layout::InByOutByKernel { groups } if view.rows > 1 => {
            swapped(tensor, [groups, view.rows / groups, shape[0] / groups]).reshape(shape)
        }
        Layout::InByOut if view.rows > 1 => again(tensor.transpose(), shape),
        _ => again(tensor, shape),
    }
}

/// A tensor of this shape, without a copy if it has it already.
fn again<const D: usize>(tensor: Tensor<2>, shape: [usize; D]) -> Tensor<D> {
    let same_shape = tensor.dims().as_slice() == shape.as_slice();
    if same_shape { Tensor::from_bridge(tensor.into_bridge()) } else { tensor.reshape(shape) }
}

/// Values in the order `groups x a x b x kernel`, in the order `groups x b x a x kernel`.
fn swapped<const D: usize>(tensor: Tensor<D>, [groups, a, b]: [usize; 3]) -> Tensor<4> {
    let kernel = tensor.shape().num_elements() / (groups * a * b).max(1);
    tensor.reshape([groups, a, b, kernel]).swap_dims(1, 2)
}
