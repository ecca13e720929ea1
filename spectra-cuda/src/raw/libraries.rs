//! Whether NVIDIA's libraries are there: cudarc panics at the first use of one that is not.

use crate::error::CudaError;
use std::sync::OnceLock;

/// An error that names the first of the three libraries that cannot be loaded.
pub(crate) fn check() -> Result<(), CudaError> {
    static PRESENT: OnceLock<[bool; 3]> = OnceLock::new();
    // SAFETY: loading a library runs its initialisers; these are the system's own CUDA libraries, which cudarc will
    // load by the same names.
    let present = PRESENT.get_or_init(|| unsafe {
        [
            cudarc::driver::sys::is_culib_present(),
            cudarc::nvrtc::sys::is_culib_present(),
            cudarc::cublas::sys::is_culib_present(),
        ]
    });
    for (present, name) in present.iter().zip(["libcuda", "libnvrtc", "libcublas"]) {
        if !present {
            return Err(CudaError::Library { name });
        }
    }
    Ok(())
}

/// An error unless NCCL can be loaded.
#[cfg(feature = "nccl")]
pub(crate) fn check_nccl() -> Result<(), CudaError> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: as above.
    let present = PRESENT.get_or_init(|| unsafe { cudarc::nccl::sys::is_culib_present() });
    if *present { Ok(()) } else { Err(CudaError::Library { name: "libnccl" }) }
}
