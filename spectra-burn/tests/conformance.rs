//! The backend passes the conformance suite: on the CPU device's memory, and by the tensor operations of all other
//! devices.

use burn::tensor::Device;
use spectra_burn::BurnBackend;

spectra_conformance::suite!(
    memory,
    || BurnBackend::new(&Device::flex()),
    elements = [f32, f64],
    second_handle = Clone::clone,
);

spectra_conformance::suite!(
    tensor_operations,
    || BurnBackend::by_tensor_operations(&Device::flex()),
    elements = [f32, f64],
    second_handle = Clone::clone,
);
