//! The backend passes the conformance suite, on memory and by the tensor operations that GPUs use.

use candle_core::Device;
use spectra_candle::CandleBackend;

spectra_conformance::suite!(
    on_memory,
    || CandleBackend::new(&Device::Cpu),
    elements = [f32, f64],
    second_handle = Clone::clone,
);

spectra_conformance::suite!(
    by_tensor_operations_f32,
    || CandleBackend::by_tensor_operations(&Device::Cpu),
    elements = [f32],
    second_handle = Clone::clone,
);

spectra_conformance::suite!(
    by_tensor_operations_f64,
    || CandleBackend::by_tensor_operations(&Device::Cpu),
    elements = [f64],
    second_handle = Clone::clone,
);
