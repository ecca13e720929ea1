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
