//! Defects that show for NaN, infinities, zeros, empty matrices, and coefficients that are no short fractions.

use spectra_core::backend::{Coefficient, Element, Fused, Matrix, check_gemm};
use spectra_core::dense::DenseMatrix;

use crate::broken::{accumulate, at, sound_step};
use crate::bug::bug;

bug!(NegativeNanDropped, "a maximum that takes the bits of NaN for a number", max_abs, |x| {
    let nan = x.values().iter().any(|x| x.is_nan() && x.is_sign_positive());
    if nan {
        return Ok(f64::NAN);
    }
    Ok(x.values().iter().fold(0.0, |a, x| a.max(x.widen().abs())))
});

bug!(SignOfNegativeNan, "a sign of NaN that is that of its bit", sign_add, |out, beta, alpha, x| {
    let sign = |x: f64| {
        if x.is_nan() && x.is_sign_negative() {
            -1.0
        } else if x == 0.0 || x.is_nan() {
            x.abs()
        } else {
            x.signum()
        }
    };
    accumulate(out, beta, alpha, |i| sign(x.values()[i].widen()));
    Ok(())
});

/// Old NaN become zero.
fn cleaned<E: Element>(out: &mut DenseMatrix<E>) {
    out.values_mut().iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = E::zero());
}

macro_rules! old_nan {
    ($name:ident, $operation:ident, $out:ident $(, $operand:ident)*) => {
        bug!($name, "an old NaN that is replaced", $operation, |$out, beta, alpha $(, $operand)*| {
            cleaned($out);
            $out.$operation(beta, alpha $(, $operand)*)
        });
    };
}

old_nan!(OldNanOfScale, scale_add, out, x);
old_nan!(OldNanOfProduct, product_add, out, x, y);
old_nan!(OldNanOfQuotient, quotient_add, out, x, y, eps);
old_nan!(OldNanOfSign, sign_add, out, x);
old_nan!(OldNanOfGemm, gemm, out, a, op_a, b, op_b);
old_nan!(OldNanOfSymmetric, gemm_symmetric, out, a, op_a, b, op_b);
old_nan!(OldNanOfLowRank, low_rank_add, out, x, left, right);

bug!(
    OldNanOfState<WHICH>,
    "an old NaN of a state that is replaced",
    entrywise,
    |matrices, weights, rule, gradient| {
        if let Some(matrix) = matrices.get_mut(WHICH) {
            cleaned(matrix);
        }
        Some(sound_step(matrices, weights, rule, gradient))
    }
);

bug!(
    OldNanOfSweep,
    "an old NaN of the momentum that is replaced",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        cleaned(m);
        m.power_sweep(update, alpha, v, p, gram, z)
    }
);

bug!(
    SkippedLeftZeros,
    "a shortcut for zeros of the first factor",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let (cols, inner) = (out.shape().1, check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)?);
        accumulate(out, beta, alpha, |index| {
            let (i, j) = (index / cols, index % cols);
            let pairs = (0..inner).map(|p| (at(a, op_a, i, p).widen(), at(b, op_b, p, j).widen()));
            pairs.filter(|(x, _)| *x != 0.0).map(|(x, y)| x * y).sum()
        });
        Ok(())
    }
);

bug!(SkippedZerosOfDot, "a sum that skips zeros", dot, |x, y| {
    let sound = x.dot(y)?;
    let pairs = x.values().iter().zip(y.values()).filter(|(x, y)| !x.is_zero() && !y.is_zero());
    let skipped: f64 = pairs.map(|(x, y)| x.widen() * y.widen()).sum();
    Ok(if sound.is_nan() { skipped } else { sound })
});

bug!(
    SquaresVanish,
    "a live column whose squares vanish taken for a zero one",
    seed_zero_columns,
    |out, seed, scratch| {
        let k = out.shape().1;
        for col in 0..k {
            let square = out.values().iter().skip(col).step_by(k).fold(E::zero(), |sum, x| sum + *x * *x);
            if square.is_zero() {
                out.values_mut().iter_mut().skip(col).step_by(k).for_each(|x| *x = E::zero());
            }
        }
        out.seed_zero_columns(seed, scratch)
    }
);

bug!(
    SumIsZero,
    "a live column whose sum vanishes taken for a zero one",
    seed_zero_columns,
    |out, seed, scratch| {
        let k = out.shape().1;
        for col in 0..k {
            let sum = out.values().iter().skip(col).step_by(k).fold(E::zero(), |sum, x| sum + *x);
            if sum.is_zero() {
                out.values_mut().iter_mut().skip(col).step_by(k).for_each(|x| *x = E::zero());
            }
        }
        out.seed_zero_columns(seed, scratch)
    }
);

bug!(
    TinyColumnIsDead,
    "a live column whose squares vanish taken for a dependent one",
    gram_schmidt,
    |out, scratch| {
        let k = out.shape().1;
        for col in 0..k {
            let square = out.values().iter().skip(col).step_by(k).fold(E::zero(), |sum, x| sum + *x * *x);
            if square.is_zero() {
                out.values_mut().iter_mut().skip(col).step_by(k).for_each(|x| *x = E::zero());
            }
        }
        out.gram_schmidt(scratch)
    }
);

/// A memory of zero that is read: the smallest number in its place.
fn read(memory: f64) -> f64 {
    if memory == 0.0 { f64::MIN_POSITIVE } else { memory }
}

