//! `f32` and `f64`, and how their products are computed.

use crate::checked::Products;
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
    /// Operands rounded to bf16 (7 bits of fraction), sums in `f32`: tensor cores. cuBLAS may be more exact: on an H200
    /// cuBLAS 13.1 takes the time of [`Tf32`](Self::Tf32) and gives its bits.
    Bf16,
}

mod sealed {
    pub trait Sealed: Sized {
        /// Whether it is `f64`.
        const DOUBLE: bool;
        /// To bf16 storage and back; `None` where there is none.
        fn to_bf16(self) -> Option<half::bf16>;
        fn of_bf16(value: half::bf16) -> Self;
    }
}

use sealed::Sealed;

/// The arithmetic types of [`CudaBackend`](crate::CudaBackend): `f32` and `f64`.
pub trait CudaElement: Element + DeviceRepr + Sealed {}

impl Sealed for f32 {
    const DOUBLE: bool = false;

    fn to_bf16(self) -> Option<half::bf16> {
        Some(half::bf16::from_f32(self))
    }

    fn of_bf16(value: half::bf16) -> Self {
        value.to_f32()
    }
}

impl CudaElement for f32 {}

impl Sealed for f64 {
    const DOUBLE: bool = true;

    fn to_bf16(self) -> Option<half::bf16> {
        None
    }

    fn of_bf16(value: half::bf16) -> Self {
        value.to_f64()
    }
}

impl CudaElement for f64 {}

/// How to multiply, if the element offers it.
pub(super) fn products<E: CudaElement>(operation: &'static str, precision: Precision) -> Result<Products> {
    match (precision, E::DOUBLE) {
        (Precision::F32, false) => Ok(Products::F32),
        (Precision::Tf32, false) => Ok(Products::Tf32),
        (Precision::Bf16, false) => Ok(Products::Bf16),
        (Precision::F32, true) => Ok(Products::F64),
        (_, true) => {
            Err(Error::new(operation, ErrorKind::Unsupported { what: "f64 in a reduced precision" }))
        }
    }
}
