//! Threads that do not meet, and what they share.

use crate::common::simulator;
use crate::{FAILED, assert_reported, config, run};
use cudarc::driver::{LaunchConfig, sys};
use spectra_cuda_simulator::ThreadOrder;

#[test]
fn missing_barrier() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = |barrier: &str| {
        format!(
            "extern \"C\" __global__ void bad(float* x) {{
                __shared__ float tile[64];
                tile[threadIdx.x] = x[threadIdx.x] + threadIdx.x;
                {barrier}
                x[threadIdx.x] = tile[63 - threadIdx.x];
            }}"
        )
    };
    let both = |source: &str| {
        [ThreadOrder::Forward, ThreadOrder::Reverse].map(|order| {
            simulator.set_thread_order(order);
            run(source, 64, config(1, 64)).unwrap()
        })
    };
    let right: Vec<f32> = (0..64).rev().map(|i| 1.0 + i as f32).collect();
    let [forward, reverse] = both(&source("__syncthreads();"));
    assert!(forward == right && reverse == right);
    // Without it either half finds the poison of shared memory, and the other half in the other order.
    let [forward, reverse] = both(&source(""));
    assert!(forward[..32].iter().all(|x| x.is_nan()) && forward[32..] == right[32..], "{forward:?}");
    assert!(reverse[32..].iter().all(|x| x.is_nan()) && reverse[..32] == right[..32], "{reverse:?}");
}

#[test]
fn divergent_barriers() {
    let Some((simulator, _alone)) = simulator() else { return };
    for (body, words) in [
        (
            "if (threadIdx.x >= 40) return;\n__syncthreads();",
            ["divergent __syncthreads() in line 3", "40 of 64"],
        ),
        (
            "if (threadIdx.x < 8) { __syncthreads(); }\nelse { __syncthreads(); }",
            ["divergent __syncthreads()", "in line 2, thread (8,0,0) in line 3"],
        ),
        (
            "if (threadIdx.x < 32) __syncthreads();\nelse if (threadIdx.x < 63) __syncwarp();",
            ["thread (32,0,0) waits at the warp operation in line 3", "never reach it"],
        ),
        ("if (threadIdx.x == 3) __syncwarp(1);", ["mask leaves out the thread itself", "thread (3,0,0)"]),
        (
            "if (threadIdx.x % 2) __syncwarp(); else\n __shfl_xor_sync(0xffffffffu, x[0], 1);",
            ["lanes of a warp are at different warp operations", "kernel `bad`"],
        ),
    ] {
        let source = format!("extern \"C\" __global__ void bad(float* x) {{\n{body}\n}}");
        let error = run(&source, 64, config(2, 64)).unwrap_err().0;
        assert_eq!(error, FAILED);
        assert_reported(&simulator, &words);
        simulator.reset();
    }
}

#[test]
fn shuffle_from_a_lane_that_is_not_there() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "extern \"C\" __global__ void bad(float* x) { x[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 8); }";
    // 16 threads: lanes 16 to 23 do not exist.
    let x = run(source, 16, config(1, 16)).unwrap();
    assert!(x[..8].iter().all(|&x| x == 1.0) && x[8..].iter().all(|x| x.is_nan()), "{x:?}");
    simulator.check().unwrap();
}

#[test]
fn shared_memory_and_integer_arithmetic() {
    let Some((simulator, _alone)) = simulator() else { return };
    let undefined = "undefined behaviour (index past a fixed-size array";
    for (body, words) in [
        ("__shared__ float tile[8]; tile[threadIdx.x] = 1.0f; x[0] = tile[0];", undefined),
        (
            "extern __shared__ float tile[]; tile[threadIdx.x] = 1.0f; x[0] = tile[0];",
            "past the end of dynamic shared memory",
        ),
        ("x[0] = *(double*)(x + 1);", undefined),
        ("x[0] = 1 << (threadIdx.x + 27);", undefined),
        ("x[0] = 1 / ((int)threadIdx.x - 8);", undefined),
        (
            "float big[1 << 16]; for (int i = 0; i < 1 << 16; i++) big[i] = x[i % 4]; x[0] = big[(int)x[1]];",
            "too much local memory",
        ),
    ] {
        let source = format!("extern \"C\" __global__ void bad(float* x) {{ {body} }}");
        let config = LaunchConfig { shared_mem_bytes: 32, ..config(1, 9) };
        run(&source, 16, config).unwrap_err();
        assert_reported(&simulator, &["kernel `bad`", words]);
        simulator.reset();
    }
}

#[test]
fn assertions() {
    let Some((simulator, _alone)) = simulator() else { return };
    let source = "extern \"C\" __global__ void bad(float* x) {\n  assert(x[threadIdx.x] == 0.0f);\n}";
    assert_eq!(run(source, 4, config(1, 4)).unwrap_err().0, sys::CUresult::CUDA_ERROR_ASSERT);
    assert_reported(&simulator, &["at test.cu:2", "assertion failed: x[threadIdx.x] == 0.0f"]);
}
