//! `f32` and `f64`, and how their products are computed.

use crate::checked::{Products, Storage};
use cudarc::driver::DeviceRepr;
use spectra_core::backend::{Element, Error, ErrorKind, Result};

/// How cuBLAS multiplies matrices of `f32`: the most that it may round their entries to. The caller says that, never a
/// library's or an environment variable's default; everything that is no matrix product is in full precision in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As the numbers are. The only one for `f64`.
    #[default]
    F32,
    /// Operands rounded to TF32 (10 bits of fraction), sums in `f32`: tensor cores from Ampere on.
    Tf32,
    /// Operands rounded to bf16 (7 bits of fraction), sums in `f32`: tensor cores. cuBLAS may be more exact with matrices of `f32`: on an
    /// H200 cuBLAS 13.1 takes the time of [`Tf32`](Self::Tf32) and gives its bits.
    ///
    /// The iterates of the polar factor and of the soft clip with a fixed number of steps, X and all r x r matrices, are stored in bf16,
    /// each rounded once from a sum in `f32`; the last product is written to `f32`. Weights, momentum, state and everything
    /// else stay as they are. Not so where a matrix is divided among ranks
    /// ([`distributed`](crate::distributed)): iterates are then in `f32`.
    Bf16,
    /// [`Tf32`](Self::Tf32), and the iterates as under [`Bf16`](Self::Bf16), in fp16 (10 bits of fraction): their entries are at most about
    /// 1, and those below 6e-5 lose digits.
    Fp16,
}

impl Precision {
    /// How iterates are stored.
    pub(super) fn iterates(self) -> Storage {
        match self {
            Self::F32 | Self::Tf32 => Storage::Element,
            Self::Bf16 => Storage::Bf16,
            Self::Fp16 => Storage::Fp16,
        }
    }
}

mod sealed {
    pub trait Sealed: Sized {
        /// Whether it is `f64`.
        const DOUBLE: bool;
        /// For storage in 16 bits, which an `f64` backend has none of.
        fn to_single(self) -> f32;
        fn of_single(value: f32) -> Self;
    }
}

use sealed::Sealed;

/// The arithmetic types of [`CudaBackend`](crate::CudaBackend): `f32` and `f64`.
pub trait CudaElement: Element + DeviceRepr + Sealed {}

impl Sealed for f32 {
    const DOUBLE: bool = false;

    fn to_single(self) -> f32 {
        self
    }

    fn of_single(value: f32) -> Self {
        value
    }
}

impl CudaElement for f32 {}

impl Sealed for f64 {
    const DOUBLE: bool = true;

    fn to_single(self) -> f32 {
        self as f32
    }

    fn of_single(value: f32) -> Self {
        value.into()
    }
}

impl CudaElement for f64 {}

/// How to multiply, if the element offers it.
pub(super) fn products<E: CudaElement>(operation: &'static str, precision: Precision) -> Result<Products> {
    match (precision, E::DOUBLE) {
        (Precision::F32, false) => Ok(Products::F32),
        (Precision::Tf32 | Precision::Fp16, false) => Ok(Products::Tf32),
        (Precision::Bf16, false) => Ok(Products::Bf16),
        (Precision::F32, true) => Ok(Products::F64),
        (_, true) => {
            Err(Error::new(operation, ErrorKind::Unsupported { what: "f64 in a reduced precision" }))
        }
    }
}
