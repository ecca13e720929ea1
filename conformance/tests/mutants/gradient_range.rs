//! Defects that show where squares leave the range of the numbers.

use spectra_core::backend::{Coefficient, Element, Entrywise, Gradient, Matrix, Result, composed};
use spectra_core::linalg::Workspace;

use crate::broken::{Broken, BrokenMatrix, number};
use crate::bug::bug;

bug!(UnsquaredFactor, "a gradient factor that is not squared", factor_of_squares, |scale| Some(scale));

bug!(SquaredApart, "the square of the factor times that of the gradient", factor_of_squares, |scale| {
    Some(scale * scale)
});

bug!(ClaimedWide, "single-precision sums that are said to be in double", dot, |x, y| {
    x.dot(y)?;
    Ok(x.values().iter().zip(y.values()).fold(0.0, |sum, (x, y)| (E::narrow(sum) + *x * *y).widen()))
});

bug!(SquaredMaximum, "a maximum of squares", max_abs, |x| {
    let largest = x
        .values()
        .iter()
        .fold(E::zero(), |most, x| if x.is_nan() || *x * *x > most { *x * *x } else { most });
    Ok(largest.sqrt().widen())
});

/// `Backend::entrywise_add` with `V = b2 V + (1 - b2) square (G o G)`.
pub(crate) fn squared_apart<E: Element, const N: usize>(
    mut matrices: [&mut BrokenMatrix<E>; N],
    (beta, alpha): (f64, f64),
    rule: Entrywise,
    gradient: &Gradient<'_, BrokenMatrix<E>>,
    square: f64,
    workspace: &mut Workspace<Broken<E>>,
) -> Result<()> {
    rule.check(&matrices.each_ref().map(|x| x.shape()), gradient.values.shape())?;
    let (Entrywise::Adam { betas: (b1, b2), eps, slow }, [out, first, second, rest @ ..]) =
        (rule, matrices.as_mut_slice())
    else {
        return composed::entrywise_add(matrices, (beta, alpha), rule, gradient, workspace);
    };
    let (g, scale) = (gradient.values, number(gradient.scale).value());
    first.scale_add(b1.into(), (scale * (1.0 - b1)).into(), g)?;
    second.product_add(b2.into(), (square * (1.0 - b2)).into(), g, g)?;
    out.quotient_add(beta.into(), alpha.into(), first, second, eps)?;
    if let (Some((b3, a)), [slow]) = (slow, rest) {
        slow.scale_add(b3.into(), (scale * (1.0 - b3)).into(), g)?;
        out.quotient_add(Coefficient::ONE, (alpha * a).into(), slow, second, eps)?;
    }
    Ok(())
}
