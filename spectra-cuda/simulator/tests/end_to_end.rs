//! Correct programs: the results, and that nothing is reported.

mod common;

use common::{load, simulator};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, sys as blas};
use cudarc::driver::{CudaContext, DevicePtr, DevicePtrMut, DriverError, LaunchConfig, PushKernelArg, sys};
use spectra_cuda_simulator::ThreadOrder;

fn config(grid: u32, block: u32, shared_mem_bytes: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes }
}

const KERNELS: &str = r#"
#define BLOCK 256
__device__ __forceinline__ float square(float x) { return x * x; }

extern "C" __global__ void axpy(float* __restrict__ y, const float* __restrict__ x, float a, unsigned long long n) {
    unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fmaf(a, x[i], y[i]);
}

// Sum of squares: shuffles in a warp, shared memory and a barrier between warps.
extern "C" __global__ void __launch_bounds__(BLOCK) sum_squares(const float* x, double* out, unsigned n) {
    __shared__ double partial[BLOCK / 32];
    double sum = 0.0;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += (double)square(x[i]);
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        double total = threadIdx.x < BLOCK / 32 ? partial[threadIdx.x] : 0.0;
        for (int offset = 4; offset > 0; offset /= 2) total += __shfl_xor_sync(0xffffffffu, total, offset);
        if (threadIdx.x == 0) atomicAdd(out, total);
    }
}

// Reverses each block through dynamic shared memory.
extern "C" __global__ void reverse(unsigned short* x) {
    extern __shared__ unsigned short tile[];
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = x[i];
    __syncthreads();
    x[i] = tile[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void warp_tools(unsigned* ballot, float* up, int* any) {
    unsigned lane = threadIdx.x % 32;
    ballot[threadIdx.x] = __ballot_sync(0xffffffffu, lane % 3 == 0);
    up[threadIdx.x] = __shfl_up_sync(0xffffffffu, (float)threadIdx.x, 1);
    __syncwarp();
    any[threadIdx.x] = __any_sync(0xffffffffu, threadIdx.x == 40) + 2 * __syncthreads_count(lane == 0);
    up[threadIdx.x] += __shfl_sync(0xffffffffu, (float)threadIdx.x, 5, 8);
}
"#;

#[test]
fn elementwise_kernel_and_accounts() -> Result<(), DriverError> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (stream, axpy) = load(KERNELS, "axpy");
    assert_eq!(stream.context().name()?, "simulated CUDA device (CPU)");
    assert_eq!(stream.context().compute_capability()?, (9, 0));
    let before = simulator.counters();
    let n = 1000u64;
    let x = stream.clone_htod(&(0..n).map(|i| i as f32).collect::<Vec<_>>())?;
    let mut y = stream.alloc_zeros::<f32>(n as usize)?;
    for _ in 0..3 {
        // SAFETY: the arguments are the kernel's.
        unsafe {
            stream.launch_builder(&axpy).arg(&mut y).arg(&x).arg(&0.5f32).arg(&n).launch(config(4, 256, 0))
        }?;
    }
    assert_eq!(simulator.counters().host_waits(), 0);
    let result = stream.clone_dtoh(&y)?;
    assert!(result.iter().enumerate().all(|(i, &v)| v == 1.5 * i as f32));
    let counters = simulator.counters();
    assert_eq!(counters.allocations_alive - before.allocations_alive, 2);
    assert_eq!(counters.bytes_alive - before.bytes_alive, 8 * n);
    assert_eq!((counters.launches, counters.memsets), (3, 1));
    assert_eq!((counters.host_to_device_copies, counters.host_to_device_bytes), (1, 4 * n));
    assert_eq!(
        (counters.device_to_host_copies, counters.device_to_host_bytes, counters.host_waits()),
        (1, 4 * n, 1)
    );
    assert_eq!(simulator.launches().into_iter().collect::<Vec<_>>(), [("axpy".to_string(), 3)]);
    drop((x, y));
    assert_eq!(simulator.counters().allocations_alive, before.allocations_alive);
    simulator.check().unwrap();
    Ok(())
}

#[test]
fn barriers_and_shuffles_in_both_orders() -> Result<(), DriverError> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (stream, sum_squares) = load(KERNELS, "sum_squares");
    let n = 5000u32;
    let x = stream.clone_htod(&(0..n).map(|i| (i % 7) as f32).collect::<Vec<_>>())?;
    let exact: f64 = (0..n).map(|i| f64::from(i % 7) * f64::from(i % 7)).sum();
    for order in [ThreadOrder::Forward, ThreadOrder::Reverse] {
        simulator.set_thread_order(order);
        let mut out = stream.alloc_zeros::<f64>(1)?;
        // SAFETY: the arguments are the kernel's.
        unsafe {
            stream.launch_builder(&sum_squares).arg(&x).arg(&mut out).arg(&n).launch(config(3, 256, 0))
        }?;
        assert_eq!(stream.clone_dtoh(&out)?, [exact], "{order:?}"); // integers: exact in any order
    }
    simulator.check().unwrap();
    Ok(())
}