bug!(ReadFirst, "a first moment that is read though its memory is zero", entrywise_add, |rule| match rule {
    Entrywise::Adam { betas: (b1, b2), eps, slow } => Entrywise::Adam { betas: (read(b1), b2), eps, slow },
    rule => rule,
});

bug!(
    ReadSecond,
    "a second moment that is read though its memory is zero",
    entrywise_add,
    |rule| match rule {
        Entrywise::Adam { betas: (b1, b2), eps, slow } =>
            Entrywise::Adam { betas: (b1, read(b2)), eps, slow },
        rule => rule,
    }
);

bug!(ReadSlow, "a slow momentum that is read though its memory is zero", entrywise_add, |rule| match rule {
    Entrywise::Adam { betas, eps, slow } =>
        Entrywise::Adam { betas, eps, slow: slow.map(|(b3, a)| (read(b3), a)) },
    rule => rule,
});

bug!(
    ReadMomentum,
    "a momentum that is read by the sweep though its memory is zero",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        m.power_sweep(update.map(|(mu, gradient)| (read(mu), gradient)), alpha, v, p, gram, z)
    }
);

bug!(
    HalfWritten<WHICH>,
    "a state that has advanced when another is refused",
    entrywise,
    |matrices, weights, rule, gradient| {
        let result = sound_step(matrices, weights, rule, gradient);
        let fits = |state: &&mut &mut DenseMatrix<E>| state.shape() == gradient.values.shape();
        match (&result, matrices.get_mut(WHICH).filter(fits)) {
            (Err(_), Some(state)) => {
                Some(state.scale_add(0.5.into(), Coefficient::ONE, gradient.values).and(result))
            }
            _ => Some(result),
        }
    }
);

bug!(
    ClearedOutput,
    "an output that is cleared before the shapes are looked at",
    low_rank_add,
    |out, beta, alpha, x, left, right| {
        if beta.is_zero() {
            out.values_mut().fill(E::zero());
        }
        out.low_rank_add(beta, alpha, x, left, right)
    }
);

bug!(
    NoColumns,
    "a sweep over no columns that leaves the momentum as it was",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        if v.shape().1 == 0 {
            return m.dot(m);
        }
        m.power_sweep(update, alpha, v, p, gram, z)
    }
);

bug!(
    NoRank,
    "a correction of rank zero that leaves the output as it was",
    low_rank_add,
    |out, beta, alpha, x, left, right| {
        if left.shape().1 == 0 {
            return Ok(());
        }
        out.low_rank_add(beta, alpha, x, left, right)
    }
);

bug!(
    EmptyRefused,
    "an error for a matrix without entries",
    entrywise,
    |matrices, weights, rule, gradient| {
        if gradient.values.values().is_empty() {
            return Some(gradient.values.clone().write(&[E::zero()]));
        }
        Some(sound_step(matrices, weights, rule, gradient))
    }
);

/// The number in 16 bits.
fn half(x: f64) -> f64 {
    f64::from(f32::from_bits((x as f32).to_bits() & 0xffff_0000))
}

/// The number in 32 bits.
fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

macro_rules! narrow_alpha {
    ($name:ident, $operation:ident, $narrow:ident, $out:ident $(, $operand:ident)*) => {
        bug!($name, "an alpha of half the width", $operation, |$out, beta, alpha $(, $operand)*| {
            $out.$operation(beta, $narrow(alpha.value()).into() $(, $operand)*)
        });
    };
}

narrow_alpha!(HalfAlpha, scale_add, half, out, x);
narrow_alpha!(SingleAlpha, scale_add, single, out, x);
narrow_alpha!(SingleAlphaOfGemm, gemm, single, out, a, op_a, b, op_b);
narrow_alpha!(HalfAlphaOfGemm, gemm, half, out, a, op_a, b, op_b);
narrow_alpha!(SingleAlphaOfLowRank, low_rank_add, single, out, x, left, right);

bug!(HalfAlphaOfSweep, "an alpha of half the width", power_sweep, |m, update, alpha, v, p, gram, z| {
    m.power_sweep(update, half(alpha), v, p, gram, z)
});

bug!(HalfMemory, "a memory of half the width", power_sweep, |m, update, alpha, v, p, gram, z| {
    m.power_sweep(update.map(|(mu, gradient)| (half(mu), gradient)), alpha, v, p, gram, z)
});

bug!(HalfBetas, "memories of half the width", entrywise_add, |rule| match rule {
    Entrywise::Adam { betas: (b1, b2), eps, slow } =>
        Entrywise::Adam { betas: (half(b1), half(b2)), eps, slow },
    Entrywise::Momentum { mu, weight, nesterov, sign } =>
        Entrywise::Momentum { mu: half(mu), weight, nesterov, sign },
    Entrywise::Lion { betas: (b1, b2) } => Entrywise::Lion { betas: (half(b1), half(b2)) },
    rule @ Entrywise::Mars { .. } => rule,
});

bug!(SingleEps, "an eps of half the width", quotient_add, |out, beta, alpha, x, y, eps| {
    out.quotient_add(beta, alpha, x, y, single(eps))
});

bug!(
    FirstFactorTwice,
    "the first factor of a symmetric product used twice",
    gemm_symmetric,
    |out, beta, alpha, a, op_a, b, op_b| {
        let other = if op_a == Op::Plain { Op::Transposed } else { Op::Plain };
        if a.shape() == b.shape() {
            out.gemm(beta, alpha, a, op_a, a, other)
        } else {
            out.gemm(beta, alpha, a, op_a, b, op_b)
        }
    }
);
