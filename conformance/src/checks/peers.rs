//! What must hold of the rules that are no composition, whatever the numbers.

use spectra_core::backend::{Backend, Gradient};
use spectra_core::directions::{Adam, Direction};
use spectra_core::optimizer::{ParameterState, Rates};
use spectra_core::rules::{Dion, DionRank, DionSide, Recipe, Shampoo, Soap, UpdateRule};
use spectra_core::state::MOMENTUM;

use crate::distance::relative_distance;
use crate::oracle::{Svd, product_nt, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, tolerance};

pub(super) const SHAPES: [(usize, usize); 3] = [(9, 14), (13, 8), (10, 10)];
pub(super) const LR: f64 = 0.1;

/// Takes one step per gradient from weights of zero; the weights after each.
pub(super) fn weights_of<B: Backend, R: UpdateRule<B>>(
    subject: &Subject<B>,
    state: &mut ParameterState<B, R>,
    gradients: &[HostMatrix],
) -> Result<Vec<HostMatrix>, Failure> {
    let workspace = &mut subject.workspace();
    let (m, n) = gradients[0].shape();
    let mut weights = subject.upload(&HostMatrix::zeros(m, n))?;
    let step = |gradient: &HostMatrix| {
        let gradient = subject.upload(gradient)?;
        state.step(&mut weights, &Gradient::new(&gradient), Rates::new(LR), workspace)?;
        subject.download(&weights)
    };
    gradients.iter().map(step).collect()
}

/// Dion's feedback: what the update captured, `K = P R^T` with `M - M' = (1 - mu) K`, has rank r, and what is left, `M - K`, has nothing in
/// the span of P.
///
/// Finds: a momentum damped as a whole, R from another momentum than P.
pub fn dion_feedback<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for side in [DionSide::Right, DionSide::Left] {
        feedback(&mut judge, subject, side, |dion| dion)?;
    }
    judge.finish()
}

fn feedback<B: Backend, R: UpdateRule<B>>(
    judge: &mut Judge,
    subject: &Subject<B>,
    side: DionSide,
    rule: impl Fn(Dion) -> R,
) -> Result<(), Failure> {
    let dion = Dion { mu: 0.5, rank: DionRank::Columns(3), side, weight_decay: 0.0, ..Dion::SIMPLE };
    for (m, n) in SHAPES {
        judge.at(m, n);
        let gradient = subject.random("gradient", m, n);
        let mut state = ParameterState::<B, R>::new(rule(dion))?;
        weights_of(subject, &mut state, std::slice::from_ref(&gradient))?;
        let left = subject.download(state.state().named(MOMENTUM)?)?;
        // The first momentum is the gradient.
        let captured = gradient.zip(&left, |m, left| (m - left) / (1.0 - dion.mu));
        let remainder = gradient.zip(&captured, |m, k| m - k);
        // Two products and an orthonormal basis, and the difference of two momenta doubles the error.
        let tolerance = 4.0 * tolerance::product(subject.precision(), m + n)
            + 2.0 * tolerance::orthonormality(subject.precision(), (m.max(n), 3));
        let size = gradient.frobenius_norm();
        let sigma = Svd::of(&captured)?.sigma;
        judge.compare(format_args!("{m} x {n}: rank of what is captured"), sigma[3] / size, tolerance)?;
        let inner = match side {
            DionSide::Left => product_nt(&captured, &remainder),
            _ => product_tn(&captured, &remainder),
        };
        let error = inner.frobenius_norm() / (size * size);
        judge.compare(format_args!("{m} x {n}: what is left is orthogonal"), error, tolerance)?;
        judge.require(sigma[2] > 0.01 * size, format_args!("{m} x {n}: something is captured"))?;
    }
    Ok(())
}

/// SOAP with bases that are the identity is Adam, whose first gradient it does not see, with eps before the bias correction: where
/// that is small, Adam.
///
/// Finds: a bias correction by another count, a moment that sees the first gradient, a rotation on the wrong side.
pub fn soap_in_the_identity_basis<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    identity_basis(&mut judge, subject, |soap| soap)?;
    judge.finish()
}

