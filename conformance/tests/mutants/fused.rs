//! Defects of the fused operations.

use spectra_core::backend::{Coefficient, Fused, Matrix};

use crate::broken::sound_step;
use crate::bug::bug;
use crate::bug::signatures::*;

bug!(
    OldMoments,
    "weights updated with the moments of the step before",
    adam_add,
    |out, beta, alpha, first, second, gradient, betas, eps| {
        out.quotient_add(beta, alpha, first, second, eps)?;
        let mut unused = out.clone();
        unused.adam_add(beta, alpha, first, second, gradient, betas, eps)
    }
);

bug!(
    RoundedComplement,
    "1 - b2 computed in single precision",
    adam_add,
    |out, beta, alpha, first, second, gradient, (b1, b2), eps| {
        let rounded = f64::from(1.0_f32 - b2 as f32);
        first.scale_add(b1.into(), (1.0 - b1).into(), gradient)?;
        second.product_add(b2.into(), rounded.into(), gradient, gradient)?;
        out.quotient_add(beta, alpha, first, second, eps)
    }
);

bug!(
    EpsBeforeRoot,
    "eps added before the root",
    adam_add,
    |out, beta, alpha, first, second, gradient, (b1, b2), eps| {
        first.scale_add(b1.into(), (1.0 - b1).into(), gradient)?;
        second.product_add(b2.into(), (1.0 - b2).into(), gradient, gradient)?;
        let mut inside = second.clone();
        inside.values_mut().iter_mut().for_each(|v| *v = *v + E::narrow(eps * eps));
        out.quotient_add(beta, alpha, first, &inside, 0.0)
    }
);

bug!(NoLookAhead, "a look-ahead that is left out", entrywise_add, |rule| match rule {
    Entrywise::Momentum { mu, weight, sign, .. } => Entrywise::Momentum { mu, weight, nesterov: false, sign },
    rule => rule,
});

bug!(NoSign, "a momentum whose sign is not taken", entrywise_add, |rule| match rule {
    Entrywise::Momentum { mu, weight, nesterov, .. } => {
        Entrywise::Momentum { mu, weight, nesterov, sign: false }
    }
    rule => rule,
});

bug!(FullWeight, "a gradient that is not weighed", entrywise_add, |rule| match rule {
    Entrywise::Momentum { mu, nesterov, sign, .. } => {
        Entrywise::Momentum { mu, weight: 1.0, nesterov, sign }
    }
    rule => rule,
});

bug!(ReadState, "a state that is read though its memory is zero", entrywise_add, |rule| match rule {
    Entrywise::Momentum { mu: 0.0, weight, nesterov, sign } => {
        Entrywise::Momentum { mu: f64::MIN_POSITIVE, weight, nesterov, sign }
    }
    rule => rule,
});

bug!(FastSlowPart, "a slow part with the memory of the fast one", entrywise_add, |rule| match rule {
    Entrywise::Adam { betas, eps, slow: Some((_, a)) } => {
        Entrywise::Adam { betas, eps, slow: Some((betas.0, a)) }
    }
    rule => rule,
});

bug!(ExchangedBetas, "the memories of the two moments exchanged", entrywise_add, |rule| match rule {
    Entrywise::Adam { betas: (b1, b2), eps, slow } => Entrywise::Adam { betas: (b2, b1), eps, slow },
    rule => rule,
});

bug!(NewMomentum, "a sign of Lion's of the momentum after the step", entrywise_add, |rule| match rule {
    Entrywise::Lion { betas: (_, b2) } => {
        Entrywise::Momentum { mu: b2, weight: 1.0 - b2, nesterov: false, sign: true }
    }
    rule => rule,
});

bug!(ExchangedLion, "Lion's betas exchanged", entrywise_add, |rule| match rule {
    Entrywise::Lion { betas: (b1, b2) } => Entrywise::Lion { betas: (b2, b1) },
    rule => rule,
});

bug!(AddedCorrection, "MARS's correction with the other sign", entrywise_add, |rule| match rule {
    Entrywise::Mars { betas, eps, weight } => Entrywise::Mars { betas, eps, weight: -weight },
    rule => rule,
});

