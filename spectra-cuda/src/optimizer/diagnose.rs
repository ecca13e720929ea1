//! What ails a run, in the caller's buffers.

use super::step::block_at;
use super::{Optimizer, Parameter};
use crate::backend::{CudaElement, CudaMatrix};
use crate::checked::Storage;
use cudarc::driver::SyncOnDrop;
use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::diagnosis::Diagnoses;

impl<E: CudaElement> Optimizer<E> {
    /// What ails the model, block by block, and what to do about it: rule and reason, update over weights, dead entries, stagnation in bf16, gradients that are
    /// missing, zero or not finite, stale subspaces, wrong rules. It prints as a table within 80 columns; docs/troubleshooting.md goes from symptoms to findings.
    ///
    /// A dry run of a [`step`](Self::step) of these parameters: neither weights nor the state change, and the run has the same bits. **Waits** for the device,
    /// reads everything to the host, one matrix after the other, and takes memory for copies of the largest.
    ///
    /// # Errors
    /// As [`step`](Self::step) before anything changes, but for gradients that are missing or not finite, which are findings.
    pub fn diagnose(&mut self, parameters: &mut [Parameter<'_, E>]) -> Result<Diagnoses> {
        self.check_buffers("diagnose (number of parameters)", parameters)?;
        let backend = self.core.backend().clone();
        let stream = backend.stream().clone();
        // As the next step would see it.
        let mut plan = self.plan.clone();
        for (at, parameter) in parameters.iter().enumerate() {
            if parameter.weights.storage() == Storage::Bf16 {
                plan.round(at, self.core.config().rounding, Some(SixteenBits::Bf16));
            }
        }
        let mut events: Vec<SyncOnDrop<'_>> = Vec::with_capacity(2 * parameters.len());
        let (mut weights, mut gradients) = (Vec::new(), Vec::new());
        let mut index = 0;
        for (entry, parameter) in plan.entries().iter().zip(parameters) {
            let Parameter { weights: target, gradient: source } = parameter;
            let (ld, storage) = (target.ld, target.storage());
            let (of_weights, event) = target.lend(&stream);
            events.push(event);
            let lent = source.as_ref().map(|source| (source.lend(&stream), source.ld, source.storage()));
            let of_gradient = lent.map(|((pointer, event), ld, storage)| {
                events.push(event);
                (pointer, ld, storage)
            });
            for block in entry.blocks() {
                // SAFETY: the buffers are of this context and large enough, as checked above, and borrowed until the diagnosis, which
                // waits for the device, has come to its end; events or the common stream order them with other work.
                let matrix = |buffer| unsafe { block_at(&backend, entry, block, buffer) };
                let is_turned = block.place().transposed;
                weights.push((index, upright(&backend, matrix((of_weights, ld, storage))?, is_turned)?));
                if let Some(buffer) = of_gradient {
                    // The products of a pre-clip cannot read bf16.
                    let mut whole = upright(&backend, matrix(buffer)?, is_turned)?;
                    if buffer.2 != Storage::Element && !is_turned {
                        let (rows, cols) = whole.shape();
                        let narrow = std::mem::replace(&mut whole, backend.zeros(rows, cols, None)?);
                        whole.copy_from(&narrow)?;
                    }
                    gradients.push((index, whole));
                }
                index += 1;
            }
        }
        let weights: Vec<_> = weights.iter().map(|(index, matrix)| (*index, matrix)).collect();
        let given = gradients.iter().map(|(index, matrix)| (*index, matrix));
        self.core.diagnose(&plan, given, &weights)
    }
}

/// The matrix `out x in`: itself, or a copy of one that is stored the other way.
fn upright<E: CudaElement>(
    backend: &crate::CudaBackend<E>,
    matrix: CudaMatrix<E>,
    is_turned: bool,
) -> Result<CudaMatrix<E>> {
    if !is_turned {
        return Ok(matrix);
    }
    let (rows, cols) = matrix.shape();
    let mut copy = backend.zeros(cols, rows, None)?;
    copy.set_transposed(&matrix)?;
    Ok(copy)
}
