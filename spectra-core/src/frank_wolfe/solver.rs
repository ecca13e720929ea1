//! The iteration.

use super::{Objective, Regularizer, RegularizerRule};
use crate::backend::{
    Backend, Coefficient, Element, Error, ErrorKind, Matrix, Result, Scalar, domain, require,
};
use crate::dense::Dense;
use crate::linalg::Workspace;

/// How `gamma` is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StepRule {
    /// `2 / (k + 2)`, k from 0: the gap falls like 1 / k.
    #[default]
    Diminishing,
    /// `2 / (k + 8)`: for stochastic gradients, with [`Averaging::Diminishing`].
    Stochastic,
    /// Always the same, in (0, 1]: an optimizer with constant `lr wd`.
    Constant(f64),
    /// The minimum of `f(X + gamma (V - X)) + (1 - gamma) psi(X) + gamma psi(V)` over [0, 1] by golden-section
    /// search, 40 values of f. Needs [`Objective::value`].
    LineSearch,
}

/// How gradients are averaged: the subproblem sees `M = (1 - rho_k) M + rho_k G`, M starting at the first G.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Averaging {
    /// `rho = 1 - mu` with the momentum mu in [0, 1). 0: not at all.
    Constant(f64),
    /// `rho_k = 4 / (k + 8)^(2/3)`, k from 0, which forgets ever more slowly, so that the error of M vanishes: f comes within `O(k^(-1/3))` of its
    /// minimum in expectation, at any batch size (Mokhtari, Hassani, Karbasi 2020, 1804.09554; the rate of 2603.14315's Theorem 1).
    Diminishing,
}

impl Default for Averaging {
    /// Not at all.
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

impl Averaging {
    /// `1 - rho_k`
    fn kept(self, index: usize) -> f64 {
        match self {
            _ if index == 0 => 0.0,
            Self::Constant(momentum) => momentum,
            Self::Diminishing => 1.0 - 4.0 / libm::cbrt((index as f64 + 8.0) * (index as f64 + 8.0)),
        }
    }
}

/// The solver's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrankWolfe<R = Regularizer> {
    /// D, the radius of the spectral-norm ball; a normal number of the element type.
    pub radius: f64,
    /// psi.
    pub regularizer: R,
    /// gamma.
    pub step: StepRule,
    /// For stochastic gradients; the gap is then an estimate, of the averaged gradient.
    pub averaging: Averaging,
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

impl<R> FrankWolfe<R> {
    /// Steps `2 / (k + 2)`, no momentum, at most 1000 iterations, gap tolerance 1e-6.
    pub const fn new(radius: f64, regularizer: R) -> Self {
        let step = StepRule::Diminishing;
        let averaging = Averaging::Constant(0.0);
        Self { radius, regularizer, step, averaging, max_iterations: 1000, tolerance: 1e-6 }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()>
    where
        R: RegularizerRule<Dense<E>>,
    {
        self.check::<Dense<E>>()
    }

    fn check<B: Backend>(&self) -> Result<()>
    where
        R: RegularizerRule<B>,
    {
        let operation = "frank_wolfe";
        domain::normal::<B::Element>(operation, "radius", self.radius)?;
        self.regularizer.validate(self.radius)?;
        if let StepRule::Constant(step) = self.step {
            require(step > 0.0 && step <= 1.0, operation, "step", step, "in (0, 1]")?;
        }
        if let Averaging::Constant(momentum) = self.averaging {
            domain::memory::<B::Element>(operation, "momentum", momentum)?;
        }
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
    ) -> Result<Outcome>
    where
        R: RegularizerRule<B>,
    {
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
    ) -> Result<Outcome>
    where
        R: RegularizerRule<B>,
    {
        self.check::<B>()?;
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
            // M = (1 - rho) M + rho G
            let kept = self.averaging.kept(index);
            average.scale_add(kept.into(), (1.0 - kept).into(), &gradient)?;
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
                StepRule::Stochastic => 2.0 / (index as f64 + 8.0),
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
