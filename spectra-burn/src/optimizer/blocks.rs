//! The blocks of a parameter that holds several matrices.

use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use burn::tensor::Tensor;
use spectra_core::backend::{Matrix, Result};
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

/// The `out x in` matrix seen in a parameter, as it is stored: blocks are cut out of it and put back into its memory, and no entry
/// of another block is moved.
#[derive(Debug)]
pub(super) struct Whole {
    stored: Tensor<2>,
    /// Whether that is the matrix's transpose.
    transposed: bool,
    shape: (usize, usize),
}

impl Whole {
    /// The memory of the matrix, to cut these blocks: if this was its only handle, what is put back is written there, else to
    /// one copy.
    pub(super) fn new<E: Arithmetic>(matrix: BurnMatrix<E>, blocks: &[Block]) -> Self {
        let shape = matrix.shape();
        // Blocks of rows of another length are no blocks of the transpose.
        let transposed = matrix.is_transposed() && blocks.iter().all(|block| block.place().stride == shape.1);
        let tensor = matrix.into_tensor();
        Self { stored: if transposed { tensor.transpose() } else { tensor }, transposed, shape }
    }

    /// The matrix again, as a tensor, without a copy.
    pub(super) fn into_tensor(self) -> Tensor<2> {
        if self.transposed { self.stored.transpose() } else { self.stored }
    }

    /// A block: a copy, unless burn makes a view of it.
    pub(super) fn cut<E: Arithmetic>(
        &self,
        backend: &BurnBackend<E>,
        block: &Block,
    ) -> Result<BurnMatrix<E>> {
        let part = by_stride(self.stored.clone(), self.stride(block)).slice(self.ranges(block));
        if self.turns(block) {
            backend.transposed(part, block.shape())
        } else {
            backend.matrix(part, block.shape())
        }
    }

    /// With a block in its place. Burn writes to memory that has one handle, and copies any other.
    pub(super) fn paste<E: Arithmetic>(self, part: BurnMatrix<E>, block: &Block) -> Self {
        let (dims, dtype) = (self.stored.dims(), self.stored.dtype());
        let part = part.into_tensor();
        let part = if self.turns(block) { part.transpose() } else { part };
        let part = if part.dtype() == dtype { part } else { part.cast(dtype) };
        let (stride, ranges) = (self.stride(block), self.ranges(block));
        let stored = by_stride(self.stored, stride).slice_assign(ranges, part).reshape(dims);
        Self { stored, ..self }
    }

    /// Whether what lies in memory is the block's transpose.
    fn turns(&self, block: &Block) -> bool {
        self.transposed != block.place().transposed
    }

    /// Entries from one stored row to the next.
    fn stride(&self, block: &Block) -> usize {
        if self.transposed { self.shape.0 } else { block.place().stride }
    }

    /// The rows and columns of memory that the block has.
    fn ranges(&self, block: &Block) -> [Range<usize>; 2] {
        let (place, (rows, cols)) = (block.place(), block.stored());
        let (top, left) = (place.start / place.stride, place.start % place.stride);
        let (rows, cols) = (top..top + rows, left..left + cols);
        if self.transposed { [cols, rows] } else { [rows, cols] }
    }
}

fn by_stride(whole: Tensor<2>, stride: usize) -> Tensor<2> {
    let [rows, cols] = whole.dims();
    if stride == cols { whole } else { whole.reshape([rows * cols / stride, stride]) }
}

#[cfg(test)]
mod tests {
    use super::{Whole, blocks_of};
    use crate::{BurnBackend, BurnMatrix};
    use burn::backend::{BackendTypes, Flex};
    use burn::tensor::{Device, Tensor, TensorData};
    use spectra_core::optimizer::plan::{Plan, Split};

    type FlexTensor = <Flex as BackendTypes>::FloatTensorPrimitive;

    fn values(matrix: &BurnMatrix<f32>) -> Vec<f32> {
        matrix.clone().into_tensor().into_data().iter::<f32>().collect()
    }

    /// Where a matrix lies.
    fn address(matrix: &BurnMatrix<f32>) -> *const f32 {
        let tensor: FlexTensor = matrix.stored().0.try_into_primitive::<Flex>().unwrap();
        tensor.storage::<f32>().as_ptr()
    }

    #[test]
    fn blocks_are_put_back_into_the_memory_they_were_cut_from() {
        let backend = BurnBackend::<f32>::new(&Device::flex());
        let numbers: Vec<f32> = (0..48).map(|x| x as f32).collect();
        let splits = [
            (Split::rows([3, 2, 3]), [8, 6]),
            (Split::columns(3), [8, 6]),
            (Split::columns(3).transposed(), [8, 6]),
        ];
        for (split, shape) in splits {
            let plan = Plan::builder().split("w", split).build([("w", shape)]).unwrap();
            let blocks = blocks_of(&plan.entries()[0]);
            assert_eq!(blocks.len(), 3);
            for transposed in [false, true] {
                let data = TensorData::new(numbers.clone(), [48]);
                let tensor = Tensor::<1>::from_data(data, &Device::flex());
                let matrix = if transposed {
                    backend.transposed(tensor.reshape([shape[1], shape[0]]), (shape[0], shape[1])).unwrap()
                } else {
                    backend.matrix(tensor.reshape(shape), (shape[0], shape[1])).unwrap()
                };
                let (before, place) = (values(&matrix), address(&matrix));
                let mut whole = Whole::new(matrix, &blocks);
                for block in &blocks {
                    let part = whole.cut(&backend, block).unwrap();
                    // As a step does: other values in memory of its own.
                    let part = backend.matrix(part.into_tensor() + 100.0, block.shape()).unwrap();
                    whole = whole.paste(part, block);
                }
                let after = backend.matrix(whole.into_tensor(), (shape[0], shape[1])).unwrap();
                let expected: Vec<f32> = before.iter().map(|x| x + 100.0).collect();
                assert_eq!(values(&after), expected, "{transposed}");
                assert_eq!(address(&after), place, "{transposed}: copied");
            }
        }
    }
}
