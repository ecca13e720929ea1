//! A step on weights and gradients kept in 16 bits, or on blocks that lie next to each other, makes no copy of them: counted by the
//! global allocator.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer as _;
use spectra_candle::plan::{Plan, PlanBuilder, Split};
use spectra_candle::{Config, Optimizer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SHAPE: (usize, usize) = (512, 768);

/// Bytes allocated by the third of three steps.
fn third_step(preset: &str, dtype: DType, plan: &PlanBuilder) -> Result<usize, Box<dyn std::error::Error>> {
    let random = Tensor::randn(0f32, 1.0, SHAPE, &Device::Cpu)?.to_dtype(dtype)?;
    let var = Var::from_tensor(&random)?;
    let named = [("layer.weight".to_owned(), var.clone())];
    let config = Config::preset(preset)?.lr(1e-2).clip_norm(1.0);
    let mut optimizer = Optimizer::from_named_vars(named, config, plan)?;
    let mut bytes = 0;
    for _ in 0..3 {
        let gradients = var.sqr()?.sum_all()?.backward()?;
        let region = Region::new(ALLOCATOR);
        optimizer.step(&gradients)?;
        bytes = region.change().bytes_allocated;
    }
    Ok(bytes)
}

// One test, so that nothing else runs while it counts.
#[test]
fn a_step_makes_no_copy_of_a_matrix() -> Result<(), Box<dyn std::error::Error>> {
    for dtype in [DType::BF16, DType::F16] {
        for preset in ["spectra", "adamw", "signum", "ademamix"] {
            let bytes = third_step(preset, dtype, &Plan::builder())?;
            let matrix = SHAPE.0 * SHAPE.1 * dtype.size_in_bytes();
            // Handles, lists with an item for each parameter, and rayon's queue.
            assert!(bytes <= matrix / 32, "{preset}, {dtype:?}: {bytes} bytes; a matrix has {matrix}");
        }
    }
    for dtype in [DType::BF16, DType::F32] {
        for preset in ["spectra", "muon"] {
            let split = |split| Plan::builder().split("layer.weight", split);
            let matrix = SHAPE.0 * SHAPE.1 * dtype.size_in_bytes();
            let rows = third_step(preset, dtype, &split(Split::groups(4)))?;
            assert!(rows <= matrix / 32, "{preset}, {dtype:?}: {rows} bytes for rows; a matrix has {matrix}");
            // Columns are copied, weights and gradients: the allocator would see it.
            let columns = third_step(preset, dtype, &split(Split::columns(4)))?;
            assert!(columns >= 2 * matrix, "{preset}, {dtype:?}: {columns} bytes for columns");
        }
    }
    Ok(())
}
