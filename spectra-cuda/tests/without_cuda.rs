//! On a machine without CUDA the crate loads, and says what is missing.

use spectra_cuda::open;

#[test]
fn a_missing_library_is_named() {
    match open(0) {
        Ok(context) => println!("there is a device here: {:?}", context.name()),
        Err(error) => {
            let text = error.to_string();
            let named = [
                "libcuda was not found",
                "libnvrtc was not found",
                "libcublas was not found",
                "no CUDA device",
            ];
            assert!(text.starts_with("open: ") && named.iter().any(|what| text.contains(what)), "{text}");
        }
    }
}

/// NCCL's has the name under which NVIDIA's Python package has it, which is not looked for.
#[test]
fn a_missing_nccl_is_named() {
    match spectra_cuda::nccl::unique_id() {
        Ok(_) => println!("there is NCCL here"),
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.starts_with("unique_id: libnccl was not found") && text.contains("libnccl.so.2"),
                "{text}"
            );
        }
    }
}
