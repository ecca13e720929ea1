//! A norm or coefficient: a host number on the CPU, a tensor that nobody waits for on a device.

use candle_core::{DType, Result as CandleResult, Tensor};
use spectra_core::backend::{Coefficient, Error, Result, Scalar, ScalarOp};

/// A number of [`CandleBackend`](crate::CandleBackend).
#[derive(Debug, Clone)]
pub struct CandleScalar(Place);

#[derive(Debug, Clone)]
enum Place {
    Host(f64),
    /// Zero-dimensional, of the backend's element type.
    Device(Tensor),
}

impl CandleScalar {
    pub(super) fn host(value: f64) -> Self {
        Self(Place::Host(value))
    }

    pub(super) fn device(tensor: Tensor) -> Self {
        Self(Place::Device(tensor))
    }

    /// `factor * self` as a tensor to broadcast, or as a host number if it is one.
    pub(super) fn times(&self, factor: f64) -> CandleResult<Factor> {
        Ok(match &self.0 {
            Place::Host(value) => Factor::Host(factor * value),
            Place::Device(tensor) => Factor::Device(tensor.affine(factor, 0.0)?),
        })
    }
}

/// An evaluated coefficient.
pub(super) enum Factor {
    Host(f64),
    Device(Tensor),
}

impl Factor {
    pub(super) fn of(coefficient: Coefficient<'_, CandleScalar>) -> CandleResult<Self> {
        coefficient.scalar.map_or(Ok(Self::Host(coefficient.factor)), |s| s.times(coefficient.factor))
    }
}

impl Scalar for CandleScalar {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        let combined = match (&a.0, &b.0) {
            (Place::Host(a), Place::Host(b)) => return Ok(Self::host(op.on_host(*a, *b))),
            (Place::Device(a), Place::Device(b)) => on_device(op, a, b),
            (Place::Host(a), Place::Device(b)) => constant(*a, b).and_then(|a| on_device(op, &a, b)),
            (Place::Device(a), Place::Host(b)) => constant(*b, a).and_then(|b| on_device(op, a, &b)),
        };
        combined.map(Self::device).map_err(|e| Error::device("combine", e))
    }

    fn sqrt(&self) -> Result<Self> {
        match &self.0 {
            Place::Host(value) => Ok(Self::host(f64::sqrt(*value))),
            Place::Device(tensor) => tensor.sqrt().map(Self::device).map_err(|e| Error::device("sqrt", e)),
        }
    }

    fn read(&self) -> Result<f64> {
        match &self.0 {
            Place::Host(value) => Ok(*value),
            Place::Device(tensor) => read(tensor).map_err(|e| Error::device("read", e)),
        }
    }

    fn known(&self) -> Option<f64> {
        if let Place::Host(value) = self.0 { Some(value) } else { None }
    }
}

/// A zero-dimensional tensor of the type and device of `like`.
pub(super) fn constant(value: f64, like: &Tensor) -> CandleResult<Tensor> {
    match like.dtype() {
        DType::F64 => Tensor::new(value, like.device()),
        _ => Tensor::new(value as f32, like.device()),
    }
}

fn read(tensor: &Tensor) -> CandleResult<f64> {
    match tensor.dtype() {
        DType::F64 => tensor.to_scalar::<f64>(),
        _ => tensor.to_scalar::<f32>().map(f64::from),
    }
}

fn on_device(op: ScalarOp, a: &Tensor, b: &Tensor) -> CandleResult<Tensor> {
    match op {
        ScalarOp::Add => a + b,
        ScalarOp::Sub => a - b,
        ScalarOp::Mul => a * b,
        ScalarOp::Div => a / b,
        ScalarOp::Min => or_nan(&a.minimum(b)?, a, b),
        ScalarOp::Max => or_nan(&a.maximum(b)?, a, b),
        ScalarOp::Less => a.lt(b)?.to_dtype(a.dtype()),
    }
}

/// `x`, but NaN where `a` or `b` is: candle's minimum and maximum may drop a NaN.
fn or_nan(x: &Tensor, a: &Tensor, b: &Tensor) -> CandleResult<Tensor> {
    let x = a.ne(a)?.where_cond(a, x)?;
    b.ne(b)?.where_cond(b, &x)
}
