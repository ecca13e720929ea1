//! `f32` and `f64` as candle stores them.

use candle_core::{CpuStorage, WithDType};
use spectra_core::faer::{FaerElement, Values, ValuesMut};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The arithmetic types of [`CandleBackend`](crate::CandleBackend): `f32` and `f64`.
pub trait CandleElement: FaerElement + WithDType + sealed::Sealed {
    /// The values in CPU memory, if they are of this type or of 16 bits.
    #[doc(hidden)]
    fn values(storage: &CpuStorage) -> Option<Values<'_, Self>>;
    /// The same, to change.
    #[doc(hidden)]
    fn values_mut(storage: &mut CpuStorage) -> Option<ValuesMut<'_, Self>>;
}

macro_rules! element {
    ($element:ident, $variant:ident) => {
        impl CandleElement for $element {
            fn values(storage: &CpuStorage) -> Option<Values<'_, Self>> {
                match storage {
                    CpuStorage::$variant(values) => Some(Values::Full(values)),
                    CpuStorage::BF16(values) => Some(Values::Bf16(values)),
                    CpuStorage::F16(values) => Some(Values::F16(values)),
                    _ => None,
                }
            }

            fn values_mut(storage: &mut CpuStorage) -> Option<ValuesMut<'_, Self>> {
                match storage {
                    CpuStorage::$variant(values) => Some(ValuesMut::Full(values)),
                    CpuStorage::BF16(values) => Some(ValuesMut::bf16(values)),
                    CpuStorage::F16(values) => Some(ValuesMut::f16(values)),
                    _ => None,
                }
            }
        }
    };
}

element!(f32, F32);
element!(f64, F64);
