//! The backend passes the conformance suite, on memory and by the tensor operations that GPUs use.

use candle_core::Device;
use spectra_candle::CandleBackend;

// Not defects of this backend: the shared algorithms fail these as they stand (conformance/tests/faer.rs says why).
spectra_conformance::suite!(
    on_memory,
    || CandleBackend::new(&Device::Cpu),
    elements = [f32, f64],
    second_handle = Clone::clone,
    skip = [orthonormalize_extreme, tail_shrink_low_rank],
);

// In f32 without a host that knows norms, the power iteration cannot see that the squares of a matrix (here 1e-30)
// leave the range of the type, and does not scale it: the documented limit of this path.
spectra_conformance::suite!(
    by_tensor_operations_f32,
    || CandleBackend::by_tensor_operations(&Device::Cpu),
    elements = [f32],
    second_handle = Clone::clone,
    skip = [
        orthonormalize_extreme,
        tail_shrink_low_rank,
        power_iteration_bootstrap,
        power_iteration_composes,
        power_iteration_exact,
        power_iteration_paper,
        tail_shrink_exact,
        tail_shrink_paper,
    ],
);

spectra_conformance::suite!(
    by_tensor_operations_f64,
    || CandleBackend::by_tensor_operations(&Device::Cpu),
    elements = [f64],
    second_handle = Clone::clone,
    skip = [orthonormalize_extreme, tail_shrink_low_rank],
);
