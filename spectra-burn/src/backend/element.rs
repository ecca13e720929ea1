//! `f32` and `f64` as burn stores them.

use super::memory::FlexTensor;
use burn::tensor::DType;
use spectra_core::faer::FaerElement;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The arithmetic types of [`BurnBackend`](crate::BurnBackend): `f32` and `f64`.
pub trait BurnElement: FaerElement + burn::tensor::Element + sealed::Sealed {
    /// Burn's name of the type.
    const DTYPE: DType;

    /// All values in the memory of a tensor of this type.
    #[doc(hidden)]
    fn values(tensor: &FlexTensor) -> &[Self];

    /// The same, to change; copied first if another tensor shares them.
    #[doc(hidden)]
    fn values_mut(tensor: &mut FlexTensor) -> &mut [Self];
}

impl BurnElement for f32 {
    const DTYPE: DType = DType::F32;

    fn values(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn values_mut(tensor: &mut FlexTensor) -> &mut [Self] {
        tensor.storage_mut()
    }
}

impl BurnElement for f64 {
    const DTYPE: DType = DType::F64;

    fn values(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn values_mut(tensor: &mut FlexTensor) -> &mut [Self] {
        tensor.storage_mut()
    }
}
