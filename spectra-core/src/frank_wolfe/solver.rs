//! The iteration.

use super::{Objective, Regularizer};
use crate::backend::{
    Backend, Coefficient, Element, Error, ErrorKind, Matrix, Result, Scalar, domain, require,
};
use crate::linalg::Workspace;

/// How `gamma` is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StepRule {
    /// `2 / (k + 2)`, k from 0: the gap falls like 1 / k.
    #[default]
    Diminishing,
    /// Always the same, in (0, 1]: an optimizer with constant `lr wd`.
    Constant(f64),
    /// The minimum of `f(X + gamma (V - X)) + (1 - gamma) psi(X) + gamma psi(V)` over [0, 1] by golden-section
    /// search, 40 values of f. Needs [`Objective::value`].
    LineSearch,
}

/// The solver's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrankWolfe {
    /// D, the radius of the spectral-norm ball; a normal number of the element type.
    pub radius: f64,
    /// psi.
    pub regularizer: Regularizer,
    /// gamma.
    pub step: StepRule,
    /// mu in [0, 1): the subproblem sees `M = mu M + (1 - mu) G`, M starting at the first G. For stochastic
    /// gradients; the gap is then an estimate, of the averaged gradient.
    pub momentum: f64,
    /// At most so many steps; any number.
    pub max_iterations: usize,
    /// Stops when the gap is no larger; >= 0 and finite.
    pub tolerance: f64,
}

/// What an iteration saw, before its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// From 0.
    pub index: usize,
    /// `<M, X - V> + psi(X) - psi(V)`
    pub gap: f64,
    /// `f(X) + psi(X)`, if f offers values.
    pub objective: Option<f64>,
    /// gamma of the step that follows.
    pub step: f64,
}

/// How a minimisation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Steps taken.
    pub iterations: usize,
    /// The gap at the returned point: with exact gradients of a convex f, `f + psi` there is at most this much
    /// above its minimum over the ball.
    pub gap: f64,
    /// Whether the gap reached the tolerance.
    pub converged: bool,
    /// `f + psi` at the returned point, if f offers values.
    pub objective: Option<f64>,
}

impl FrankWolfe {
    /// Steps `2 / (k + 2)`, no momentum, at most 1000 iterations, gap tolerance 1e-6.
    pub const fn new(radius: f64, regularizer: Regularizer) -> Self {
        let step = StepRule::Diminishing;
        Self { radius, regularizer, step, momentum: 0.0, max_iterations: 1000, tolerance: 1e-6 }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.regularizer.validate::<E>(self.radius)?;
        let operation = "frank_wolfe";
        if let StepRule::Constant(step) = self.step {
            require(step > 0.0 && step <= 1.0, operation, "step", step, "in (0, 1]")?;
        }
        domain::memory::<E>(operation, "momentum", self.momentum)?;
        let ok = self.tolerance >= 0.0 && self.tolerance.is_finite();
        require(ok, operation, "tolerance", self.tolerance, ">= 0 and finite")
    }

    /// Minimises from `x`, which should lie in the ball (zero does), and leaves the last point in it. **Waits** for
    /// the device in every iteration.
    ///
    /// # Errors
    /// Settings; those of the objective and of the maps; [`ErrorKind::NonFinite`] if the gap is not a number.
    pub fn minimize<B: Backend>(
        &self,
        objective: &mut impl Objective<B>,
        x: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Outcome> {
        self.minimize_with(objective, x, workspace, |_| {})
    }

    /// [`minimize`](Self::minimize) with a report of every iteration.
    ///
    /// # Errors
    /// As there.
    pub fn minimize_with<B: Backend>(
        &self,
        objective: &mut impl Objective<B>,
        x: &mut B::Matrix,
        workspace: &mut Workspace<B>,
        mut report: impl FnMut(&Iteration),
    ) -> Result<Outcome> {
        self.validate::<B::Element>()?;
        let _scope = workspace.scope();
        let (rows, cols) = x.shape();
        // Not of the pool: an objective may put a handle of its own in its place.
        let mut gradient = workspace.backend().zeros(rows, cols, Some(x))?;
        let mut average = workspace.take_like(x, cols)?;
        let mut v = workspace.take_like(x, cols)?;
        let mut trial = workspace.take_like(x, cols)?;
        let mut outcome = Outcome { iterations: 0, gap: f64::INFINITY, converged: false, objective: None };
        for index in 0..=self.max_iterations {
            objective.gradient(x, &mut gradient)?;
            // M = mu M + (1 - mu) G
            let (keep, take) = if index == 0 { (0.0, 1.0) } else { (self.momentum, 1.0 - self.momentum) };
            average.scale_add(keep.into(), take.into(), &gradient)?;
            self.regularizer.minimizer(&average, self.radius, &mut v, workspace)?;

            let (psi_x, psi_v) =
                (self.regularizer.value(x, workspace)?, self.regularizer.value(&v, workspace)?);
            let gap = average.dot(x)?.read()? - average.dot(&v)?.read()? + psi_x - psi_v;
            if !gap.is_finite() {
                return Err(Error::new("frank_wolfe", ErrorKind::NonFinite { what: "duality gap" }));
            }
            let value = objective.value(x)?;
            outcome.gap = gap;
            outcome.objective = value.map(|f| f + psi_x);
            outcome.converged = gap <= self.tolerance;
            if outcome.converged || index == self.max_iterations {
                break;
            }
            let step = match self.step {
                StepRule::Diminishing => 2.0 / (index as f64 + 2.0),
                StepRule::Constant(step) => step,
                StepRule::LineSearch => line_search::<B>(objective, x, &v, psi_v - psi_x, &mut trial)?,
            };
            report(&Iteration { index, gap, objective: outcome.objective, step });
            x.scale_add((1.0 - step).into(), step.into(), &v)?;
            outcome.iterations = index + 1;
        }
        for matrix in [average, v, trial] {
            workspace.give(matrix);
        }
        Ok(outcome)
    }
}

/// Golden sections: the interval shrinks to 0.618^38 = 1e-8.
const SECTIONS: usize = 38;

/// Minimises `phi(gamma) = f((1 - gamma) X + gamma V) + gamma slope` over [0, 1]; `slope = psi(V) - psi(X)`, by
/// convexity an upper bound of psi's part.
fn line_search<B: Backend>(
    objective: &mut impl Objective<B>,
    x: &B::Matrix,
    v: &B::Matrix,
    slope: f64,
    trial: &mut B::Matrix,
) -> Result<f64> {
    let mut phi = |gamma: f64| -> Result<f64> {
        trial.scale_add(Coefficient::ZERO, (1.0 - gamma).into(), x)?;
        trial.scale_add(Coefficient::ONE, gamma.into(), v)?;
        let what = "line search without values of the objective";
        let value = objective.value(trial)?;
        let value = value.ok_or_else(|| Error::new("frank_wolfe", ErrorKind::Unsupported { what }))?;
        Ok(value + gamma * slope)
    };
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (0.0, 1.0);
    let (mut left, mut right) = (1.0 - GOLDEN, GOLDEN);
    let (mut at_left, mut at_right) = (phi(left)?, phi(right)?);
    for _ in 0..SECTIONS {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = phi(left)?;
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = phi(right)?;
        }
    }
    Ok((low + high) / 2.0)
}
