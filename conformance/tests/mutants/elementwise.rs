//! Defects of the operations entry by entry.

use spectra_core::backend::{Coefficient, Element, Matrix, Result};
use spectra_core::dense::DenseMatrix;

use crate::broken::{Bug, Number, accumulate};

#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadsOutput;
impl Bug for ReadsOutput {
    const DEFECT: &'static str = "an output that is multiplied by a beta of zero";
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        let zero = 0.0;
        let beta = if beta.is_zero() { Coefficient::device(1.0, &zero) } else { beta };
        out.scale_add(beta, alpha, x)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangedCoefficients;
impl Bug for ExchangedCoefficients {
    const DEFECT: &'static str = "alpha and beta exchanged";
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        out.scale_add(alpha, beta, x)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct IgnoredDeviceScalar;
impl Bug for IgnoredDeviceScalar {
    const DEFECT: &'static str = "a device scalar left out of alpha";
    fn product_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
    ) -> Result<()> {
        out.product_add(beta, alpha.factor.into(), x, y)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct WrongSign;
impl Bug for WrongSign {
    const DEFECT: &'static str = "the wrong sign of a device scalar";
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        let sign = if alpha.scalar.is_some() { -1.0 } else { 1.0 };
        out.scale_add(beta, alpha.times(sign), x)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedShape;
impl Bug for CountedShape {
    const DEFECT: &'static str = "a shape check that counts entries";
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        if x.values().len() != out.values().len() {
            return out.scale_add(beta, alpha, x);
        }
        accumulate(out, beta, alpha, |index| x.values()[index].widen());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DroppedEntry;
impl Bug for DroppedEntry {
    const DEFECT: &'static str = "the last entry of a block left out";
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        let last = out.values().last().copied();
        out.scale_add(beta, alpha, x)?;
        match (out.values_mut(), last) {
            ([.., end], Some(last)) if x.values().len() % 64 == 1 => *end = last,
            _ => {}
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OperandTwice;
impl Bug for OperandTwice {
    const DEFECT: &'static str = "the first operand used twice";
    fn product_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        _: &DenseMatrix<E>,
    ) -> Result<()> {
        out.product_add(beta, alpha, x, x)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MissingRoot;
impl Bug for MissingRoot {
    const DEFECT: &'static str = "a missing root";
    fn quotient_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
        eps: f64,
    ) -> Result<()> {
        accumulate(out, beta, alpha, |i| x.values()[i].widen() / (y.values()[i].widen() + eps));
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LargerEps;
impl Bug for LargerEps {
    const DEFECT: &'static str = "an eps of 1e-3 in place of 1e-8";
    fn quotient_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
        eps: f64,
    ) -> Result<()> {
        out.quotient_add(beta, alpha, x, y, 1e5 * eps)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct EpsInsideRoot;
impl Bug for EpsInsideRoot {
    const DEFECT: &'static str = "an eps inside the root";
    fn quotient_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
        eps: f64,
    ) -> Result<()> {
        accumulate(out, beta, alpha, |i| x.values()[i].widen() / (y.values()[i].widen() + eps * eps).sqrt());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SignOfZero;
impl Bug for SignOfZero {
    const DEFECT: &'static str = "the sign of zero taken as 1 or -1";
    fn sign_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        accumulate(out, beta, alpha, |i| x.values()[i].widen().signum());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SignOfNan;
impl Bug for SignOfNan {
    const DEFECT: &'static str = "a sign of NaN that is zero";
    fn sign_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        let sign = |x: f64| f64::from(x > 0.0) - f64::from(x < 0.0);
        accumulate(out, beta, alpha, |i| sign(x.values()[i].widen()));
        Ok(())
    }
}
