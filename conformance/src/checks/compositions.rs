//! What must hold of the peers that are compositions, whatever the numbers.

use spectra_core::backend::Backend;
use spectra_core::directions::{Direction, Lion, Momentum};
use spectra_core::linalg::Polar;
use spectra_core::maps::{SecondMoment, SpectralMap};
use spectra_core::optimizer::ParameterState;
use spectra_core::rules::{Recipe, UpdateRule};
use spectra_core::scales::StepScale;
use spectra_core::state::MOMENTUM;

use super::peers::{LR, SHAPES, weights_of};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, tolerance};

const STEPS: usize = 4;

fn gradients<B: Backend>(subject: &Subject<B>, (m, n): (usize, usize), size: f64) -> Vec<HostMatrix> {
    let gradient = |step| subject.random(&format!("gradient {step}"), m, n).map(|x| size * x);
    (0..STEPS).map(gradient).collect()
}

/// What each step subtracts at learning rate 1.
fn updates<B: Backend, R: UpdateRule<B>>(
    subject: &Subject<B>,
    rule: R,
    gradients: &[HostMatrix],
) -> Result<Vec<HostMatrix>, Failure> {
    let mut state = ParameterState::<B, R>::new(rule)?;
    let weights = weights_of(subject, &mut state, gradients)?;
    let mut before = HostMatrix::zeros(gradients[0].rows, gradients[0].cols);
    let update = |after: HostMatrix| {
        let update = before.zip(&after, |before, after| (before - after) / LR);
        before = after;
        update
    };
    Ok(weights.into_iter().map(update).collect())
}

/// NorMuon's second moment, of whichever slices, keeps the Frobenius norm that the polar factor had.
///
/// Finds: a norm that is not kept, one of another step, a guard that weighs.
pub fn second_moment_keeps_the_norm<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    keeps_the_norm(&mut judge, subject, |moment| moment)?;
    judge.finish()
}

fn keeps_the_norm<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    change: impl Fn(SecondMoment) -> SecondMoment,
) -> Result<(), Failure> {
    let entries = SecondMoment { norm: SecondMoment::NORMUON.norm, ..SecondMoment::ADAMUON };
    for (m, n) in SHAPES {
        judge.at(m, n);
        let gradients = gradients(subject, (m, n), 1.0);
        let recipe = |map| Recipe {
            direction: Direction::Momentum(Momentum::muon(0.95)),
            map,
            scale: StepScale::One,
            weight_decay: 0.0,
            ..Recipe::adamw()
        };
        let muon = updates(subject, recipe(SpectralMap::Orthogonalize(Polar::MUON)), &gradients)?;
        for moment in
            [SecondMoment::NORMUON, SecondMoment::NORMUON_DION, SecondMoment::NORMUON_MODDED, entries]
        {
            let map = SpectralMap::Normalized { polar: Polar::MUON, moment: change(moment) };
            let normalized = updates(subject, recipe(map), &gradients)?;
            for (step, (u, y)) in muon.iter().zip(&normalized).enumerate() {
                // Four norms, six roundings of each entry, the difference of weights that have moved up to STEPS updates; and
                // norms of at least 1 beside guards of at most 1e-8.
                let tolerance = 4.0 * tolerance::norm(subject.precision(), m * n)
                    + tolerance::elementwise(subject.precision(), 6 + 4 * STEPS)
                    + 1e-8;
                let error = (y.frobenius_norm() / u.frobenius_norm() - 1.0).abs();
                judge.compare(format_args!("{m} x {n}, {moment:?}, step {step}"), error, tolerance)?;
            }
        }
    }
    Ok(())
}

/// Lion on gradients a power of two as large: the same weights, and a momentum as much larger, bit by bit.
///
/// Finds: a step that knows the size of the gradient, an eps in the sign.
pub fn lion_under_scaling<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    scales(&mut judge, subject, Direction::Lion(Lion::PAPER))?;
    judge.finish()
}

fn scales<B: Backend>(judge: &mut Judge, subject: &Subject<B>, direction: Direction) -> Result<(), Failure> {
    const SIZE: f64 = 1024.0;
    for (m, n) in SHAPES {
        judge.at(m, n);
        let run = |size| {
            let mut state = ParameterState::<B, _>::new(Recipe { direction, ..Recipe::adamw() })?;
            let weights = weights_of(subject, &mut state, &gradients(subject, (m, n), size))?;
            Ok::<_, Failure>((weights, subject.download(state.state().named(MOMENTUM)?)?))
        };
        let ((small, momentum), (large, larger)) = (run(1.0)?, run(SIZE)?);
        judge.require(small == large, format_args!("{m} x {n}: the same weights"))?;
        let momentum = momentum.map(|x| SIZE * x);
        judge.require(momentum == larger, format_args!("{m} x {n}: a momentum {SIZE} times as large"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectra_core::dense::Dense;
    use spectra_core::directions::Adam;
    use spectra_core::maps::Guard;

    #[test]
    fn a_norm_that_is_not_kept_is_found() {
        let subject = Subject::new(Dense::<f64>::new());
        keeps_the_norm(&mut Judge::new(), &subject, |moment| moment).unwrap();
        for norm in [None, Some(Guard::Added { eps: 1e-3 })] {
            let outcome =
                keeps_the_norm(&mut Judge::new(), &subject, |moment| SecondMoment { norm, ..moment });
            assert!(matches!(outcome, Err(Failure::Inexact { .. })), "{outcome:?}");
        }
    }

    #[test]
    fn a_step_that_knows_the_size_is_found() {
        let subject = Subject::new(Dense::<f64>::new());
        scales(&mut Judge::new(), &subject, Direction::Lion(Lion::PAPER)).unwrap();
        // Momentum itself, and Adam's quotient with an eps beside it.
        for direction in
            [Direction::Momentum(Momentum::polyak(0.9)), Direction::Adam(Adam { eps: 1e-3, ..Adam::PYTORCH })]
        {
            let outcome = scales(&mut Judge::new(), &subject, direction);
            assert!(matches!(outcome, Err(Failure::Rule { .. })), "{outcome:?}");
        }
    }
}
