//! The values of CPU tensors.
//!
//! Candle hands out mutable memory only inside an [`InplaceOp1`]; [`write`] is such an operation, or several nested
//! ones, that runs a closure on the values. Every clone of a tensor sees what is written, so only
//! [`CandleMatrix`](super::CandleMatrix), which knows who else holds the storage, calls it.

use super::element::CandleElement;
use candle_core::{CpuStorage, Error, InplaceOp1, Layout, Result, Storage, Tensor};
use spectra_core::faer::{Values, ValuesMut};
use std::array::from_fn;
use std::cell::Cell;
use std::marker::PhantomData;

/// Runs `f` on the row-major values of contiguous CPU tensors, some of which may share their memory.
pub(super) fn read<E: CandleElement, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([Values<'_, E>; N]) -> R,
) -> Result<R> {
    // One lock for each storage: a second one on the same thread would wait for a writer that waits for the first.
    let addresses = tensors.map(address);
    let holder = |i: usize| addresses.iter().position(|a| *a == addresses[i]);
    let locks: [_; N] = from_fn(|i| (holder(i) == Some(i)).then(|| tensors[i].storage_and_layout().0));
    let mut slices = [Values::default(); N];
    for i in 0..N {
        let storage = holder(i).and_then(|j| locks[j].as_deref());
        slices[i] = match (storage, tensors[i].layout().contiguous_offsets()) {
            (Some(Storage::Cpu(storage)), Some((start, end))) => {
                E::values(storage).and_then(|values| values.get(start..end))
            }
            _ => None,
        }
        .ok_or_else(not_plain)?;
    }
    Ok(f(slices))
}

/// Runs `f` on the row-major values of contiguous CPU tensors, to change; every tensor that shares a storage sees
/// the change. No two of them, and none that `f` reads, may share a storage: that would wait for ever.
pub(super) fn write<E: CandleElement, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([ValuesMut<'_, E>; N]) -> R,
) -> Result<R> {
    nest(tensors, 0, from_fn(|_| Default::default()), f)
}

/// Adds the values of `tensors[depth..]` to `slices`, one in the closure of the other.
fn nest<E: CandleElement, R, const N: usize>(
    tensors: [&Tensor; N],
    depth: usize,
    slices: [ValuesMut<'_, E>; N],
    f: impl FnOnce([ValuesMut<'_, E>; N]) -> R,
) -> Result<R> {
    let Some(tensor) = tensors.get(depth) else { return Ok(f(slices)) };
    if tensor.elem_count() == 0 {
        // Candle takes the strides of an empty tensor for overlapping elements.
        return nest(tensors, depth + 1, slices, f);
    }
    let with_one_more = move |values: ValuesMut<'_, E>| {
        let mut slices: [ValuesMut<'_, E>; N] = slices;
        slices[depth] = values;
        nest(tensors, depth + 1, slices, f)
    };
    let once = Once { f: Cell::new(Some(with_one_more)), result: Cell::new(None), element: PhantomData::<E> };
    tensor.inplace_op1(&once)?;
    once.result.into_inner().unwrap_or_else(|| Err(not_plain()))
}

/// Whether two tensors share their memory.
pub(super) fn same_storage(a: &Tensor, b: &Tensor) -> bool {
    address(a) == address(b)
}

/// Where the storage lies; the lock is released on return.
pub(crate) fn address(tensor: &Tensor) -> usize {
    std::ptr::from_ref::<Storage>(&tensor.storage_and_layout().0).addr()
}

struct Once<E, F, R> {
    f: Cell<Option<F>>,
    result: Cell<Option<R>>,
    element: PhantomData<E>,
}

impl<E: CandleElement, R, F: FnOnce(ValuesMut<'_, E>) -> R> InplaceOp1 for Once<E, F, R> {
    fn name(&self) -> &'static str {
        "spectra"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (start, end) = layout.contiguous_offsets().ok_or_else(not_plain)?;
        let values = E::values_mut(storage).and_then(|v| v.get(start..end)).ok_or_else(not_plain)?;
        self.result.set(self.f.take().map(|f| f(values)));
        Ok(())
    }
}

fn not_plain() -> Error {
    Error::Msg("not a contiguous CPU tensor of the backend's element type or of 16 bits".into())
}
