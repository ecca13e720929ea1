//! A norm or coefficient: a host number on the CPU device, a tensor that nobody waits for elsewhere.

use super::counted::{Work, note};
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{Coefficient, Error, Result, Scalar, ScalarOp};

/// A number of [`BurnBackend`](crate::BurnBackend).
#[derive(Debug, Clone)]
pub struct BurnScalar(Place);

#[derive(Debug, Clone)]
enum Place {
    Host(f64),
    /// One number of the backend's type, or one for each part of a stack.
    Device(Box<Tensor<1>>),
}

impl BurnScalar {
    pub(crate) fn host(value: f64) -> Self {
        Self(Place::Host(value))
    }

    pub(super) fn device(tensor: Tensor<1>) -> Self {
        Self(Place::Device(Box::new(tensor)))
    }
}

/// An evaluated coefficient.
pub(super) enum Factor {
    Host(f64),
    /// One number, or one for each part of a stack.
    Device(Box<Tensor<1>>),
}

impl Factor {
    pub(super) fn of(coefficient: Coefficient<'_, BurnScalar>) -> Self {
        let Coefficient { factor, scalar } = coefficient;
        match scalar.map(|scalar| &scalar.0) {
            None => Self::Host(factor),
            Some(Place::Host(value)) => Self::Host(factor * value),
            Some(Place::Device(tensor)) if factor == 1.0 => Self::Device(tensor.clone()),
            Some(Place::Device(tensor)) => {
                note(Work::Pass, 1);
                Self::Device(Box::new(Tensor::clone(tensor).mul_scalar(factor)))
            }
        }
    }
}

impl Scalar for BurnScalar {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        let (a, b) = match (&a.0, &b.0) {
            (Place::Host(a), Place::Host(b)) => return Ok(Self::host(op.on_host(*a, *b))),
            (Place::Device(a), Place::Device(b)) => alike(Tensor::clone(a), Tensor::clone(b)),
            (Place::Host(a), Place::Device(b)) => (constant(*a, b), Tensor::clone(b)),
            (Place::Device(a), Place::Host(b)) => (Tensor::clone(a), constant(*b, a)),
        };
        Ok(Self::device(on_device(op, a, b)))
    }

    fn sqrt(&self) -> Result<Self> {
        Ok(match &self.0 {
            Place::Host(value) => Self::host(f64::sqrt(*value)),
            Place::Device(tensor) => {
                note(Work::Pass, 1);
                Self::device(Tensor::clone(tensor).sqrt())
            }
        })
    }

    fn read(&self) -> Result<f64> {
        let tensor = match &self.0 {
            Place::Host(value) => return Ok(*value),
            Place::Device(tensor) => tensor,
        };
        if tensor.dims() != [1] {
            return Err(Error::device("read", "a number of each part of a stack"));
        }
        note(Work::Wait, 1);
        let data = Tensor::clone(tensor).try_into_data().map_err(|e| Error::device("read", e.to_string()))?;
        data.iter::<f64>().next().ok_or_else(|| Error::device("read", "a scalar without a value"))
    }

    fn known(&self) -> Option<f64> {
        if let Place::Host(value) = self.0 { Some(value) } else { None }
    }
}

/// Both on the device of `a`, of the wider type (the parameters of a model may differ in them), and of as many numbers.
fn alike(a: Tensor<1>, b: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
    let dtype = if b.dtype() == DType::F64 { DType::F64 } else { a.dtype() };
    let device = a.device();
    let (a, b) = (placed(a, &device, dtype), placed(b, &device, dtype));
    match (a.dims(), b.dims()) {
        ([1], [count]) if count > 1 => (a.expand([count]), b),
        ([count], [1]) if count > 1 => (a, b.expand([count])),
        _ => (a, b),
    }
}

/// On this device and of this type.
pub(super) fn placed<const D: usize>(x: Tensor<D>, device: &Device, dtype: DType) -> Tensor<D> {
    let x = if x.device() == *device { x } else { x.to_device(device) };
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}

/// A number of the type and on the device of `like`, as often as that has one.
fn constant(value: f64, like: &Tensor<1>) -> Tensor<1> {
    like.full_like(value)
}

fn on_device(op: ScalarOp, a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    note(Work::Pass, 1);
    match op {
        ScalarOp::Add => a + b,
        ScalarOp::Sub => a - b,
        ScalarOp::Mul => a * b,
        ScalarOp::Div => a / b,
        ScalarOp::Min => or_nan(a.clone().min_pair(b.clone()), a, b),
        ScalarOp::Max => or_nan(a.clone().max_pair(b.clone()), a, b),
        ScalarOp::Less => {
            let one = a.ones_like();
            one.zeros_like().mask_where(a.lower(b), one)
        }
    }
}

/// `x`, but NaN where `a` or `b` is: minimum and maximum may drop a NaN.
fn or_nan(x: Tensor<1>, a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    x.mask_where(a.clone().is_nan(), a).mask_where(b.clone().is_nan(), b)
}
