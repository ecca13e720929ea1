//! From a user's tensors to matrices.

use super::BurnBackend;
use super::element::BurnElement;
use super::matrix::{BurnMatrix, check_len};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Result};

impl<E: BurnElement> BurnBackend<E> {
    /// A tensor of any rank as a `rows x cols` matrix, its values in row-major order.
    ///
    /// Operations on the matrix never show in another tensor. Nothing is copied if the tensor is contiguous and of type `E`, or
    /// on the CPU device of bf16 or f16, which operations widen a piece at a time and round once; it is then changed in place
    /// if this is its only handle. Other types that `E` contains are widened to it.
    ///
    /// # Errors
    /// If the tensor lies on another device, its type is not contained in `E`, or it does not have `rows * cols`
    /// elements.
    pub fn matrix<const D: usize>(
        &self,
        tensor: Tensor<D>,
        (rows, cols): (usize, usize),
    ) -> Result<BurnMatrix<E>> {
        self.wrap(self.accept("matrix", tensor, [rows, cols])?, false)
    }

    /// A tensor stored `cols x rows`, like the `in x out` of burn's `Linear`, as the `rows x cols` matrix with
    /// rows = output features. No entry is moved.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn transposed<const D: usize>(
        &self,
        tensor: Tensor<D>,
        (rows, cols): (usize, usize),
    ) -> Result<BurnMatrix<E>> {
        self.wrap(self.accept("transposed", tensor, [cols, rows])?, true)
    }

    /// A matrix of any device on this one.
    pub(crate) fn adopt(&self, matrix: BurnMatrix<E>) -> BurnMatrix<E> {
        let is_here = match matrix.memory() {
            Some(_) => self.on_memory,
            None => matrix.device() == self.device,
        };
        if is_here {
            return matrix;
        }
        self.wrap(matrix.tensor().to_device(&self.device), false).unwrap_or(matrix)
    }

    /// The tensor, checked, of this shape, of a type that operations take, and without its graph.
    fn accept<const D: usize>(
        &self,
        operation: &'static str,
        tensor: Tensor<D>,
        [rows, cols]: [usize; 2],
    ) -> Result<Tensor<2>> {
        let refuse = |what| Err(Error::new(operation, ErrorKind::Unsupported { what }));
        let tensor = tensor.without_autodiff();
        if tensor.device() != self.device {
            return refuse("a tensor on another device");
        }
        let contained = match tensor.dtype() {
            DType::BF16 | DType::F16 | DType::F32 => true,
            dtype => dtype == E::DTYPE,
        };
        if !contained {
            return refuse("a quantised or 8-bit tensor, or f64 in f32 arithmetic,");
        }
        check_len(operation, (rows, cols), tensor.shape().num_elements())?;
        let same_shape = tensor.dims().as_slice() == [rows, cols];
        let as_it_is = match tensor.dtype() {
            DType::BF16 | DType::F16 => self.on_memory,
            dtype => dtype == E::DTYPE,
        };
        let tensor = if as_it_is { tensor } else { tensor.cast(E::DTYPE) };
        // A strided view would be copied by a reshape.
        Ok(if same_shape { Tensor::from_bridge(tensor.into_bridge()) } else { tensor.reshape([rows, cols]) })
    }
}
