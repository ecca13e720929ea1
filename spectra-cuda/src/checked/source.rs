//! The kernels: their source, their names, and their compilation by NVRTC.

use super::memory::lock;
use crate::error::CudaError;
use cudarc::driver::sys::{CUdevice_attribute as Attribute, CUfunction_attribute_enum as FunctionAttribute};
use cudarc::driver::{CudaContext, CudaFunction};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use std::sync::{Arc, Mutex};

/// All kernels; `REAL` is left open. `ci/compile_kernels.py` joins the same files.
const SOURCE: &str = concat!(
    include_str!("../../kernels/prelude.cu"),
    include_str!("../../kernels/scalars.cu"),
    include_str!("../../kernels/elementwise.cu"),
    include_str!("../../kernels/reductions.cu"),
    include_str!("../../kernels/power.cu"),
    include_str!("../../kernels/rounding.cu"),
    include_str!("../../kernels/low_rank.cu"),
    include_str!("../../kernels/small_factor.cu"),
    include_str!("../../kernels/collectives.cu"),
);

/// The source for elements of type `real`, `"float"` or `"double"`.
pub(super) fn source(real: &str) -> String {
    format!("#define REAL {real}\n{SOURCE}")
}

/// A struct with one function for each kernel, looked up by the field's name.
macro_rules! kernels {
    ($($name:ident,)+) => {
        /// The compiled kernels.
        #[derive(Debug)]
        pub(super) struct Kernels {
            $(pub(super) $name: CudaFunction,)+
            /// Shared memory that a launch of a factorisation may ask for.
            pub(super) shared_bytes: usize,
            /// Of the device.
            pub(super) multiprocessors: usize,
        }

        impl Kernels {
            /// The names that are looked up.
            #[cfg(test)]
            const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Compiles a [`source`] and loads it.
            pub(super) fn load(context: &Arc<CudaContext>, source: String) -> Result<Self, CudaError> {
                let module = context.load_module(compile(source, architecture(context)?)?)?;
                let shared_bytes = attribute(context, Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
                let shared_bytes = shared_bytes.saturating_sub(STATIC_SHARED);
                let multiprocessors = attribute(context, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1);
                let kernels = Self { $($name: module.load_function(stringify!($name))?,)+ shared_bytes, multiprocessors };
                kernels.allow_shared_memory()?;
                Ok(kernels)
            }
        }
    };
}

kernels! {
    scalar_evaluate,
    scalar_pair,
    block_pointers,
    scale_add,
    product_add,
    quotient_add,
    sign_add,
    scale,
    adam_add,
    momentum_add,
    mirror,
    transpose,
    dot,
    max_abs,
    squares,
    seed_zero_columns,
    round_stochastic,
    momentum,
    normalize_columns,
    low_rank_add,
    cholesky_inverse,
    orthonormal_factor,
    column_normalizer,
    diagonalizer,
    rank_sum,
    rank_number,
    by_columns,
}

/// Static shared memory of the factorisations, with some room.
const STATIC_SHARED: usize = 4096;

fn attribute(context: &CudaContext, attribute: Attribute) -> Result<usize, CudaError> {
    Ok(usize::try_from(context.attribute(attribute)?).unwrap_or(0))
}

impl Kernels {
    /// More than 48 KiB have to be allowed.
    fn allow_shared_memory(&self) -> Result<(), CudaError> {
        let size = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        for kernel in [&self.cholesky_inverse, &self.orthonormal_factor, &self.diagonalizer] {
            kernel.set_attribute(size, self.shared_bytes as i32)?;
        }
        Ok(())
    }
}

/// PTX for the device's generation, at most Ampere's, which every later driver and compiler knows.
fn architecture(context: &CudaContext) -> Result<&'static str, CudaError> {
    Ok(match context.compute_capability()? {
        (8.., _) => "compute_80",
        (7, 5..) => "compute_75",
        _ => "compute_70",
    })
}

/// The source in PTX, compiled once in a process.
fn compile(source: String, architecture: &'static str) -> Result<Ptx, CudaError> {
    static COMPILED: Mutex<Vec<(String, &str, Ptx)>> = Mutex::new(Vec::new());
    let mut compiled = lock(&COMPILED);
    if let Some((_, _, ptx)) = compiled.iter().find(|(s, a, _)| *s == source && *a == architecture) {
        return Ok(ptx.clone());
    }
    let options = CompileOptions { arch: Some(architecture), ..CompileOptions::default() };
    let ptx = compile_ptx_with_opts(&source, options).map_err(compile_error)?;
    compiled.push((source, architecture, ptx.clone()));
    Ok(ptx)
}

fn compile_error(error: CompileError) -> CudaError {
    let log = match error {
        CompileError::CompileError { log, .. } => log.to_string_lossy().trim().to_owned(),
        other => other.to_string(),
    };
    CudaError::Compile { log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_in_the_source_is_looked_up() {
        let mut defined: Vec<&str> = Vec::new();
        for rest in SOURCE.split("\nextern \"C\" __global__ void ").skip(1) {
            let bounds = rest.starts_with("__launch_bounds__").then(|| rest.split_once(") ")).flatten();
            let rest = bounds.map_or(rest, |(_, rest)| rest);
            defined.push(rest.split('(').next().unwrap_or_default());
        }
        for line in SOURCE.lines().filter(|line| line.starts_with("ELEMENTWISE(")) {
            defined.push(line["ELEMENTWISE(".len()..].split(',').next().unwrap_or_default());
        }
        let mut looked_up = Kernels::NAMES.to_vec();
        defined.sort_unstable();
        looked_up.sort_unstable();
        assert_eq!(defined, looked_up);
    }

    #[test]
    fn the_source_needs_no_header_and_no_template() {
        for word in ["#include", "template", "asm", "printf"] {
            assert!(!SOURCE.contains(word), "{word}");
        }
    }
}