#[test]
fn dynamic_shared_memory() -> Result<(), DriverError> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (stream, reverse) = load(KERNELS, "reverse");
    for order in [ThreadOrder::Forward, ThreadOrder::Reverse] {
        simulator.set_thread_order(order);
        let mut x = stream.clone_htod(&(0..96u16).collect::<Vec<_>>())?;
        // SAFETY: the argument is the kernel's; 48 elements of 2 bytes a block.
        unsafe { stream.launch_builder(&reverse).arg(&mut x).launch(config(2, 48, 96)) }?;
        let expected: Vec<u16> = (0..48).rev().chain((48..96).rev()).collect();
        assert_eq!(stream.clone_dtoh(&x)?, expected, "{order:?}");
    }
    simulator.check().unwrap();
    Ok(())
}

#[test]
fn warp_operations() -> Result<(), DriverError> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (stream, kernel) = load(KERNELS, "warp_tools");
    for order in [ThreadOrder::Forward, ThreadOrder::Reverse] {
        simulator.set_thread_order(order);
        let mut ballot = stream.alloc_zeros::<u32>(64)?;
        let mut up = stream.alloc_zeros::<f32>(64)?;
        let mut any = stream.alloc_zeros::<i32>(64)?;
        // SAFETY: the arguments are the kernel's.
        unsafe {
            stream
                .launch_builder(&kernel)
                .arg(&mut ballot)
                .arg(&mut up)
                .arg(&mut any)
                .launch(config(1, 64, 0))
        }?;
        let expected = (0..32).filter(|lane| lane % 3 == 0).fold(0u32, |mask, lane| mask | 1 << lane);
        assert_eq!(stream.clone_dtoh(&ballot)?, [expected; 64]);
        for (i, v) in stream.clone_dtoh(&up)?.into_iter().enumerate() {
            let up = if i % 32 == 0 { i } else { i - 1 };
            assert_eq!(v, (up + i / 8 * 8 + 5) as f32, "thread {i}, {order:?}");
        }
        let any = stream.clone_dtoh(&any)?;
        assert!(any[..32].iter().all(|&v| v == 4) && any[32..].iter().all(|&v| v == 5), "{any:?}");
    }
    simulator.check().unwrap();
    Ok(())
}

