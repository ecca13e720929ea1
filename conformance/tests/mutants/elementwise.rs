//! Defects of the operations entry by entry.

use spectra_core::backend::{Coefficient, Matrix};

use crate::broken::accumulate;
use crate::bug::bug;

bug!(ReadsOutput, "an output that is multiplied by a beta of zero", scale_add, |out, beta, alpha, x| {
    let zero = 0.0;
    let beta = if beta.is_zero() { Coefficient::device(1.0, &zero) } else { beta };
    out.scale_add(beta, alpha, x)
});

bug!(ExchangedCoefficients, "alpha and beta exchanged", scale_add, |out, beta, alpha, x| {
    out.scale_add(alpha, beta, x)
});

bug!(IgnoredDeviceScalar, "a device scalar left out of alpha", product_add, |out, beta, alpha, x, y| {
    out.product_add(beta, alpha.factor.into(), x, y)
});

bug!(WrongSign, "the wrong sign of a device scalar", scale_add, |out, beta, alpha, x| {
    let sign = if alpha.scalar.is_some() { -1.0 } else { 1.0 };
    out.scale_add(beta, alpha.times(sign), x)
});

bug!(CountedShape, "a shape check that counts entries", scale_add, |out, beta, alpha, x| {
    if x.values().len() != out.values().len() {
        return out.scale_add(beta, alpha, x);
    }
    accumulate(out, beta, alpha, |index| x.values()[index].widen());
    Ok(())
});

bug!(DroppedEntry, "the last entry of a block left out", scale_add, |out, beta, alpha, x| {
    let last = out.values().last().copied();
    out.scale_add(beta, alpha, x)?;
    match (out.values_mut(), last) {
        ([.., end], Some(last)) if x.values().len() % 64 == 1 => *end = last,
        _ => {}
    }
    Ok(())
});

bug!(OperandTwice, "the first operand used twice", product_add, |out, beta, alpha, x, _| {
    out.product_add(beta, alpha, x, x)
});

bug!(MissingRoot, "a missing root", quotient_add, |out, beta, alpha, x, y, eps| {
    accumulate(out, beta, alpha, |i| x.values()[i].widen() / (y.values()[i].widen() + eps));
    Ok(())
});

bug!(LargerEps, "an eps of 1e-3 in place of 1e-8", quotient_add, |out, beta, alpha, x, y, eps| {
    out.quotient_add(beta, alpha, x, y, 1e5 * eps)
});

bug!(EpsInsideRoot, "an eps inside the root", quotient_add, |out, beta, alpha, x, y, eps| {
    accumulate(out, beta, alpha, |i| x.values()[i].widen() / (y.values()[i].widen() + eps * eps).sqrt());
    Ok(())
});

bug!(SignOfZero, "the sign of zero taken as 1 or -1", sign_add, |out, beta, alpha, x| {
    accumulate(out, beta, alpha, |i| x.values()[i].widen().signum());
    Ok(())
});

bug!(SignOfNan, "a sign of NaN that is zero", sign_add, |out, beta, alpha, x| {
    let sign = |x: f64| f64::from(x > 0.0) - f64::from(x < 0.0);
    accumulate(out, beta, alpha, |i| sign(x.values()[i].widen()));
    Ok(())
});
