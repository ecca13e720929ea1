//! Defects that show from some size on, or where an extent is no multiple of a block.

use spectra_core::backend::{Fused, Matrix, Op};
use spectra_core::dense::DenseMatrix;

use crate::broken::{at, keep, sound_step};
use crate::bug::bug;

/// Operations that write an m x n output, all but what `$lost` says of its row, column and shape.
macro_rules! lost {
    ($name:ident<$($param:ident),+>, $defect:literal, $operation:ident, $out:ident $(, $operand:ident)*; |$i:pat_param, $j:pat_param, $shape:pat_param| $lost:expr) => {
        bug!($name<$($param),+>, $defect, $operation, |$out, beta, alpha $(, $operand)*| {
            let old = $out.clone();
            $out.$operation(beta, alpha $(, $operand)*)?;
            let $shape = old.shape();
            keep($out, &old, |$i, $j| $lost);
            Ok(())
        });
    };
}

lost!(ScaleRows<CAP>, "rows beyond what a launch holds", scale_add, out, x; |i, _, _| i >= CAP);
lost!(ProductRows<CAP>, "rows beyond what a launch holds", product_add, out, x, y; |i, _, _| i >= CAP);
lost!(SignRows<CAP>, "rows beyond what a launch holds", sign_add, out, x; |i, _, _| i >= CAP);
lost!(GemmRows<CAP>, "rows beyond what a launch holds", gemm, out, a, op_a, b, op_b; |i, _, _| i >= CAP);
lost!(GemmCols<CAP>, "columns beyond what a launch holds", gemm, out, a, op_a, b, op_b; |_, j, _| j >= CAP);
lost!(LowRankRows<CAP>, "rows beyond what a launch holds", low_rank_add, out, x, left, right; |i, _, _| i >= CAP);
lost!(ScaleEntries<CAP>, "entries beyond what an index holds", scale_add, out, x; |i, j, (_, n)| i * n + j >= CAP);
lost!(ScaleTail<MODULO, LEAST>, "the last vector of a large matrix", scale_add, out, x;
    |i, j, (m, n)| m * n >= LEAST && i * n + j >= m * n - (m * n) % MODULO);
lost!(QuotientTail<MODULO, LEAST>, "the last vector of a large matrix", quotient_add, out, x, y, eps;
    |i, j, (m, n)| m * n >= LEAST && i * n + j >= m * n - (m * n) % MODULO);
lost!(GemmTile<MODULO, LEAST>, "the last tile of a large product", gemm, out, a, op_a, b, op_b;
    |i, j, (m, n)| m >= LEAST && n >= LEAST && i >= m - m % MODULO && j >= n - n % MODULO);
lost!(SymmetricTile<MODULO, LEAST>, "the last tile of a large symmetric product", gemm_symmetric, out, a, op_a, b, op_b;
    |i, j, (m, _)| m >= LEAST && i >= m - m % MODULO && j >= m - m % MODULO);

/// `op(a)` without its inner terms from `inner` on, in the layout that it has.
fn cut<E: spectra_core::backend::Element>(
    a: &DenseMatrix<E>,
    keep: impl Fn(usize, usize) -> bool,
) -> DenseMatrix<E> {
    let (rows, cols) = a.shape();
    DenseMatrix::from_fn(rows, cols, |i, j| if keep(i, j) { at(a, Op::Plain, i, j) } else { E::zero() })
}

bug!(InnerTail<MODULO, LEAST>, "the rest of a long inner extent in products of 64 x 64 and more", gemm, |out, beta, alpha, a, op_a, b, op_b| {
    let ((m, inner), n) = (op_a.shape(a.shape()), out.shape().1);
    if m < 64 || n < 64 || inner < LEAST {
        return out.gemm(beta, alpha, a, op_a, b, op_b);
    }
    let whole = inner - inner % MODULO;
    let a = cut(a, |i, j| if op_a == Op::Plain { j < whole } else { i < whole });
    out.gemm(beta, alpha, &a, op_a, b, op_b)
});

bug!(
    LastColumnShort<LEFT, LEAST>,
    "a long sum cut short in the last column, where that many are left of four",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let ((_, n), old) = (out.shape(), out.clone());
        out.gemm(beta, alpha, a, op_a, b, op_b)?;
        if n % 4 == LEFT && op_a.shape(a.shape()).1 > LEAST {
            let mut short = old;
            let a = cut(a, |i, j| if op_a == Op::Plain { j < LEAST } else { i < LEAST });
            short.gemm(beta, alpha, &a, op_a, b, op_b)?;
            keep(out, &short, |_, j| j + 1 == n);
        }
        Ok(())
    }
);

bug!(
    Remainder<LEFT>,
    "an inner extent that leaves this remainder modulo 32",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let inner = op_a.shape(a.shape()).1;
        if inner % 32 != LEFT || inner < 32 {
            return out.gemm(beta, alpha, a, op_a, b, op_b);
        }
        let a = cut(a, |i, j| if op_a == Op::Plain { j + 1 < inner } else { i + 1 < inner });
        out.gemm(beta, alpha, &a, op_a, b, op_b)
    }
);

