//! Runs the suite on the backends of this project and shows how exact each is.
//!
//! `cargo run --release -p spectra-conformance -- --backend dense,faer`. Backends of frameworks are features: a program without
//! them says which to add.

#[cfg(feature = "ndarray")]
#[allow(dead_code, reason = "the example's own program")]
#[path = "../examples/ndarray_backend.rs"]
mod ndarray_backend;

use std::process::ExitCode;

use spectra_conformance::report::{self, Candidate};
use spectra_conformance::suite::Subject;
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;

/// Candidates for f32 and f64: `$make` is called with each.
macro_rules! both {
    ($name:literal, |$element:ident| $make:expr) => {{
        let single = Candidate::new($name, || {
            type $element = f32;
            Ok(Subject::new($make).with_second_handle(Clone::clone).on_threads())
        });
        let double = Candidate::new($name, || {
            type $element = f64;
            Ok(Subject::new($make).with_second_handle(Clone::clone).on_threads())
        });
        [single, double]
    }};
}

fn main() -> ExitCode {
    let mut candidates = Vec::new();
    let mut elsewhere: Vec<(&str, &str)> = Vec::new();
    candidates.extend(both!("dense", |E| Dense::<E>::new()));
    candidates.extend(both!("faer", |E| Faer::<E>::new()));

    #[cfg(feature = "ndarray")]
    candidates.extend(both!("ndarray", |E| ndarray_backend::NdArray::<E>::new()));
    #[cfg(not(feature = "ndarray"))]
    elsewhere.push(("ndarray", "add --features ndarray to cargo's arguments"));

    #[cfg(feature = "candle")]
    {
        use candle_core::Device;
        use spectra_candle::CandleBackend;
        candidates.extend(both!("candle", |E| CandleBackend::<E>::new(&Device::Cpu)));
        candidates
            .extend(both!("candle-tensors", |E| CandleBackend::<E>::by_tensor_operations(&Device::Cpu)));
    }
    #[cfg(not(feature = "candle"))]
    for name in ["candle", "candle-tensors"] {
        elsewhere.push((name, "add --features candle to cargo's arguments"));
    }

    #[cfg(feature = "burn")]
    {
        use burn::tensor::Device;
        use spectra_burn::BurnBackend;
        candidates.extend(both!("burn", |E| BurnBackend::<E>::new(&Device::flex())));
        candidates.extend(both!("burn-tensors", |E| BurnBackend::<E>::by_tensor_operations(&Device::flex())));
    }
    #[cfg(not(feature = "burn"))]
    for name in ["burn", "burn-tensors"] {
        elsewhere.push((name, "add --features burn to cargo's arguments"));
    }
    #[cfg(feature = "wgpu")]
    candidates.push(Candidate::new("burn-wgpu", || {
        let backend = spectra_burn::BurnBackend::<f32>::new(&software_gpu()?);
        Ok(Subject::new(backend).with_second_handle(Clone::clone))
    }));
    #[cfg(not(feature = "wgpu"))]
    elsewhere.push(("burn-wgpu", "run spectra-burn/wgpu.sh"));
    elsewhere.push(("cuda", "needs a device: SPECTRA_CUDA=real cargo test --release -p spectra-cuda"));
    report::main(candidates, &elsewhere)
}

/// WGSL on llvmpipe by OpenGL: Mesa's Vulkan driver lavapipe (22.3) crashes in sums and products.
#[cfg(feature = "wgpu")]
fn software_gpu() -> Result<burn::tensor::Device, Box<dyn std::error::Error>> {
    use burn::tensor::{Device, DeviceKind, wgpu::WgpuBackend};
    Ok(Device::wgpu_options().device_kind(DeviceKind::Cpu).graphics_api(WgpuBackend::Gl).init()?)
}