fn identity_basis<B: Backend, R: UpdateRule<B>>(
    judge: &mut Judge,
    subject: &Subject<B>,
    rule: impl Fn(Soap) -> R,
) -> Result<(), Failure> {
    const STEPS: usize = 5;
    let (beta1, beta2, eps) = (0.9, 0.8, 1e-15);
    let soap = Soap { beta1, beta2, eps, every: 1000, weight_decay: 0.0, ..Soap::PAPER };
    let adam = Recipe {
        direction: Direction::Adam(Adam { beta1, beta2, eps }),
        weight_decay: 0.0,
        ..Recipe::adamw()
    };
    for (m, n) in SHAPES {
        judge.at(m, n);
        // None is near zero, whose root eps would see.
        let gradient =
            |t| subject.random(&format!("gradient {t}"), m, n).map(|x| x.signum() * (0.5 + x.abs()));
        let gradients: Vec<_> = (0..=STEPS).map(|t| gradient(t).rounded(subject.precision())).collect();
        let mut state = ParameterState::<B, R>::new(rule(soap))?;
        let first = weights_of(subject, &mut state, &gradients[..1])?;
        judge.require(
            first[0].max_abs() == 0.0,
            format_args!("{m} x {n}: the first call changes no weight"),
        )?;
        for (buffer, k) in [("left_basis", m), ("right_basis", n)] {
            state.block.state.put(buffer, subject.upload(&HostMatrix::identity(k))?);
        }
        let ours = weights_of(subject, &mut state, &gradients[1..])?;
        let theirs = weights_of(subject, &mut ParameterState::<B, Recipe>::new(adam)?, &gradients[1..])?;
        // Products with the identity are exact; the recursions round alike, once more for each step that is summed. eps is below 1e-14
        // of any root.
        let tolerance = 2.0 * tolerance::recursion(subject.precision(), STEPS) + 1e-14;
        for (t, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let error = relative_distance(ours, theirs, theirs.frobenius_norm());
            judge.compare(format_args!("{m} x {n}: step {}", t + 1), error, tolerance)?;
        }
    }
    Ok(())
}

/// Shampoo of gradients `s_t u v^T` that differ in size only: `s_t / sqrt(sum s^2 + eps) u v^T`, at the first step the polar factor.
///
/// Finds: another exponent, a ridge at another place, averages for sums.
pub fn shampoo_of_rank_one<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    rank_one(&mut judge, subject, |shampoo| shampoo)?;
    judge.finish()
}

