//! One array of a golden case.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A row-major array with its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The entries, row-major.
    pub values: Values,
}

/// The entries of an [`Array`] in their stored type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Double precision.
    F64(Vec<f64>),
    /// Single precision: the papers' programs where they worked in it.
    F32(Vec<f32>),
    /// Integers: step counters.
    I64(Vec<i64>),
}

impl Array {
    /// The array of a tensor, or what is wrong with it.
    pub(super) fn from_view(view: &TensorView<'_>) -> Result<Self, String> {
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F64 => Values::F64(numbers(bytes, f64::from_le_bytes)),
            Dtype::F32 => Values::F32(numbers(bytes, f32::from_le_bytes)),
            Dtype::I64 => Values::I64(numbers(bytes, i64::from_le_bytes)),
            other => return Err(format!("element type {other}, which golden data do not use")),
        };
        Ok(Self { shape: view.shape().to_vec(), values })
    }

    /// The entries as doubles (single precision widens exactly), or `None` for integers.
    #[must_use]
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        match &self.values {
            Values::F64(values) => Some(values.clone()),
            Values::F32(values) => Some(values.iter().copied().map(f64::from).collect()),
            Values::I64(_) => None,
        }
    }

    /// Element type and shape in words.
    pub(super) fn describe(&self) -> String {
        let element = match self.values {
            Values::F64(_) => "f64",
            Values::F32(_) => "f32",
            Values::I64(_) => "i64",
        };
        format!("{element} of shape {:?}", self.shape)
    }
}

/// The little-endian numbers of `bytes`; the reader of the file has checked that they fill it.
fn numbers<const WIDTH: usize, T>(bytes: &[u8], from_le_bytes: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
    bytes.as_chunks::<WIDTH>().0.iter().map(|chunk| from_le_bytes(*chunk)).collect()
}
