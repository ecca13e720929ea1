//! Defects of the fused operations.

use spectra_core::backend::{Coefficient, Element, Gradient, Matrix, Result};
use spectra_core::dense::DenseMatrix;

use crate::broken::{Bug, Number};

#[derive(Clone, Copy, Debug)]
pub(crate) struct UnsquaredFactor;
impl Bug for UnsquaredFactor {
    const DEFECT: &'static str = "a gradient factor that is not squared";
    fn adam_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        first: &mut DenseMatrix<E>,
        second: &mut DenseMatrix<E>,
        gradient: &Gradient<'_, DenseMatrix<E>>,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        let unsquared = Gradient { square: gradient.scale, ..*gradient };
        out.adam_add(beta, alpha, first, second, &unsquared, betas, eps)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OldMoments;
impl Bug for OldMoments {
    const DEFECT: &'static str = "weights updated with the moments of the step before";
    fn adam_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        first: &mut DenseMatrix<E>,
        second: &mut DenseMatrix<E>,
        gradient: &Gradient<'_, DenseMatrix<E>>,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        out.quotient_add(beta, alpha, first, second, eps)?;
        let mut unused = out.clone();
        unused.adam_add(beta, alpha, first, second, gradient, betas, eps)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundedComplement;
impl Bug for RoundedComplement {
    const DEFECT: &'static str = "1 - b2 computed in single precision";
    fn adam_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        first: &mut DenseMatrix<E>,
        second: &mut DenseMatrix<E>,
        gradient: &Gradient<'_, DenseMatrix<E>>,
        (b1, b2): (f64, f64),
        eps: f64,
    ) -> Result<()> {
        let rounded = f64::from(1.0_f32 - b2 as f32) / (1.0 - b2);
        let gradient = Gradient { square: gradient.square.times(rounded), ..*gradient };
        out.adam_add(beta, alpha, first, second, &gradient, (b1, b2), eps)
    }
}

/// A sweep, and what the defect makes of it.
macro_rules! sweep_bug {
    (
        $name:ident, $defect:literal,
        |$m:ident, $update:ident, $alpha:ident, $v:ident, $p:ident, $gram:ident, $z:ident| $body:expr
    ) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;
        impl Bug for $name {
            const DEFECT: &'static str = $defect;
            fn power_sweep<E: Element>(
                $m: &mut DenseMatrix<E>,
                $update: Option<(f64, &Gradient<'_, DenseMatrix<E>>)>,
                $alpha: f64,
                $v: &DenseMatrix<E>,
                $p: &mut DenseMatrix<E>,
                $gram: &mut DenseMatrix<E>,
                $z: &mut DenseMatrix<E>,
            ) -> Result<f64> {
                $body
            }
        }
    };
}

sweep_bug!(SweepFirst, "products with the momentum before its update", |m, update, alpha, v, p, gram, z| {
    let norm_squared = m.power_sweep(None, alpha, v, p, gram, z)?;
    if let Some((mu, gradient)) = update {
        m.scale_add(mu.into(), gradient.scale, gradient.values)?;
    }
    Ok(norm_squared)
});

sweep_bug!(RootOfNorm, "the norm in place of its square", |m, update, alpha, v, p, gram, z| {
    m.power_sweep(update, alpha, v, p, gram, z).map(f64::sqrt)
});

sweep_bug!(
    StaleGram,
    "a Gram matrix that starts from what the temporary held",
    |m, update, alpha, v, p, gram, z| {
        let old = gram.clone();
        let norm_squared = m.power_sweep(update, alpha, v, p, gram, z)?;
        gram.scale_add(Coefficient::ONE, Coefficient::ONE, &old)?;
        Ok(norm_squared)
    }
);

sweep_bug!(ScaledOnce, "a scale that is missing from Z", |m, update, alpha, v, p, gram, z| {
    let norm_squared = m.power_sweep(update, alpha, v, p, gram, z)?;
    let unscaled = z.clone();
    z.scale_add(Coefficient::ZERO, (1.0 / alpha).into(), &unscaled)?;
    Ok(norm_squared)
});

#[derive(Clone, Copy, Debug)]
pub(crate) struct AddedLowRank;
impl Bug for AddedLowRank {
    const DEFECT: &'static str = "the low-rank part added instead of subtracted";
    fn low_rank_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        left: &DenseMatrix<E>,
        right: &DenseMatrix<E>,
    ) -> Result<()> {
        let mut negated = left.clone();
        negated.scale_add(Coefficient::ZERO, (-1.0).into(), left)?;
        out.low_rank_add(beta, alpha, x, &negated, right)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RankOffByOne;
impl Bug for RankOffByOne {
    const DEFECT: &'static str = "the last column of the factors left out";
    fn power_sweep<E: Element>(
        m: &mut DenseMatrix<E>,
        update: Option<(f64, &Gradient<'_, DenseMatrix<E>>)>,
        alpha: f64,
        v: &DenseMatrix<E>,
        p: &mut DenseMatrix<E>,
        gram: &mut DenseMatrix<E>,
        z: &mut DenseMatrix<E>,
    ) -> Result<f64> {
        let k = v.shape().1;
        let mut fewer = v.clone();
        if k > 1 {
            fewer.values_mut().iter_mut().skip(k - 1).step_by(k).for_each(|entry| *entry = E::zero());
        }
        m.power_sweep(update, alpha, &fewer, p, gram, z)
    }
}
