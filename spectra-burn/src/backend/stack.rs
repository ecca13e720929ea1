//! Stacks: matrices of one shape in a tensor of three dimensions, on which burn works at once.
//!
//! Burn's tensors share no memory that both could change. So a stack is a copy of its parts, and when it ends they are handed out of it again: as
//! views, which cost nothing and keep their stack as long as all of them are there unchanged. Buffers of a state therefore are copied once.

use super::counted::{Work, note};
use super::element::BurnElement;
use super::matrix::{BurnMatrix, Values};
use super::{BurnBackend, tensor_ops};
use burn::tensor::{Tensor, TensorData};
use spectra_core::backend::{Error, Matrix, Result, Stacking, check_shape};
use spectra_core::linalg::{Scratch, SmallFactor, seed_zero_columns};
use std::sync::Arc;

/// The most parts of a stack.
pub(super) const MOST: usize = 256;

/// The most entries of the copy that sums of squares are taken of.
pub(super) const ENTRIES: usize = 1 << 25;

impl<E: BurnElement> Stacking<Self> for BurnBackend<E> {
    fn most(&self) -> usize {
        MOST
    }

    fn alike(&self, a: &BurnMatrix<E>, b: &BurnMatrix<E>) -> bool {
        let is_single = |x: &BurnMatrix<E>| matches!(x.values, Values::Tensor(_) | Values::Part(..));
        is_single(a) && is_single(b)
    }

    fn of(&self, count: usize) -> Result<Self> {
        check_count("count", count)?;
        Ok(Self { count, ..self.clone() })
    }

    fn stack(&self, parts: &[&BurnMatrix<E>], _: Option<BurnMatrix<E>>) -> Result<BurnMatrix<E>> {
        check_count("parts", parts.len())?;
        let shape = parts[0].shape();
        parts.iter().try_for_each(|part| check_shape("stack", shape, part.shape()))?;
        if let Some(whole) = kept(parts) {
            return Ok(BurnMatrix::new(Values::Stack(whole)));
        }
        let parts = parts.iter().map(|part| part.single()).collect::<Result<Vec<_>>>()?;
        if parts.iter().any(|part| part.device() != self.device) {
            return Err(Error::device("stack", "a matrix on another device"));
        }
        note(Work::Gather, 1);
        Ok(BurnMatrix::new(Values::Stack(Tensor::stack(parts, 0))))
    }

    fn unstack(&self, stack: BurnMatrix<E>, parts: Vec<&mut BurnMatrix<E>>) -> Result<Option<BurnMatrix<E>>> {
        let Values::Stack(whole) = stack.values else {
            return Err(Error::device("unstack", "a matrix that is no stack"));
        };
        let whole = Arc::new(whole);
        for (at, part) in parts.into_iter().enumerate() {
            part.values = Values::Part(whole.clone(), at);
        }
        Ok(None)
    }
}

fn check_count(name: &'static str, count: usize) -> Result<()> {
    if (2..=MOST).contains(&count) {
        return Ok(());
    }
    Err(Error::argument("stack", name, count as f64, "from 2 to 256"))
}

/// The stack that these are the parts of, all of them and in order.
fn kept<E>(parts: &[&BurnMatrix<E>]) -> Option<Tensor<3>> {
    let Values::Part(whole, _) = &parts.first()?.values else { return None };
    let is_next = |(at, part): (usize, &&BurnMatrix<E>)| matches!(&part.values, Values::Part(other, place) if Arc::ptr_eq(whole, other) && *place == at);
    let all = whole.dims()[0] == parts.len() && parts.iter().enumerate().all(is_next);
    all.then(|| Tensor::clone(whole))
}

/// A part of a stack.
pub(super) fn part(whole: &Tensor<3>, at: usize) -> Tensor<2> {
    note(Work::View, 1);
    // A reshape would take an extent of zero for one that is to stay.
    whole.clone().narrow(0, at, 1).squeeze_dim(0)
}

impl<E: BurnElement> BurnMatrix<E> {
    /// All values on the host, part by part. **Waits** for the device.
    fn download<const D: usize>(tensor: Tensor<D>, out: &mut Vec<E>) -> Result<()> {
        note(Work::Wait, 1);
        let data = tensor.try_into_data().map_err(|e| Error::device("read", e.to_string()))?;
        out.extend_from_slice(data.as_slice::<E>().map_err(|e| Error::device("read", format!("{e:?}")))?);
        Ok(())
    }

    /// The factor of each part of a stack of Gram matrices. The host factorises, and waits once for all; it tells nothing of what it found, as that
    /// differs from part to part.
    pub(super) fn small_factors(
        whole: &Tensor<3>,
        factor: SmallFactor,
        scratch: &mut Scratch<E>,
    ) -> Result<Tensor<3>> {
        let ([count, k, cols], mut values) = (whole.dims(), Vec::new());
        check_shape("small_factor", (k, k), (k, cols))?;
        Self::download(whole.clone(), &mut values)?;
        for part in values.chunks_exact_mut((k * k).max(1)) {
            scratch.slices(k * k, 0).0.copy_from_slice(part);
            scratch.factorize(factor, k);
            part.copy_from_slice(scratch.slices(k * k, 0).0);
        }
        note(Work::Upload, 1);
        Ok(Tensor::from_data(TensorData::new(values, [count, k, k]), (&whole.device(), E::DTYPE)))
    }

    /// Random columns for those that are zero, of a matrix or of each part of a stack. **Waits** to learn whether there are any.
    pub(super) fn seed_columns<const D: usize>(x: &Tensor<D>, seed: u64) -> Result<Option<Tensor<D>>> {
        let (dims, mut sums) = (x.dims(), Vec::new());
        let (rows, cols) = (dims[D - 2], dims[D - 1]);
        let of_columns = tensor_ops::column_sums(x.clone());
        Self::download(of_columns.clone(), &mut sums)?;
        if sums.iter().all(|sum| sum.widen() != 0.0) {
            return Ok(None);
        }
        let mut values = vec![E::narrow(0.0); rows * cols];
        seed_zero_columns(cols, &mut values, seed);
        let mut shape = [1; D];
        (shape[D - 2], shape[D - 1]) = (rows, cols);
        note(Work::Upload, 1);
        let random = Tensor::from_data(TensorData::new(values, shape), (&x.device(), E::DTYPE));
        Ok(Some(tensor_ops::replace_zero_columns(x.clone(), of_columns, random)))
    }
}