#[test]
fn two_streams_and_events() -> Result<(), DriverError> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let (_, axpy) = load(KERNELS, "axpy");
    let context = CudaContext::new(0)?;
    let (first, second) = (context.new_stream()?, context.new_stream()?);
    simulator.reset();
    let n = 300u64;
    let x = first.clone_htod(&vec![1.0f32; n as usize])?;
    let mut y = first.alloc_zeros::<f32>(n as usize)?;
    let start = first.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
    for stream in [&first, &second, &first] {
        // SAFETY: the arguments are the kernel's; cudarc orders the streams by events.
        unsafe {
            stream.launch_builder(&axpy).arg(&mut y).arg(&x).arg(&1.0f32).arg(&n).launch(config(2, 256, 0))
        }?;
    }
    let end = first.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
    assert_eq!(simulator.counters().host_waits(), 0);
    assert!(start.elapsed_ms(&end)? >= 0.0);
    let mut copy = second.alloc_zeros::<f32>(n as usize)?;
    second.memcpy_dtod(&y, &mut copy)?;
    assert!(second.clone_dtoh(&copy)?.iter().all(|&v| v == 3.0));
    let counters = simulator.counters();
    assert_eq!((counters.device_to_device_copies, counters.device_to_device_bytes), (1, 4 * n));
    assert_eq!((counters.streams_alive, counters.event_waits), (2, 2));
    drop((first, second, x, y, copy));
    assert_eq!(simulator.counters().streams_alive, 0);
    simulator.check().unwrap();
    Ok(())
}

/// Reference: `alpha op(a) op(b) + beta c`, column-major.
fn product(
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
    k: usize,
    i: usize,
    j: usize,
) -> f64 {
    (0..k).map(|l| a(i, l) * b(l, j)).sum()
}

#[test]
fn matrix_products() -> Result<(), Box<dyn std::error::Error>> {
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let stream = CudaContext::new(0)?.default_stream();
    let handle = CudaBlas::new(stream.clone())?;
    let (m, n, k) = (7usize, 5, 130);
    // Small integers: exact in f32 and bf16, whatever the order of summation.
    let a: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    let b: Vec<f32> = (0..k * n).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
    let exact = |i, j| product(|i, l| f64::from(a[l * m + i]), |l, j| f64::from(b[j * k + l]), k, i, j);
    let (x, y) = (stream.clone_htod(&a)?, stream.clone_htod(&b)?);
    let mut c = stream.clone_htod(&vec![1.0f32; m * n])?;
    let op = |transpose| {
        if transpose { blas::cublasOperation_t::CUBLAS_OP_T } else { blas::cublasOperation_t::CUBLAS_OP_N }
    };
    let gemm = GemmConfig {
        transa: op(false),
        transb: op(false),
        m: m as i32,
        n: n as i32,
        k: k as i32,
        alpha: 2.0f32,
        lda: m as i32,
        ldb: k as i32,
        beta: 3.0f32,
        ldc: m as i32,
    };
    simulator.reset();
    // SAFETY: the shapes are those of the slices.
    unsafe { handle.gemm(gemm, &x, &y, &mut c) }?;
    let result = stream.clone_dtoh(&c)?;
    for j in 0..n {
        for i in 0..m {
            assert_eq!(f64::from(result[j * m + i]), 2.0 * exact(i, j) + 3.0);
        }
    }
    assert_eq!((simulator.counters().products, simulator.counters().flops), (1, 2 * (m * n * k) as u64));

    // A^T A: the lower triangle of a symmetric product, with coefficients on the device; the rest keeps its poison (NaN).
    // SAFETY: every element is written before it is read, or shown to be poison.
    let mut s = unsafe { stream.alloc::<f32>(k * k) }?;
    let scalars = stream.clone_htod(&[1.0f32, 0.0])?;
    handle.set_pointer_mode(blas::cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE)?;
    {
        let (scalars, _s1) = scalars.device_ptr(&stream);
        let (x, _s2) = x.device_ptr(&stream);
        let (s, _s3) = s.device_ptr_mut(&stream);
        let lower = blas::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;
        let (n, k) = (k as i32, m as i32);
        let (alpha, beta) = (scalars as *const f32, (scalars + 4) as *const f32);
        // SAFETY: x is m x k, s is k x k, the scalars lie in device memory as the pointer mode says.
        unsafe {
            blas::cublasSsyrk_v2(*handle.handle(), lower, op(true), n, k, alpha, x as _, k, beta, s as _, n)
                .result()?
        };
    }
    let result = stream.clone_dtoh(&s)?;
    for j in 0..k {
        for i in 0..k {
            let exact = product(|i, l| f64::from(a[i * m + l]), |l, j| f64::from(a[j * m + l]), m, i, j);
            let value = f64::from(result[j * k + i]);
            assert!(if i >= j { value == exact } else { value.is_nan() }, "{i} {j}: {value}");
        }
    }
    simulator.check().unwrap();
    Ok(())
}

