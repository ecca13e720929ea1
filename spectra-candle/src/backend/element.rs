//! `f32` and `f64` as candle stores them.

use candle_core::{CpuStorage, WithDType};
use spectra_core::faer::FaerElement;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The arithmetic types of [`CandleBackend`](crate::CandleBackend): `f32` and `f64`.
pub trait CandleElement: FaerElement + WithDType + sealed::Sealed {
    /// The values in CPU memory, if they are of this type.
    #[doc(hidden)]
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
    /// Appends the value's bytes, lowest first.
    #[doc(hidden)]
    fn push_le_bytes(self, bytes: &mut Vec<u8>);
}

impl CandleElement for f32 {
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(values) = storage { Some(values) } else { None }
    }

    fn push_le_bytes(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

impl CandleElement for f64 {
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F64(values) = storage { Some(values) } else { None }
    }

    fn push_le_bytes(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}