fn rank_one<B: Backend, R: UpdateRule<B>>(
    judge: &mut Judge,
    subject: &Subject<B>,
    rule: impl Fn(Shampoo) -> R,
) -> Result<(), Failure> {
    let shampoo = Shampoo { eps: 1e-4, ..Shampoo::FULL };
    for (m, n) in SHAPES {
        judge.at(m, n);
        let unit = |name, k| {
            let x = subject.random(name, k, 1);
            x.map(|entry| entry / x.frobenius_norm())
        };
        let polar = product_nt(&unit("left", m), &unit("right", n));
        let gradients: Vec<_> =
            [1.0, 0.5, 2.0].map(|s| polar.map(|x| s * x).rounded(subject.precision())).to_vec();
        let mut state = ParameterState::<B, R>::new(rule(shampoo))?;
        let weights = weights_of(subject, &mut state, &gradients)?;
        let (mut sum, mut total) = (0.0, 0.0);
        for (t, (weights, s)) in weights.iter().zip([1.0, 0.5, 2.0]).enumerate() {
            sum += s * s;
            total += LR * s / f64::sqrt(sum + shampoo.eps);
            let exact = polar.map(|x| -total * x);
            // What rounding leaves outside of the range of a Gram matrix grows by (sum / eps)^(1/4) a side.
            let growth = (sum / shampoo.eps).sqrt();
            let tolerance = growth * tolerance::orthonormality(subject.precision(), (m.max(n), m.max(n)));
            let error = relative_distance(weights, &exact, total);
            judge.compare(format_args!("{m} x {n}: step {}", t + 1), error, tolerance)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectra_core::backend::{Coefficient, Matrix, Result};
    use spectra_core::dense::{Dense, DenseMatrix};
    use spectra_core::linalg::Workspace;
    use spectra_core::rules::{StepInfo, StepRates};
    use spectra_core::state::{BufferSpec, State};

    type D = Dense<f64>;

    /// A rule with a defect, which turns rates before the step and the state after it into others.
    #[derive(Debug, Clone)]
    struct Mutant<R> {
        rule: R,
        rates: fn(StepRates) -> StepRates,
        after: fn(&DenseMatrix<f64>, &mut State<DenseMatrix<f64>>) -> Result<()>,
    }

    impl<R> Mutant<R> {
        fn sound(rule: R) -> Self {
            Self { rule, rates: |rates| rates, after: |_, _| Ok(()) }
        }
    }

    impl<R: UpdateRule<D>> UpdateRule<D> for Mutant<R> {
        fn signature(&self) -> String {
            self.rule.signature()
        }
        fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
            self.rule.buffers(shape)
        }
        fn step(
            &self,
            weights: &mut DenseMatrix<f64>,
            gradient: &Gradient<'_, DenseMatrix<f64>>,
            state: &mut State<DenseMatrix<f64>>,
            rates: &StepRates,
            workspace: &mut Workspace<D>,
        ) -> Result<StepInfo<f64>> {
            let info = self.rule.step(weights, gradient, state, &(self.rates)(*rates), workspace)?;
            (self.after)(gradient.values, state)?;
            Ok(info)
        }
    }

    fn is_found(outcome: std::result::Result<(), Failure>) {
        assert!(matches!(outcome, Err(Failure::Inexact { .. })), "{outcome:?}");
    }

    #[test]
    fn dion_damps_what_it_captured_only() {
        let (subject, side) = (Subject::new(D::new()), DionSide::Right);
        feedback(&mut Judge::new(), &subject, side, Mutant::sound).unwrap();
        is_found(feedback(&mut Judge::new(), &subject, side, |dion| Mutant {
            // M' = mu M.
            after: |g, state| {
                let [m] = state.all_mut([MOMENTUM])?;
                m.scale_add(Coefficient::ZERO, 0.5.into(), g)
            },
            ..Mutant::sound(dion)
        }));
        is_found(feedback(&mut Judge::new(), &subject, side, |dion| Mutant {
            // The remainder is damped a little, too.
            after: |_, state| {
                let [m] = state.all_mut([MOMENTUM])?;
                let zero = m.clone();
                m.scale_add(0.999.into(), Coefficient::ZERO, &zero)
            },
            ..Mutant::sound(dion)
        }));
    }

    #[test]
    fn soap_counts_from_its_second_call() {
        let subject = Subject::new(D::new());
        identity_basis(&mut Judge::new(), &subject, Mutant::sound).unwrap();
        is_found(identity_basis(&mut Judge::new(), &subject, |soap| Mutant {
            // The first call counts; it still changes nothing.
            rates: |rates| StepRates { step: rates.step + u64::from(rates.step > 0), ..rates },
            ..Mutant::sound(soap)
        }));
        // The first gradient in the moments.
        is_found(identity_basis(&mut Judge::new(), &subject, |soap| Mutant {
            after: |g, state| match state.get("left_basis") {
                Some(_) if state.named(MOMENTUM)?.values().iter().all(|x| *x == 0.0) => {
                    let [m] = state.all_mut([MOMENTUM])?;
                    m.scale_add(Coefficient::ZERO, 0.1.into(), g)
                }
                _ => Ok(()),
            },
            ..Mutant::sound(soap)
        }));
    }

    #[test]
    fn shampoo_has_a_quarter_a_side() {
        let subject = Subject::new(D::new());
        rank_one(&mut Judge::new(), &subject, Mutant::sound).unwrap();
        for defect in [
            |shampoo| Shampoo { exponent: Some(0.5), ..shampoo },
            |shampoo| Shampoo { beta2: 0.9, ..shampoo },
            |shampoo| Shampoo { every: 2, ..shampoo },
        ] {
            is_found(rank_one(&mut Judge::new(), &subject, defect));
        }
    }
}