#[test]
fn products_of_16_bit_and_reduced_precision() -> Result<(), Box<dyn std::error::Error>> {
    use blas::cublasComputeType_t::*;
    use blas::cudaDataType_t::*;
    let Some((simulator, _alone)) = simulator() else { return Ok(()) };
    let stream = CudaContext::new(0)?.default_stream();
    let handle = CudaBlas::new(stream.clone())?;
    let one = 1.0f32;
    let zero = 0.0f32;
    let n = blas::cublasOperation_t::CUBLAS_OP_N;
    let run = |a: u64, b: u64, c: u64, input, output, compute| {
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let default = blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;
        // SAFETY: all three matrices are 1 x 1.
        unsafe {
            blas::cublasGemmEx(
                *handle.handle(),
                n,
                n,
                1,
                1,
                1,
                one,
                a as _,
                input,
                1,
                b as _,
                input,
                1,
                zero,
                c as _,
                output,
                1,
                compute,
                default,
            )
            .result()
        }
    };
    let mut out = stream.alloc_zeros::<f32>(1)?;
    let value = 1.0f32 + 1.0 / 1024.0 + 1.0 / 65536.0;
    let x = stream.clone_htod(&[value])?;
    let unit = stream.clone_htod(&[1.0f32])?;
    let bf16 = |v: f32| (v.to_bits() >> 16) as u16;
    let h = stream.clone_htod(&[bf16(1.5)])?;
    let g = stream.clone_htod(&[0x3E00u16])?; // 1.5 as f16
    for (input, a, b, compute, expected) in [
        (CUDA_R_32F, x.device_ptr(&stream).0, unit.device_ptr(&stream).0, CUBLAS_COMPUTE_32F, value),
        (
            CUDA_R_32F,
            x.device_ptr(&stream).0,
            unit.device_ptr(&stream).0,
            CUBLAS_COMPUTE_32F_FAST_TF32,
            1.0 + 1.0 / 1024.0,
        ),
        (CUDA_R_32F, x.device_ptr(&stream).0, unit.device_ptr(&stream).0, CUBLAS_COMPUTE_32F_FAST_16BF, 1.0),
        (CUDA_R_16BF, h.device_ptr(&stream).0, h.device_ptr(&stream).0, CUBLAS_COMPUTE_32F, 2.25),
        (CUDA_R_16F, g.device_ptr(&stream).0, g.device_ptr(&stream).0, CUBLAS_COMPUTE_32F, 2.25),
    ] {
        run(a, b, out.device_ptr_mut(&stream).0, input, CUDA_R_32F, compute)?;
        assert_eq!(stream.clone_dtoh(&out)?, [expected], "{compute:?}");
    }
    for output in [CUDA_R_16BF, CUDA_R_16F] {
        let (input, expected) = if output == CUDA_R_16BF { (&h, bf16(2.25)) } else { (&g, 0x4080) };
        let mut short = stream.alloc_zeros::<u16>(1)?;
        let a = input.device_ptr(&stream).0;
        run(a, a, short.device_ptr_mut(&stream).0, output, output, CUBLAS_COMPUTE_32F)?;
        assert_eq!(stream.clone_dtoh(&short)?, [expected]);
    }
    // f64 inputs with f32 arithmetic are not in cuBLAS's table.
    let a = x.device_ptr(&stream).0;
    assert!(run(a, a, a, CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_32F).is_err());
    simulator.check().unwrap();
    Ok(())
}
