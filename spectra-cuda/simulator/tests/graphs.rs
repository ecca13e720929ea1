//! Captured streams.

mod common;

use common::{load, simulator};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, sys as blas};
use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg, sys};

const MODE: sys::CUstreamCaptureMode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
const FLAGS: sys::CUgraphInstantiate_flags = sys::CUgraphInstantiate_flags(0);

#[test]
fn a_graph_repeats_launches_copies_and_products() -> Result<(), Box<dyn std::error::Error>> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (_, add) =
        load("extern \"C\" __global__ void add(float* x, float a) { x[threadIdx.x] += a; }", "add");
    let context = CudaContext::new(0)?;
    // SAFETY: everything happens on one stream.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream()?;
    let handle = CudaBlas::new(stream.clone())?;
    let mut x = stream.clone_htod(&[1.0f32, 2.0, 3.0, 4.0])?;
    let mut square = stream.alloc_zeros::<f32>(4)?;
    stream.synchronize()?;
    simulator.reset();

    stream.begin_capture(MODE)?;
    {
        let a = 1.0f32; // read when captured, not when replayed
        let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (4, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are the kernel's.
        unsafe { stream.launch_builder(&add).arg(&mut x).arg(&a).launch(config) }?;
    }
    let op = blas::cublasOperation_t::CUBLAS_OP_N;
    let gemm = GemmConfig {
        transa: op,
        transb: op,
        m: 2,
        n: 2,
        k: 2,
        alpha: 1.0f32,
        lda: 2,
        ldb: 2,
        beta: 0.0,
        ldc: 2,
    };
    // SAFETY: 2 x 2 matrices.
    unsafe { handle.gemm(gemm, &x, &x, &mut square) }?;
    assert_eq!(stream.capture_status()?, sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE);
    let graph = stream.end_capture(FLAGS)?.expect("a graph");
    assert_eq!((simulator.counters().launches, simulator.counters().products), (0, 0));
    assert_eq!(stream.clone_dtoh(&x)?, [1.0, 2.0, 3.0, 4.0]);

    graph.launch()?;
    graph.launch()?;
    assert_eq!(stream.clone_dtoh(&x)?, [3.0, 4.0, 5.0, 6.0]);
    assert_eq!(stream.clone_dtoh(&square)?, [29.0, 36.0, 45.0, 56.0]); // of [3 5; 4 6], column-major
    let counters = simulator.counters();
    assert_eq!((counters.launches, counters.products, counters.graph_launches), (2, 2, 2));
    simulator.check().unwrap();

    drop(x);
    graph.launch()?;
    assert_eq!(stream.synchronize().unwrap_err().0, sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(
        simulator.violations()[0].contains("kernel `add` uses byte 0 of a freed allocation"),
        "{:?}",
        simulator.violations()
    );
    simulator.reset();
    Ok(())
}

#[test]
fn a_launch_fails_as_a_whole() -> Result<(), Box<dyn std::error::Error>> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (_, add) = load("extern \"C\" __global__ void add(float* x) { x[threadIdx.x] += 1; }", "add");
    let context = CudaContext::new(0)?;
    // SAFETY: everything happens on one stream.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream()?;
    let mut x = stream.clone_htod(&[1.0f32, 2.0])?;
    stream.begin_capture(MODE)?;
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (2, 1, 1), shared_mem_bytes: 0 };
    for _ in 0..2 {
        // SAFETY: the argument is the kernel's.
        unsafe { stream.launch_builder(&add).arg(&mut x).launch(config) }?;
    }
    let graph = stream.end_capture(FLAGS)?.expect("a graph");
    simulator.fail_after(0);
    assert_eq!(graph.launch().unwrap_err().0, sys::CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(stream.clone_dtoh(&x)?, [1.0, 2.0]);
    // One call, however many kernels it runs.
    simulator.fail_after(1);
    graph.launch()?;
    assert_eq!(graph.launch().unwrap_err().0, sys::CUresult::CUDA_ERROR_LAUNCH_FAILED);
    simulator.reset();
    assert_eq!(stream.clone_dtoh(&x)?, [3.0, 4.0]);
    Ok(())
}

#[test]
fn what_a_capture_forbids() -> Result<(), Box<dyn std::error::Error>> {
    let Some((_simulator, _alone)) = simulator() else { return Ok(()) };
    let context = CudaContext::new(0)?;
    let unsupported = sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    let invalidated = sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    assert_eq!(context.default_stream().begin_capture(MODE).unwrap_err().0, unsupported);
    let stream = context.new_stream()?;
    let outside = stream.record_event(None)?;

    stream.begin_capture(MODE)?;
    assert_eq!(stream.synchronize().unwrap_err().0, unsupported);
    assert_eq!(stream.end_capture(FLAGS).err().expect("an error").0, invalidated);

    stream.begin_capture(MODE)?;
    assert_eq!(stream.alloc_zeros::<f32>(1).unwrap_err().0, unsupported);
    assert!(stream.end_capture(FLAGS).is_err());

    stream.begin_capture(MODE)?;
    assert_eq!(stream.wait(&outside).unwrap_err().0, sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    stream.end_capture(FLAGS)?;
    stream.synchronize()?;
    Ok(())
}
