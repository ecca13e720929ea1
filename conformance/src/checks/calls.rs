//! The same call gives the same result, however often and whatever came before.

use spectra_core::backend::Backend;
use spectra_core::dense::Dense;
use spectra_core::linalg::uniform;

use super::bench::{Bench, SMALL, calls};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// More calls of each operation than a period or a queue is likely to be long; no multiple of anything.
const CALLS: u64 = 5503;

/// Contents and coefficients that the calls take turns with.
const VARIANTS: u64 = 30;

/// Every operation, called some thousand times in the same memory with contents and coefficients that change from call to call in
/// no period: each call must give what the first of its kind gave, in memory of its own.
///
/// Finds: a result that changes on the n-th call; coefficients, scalars or operands of an earlier call that are kept (a recorded
/// launch, a packed operand, a cached norm); a temporary that is not cleared; an order of summation that is no constant.
pub fn repeated_calls<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let reference = Subject::new(Dense::<B::Element>::new());
    for ((name, call), (_, on_reference)) in calls::<B>().into_iter().zip(calls()) {
        // All are kept until the end: no memory is used again.
        let mut benches = Vec::new();
        let mut firsts = Vec::new();
        for variant in 0..VARIANTS {
            let mut bench = Bench::new(subject.clone(), SMALL);
            firsts.push(call(&mut bench, variant)?);
            benches.push(bench);
            let expected = on_reference(&mut Bench::new(reference.clone(), SMALL), variant)?;
            resembles(
                &mut judge,
                subject,
                &format!("{name}, variant {variant}"),
                &firsts[variant as usize],
                &expected,
            )?;
        }
        let mut bench = Bench::new(subject.clone(), SMALL);
        for index in 0..CALLS {
            let turn = uniform(index, 0, 0) + 1.0;
            let variant = (turn / 2.0 * VARIANTS as f64) as u64;
            let computed = call(&mut bench, variant)?;
            let holds = same(&computed, &firsts[variant as usize]);
            judge.require(
                holds,
                format_args!("{name}: call {index}, of variant {variant}, gives what the first gave"),
            )?;
        }
    }
    judge.finish()
}

/// The portable backend's result, up to half of the digits: how exact it is other checks say.
fn resembles<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    computed: &[f64],
    expected: &[f64],
) -> Result<(), Failure> {
    judge.require(computed.len() == expected.len(), format_args!("{what}: the number of results"))?;
    let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let allowed = subject.precision().unit_roundoff().sqrt() * largest;
    let holds = computed.iter().zip(expected).all(|(a, b)| a == b || (a - b).abs() <= allowed);
    judge.require(holds, format_args!("{what}: as on the portable backend"))
}

/// Bit by bit.
pub(super) fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
