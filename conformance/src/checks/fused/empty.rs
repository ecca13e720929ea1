//! The fused operations on matrices without entries.

use spectra_core::backend::{Backend, Coefficient, Entrywise, Fused, Matrix, Op, Scalar};
use spectra_core::linalg::{Scratch, SmallFactor};

use super::Factor;
use super::entrywise::RULES;
use super::rule::{Before, adam, entrywise};
use crate::HostMatrix;
use crate::distance::same_bits;
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Every fused operation accepts matrices without entries; outputs that have some all the same are sums of nothing.
///
/// Finds: a panic or an error on an empty buffer, an early return that leaves an output as it was or the momentum without its
/// update.
pub fn empty_fused<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let one = Coefficient::ONE;
    for (rows, cols) in [(0, 3), (3, 0), (0, 0)] {
        let empty = || subject.upload(&HostMatrix::zeros(rows, cols));
        let before = Before::with(subject, HostMatrix::zeros(rows, cols));
        for rule in RULES {
            let computed = before.step(subject, rule, (0.7, 1.1, 0.3), entrywise)?;
            let holds = computed.iter().all(|matrix| matrix.shape() == (rows, cols));
            judge.require(holds, format_args!("entrywise_add: {rows} x {cols} stays empty"))?;
        }
        let rule = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: None };
        before.step(subject, rule, (0.7, 1.1, 1.0), adam)?;
        for k in [0, 2] {
            let (left, right) =
                (subject.upload(&HostMatrix::zeros(rows, k))?, subject.upload(&HostMatrix::zeros(cols, k))?);
            let mut target = empty()?;
            target.low_rank_add(0.5.into(), one, &empty()?, &left, &right)?;
            judge.require(
                target.shape() == (rows, cols),
                format_args!("low_rank_add: {rows} x {cols} stays empty"),
            )?;
        }
        let mut thin = empty()?;
        thin.gram_schmidt(&mut Scratch::new())?;
        thin.seed_zero_columns(7, &mut Scratch::new())?;
        judge.require(
            thin.shape() == (rows, cols),
            format_args!("gram_schmidt: {rows} x {cols} stays empty"),
        )?;
    }
    for (rows, cols, k) in [(0, 3, 2), (3, 0, 2), (3, 4, 0), (0, 3, 0), (0, 0, 2), (0, 0, 0)] {
        sweep(&mut judge, subject, (rows, cols, k))?;
    }
    // An empty inner extent: what remains is `beta self`.
    let old = HostMatrix::identity(3);
    for (op_a, op_b, shape) in [(Op::Plain, Op::Transposed, (3, 0)), (Op::Transposed, Op::Plain, (0, 3))] {
        let x = subject.upload(&HostMatrix::zeros(shape.0, shape.1))?;
        for beta in [0.0, 0.5] {
            let mut target = if beta == 0.0 { subject.unreadable(3, 3)? } else { subject.upload(&old)? };
            target.gemm_symmetric(beta.into(), one, &x, op_a, &x, op_b)?;
            let holds = same_bits(&subject.download(&target)?, &old.map(|entry| beta * entry));
            judge.require(holds, format_args!("gemm_symmetric over an empty inner extent, beta = {beta}"))?;
        }
    }
    for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer] {
        let (mut out, gram) =
            (subject.upload(&HostMatrix::zeros(0, 0))?, subject.upload(&HostMatrix::zeros(0, 0))?);
        let dead = out.small_factor(factor, &gram, &mut Scratch::new())?.map_or(0, |info| info.dead);
        judge.require(dead == 0, format_args!("{factor:?} of nothing has {dead} dead columns"))?;
    }
    judge.finish()
}

/// With an update, so that the momentum changes whatever is empty.
fn sweep<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (rows, cols, k): (usize, usize, usize),
) -> Result<(), Failure> {
    let what = format!("power_sweep of {rows} x {cols}, k = {k}");
    let (mut m, g) = (
        subject.upload(&HostMatrix::from_fn(rows, cols, |_, _| 2.0))?,
        subject.upload(&HostMatrix::from_fn(rows, cols, |_, _| 8.0))?,
    );
    let v = subject.upload(&HostMatrix::from_fn(cols, k, |_, _| 1.0))?;
    let (mut p, mut gram) = (subject.unreadable(rows, k)?, subject.unreadable(k, k)?);
    let mut z = subject.unreadable(cols, k)?;
    let scale = Factor::new(subject, 0.25)?;
    let norm = m.power_sweep(Some((0.5, &scale.gradient(&g))), 1.0, &v, &mut p, &mut gram, &mut z)?.read()?;
    judge.require(norm == (9 * rows * cols) as f64, format_args!("{what}: squared norm {norm}"))?;
    let updated = HostMatrix::from_fn(rows, cols, |_, _| 0.5 * 2.0 + 0.25 * 8.0);
    let zeros = |rows, cols| HostMatrix::from_fn(rows, cols, |_, _| 0.0);
    let outputs = [
        ("momentum", &m, updated),
        ("P", &p, zeros(rows, k)),
        ("P^T P", &gram, zeros(k, k)),
        ("Z", &z, zeros(cols, k)),
    ];
    for (output, computed, exact) in outputs {
        let computed = subject.download(computed)?;
        let holds =
            computed.shape() == exact.shape() && computed.data.iter().zip(&exact.data).all(|(a, b)| a == b);
        judge.require(holds, format_args!("{what}: {output} is a sum of nothing"))?;
    }
    Ok(())
}
