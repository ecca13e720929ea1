//! An operation changes the matrix it is called on, and nothing that somebody else holds.

use spectra_core::backend::{
    Backend, Coefficient, Element, Entrywise, Fused, Gradient, Matrix, Op, Result as CoreResult,
};
use spectra_core::linalg::{Scratch, SmallFactor, Workspace};

use crate::distance::same_bits;
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Extent of the square matrices: every operation can be called on them.
const N: usize = 9;

/// Every operation that writes: its name, and a call of it on a matrix.
///
/// The other matrices of the call are made by `fresh`.
type Operation<B> = (&'static str, Apply<B>);
type Apply<B> = fn(&mut <B as Backend>::Matrix, &dyn Fn() -> <B as Backend>::Matrix, &B) -> CoreResult<()>;

/// A rule with all of the matrices that a rule can have, and a step of it.
const RULE: Entrywise = Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: Some((0.999, 8.0)) };

fn entrywise_add<B: Backend>(
    matrices: [&mut B::Matrix; 4],
    gradient: &B::Matrix,
    backend: &B,
) -> CoreResult<()> {
    B::entrywise_add(
        matrices,
        (0.5, 2.0),
        RULE,
        &Gradient::new(gradient),
        &mut Workspace::new(backend.clone()),
    )
}

fn operations<B: Backend>() -> Vec<Operation<B>> {
    vec![
        ("write", |target, _, _| target.write(&[B::Element::narrow(3.0); N * N])),
        ("scale_add", |t, fresh, _| t.scale_add(0.5.into(), 2.0.into(), &fresh())),
        ("scale_add over old values", |t, fresh, _| t.scale_add(Coefficient::ZERO, 2.0.into(), &fresh())),
        ("product_add", |t, fresh, _| t.product_add(0.5.into(), 2.0.into(), &fresh(), &fresh())),
        ("quotient_add", |t, fresh, _| t.quotient_add(0.5.into(), 2.0.into(), &fresh(), &fresh(), 1e-8)),
        ("sign_add", |t, fresh, _| t.sign_add(0.5.into(), 2.0.into(), &fresh())),
        ("copy_from", |t, fresh, _| t.copy_from(&fresh())),
        ("gemm", |t, fresh, _| t.gemm(0.5.into(), 2.0.into(), &fresh(), Op::Plain, &fresh(), Op::Transposed)),
        ("gemm over old values", |t, fresh, _| {
            t.gemm(Coefficient::ZERO, 2.0.into(), &fresh(), Op::Plain, &fresh(), Op::Plain)
        }),
        ("gemm_symmetric", |t, fresh, _| {
            let a = fresh();
            t.gemm_symmetric(Coefficient::ZERO, 2.0.into(), &a, Op::Transposed, &a, Op::Plain)
        }),
        ("low_rank_add", |t, fresh, _| t.low_rank_add(0.5.into(), 2.0.into(), &fresh(), &fresh(), &fresh())),
        ("adam_add of the weights", |t, fresh, _| {
            let (mut first, mut second, g) = (fresh(), fresh(), fresh());
            t.adam_add(0.5.into(), 2.0.into(), &mut first, &mut second, &g, (0.9, 0.99), 1e-8)
        }),
        ("adam_add of the first moment", |t, fresh, _| {
            let (mut weights, mut second, g) = (fresh(), fresh(), fresh());
            weights.adam_add(0.5.into(), 2.0.into(), t, &mut second, &g, (0.9, 0.99), 1e-8)
        }),
        ("adam_add of the second moment", |t, fresh, _| {
            let (mut weights, mut first, g) = (fresh(), fresh(), fresh());
            weights.adam_add(0.5.into(), 2.0.into(), &mut first, t, &g, (0.9, 0.99), 1e-8)
        }),
        ("entrywise_add of the weights", |t, fresh, backend| {
            entrywise_add([t, &mut fresh(), &mut fresh(), &mut fresh()], &fresh(), backend)
        }),
        ("entrywise_add of the first moment", |t, fresh, backend| {
            entrywise_add([&mut fresh(), t, &mut fresh(), &mut fresh()], &fresh(), backend)
        }),
        ("entrywise_add of the second moment", |t, fresh, backend| {
            entrywise_add([&mut fresh(), &mut fresh(), t, &mut fresh()], &fresh(), backend)
        }),
        ("entrywise_add of the slow momentum", |t, fresh, backend| {
            entrywise_add([&mut fresh(), &mut fresh(), &mut fresh(), t], &fresh(), backend)
        }),
        ("power_sweep of the momentum", |t, fresh, _| {
            let (g, v, mut p, mut gram, mut z) = (fresh(), fresh(), fresh(), fresh(), fresh());
            t.power_sweep(Some((0.5, &Gradient::new(&g))), 1.0, &v, &mut p, &mut gram, &mut z).map(drop)
        }),
        ("power_sweep of P", |t, fresh, _| {
            let (mut m, v, mut gram, mut z) = (fresh(), fresh(), fresh(), fresh());
            m.power_sweep(None, 1.0, &v, t, &mut gram, &mut z).map(drop)
        }),
        ("power_sweep of the Gram matrix", |t, fresh, _| {
            let (mut m, v, mut p, mut z) = (fresh(), fresh(), fresh(), fresh());
            m.power_sweep(None, 1.0, &v, &mut p, t, &mut z).map(drop)
        }),
        ("power_sweep of Z", |t, fresh, _| {
            let (mut m, v, mut p, mut gram) = (fresh(), fresh(), fresh(), fresh());
            m.power_sweep(None, 1.0, &v, &mut p, &mut gram, t).map(drop)
        }),
        ("small_factor", |t, fresh, _| {
            t.small_factor(SmallFactor::ColumnNormalizer, &fresh(), &mut Scratch::new()).map(drop)
        }),
        ("gram_schmidt", |t, _, _| t.gram_schmidt(&mut Scratch::new())),
        ("seed_zero_columns", |t, _, _| t.seed_zero_columns(7, &mut Scratch::new())),
    ]
}

