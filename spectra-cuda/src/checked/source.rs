//! The kernels: their source, their names, and their compilation by NVRTC.

use crate::error::CudaError;
use cudarc::driver::{CudaContext, CudaFunction};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use std::sync::Arc;

/// All kernels; `REAL` is left open. `ci/compile_kernels.py` joins the same files.
const SOURCE: &str = concat!(
    include_str!("../../kernels/prelude.cu"),
    include_str!("../../kernels/scalars.cu"),
    include_str!("../../kernels/elementwise.cu"),
    include_str!("../../kernels/reductions.cu"),
    include_str!("../../kernels/power.cu"),
    include_str!("../../kernels/low_rank.cu"),
    include_str!("../../kernels/small_factor.cu"),
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
        }

        impl Kernels {
            /// The names that are looked up.
            #[cfg(test)]
            const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Compiles a [`source`] and loads it.
            pub(super) fn load(context: &Arc<CudaContext>, source: String) -> Result<Self, CudaError> {
                let options = CompileOptions { arch: Some(architecture(context)?), ..CompileOptions::default() };
                let ptx = compile_ptx_with_opts(source, options).map_err(compile_error)?;
                let module = context.load_module(ptx)?;
                Ok(Self { $($name: module.load_function(stringify!($name))?,)+ })
            }
        }
    };
}

kernels! {
    scalar_evaluate,
    scalar_pair,
    scale_add,
    product_add,
    quotient_add,
    sign_add,
    scale,
    adam_add,
    mirror,
    dot,
    max_abs,
    seed_zero_columns,
    momentum,
    normalize_columns,
    low_rank_add,
    cholesky_inverse,
    orthonormal_factor,
    column_normalizer,
    diagonalizer,
}

/// PTX for the device's generation, at most Ampere's, which every later driver and compiler knows.
fn architecture(context: &CudaContext) -> Result<&'static str, CudaError> {
    Ok(match context.compute_capability()? {
        (8.., _) => "compute_80",
        (7, 5..) => "compute_75",
        _ => "compute_70",
    })
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
        for (_, rest) in SOURCE.split("\nextern \"C\" __global__ void ").skip(1).map(|s| ((), s)) {
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