bug!(
    TransposedTail<MODULO>,
    "a transposed second factor whose tail is read as if it were not",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let ((n, inner), cols) = (b.shape(), b.shape().1);
        if op_b == Op::Plain || inner % MODULO == 0 || n < 64 {
            return out.gemm(beta, alpha, a, op_a, b, op_b);
        }
        let whole = inner - inner % MODULO;
        let b = DenseMatrix::from_fn(n, inner, |i, j| {
            if j < whole { b.values()[i * cols + j] } else { b.values()[(j * n + i) % (n * inner)] }
        });
        out.gemm(beta, alpha, a, op_a, &b, op_b)
    }
);

bug!(
    SingleWhenLarge,
    "single precision for outputs of 64 x 64 and more with long sums",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let ((m, inner), n) = (op_a.shape(a.shape()), out.shape().1);
        if m < 64 || n < 64 || inner < 1024 {
            return out.gemm(beta, alpha, a, op_a, b, op_b);
        }
        let narrow = |x: &DenseMatrix<E>| {
            DenseMatrix::from_fn(x.shape().0, x.shape().1, |i, j| {
                E::narrow(f64::from(at(x, Op::Plain, i, j).widen() as f32))
            })
        };
        out.gemm(beta, alpha, &narrow(a), op_a, &narrow(b), op_b)
    }
);

bug!(
    LowRankCap<CAP>,
    "columns of the factors beyond a register tile",
    low_rank_add,
    |out, beta, alpha, x, left, right| {
        out.low_rank_add(beta, alpha, x, &cut(left, |_, j| j < CAP), right)
    }
);

bug!(SweepCap<CAP>, "columns of V beyond a register tile", power_sweep, |m, update, alpha, v, p, gram, z| {
    m.power_sweep(update, alpha, &cut(v, |_, j| j < CAP), p, gram, z)
});

bug!(
    SweepRows<CAP>,
    "rows of P beyond what a launch holds",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let old = p.clone();
        let norm = m.power_sweep(update, alpha, v, p, gram, z)?;
        keep(p, &old, |i, _| i >= CAP);
        Ok(norm)
    }
);

bug!(DotTail<MODULO, LEAST>, "the last vector of a long sum", dot, |x, y| {
    let entries = x.values().len();
    let whole = if entries < LEAST { entries } else { entries - entries % MODULO };
    x.dot(y)?;
    Ok(x.values()[..whole].iter().zip(y.values()).map(|(x, y)| x.widen() * y.widen()).sum())
});

bug!(MaxTail<MODULO, LEAST>, "the last vector of a large matrix", max_abs, |x| {
    let entries = x.values().len();
    let whole = if entries < LEAST { entries } else { entries - entries % MODULO };
    DenseMatrix::from_vec(1, whole, x.values()[..whole].to_vec())?.max_abs()
});

bug!(CopyTail<MODULO, LEAST>, "the last vector of a large copy", copy_from, |out, x| {
    let (old, (m, n)) = (out.clone(), x.shape());
    out.copy_from(x)?;
    keep(out, &old, |i, j| m * n >= LEAST && i * n + j >= m * n - (m * n) % MODULO);
    Ok(())
});

bug!(WriteRows<CAP>, "rows beyond what a copy holds", write, |out, values| {
    let old = out.clone();
    out.write(values)?;
    keep(out, &old, |i, _| i >= CAP);
    Ok(())
});

bug!(WriteEntries<CAP>, "entries beyond what a copy holds", write, |out, values| {
    let (old, n) = (out.clone(), out.shape().1);
    out.write(values)?;
    keep(out, &old, |i, j| i * n + j >= CAP);
    Ok(())
});

bug!(StateRows<CAP, WHICH>, "rows of a state beyond what a launch holds", entrywise, |matrices, weights, rule, gradient| {
    let old = matrices.get(WHICH).map(|matrix| (*matrix).clone());
    let result = sound_step(matrices, weights, rule, gradient);
    if let (Ok(()), Some(old), Some(matrix)) = (&result, old, matrices.get_mut(WHICH)) {
        keep(matrix, &old, |i, _| i >= CAP);
    }
    Some(result)
});

bug!(StateTail<MODULO, WHICH>, "the last vector of a state", entrywise, |matrices, weights, rule, gradient| {
    let old = matrices.get(WHICH).map(|matrix| (*matrix).clone());
    let result = sound_step(matrices, weights, rule, gradient);
    if let (Ok(()), Some(old), Some(matrix)) = (&result, old, matrices.get_mut(WHICH)) {
        let (m, n) = old.shape();
        keep(matrix, &old, |i, j| m * n > MODULO && i * n + j >= m * n - (m * n) % MODULO);
    }
    Some(result)
});

bug!(SeedRows<CAP>, "rows beyond what a launch holds", seed_zero_columns, |out, seed, scratch| {
    let old = out.clone();
    out.seed_zero_columns(seed, scratch)?;
    keep(out, &old, |i, _| i >= CAP);
    Ok(())
});

bug!(WrappedProduct, "extents whose product wraps around", zeros, |rows, cols| {
    match rows.checked_mul(cols) {
        Some(_) => {
            spectra_core::backend::Backend::zeros(&spectra_core::dense::Dense::new(), rows, cols, None)
        }
        None => Ok(DenseMatrix::from_fn(rows.wrapping_mul(cols).min(16), 1, |_, _| E::zero())),
    }
});