/// After `copy_from`, copy and original live apart.
///
/// Finds: a copy that is the same storage.
pub fn copies_are_independent<B: Backend>(subject: &Subject<B>) -> Outcome {
    independent(subject, |original| {
        let mut copy = subject.backend().zeros(N, N, None)?;
        copy.copy_from(original)?;
        Ok(copy)
    })
}

/// An operation on one handle to a matrix leaves the other handle's values alone, whichever of the two it is called on.
///
/// Finds: in-place writes to storage that a user's clone shares. Needs a subject with
/// [`second handles`](Subject::with_second_handle).
pub fn second_handles_are_untouched<B: Backend>(subject: &Subject<B>) -> Outcome {
    match subject.second_handle() {
        Some(second_handle) => independent(subject, |original| Ok(second_handle(original))),
        None => {
            let reason = "no second handle to a matrix was given: whether operations change what another handle sees is unknown. \
                Give `second_handle = ...`; if users have no way to hold a matrix twice, skip = [second_handles_are_untouched]";
            Err(Failure::Suite { reason: reason.to_owned() })
        }
    }
}

fn independent<B: Backend>(
    subject: &Subject<B>,
    second: impl Fn(&B::Matrix) -> Result<B::Matrix, Failure>,
) -> Outcome {
    let mut judge = Judge::new();
    // One zero column, for the operation that fills it.
    let mut values =
        subject.random("shared", N, N).map(|entry| entry.abs() + 0.25).rounded(subject.precision());
    values.data.iter_mut().skip(2).step_by(N).for_each(|entry| *entry = 0.0);
    let operand = subject.random("operand", N, N).map(|entry| entry.abs() + 0.5);
    for (name, apply) in operations::<B>() {
        for write_to_original in [true, false] {
            let mut original = subject.upload(&values)?;
            let mut other = second(&original)?;
            let (written, kept) =
                if write_to_original { (&mut original, &other) } else { (&mut other, &original) };
            // Operands that cannot be made are the backend's failure, reported by the upload before the call.
            drop(subject.upload(&operand)?);
            let fresh = || subject.upload(&operand).expect("the same upload has just succeeded");
            apply(written, &fresh, subject.backend())?;
            let side = if write_to_original { "original" } else { "other handle" };
            let unchanged = same_bits(&subject.download(kept)?, &values);
            judge.require(unchanged, format_args!("{name} on the {side} leaves the rest untouched"))?;
            let changed = !same_bits(&subject.download(written)?, &values);
            judge.require(changed, format_args!("{name} on the {side} has an effect"))?;
        }
    }
    judge.finish()
}