bug!(Unclipped, "MARS without its clip", entrywise, |matrices, weights, rule, gradient| {
    mars_with(matrices, weights, rule, gradient, |_| 1.0, gradient.scale.value())
});

bug!(
    ClippedBySquares,
    "MARS clipped by the square of the norm",
    entrywise,
    |matrices, weights, rule, gradient| {
        mars_with(
            matrices,
            weights,
            rule,
            gradient,
            |squares| (1.0 / squares).min(1.0),
            gradient.scale.value(),
        )
    }
);

bug!(UnscaledLast, "a last gradient without its factor", entrywise, |matrices, weights, rule, gradient| {
    mars_with(matrices, weights, rule, gradient, |squares| (1.0 / squares.sqrt()).min(1.0), 1.0)
});

/// MARS's step with another factor of C, by its squares, and of the gradient that is kept.
fn mars_with<E: Element>(
    matrices: &mut [&mut DenseMatrix<E>],
    weights: (f64, f64),
    rule: Entrywise,
    gradient: &Gradient<'_, DenseMatrix<E>>,
    clip: impl Fn(f64) -> f64,
    kept: f64,
) -> Option<Result<()>> {
    let (Entrywise::Mars { betas, eps, weight }, [x, m, v, last]) = (rule, matrices) else { return None };
    let step = || {
        last.scale_add((-weight).into(), gradient.scale.times(1.0 + weight), gradient.values)?;
        let factor = clip(last.dot(last)?);
        let clipped = Gradient { scale: factor.into(), ..Gradient::new(&**last) };
        let adam = Entrywise::Adam { betas, eps, slow: None };
        sound_step(&mut [&mut **x, &mut **m, &mut **v], weights, adam, &clipped)?;
        last.scale_add(Coefficient::ZERO, kept.into(), gradient.values)
    };
    Some({ step }())
}

bug!(
    UnscaledUpdate,
    "an update without the factor of its gradient",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let unscaled = update.map(|(_, gradient)| Gradient::new(gradient.values));
        m.power_sweep(update.map(|(mu, _)| mu).zip(unscaled.as_ref()), alpha, v, p, gram, z)
    }
);

bug!(
    SweepFirst,
    "products with the momentum before its update",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let norm_squared = m.power_sweep(None, alpha, v, p, gram, z)?;
        if let Some((mu, gradient)) = update {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        Ok(norm_squared)
    }
);

bug!(RootOfNorm, "the norm in place of its square", power_sweep, |m, update, alpha, v, p, gram, z| {
    m.power_sweep(update, alpha, v, p, gram, z).map(f64::sqrt)
});

bug!(
    StaleGram,
    "a Gram matrix that starts from what the temporary held",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let old = gram.clone();
        let norm_squared = m.power_sweep(update, alpha, v, p, gram, z)?;
        gram.scale_add(Coefficient::ONE, Coefficient::ONE, &old)?;
        Ok(norm_squared)
    }
);

bug!(ScaledOnce, "a scale that is missing from Z", power_sweep, |m, update, alpha, v, p, gram, z| {
    let norm_squared = m.power_sweep(update, alpha, v, p, gram, z)?;
    let unscaled = z.clone();
    z.scale_add(Coefficient::ZERO, (1.0 / alpha).into(), &unscaled)?;
    Ok(norm_squared)
});

bug!(
    AddedLowRank,
    "the low-rank part added instead of subtracted",
    low_rank_add,
    |out, beta, alpha, x, left, right| {
        let mut negated = left.clone();
        negated.scale_add(Coefficient::ZERO, (-1.0).into(), left)?;
        out.low_rank_add(beta, alpha, x, &negated, right)
    }
);

bug!(
    RankOffByOne,
    "the last column of the factors left out",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let k = v.shape().1;
        let mut fewer = v.clone();
        if k > 1 {
            fewer.values_mut().iter_mut().skip(k - 1).step_by(k).for_each(|entry| *entry = E::zero());
        }
        m.power_sweep(update, alpha, &fewer, p, gram, z)
    }
);
