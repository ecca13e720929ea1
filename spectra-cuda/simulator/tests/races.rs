//! Data races, and what is none.

mod common;

use common::{load, simulator};
use cudarc::driver::{LaunchConfig, PushKernelArg};
use spectra_cuda_simulator::{Simulator, ThreadOrder};

/// Violations of a kernel over 4 blocks of 64 threads with the arrays `x` and `y` of 256 numbers, the same in both orders.
fn races(simulator: &Simulator, body: &str) -> Vec<String> {
    let source = format!(
        "extern \"C\" __global__ void k(float* x, const float* y, unsigned* counter) {{
            __shared__ float tile[64]; __shared__ int flag; extern __shared__ unsigned short half[];
            unsigned t = threadIdx.x, i = blockIdx.x * 64 + t;\n{body}\n}}"
    );
    simulator.set_race_checks(true);
    let (stream, kernel) = load(&source, "k");
    let y = stream.clone_htod(&vec![1.0f32; 256]).unwrap();
    let [forward, reverse] = [ThreadOrder::Forward, ThreadOrder::Reverse].map(|order| {
        simulator.set_thread_order(order);
        let mut x = stream.alloc_zeros::<f32>(256).unwrap();
        let mut counter = stream.alloc_zeros::<u32>(1).unwrap();
        let config = LaunchConfig { grid_dim: (4, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 128 };
        for _ in 0..2 {
            // SAFETY: the arguments are the kernel's.
            unsafe { stream.launch_builder(&kernel).arg(&mut x).arg(&y).arg(&mut counter).launch(config) }
                .unwrap();
        }
        stream.synchronize().unwrap();
        let found = simulator.violations();
        simulator.reset();
        found
    });
    assert_eq!(forward.is_empty(), reverse.is_empty(), "{body}: {forward:?} {reverse:?}");
    forward
}

#[test]
fn ordered_accesses_are_no_races() {
    let Some((simulator, _alone)) = simulator() else { return };
    for body in [
        "x[i] += y[255 - i];",
        "tile[t] = y[i]; __syncthreads(); x[i] = tile[63 - t]; __syncthreads(); tile[t] = 2.0f;",
        "half[63 - t] = 1; __syncthreads(); x[i] = half[t];",
        "tile[t] = y[i]; for (unsigned h = 32; h; h /= 2) { __syncthreads(); if (t < h) tile[t] += tile[t + h]; }",
        "tile[t] = y[i]; __syncwarp(); x[i] = tile[t ^ 1];",
        "if (t % 32 == 0) atomicOr(&flag, 1); __syncthreads(); x[i] = flag;",
        "atomicAdd(x, 1.0f);",
        // Each block leaves its part, the last one adds them up and clears the counter for the next launch.
        "if (t == 0) x[blockIdx.x] = 1.0f; __threadfence(); __syncthreads();
         if (t == 0) flag = atomicAdd(counter, 1) == 3; __syncthreads();
         if (flag && t == 5) x[100] = x[0] + x[1] + x[2] + x[3]; if (flag && t == 0) *counter = 0;",
    ] {
        assert_eq!(races(&simulator, body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn unordered_accesses_are_races() {
    let Some((simulator, _alone)) = simulator() else { return };
    for (body, words) in [
        ("tile[t] = y[i]; x[i] = tile[63 - t];", &["shared memory", "of the block has"][..]),
        // The barrier before the next write is missing.
        ("for (int r = 0; r < 2; r++) { tile[t] = r; __syncthreads(); x[i] += tile[63 - t]; }", &["shared memory"]),
        ("x[i] = tile[(t + 1) % 64]; tile[t] = 1.0f;", &["thread (1,0,0) writes shared memory, which thread number 0 of the block has read"]),
        ("half[63 - t] = 1; x[i] = half[t];", &["shared memory"]),
        ("tile[t] = y[i]; for (unsigned h = 32; h; h /= 2) { __syncwarp(); if (t < h) tile[t] += tile[t + h]; }", &["shared memory"]),
        ("tile[t] = y[i]; __shfl_xor_sync(0xffffffffu, 1, 1); x[i] = tile[t ^ 1];", &["shared memory"]),
        ("if (t % 32 == 0) flag = 1; __syncthreads(); x[i] = flag;", &["writes shared memory", "has written"]),
        ("if (t % 32 == 0) flag |= 1; else if (t == 33) atomicOr(&flag, 1);", &["shared memory"]),
        ("if (t == 0) x[7] = 1.0f;", &["writes byte 28 of an allocation of 1024 bytes", "another block has written"]),
        ("if (t == 0) x[blockIdx.x] = x[(blockIdx.x + 1) % 4];", &["another block has"]),
        // The last block, without the fence, and without waiting for the block's other threads.
        (
            "if (t == 9) x[blockIdx.x] = 1.0f; __syncthreads(); if (t == 0) flag = atomicAdd(counter, 1) % 4 == 3; __syncthreads();
             if (flag && t == 5) x[100] = x[0] + x[1] + x[2] + x[3];",
            &["reads byte", "another block has written"],
        ),
        (
            "if (t == 9) x[blockIdx.x] = 1.0f; __threadfence(); if (t == 0) flag = atomicAdd(counter, 1) % 4 == 3; __syncthreads();
             if (flag && t == 5) x[100] = x[0] + x[1] + x[2] + x[3];",
            &["reads byte", "another block has written"],
        ),
    ] {
        let found = races(&simulator, body);
        assert_eq!(found.len(), 2, "one for each launch of {body}: {found:?}");
        for word in ["data race: kernel `k` at test.cu:", "block (", "thread ("].iter().chain(words) {
            assert!(found[0].contains(word), "`{word}` is not in: {}", found[0]);
        }
    }
}
