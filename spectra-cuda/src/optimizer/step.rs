//! One step.

use super::{Optimizer, Parameter};
use crate::backend::{CudaBackend, CudaElement, CudaMatrix};
use crate::checked::Storage;
use crate::error::At;
use cudarc::driver::SyncOnDrop;
use cudarc::driver::sys::CUdeviceptr;
use spectra_core::backend::{Error, Matrix, Result};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::Prepared;
use spectra_core::optimizer::plan::{Block, Entry, Rule};

impl<E: CudaElement> Optimizer<E> {
    /// One step of all parameters, in the order in which they were named; those without a gradient are left alone
    /// ([`Config::require_gradients`](spectra_core::optimizer::Config::require_gradients) refuses them). Returns how many those are.
    ///
    /// Weights change in place; gradients do not. The buffers are used in the order of the backend's stream; cudarc's
    /// events order it with other streams, if it tracks them.
    ///
    /// # Errors
    /// Another number of parameters; a buffer that is too small, or of another context or stream; with
    /// [`Config::check_finite`](spectra_core::optimizer::Config::check_finite) a NaN or an infinity in a gradient.
    /// No gradient at all; an earlier step that failed half-way. Nothing has changed then, nor by a lack of memory for the
    /// state. Any other error of the device in the middle of a step leaves some parameters updated, and every later step and
    /// snapshot is refused, naming the parameter, until a snapshot has been loaded; the weights have to be loaded with it.
    pub fn step(&mut self, parameters: &mut [Parameter<'_, E>]) -> Result<usize> {
        self.check_buffers("step (number of parameters)", parameters)?;
        let backend = self.core.backend().clone();
        let stream = backend.stream().clone();
        for (at, parameter) in parameters.iter().enumerate() {
            if parameter.weights.storage() == Storage::Bf16 {
                self.round(at);
            }
        }
        let entries = self.plan.entries();
        self.missing.clear();
        // Dropped when the step has been queued: what other streams do with the buffers then waits for it.
        let mut events: Vec<SyncOnDrop<'_>> = Vec::with_capacity(2 * parameters.len());
        let mut taken = Vec::with_capacity(parameters.len());
        let mut next = 0;
        for (index, (entry, parameter)) in entries.iter().zip(parameters).enumerate() {
            let first = next;
            next += entry.blocks().len();
            if entry.rule() == Rule::Frozen {
                continue;
            }
            let Parameter { weights, gradient: Some(gradient) } = parameter else {
                self.missing.push(index);
                continue;
            };
            // SAFETY: the buffers are of this context and large enough, as checked above, and borrowed until the step has
            // been queued; events or the common stream order them with other work. The core keeps neither weights nor
            // gradients.
            let borrow = |block: &Block, pointer, ld, storage| unsafe {
                block_at(&backend, entry, block, (pointer, ld, storage))
            };
            let (ld, storage) = (weights.ld, weights.storage());
            let (of_weights, event) = weights.lend(&stream);
            events.push(event);
            let (of_gradient, event) = gradient.lend(&stream);
            events.push(event);
            for (offset, block) in entry.blocks().iter().enumerate() {
                taken.push(Taken {
                    index: first + offset,
                    weights: borrow(block, of_weights, ld, storage)?,
                    storage,
                    gradient: borrow(block, of_gradient, gradient.ld, gradient.storage())?,
                    is_bf16: gradient.storage() == Storage::Bf16,
                    is_transposed: block.place().transposed,
                });
            }
        }
        self.advance_as_graph(taken)?;
        Ok(self.missing.len())
    }

    /// An error unless each parameter has its buffers; `number`: the operation that another number of them fails.
    pub(super) fn check_buffers(&self, number: &'static str, parameters: &[Parameter<'_, E>]) -> Result<()> {
        let (entries, stream) = (self.plan.entries(), self.core.backend().stream());
        if parameters.len() != entries.len() {
            let (given, wanted) = (parameters.len(), entries.len());
            return Err(Error::shape(number, (wanted, 1), (given, 1)));
        }
        for (entry, parameter) in entries.iter().zip(parameters) {
            let named = |error: Error| error.for_parameter(entry.name());
            let checked = parameter.weights.check(stream, entry.view());
            checked.at("step (weights)").map_err(named)?;
            if let Some(gradient) = &parameter.gradient {
                gradient.check(stream, entry.view()).at("step (gradient)").map_err(named)?;
            }
        }
        Ok(())
    }

