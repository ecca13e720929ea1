//! Calls of the host that a device, the compiler or cuBLAS would refuse.

use crate::common::{compile, load, simulator};
use crate::{FAILED, ILLEGAL, assert_reported, config, run};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, sys as blas};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, sys,
};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use std::sync::Arc;

#[test]
fn memory_limit() {
    let Some((simulator, _alone)) = simulator() else { return };
    simulator.set_memory_limit(1000);
    let context = CudaContext::new(0).unwrap();
    let stream = context.default_stream();
    let x = stream.alloc_zeros::<u8>(600).unwrap();
    assert_eq!(stream.alloc_zeros::<u8>(401).unwrap_err().0, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(context.mem_get_info().unwrap(), (400, 1000));
    drop(x);
    drop(stream.alloc_zeros::<u8>(1000).unwrap());
    let counters = simulator.counters();
    assert_eq!((counters.allocations_total, counters.bytes_total, counters.bytes_peak), (2, 1600, 1000));
    simulator.check().unwrap(); // to run out of memory is no mistake
}

#[test]
fn compiler_errors() {
    let Some((simulator, _alone)) = simulator() else { return };
    let log = |source: &str| match compile(source) {
        Err(CompileError::CompileError { log, .. }) => log.into_string().unwrap(),
        other => panic!("{other:?}"),
    };
    let text = log("extern \"C\" __global__ void k(float* x) {\n  x[0] = undeclared;\n}");
    assert!(text.contains("test.cu:2") && text.contains("undeclared"), "{text}");
    // What NVRTC does not know without headers is not known here either.
    for source in ["#include <cstdint>\n", "uint32_t x;", "__device__ float f() { return INFINITY; }"] {
        assert!(log(source).contains("error"), "{source}");
    }
    let options = CompileOptions { options: vec!["--no-such-option".into()], ..Default::default() };
    let error = compile_ptx_with_opts("", options).unwrap_err();
    assert!(format!("{error}").contains("INVALID_OPTION"), "{error}");

    let context = CudaContext::new(0).unwrap();
    let module = context.load_module(compile("__global__ void mangled() {}").unwrap()).unwrap();
    for name in ["mangled", "absent"] {
        assert_eq!(module.load_function(name).unwrap_err().0, sys::CUresult::CUDA_ERROR_NOT_FOUND, "{name}");
    }
    let ptx = "// real PTX is not for this device\n.version 8.0".into();
    assert_eq!(context.load_module(ptx).unwrap_err().0, sys::CUresult::CUDA_ERROR_INVALID_PTX);
    simulator.check().unwrap();
}

#[test]
fn launches_beyond_the_limits() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "extern \"C\" __global__ void __launch_bounds__(64, 2) bad(float* x) { extern __shared__ double tile[]; tile[0] = x[0]; }";
    let status = |config| run(source, 1, config).map(|_| ()).map_err(|e| e.0);
    assert_eq!(status(config(1, 64)).unwrap_err(), ILLEGAL); // no dynamic shared memory
    assert_reported(&simulator, &["dynamic shared memory"]);
    simulator.reset();
    let shared = |shared_mem_bytes| LaunchConfig { shared_mem_bytes, ..config(1, 64) };
    status(shared(48 << 10)).unwrap();
    assert_eq!(status(shared((48 << 10) + 1)), Err(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
    assert_eq!(status(config(1, 65)), Err(sys::CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES));
    assert_eq!(status(config(1, 1025)), Err(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
    assert_eq!(status(config(0, 1)), Err(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
    let (stream, kernel) = load(source, "bad");
    kernel
        .set_attribute(sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 << 10)
        .unwrap();
    let x = stream.alloc_zeros::<f32>(1).unwrap();
    // SAFETY: the argument is the kernel's.
    unsafe { stream.launch_builder(&kernel).arg(&x).launch(shared(100 << 10)) }.unwrap();
    stream.synchronize().unwrap();
    simulator.check().unwrap();
}

/// Two streams of a context in which cudarc does not order them, a kernel that writes and memory to write to.
fn unordered() -> (Arc<CudaStream>, Arc<CudaStream>, CudaFunction) {
    let context = CudaContext::new(0).unwrap();
    // SAFETY: the tests order the streams, or mean not to.
    unsafe { context.disable_event_tracking() };
    let module = context.load_module(
        compile("extern \"C\" __global__ void add(float* x, const float* y) { x[0] += y[0]; }").unwrap(),
    );
    let add = module.unwrap().load_function("add").unwrap();
    (context.new_stream().unwrap(), context.new_stream().unwrap(), add)
}

#[test]
fn two_streams_without_an_event() {
    let Some((simulator, _alone)) = simulator() else { return };
    let (first, second, add) = unordered();
    let launch = |stream: &CudaStream, x: u64, y: u64| {
        // SAFETY: the arguments are the kernel's.
        unsafe { stream.launch_builder(&add).arg(&x).arg(&y).launch(config(1, 1)) }.unwrap();
    };
    let (x, y, z) = (first.alloc_zeros::<f32>(1), first.alloc_zeros::<f32>(1), first.alloc_zeros::<f32>(1));
    let (x, y, z) = (x.unwrap(), y.unwrap(), z.unwrap());
    let [a, b, c] = [&x, &y, &z].map(|memory| memory.device_ptr(&first).0);
    first.synchronize().unwrap();
    launch(&first, a, c);
    launch(&second, b, c); // other results, and both read z
    simulator.check().unwrap();
    second.join(&first).unwrap(); // an event
    launch(&second, a, c);
    simulator.check().unwrap();
    launch(&first, a, c); // second may still be writing
    assert_reported(
        &simulator,
        &["kernel `add`", "allocation of 4 bytes that another stream writes, with no event or wait between"],
    );
    simulator.reset();
    second.synchronize().unwrap(); // the host knows now
    launch(&first, b, c);
    simulator.check().unwrap();
    launch(&second, c, b); // writes what first may still be reading, and reads what it writes
    let violations = simulator.violations();
    assert!(
        violations.len() == 2 && violations[0].contains("reads") && violations[1].contains("writes"),
        "{violations:#?}"
    );
    drop((x, y, z));
}

#[test]
fn products_with_wrong_operands() {
    let Some((simulator, _alone)) = simulator() else { return };
    let stream = CudaContext::new(0).unwrap().default_stream();
    let handle = CudaBlas::new(stream.clone()).unwrap();
    let op = blas::cublasOperation_t::CUBLAS_OP_N;
    let gemm = |k, lda| GemmConfig {
        transa: op,
        transb: op,
        m: 4,
        n: 4,
        k,
        alpha: 1.0f32,
        lda,
        ldb: k,
        beta: 0.0,
        ldc: 4,
    };
    let x = stream.alloc_zeros::<f32>(64).unwrap();
    let mut c = stream.alloc_zeros::<f32>(16).unwrap();
    // SAFETY: within the memory, apart from what is to be found out.
    unsafe {
        handle.gemm(gemm(16, 4), &x, &x, &mut c).unwrap();
        let error = handle.gemm(gemm(16, 3), &x, &x, &mut c).unwrap_err();
        assert_eq!(error.0, blas::cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE); // leading dimension below the rows
        simulator.check().unwrap();
        handle.gemm(gemm(17, 4), &x, &x, &mut c).unwrap_err();
    }
    assert_reported(&simulator, &["sgemm uses"]);
    simulator.reset();

    let raw = |alpha: u64, a: u64, c: u64| {
        let one = 1.0f32;
        // SAFETY: within the memory, apart from what is to be found out.
        unsafe {
            let (alpha, beta) = (alpha as *const f32, &raw const one);
            blas::cublasSgemm_v2(
                *handle.handle(),
                op,
                op,
                4,
                4,
                4,
                alpha,
                a as _,
                4,
                a as _,
                4,
                beta,
                c as _,
                4,
            )
            .result()
        }
    };
    let one = 1.0f32;
    let (host, device) = (&raw const one as u64, x.device_ptr(&stream).0);
    raw(host, device, device + 64).unwrap(); // the next 4 x 4 entries
    simulator.check().unwrap();
    raw(host, device, device + 32).unwrap();
    let violations = simulator.violations();
    assert!(violations.iter().any(|v| v.contains("the result overlaps an operand")), "{violations:?}");
    simulator.reset();
    raw(host, device + 2, c.device_ptr_mut(&stream).0).unwrap_err();
    assert_reported(&simulator, &["an operand is not aligned to its element"]);
    simulator.reset();
    raw(device, device, c.device_ptr_mut(&stream).0).unwrap_err();
    assert_reported(&simulator, &["alpha or beta lies in device memory"]);
    simulator.reset();
    handle.set_pointer_mode(blas::cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE).unwrap();
    raw(host, device, c.device_ptr_mut(&stream).0).unwrap_err();
    assert_reported(&simulator, &["sgemm uses no device memory"]);
    simulator.reset();

    handle.set_pointer_mode(blas::cublasPointerMode_t::CUBLAS_POINTER_MODE_HOST).unwrap();
    let workspace = stream.alloc_zeros::<u8>(1024).unwrap();
    let begin = workspace.device_ptr(&stream).0;
    let set = |offset, bytes| {
        // SAFETY: not within the memory, or freed while the handle has it, to be found out.
        unsafe { blas::cublasSetWorkspace_v2(*handle.handle(), (begin + offset) as _, bytes) }.result()
    };
    assert!(set(128, 512).is_err() && set(256, 1024).is_err());
    set(0, 1024).unwrap();
    raw(host, device, c.device_ptr_mut(&stream).0).unwrap();
    drop(workspace);
    raw(host, device, c.device_ptr_mut(&stream).0).unwrap_err();
    assert_reported(&simulator, &["sgemm uses byte 0 of a freed allocation of 1024 bytes"]);
}

#[test]
fn batches_with_wrong_pointers() {
    let Some((simulator, _alone)) = simulator() else { return };
    let stream = CudaContext::new(0).unwrap().default_stream();
    let handle = CudaBlas::new(stream.clone()).unwrap();
    let op = blas::cublasOperation_t::CUBLAS_OP_N;
    // 2 x 2 matrices of (1, 2, 3, 4) + 4 i, one after the other.
    let numbers: Vec<f32> = (1..=16u8).map(f32::from).collect();
    let (x, out) = (stream.clone_htod(&numbers).unwrap(), stream.alloc_zeros::<f32>(16).unwrap());
    let (from, to) = (x.device_ptr(&stream).0, out.device_ptr(&stream).0);
    let gemm = |a: [u64; 3], c: [u64; 3], short: usize| {
        let [a, b, c] = [a, [from; 3], c].map(|table| stream.clone_htod(&table[short..]).unwrap());
        let (one, zero, f32) = (1.0f32, 0.0f32, blas::cudaDataType_t::CUDA_R_32F);
        // SAFETY: within the memory, apart from what is to be found out.
        let done = unsafe {
            blas::cublasGemmBatchedEx(
                *handle.handle(),
                op,
                op,
                2,
                2,
                2,
                (&raw const one).cast(),
                a.device_ptr(&stream).0 as _,
                f32,
                2,
                b.device_ptr(&stream).0 as _,
                f32,
                2,
                (&raw const zero).cast(),
                c.device_ptr(&stream).0 as _,
                f32,
                2,
                3,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        done.result().map_err(|error| error.0)
    };
    let apart = |begin: u64| [0, 1, 2].map(|i| begin + 16 * i);
    gemm(apart(from), apart(to), 0).unwrap();
    // Column-major: [1 3; 2 4]^2 = [7 15; 10 22], and the others.
    let found = stream.clone_dtoh(&out).unwrap();
    assert_eq!(found[..8], [7.0, 10.0, 15.0, 22.0, 19.0, 22.0, 43.0, 50.0]);
    assert_eq!((simulator.counters().products, simulator.counters().flops), (1, 3 * 16));
    simulator.check().unwrap();

    gemm(apart(from), [to, to + 16, to + 24], 0).unwrap();
    let violations = simulator.violations();
    assert!(
        violations.iter().all(|v| v.contains("products of a batch share memory that one of them writes")),
        "{violations:?}"
    );
    assert_eq!(violations.len(), 1);
    simulator.reset();
    gemm(apart(from), [to, from, to + 32], 0).unwrap();
    let violations = simulator.violations();
    assert!(violations.iter().any(|v| v.contains("the result overlaps an operand")), "{violations:?}");
    simulator.reset();
    gemm([from, from + 52, from], apart(to), 0).unwrap_err();
    let violations = simulator.violations();
    assert!(
        violations.iter().any(|v| v.contains("gemm uses") || v.contains("a pointer of the array")),
        "{violations:?}"
    );
    simulator.reset();
    // cudarc keeps the error of freeing the tables in the broken context.
    stream.context().check_err().unwrap_err();
    let _ = gemm(apart(from), apart(to), 2);
    let violations = simulator.violations();
    assert!(violations.iter().any(|v| v.contains("a pointer array is")), "{violations:?}");
}

#[test]
fn tables_of_pointers_on_two_streams() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "struct Table { float* const* at; int pointers; };
        extern \"C\" __global__ void add(struct Table t, float* out) {
            for (int i = 0; i < t.pointers; i++) out[0] += t.at[i][0];
        }";
    let (first, kernel) = load(source, "add");
    // SAFETY: the host waits wherever one stream needs what another has done.
    unsafe { first.context().disable_event_tracking() };
    let (first, second) = (first.context().new_stream().unwrap(), first.context().new_stream().unwrap());
    let memory = |value: f32| first.clone_htod(&[value]).unwrap();
    let (x, y, out) = (memory(3.0), memory(5.0), memory(0.0));
    let [a, b, to] = [&x, &y, &out].map(|memory| memory.device_ptr(&first).0);
    let table = first.clone_htod(&[a, b]).unwrap();
    let (at, pointers) = (table.device_ptr(&first).0, 2u64);
    first.synchronize().unwrap();
    let add = |stream: &Arc<CudaStream>| {
        let value = [at, pointers];
        // SAFETY: the arguments are the kernel's.
        unsafe { stream.launch_builder(&kernel).arg(&Table(value)).arg(&to).launch(config(1, 1)) }.unwrap();
    };
    add(&first);
    simulator.check().unwrap();
    assert_eq!(first.clone_dtoh(&out).unwrap(), [8.0]);
    // What the table leads to is written on one stream while the other reads it.
    add(&first);
    // SAFETY: it holds four bytes.
    unsafe { cudarc::driver::result::memset_d8_async(b, 0, 4, second.cu_stream()) }.unwrap();
    assert_reported(
        &simulator,
        &["allocation of 4 bytes that another stream reads, with no event or wait between"],
    );
    simulator.reset();
}

/// A structure of two words, as `Table` in the kernel's source.
#[repr(C)]
struct Table([u64; 2]);

// SAFETY: plain numbers, laid out as the kernel's struct.
unsafe impl cudarc::driver::DeviceRepr for Table {}

#[test]
fn failures_on_request() {
    let Some((simulator, _alone)) = simulator() else { return };
    let (stream, kernel) = load("extern \"C\" __global__ void bad(float* x) { x[0] += 1.0f; }", "bad");
    let mut x = stream.alloc_zeros::<f32>(1).unwrap();
    simulator.fail_after(2);
    let mut launch = || {
        // SAFETY: the argument is the kernel's.
        unsafe { stream.launch_builder(&kernel).arg(&mut x).launch(config(1, 1)) }
            .map(|_| ())
            .map_err(|e| e.0)
    };
    assert_eq!([launch(), launch(), launch(), launch()], [Ok(()), Ok(()), Err(FAILED), Ok(())]);
    assert_eq!(stream.clone_dtoh(&x).unwrap(), [3.0]);
    simulator.check().unwrap();
}

#[test]
fn two_devices() {
    let Some((simulator, _alone)) = simulator() else { return };
    assert!(CudaContext::new(1).is_err());
    simulator.set_device_count(2);
    let source = "extern \"C\" __global__ void bad(float* x) { x[0] = 1.0f; }";
    let (stream, kernel) = load(source, "bad");
    let other = CudaContext::new(1).unwrap().default_stream();
    let x = other.alloc_zeros::<f32>(1).unwrap();
    let address = x.device_ptr(&other).0;
    // SAFETY: none; the memory is the other device's.
    unsafe { stream.launch_builder(&kernel).arg(&address).launch(config(1, 1)) }.unwrap();
    assert_eq!(stream.synchronize().unwrap_err().0, ILLEGAL);
    assert_reported(&simulator, &["argument 1 points to memory of another device"]);
    other.synchronize().unwrap(); // not broken
    let alive = simulator.counters().allocations_alive;
    simulator.reset();
    stream.context().bind_to_thread().unwrap();
    drop(x); // cudarc frees with whatever context is bound
    assert_eq!(simulator.counters().allocations_alive, alive - 1);
    simulator.check().unwrap();
    // SAFETY: the kernel is the other context's.
    assert!(unsafe { other.launch_builder(&kernel).arg(&address).launch(config(1, 1)) }.is_err());
}
