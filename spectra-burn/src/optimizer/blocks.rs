//! The blocks of a parameter that holds several matrices.

use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use burn::tensor::Tensor;
use spectra_core::backend::Result;
use spectra_core::optimizer::plan::{Block, Entry};
use std::ops::Range;

/// The blocks of a plan's entry; none if it is one matrix as it is.
pub(super) fn blocks_of(entry: &Entry) -> Box<[Block]> {
    match entry.blocks() {
        [block] if !block.place().transposed => Box::default(),
        blocks => blocks.into(),
    }
}

/// The shapes of the matrices that a parameter of this shape is stepped as.
pub(super) fn shapes(blocks: &[Block], whole: (usize, usize)) -> Vec<(usize, usize)> {
    if blocks.is_empty() { vec![whole] } else { blocks.iter().map(Block::shape).collect() }
}

/// The most singular values that the matrices of such a parameter have together.
pub(super) fn rank(blocks: &[Block], whole: (usize, usize)) -> usize {
    shapes(blocks, whole).into_iter().map(|(rows, cols)| rows.min(cols)).sum()
}

/// A block of the `out x in` matrix seen in a parameter: a copy, unless burn makes a view of it.
pub(super) fn cut<E: Arithmetic>(
    backend: &BurnBackend<E>,
    whole: &Tensor<2>,
    block: &Block,
) -> Result<BurnMatrix<E>> {
    let part = by_stride(whole.clone(), block).slice(ranges(block));
    if block.place().transposed {
        backend.transposed(part, block.shape())
    } else {
        backend.matrix(part, block.shape())
    }
}

/// The matrix with the block in its place.
pub(super) fn paste<E: Arithmetic>(whole: Tensor<2>, part: BurnMatrix<E>, block: &Block) -> Tensor<2> {
    let (shape, dtype) = (whole.dims(), whole.dtype());
    let part = part.into_tensor();
    let part = if block.place().transposed { part.transpose() } else { part };
    let part = if part.dtype() == dtype { part } else { part.cast(dtype) };
    by_stride(whole, block).slice_assign(ranges(block), part).reshape(shape)
}

/// With one stored row of the block in each row.
fn by_stride(whole: Tensor<2>, block: &Block) -> Tensor<2> {
    let [rows, cols] = whole.dims();
    let stride = block.place().stride;
    if stride == cols { whole } else { whole.reshape([rows * cols / stride, stride]) }
}

fn ranges(block: &Block) -> [Range<usize>; 2] {
    let (place, (rows, cols)) = (block.place(), block.stored());
    let (top, left) = (place.start / place.stride, place.start % place.stride);
    [top..top + rows, left..left + cols]
}
