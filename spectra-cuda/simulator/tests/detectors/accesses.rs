//! Kernels that touch what is not theirs.

use crate::common::{load, simulator};
use crate::{ILLEGAL, assert_reported, config, run};
use cudarc::driver::{CudaContext, DevicePtr, PushKernelArg, result, sys};

#[test]
fn write_past_the_end() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "extern \"C\" __global__ void bad(float* x) {\n\n    x[threadIdx.x] = 2.0f;\n}";
    assert_eq!(run(source, 32, config(1, 32)).unwrap(), [2.0; 32]);
    simulator.check().unwrap();
    assert_eq!(run(source, 32, config(1, 33)).unwrap_err().0, ILLEGAL);
    assert_reported(
        &simulator,
        &[
            "kernel `bad` at test.cu:3",
            "block (0,0,0)",
            "thread (32,0,0)",
            "out-of-bounds write to 0 bytes past the end",
            "128 bytes",
        ],
    );
    // The context stays broken until it is destroyed or reset.
    let stream = CudaContext::new(0).unwrap().default_stream();
    assert_eq!(run(source, 32, config(1, 33)).unwrap_err().0, ILLEGAL);
    assert_eq!(stream.alloc_zeros::<f32>(1).unwrap_err().0, ILLEGAL);
    simulator.reset();
    assert_eq!(run(source, 32, config(1, 32)).unwrap(), [2.0; 32]);
}

#[test]
fn read_past_the_end_and_far_away() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "extern \"C\" __global__ void bad(float* x) { x[0] = x[(1 + threadIdx.x) * 32 + 1000 * blockIdx.x]; }";
    assert_eq!(run(source, 32, config(1, 1)).unwrap_err().0, ILLEGAL);
    assert_reported(
        &simulator,
        &["kernel `bad`", "out-of-bounds read of 0 bytes past the end of an allocation of 128 bytes"],
    );
    simulator.reset();
    assert_eq!(run(source, 64, config(4, 1)).unwrap_err().0, ILLEGAL);
    assert_reported(&simulator, &["block (1,0,0)", "out-of-bounds read of 3872 bytes past the end"]);
}

#[test]
fn writes_beside_the_memory_within_its_page() {
    let Some((simulator, _alone)) = simulator() else { return };
    // 4 bytes lie 12 bytes before the guard page.
    run("extern \"C\" __global__ void bad(float* x) { x[1] = 0.0f; }", 1, config(1, 1)).unwrap();
    assert_reported(&simulator, &["out-of-bounds write 0 bytes past the end", "after kernel `bad`"]);
    simulator.reset();
    run("extern \"C\" __global__ void bad(float* x) { x[-2] = 0.0f; }", 4, config(1, 1)).unwrap();
    assert_reported(&simulator, &["out-of-bounds write 8 bytes before an allocation of 16 bytes"]);
}

#[test]
fn memory_that_nobody_has_written_is_nan() {
    let Some((simulator, _alone)) = simulator() else { return };
    let stream = CudaContext::new(0).unwrap().default_stream();
    // SAFETY: the poison is what is looked for.
    let (single, double) = unsafe { (stream.alloc::<f32>(3).unwrap(), stream.alloc::<f64>(3).unwrap()) };
    assert!(stream.clone_dtoh(&single).unwrap().iter().all(|x| x.is_nan()));
    assert!(stream.clone_dtoh(&double).unwrap().iter().all(|x| x.is_nan()));
    // SAFETY: as above.
    let half = unsafe { stream.alloc::<u16>(1) }.unwrap();
    assert!(f32::from_bits(u32::from(stream.clone_dtoh(&half).unwrap()[0]) << 16).is_nan());
    simulator.check().unwrap();
}

#[test]
fn use_after_free() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "struct View { float* data; long long length; };
        extern \"C\" __global__ void bad(float* x) { x[0] = 1.0f; }
        extern \"C\" __global__ void hidden(View x) { x.data[0] = 1.0f; }";
    let (stream, kernel) = load(source, "bad");
    let x = stream.alloc_zeros::<f32>(8).unwrap();
    let address = x.device_ptr(&stream).0;
    drop(x);
    // SAFETY: none; the pointer dangles.
    unsafe { stream.launch_builder(&kernel).arg(&address).launch(config(1, 1)) }.unwrap();
    assert_reported(
        &simulator,
        &["kernel `bad`: argument 1 points to byte 0 of a freed allocation of 32 bytes"],
    );
    simulator.reset();
    let (stream, kernel) = load(source, "hidden");
    let view = [address, 8];
    // SAFETY: none; the structure holds the dangling pointer.
    unsafe { stream.launch_builder(&kernel).arg(&Words(view)).launch(config(1, 1)) }.unwrap();
    assert_eq!(stream.synchronize().unwrap_err().0, ILLEGAL);
    assert_reported(
        &simulator,
        &["kernel `hidden`", "use after free: write to byte 0 of a freed allocation of 32 bytes"],
    );
}

#[repr(C)]
struct Words([u64; 2]);
// SAFETY: plain numbers.
unsafe impl cudarc::driver::DeviceRepr for Words {}

#[test]
fn pointers_that_are_none() {
    let Some((simulator, _alone)) = simulator() else { return };
    let (stream, kernel) =
        load("extern \"C\" __global__ void bad(const float* x) { if (x[0] > 0.0f) __trap(); }", "bad");
    let host = [0.0f32; 4];
    // SAFETY: none; a pointer to the host's memory, and null.
    unsafe { stream.launch_builder(&kernel).arg(&(host.as_ptr() as u64)).launch(config(1, 1)) }.unwrap();
    assert_eq!(stream.synchronize().unwrap_err().0, ILLEGAL);
    assert_reported(&simulator, &["argument 1 points to no device memory"]);
    simulator.reset();
    // SAFETY: as above.
    unsafe { stream.launch_builder(&kernel).arg(&0u64).launch(config(1, 1)) }.unwrap();
    assert_eq!(stream.synchronize().unwrap_err().0, ILLEGAL);
    assert_reported(&simulator, &["kernel `bad`", "read of a null"]);
    simulator.reset();

    let x = stream.alloc_zeros::<u8>(100).unwrap();
    let address = x.device_ptr(&stream).0;
    let mut long = vec![0u8; 101];
    // SAFETY: none; the copies are longer than the memory.
    let copies = unsafe {
        [
            result::memcpy_dtoh_sync(&mut long, address),
            result::memcpy_htod_sync(address + 1, &long[..100]),
            result::memset_d8_sync(address, 0, 101),
            result::memcpy_dtod_sync(address, address + 50, 60),
        ]
    };
    assert!(copies.iter().all(|e| e.unwrap_err().0 == sys::CUresult::CUDA_ERROR_INVALID_VALUE), "{copies:?}");
    // SAFETY: none; not the begin of an allocation.
    assert!(unsafe { result::free_sync(address + 16) }.is_err());
    assert_reported(&simulator, &["free of byte 16 of an allocation of 100 bytes"]);
}