    /// Each block of a parameter in bf16 takes updates as the settings want it.
    pub(super) fn round(&mut self, at: usize) {
        let weights = self.plan.round(at, self.core.config().rounding, Some(SixteenBits::Bf16));
        let of_parameter = self.plan.blocks().enumerate().filter(|(_, (entry, ..))| *entry == at);
        for (index, _) in of_parameter {
            self.core.set_weights(index, weights);
        }
    }

    /// The step of these blocks.
    pub(super) fn advance(&mut self, mut taken: Vec<Taken<E>>) -> Result<()> {
        // Products of the pre-clip cannot read bf16.
        let widens = self.core.config().pre_clip.is_some();
        let copied = |item: &Taken<E>| item.is_transposed || item.is_bf16 && widens;
        for item in taken.iter_mut().filter(|item| copied(item)) {
            item.gradient = self.copy(item)?;
        }
        // All memory is had before anything changes.
        for item in taken.iter().filter(|item| item.is_transposed) {
            let (rows, cols) = item.gradient.shape();
            let memory = self.copies.take(rows, cols)?;
            self.copies.give(memory);
        }
        let prepared = self.core.prepare(taken.iter().map(|item| (item.index, &item.gradient)))?;
        let (mut turned, mut as_they_lie) = (Vec::new(), Vec::with_capacity(taken.len()));
        for item in &mut taken {
            if item.is_transposed {
                turned.push(item);
            } else {
                as_they_lie.push((item.index, &mut item.weights, &item.gradient));
            }
        }
        self.core.update_all(&mut as_they_lie, &prepared)?;
        turned.into_iter().try_for_each(|item| self.update_transposed(item, &prepared))?;
        self.core.finish(prepared);
        let copies = taken.into_iter().filter(copied).map(|item| item.gradient);
        copies.for_each(|copy| self.copies.give(copy));
        Ok(())
    }

    /// The gradient `out x in` in the element type, in memory that is kept from step to step.
    fn copy(&mut self, item: &Taken<E>) -> Result<CudaMatrix<E>> {
        let (rows, cols) = item.gradient.shape();
        if item.is_transposed {
            let mut copy = self.copies.take(cols, rows)?;
            copy.set_transposed(&item.gradient)?;
            return Ok(copy);
        }
        let mut copy = self.copies.take(rows, cols)?;
        copy.copy_from(&item.gradient)?;
        Ok(copy)
    }

    /// The update of weights that are stored `in x out`: of a copy `out x in`, which is then put in their place. The
    /// copy has their storage, so that the bits are those of weights that lie so.
    fn update_transposed(&mut self, item: &mut Taken<E>, prepared: &Prepared<CudaBackend<E>>) -> Result<()> {
        let (rows, cols) = item.gradient.shape();
        let memory = self.copies.take(rows, cols)?;
        let backend = self.core.backend();
        // SAFETY: the memory holds as many entries of the element type, and bf16 is no wider; it goes back after the last use
        // has been queued, on the stream on which its next one will be.
        let mut turned =
            unsafe { backend.matrix_at(memory.device_pointer(), (rows, cols), cols, item.storage) }?;
        turned.set_transposed(&item.weights)?;
        self.core.update(item.index, &mut turned, &item.gradient, prepared)?;
        item.weights.set_transposed(&turned)?;
        self.copies.give(memory);
        Ok(())
    }
}

/// A block of this step, as it is stored.
pub(super) struct Taken<E> {
    pub(super) index: usize,
    weights: CudaMatrix<E>,
    storage: Storage,
    gradient: CudaMatrix<E>,
    is_bf16: bool,
    is_transposed: bool,
}

/// A block of a parameter's buffer, as it is stored.
///
/// # Safety
/// The buffer, of the backend's context, holds the parameter, and stays borrowed, ordered with other work, while the matrix is in use.
pub(super) unsafe fn block_at<E: CudaElement>(
    backend: &CudaBackend<E>,
    entry: &Entry,
    block: &Block,
    (pointer, ld, storage): (CUdeviceptr, Option<usize>, Storage),
) -> Result<CudaMatrix<E>> {
    let (place, cols) = (block.place(), entry.view().1.max(1));
    let ld = ld.unwrap_or(cols);
    let start = place.start / cols * ld + place.start % cols;
    let stride = if place.stride == cols { ld } else { place.stride };
    let pointer = pointer + (start * storage.bytes(size_of::<E>())) as CUdeviceptr;
    // SAFETY: as the caller promises, and the block lies within the parameter.
    unsafe { backend.matrix_at(pointer, block.stored(), stride, storage) }
        .map_err(|error| error.for_parameter(block.name()))
}
