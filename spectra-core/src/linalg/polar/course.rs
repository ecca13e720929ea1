//! Which polynomials come next, and how many of them at a time.

use super::{GramForm, Polar};
use crate::backend::{Backend, Result};
use crate::linalg::{Info, OddPolynomial, Polynomials, Steps, Workspace, segment};

/// Below this fraction of the upper end singular values are left to a later stage.
const DECADE: f64 = 0.1;

/// Brings `[0.1, 1]` to within 0.07, and what is below a decade up.
const STAGE: usize = 2;

/// The plan of one run.
#[derive(Debug)]
pub(super) struct Course {
    polar: Polar,
    /// Of this stage.
    rest: Polynomials,
    /// Into so many segments they fall: counted once, for each costs a recursion of every step.
    segments: usize,
    /// Whether the residual is looked at when they are used up, and where the values promised will then be.
    measured: Option<(f64, f64)>,
    steps: usize,
    covered_from: f64,
    /// Steps on one Gram matrix: one, two, or by the bits of the products.
    length: Length,
    eps: f64,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Fixed(usize),
    /// Errors at most this.
    Within(f64),
}

/// Nothing comes closer than products are rounded.
fn attainable(tolerance: f64, eps: f64) -> f64 {
    tolerance.max(eps)
}

impl Course {
    pub(super) fn new<B: Backend>(
        polar: &Polar,
        (m, n): (usize, usize),
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        let eps = workspace.backend().product_epsilon();
        let (steps, error) = polar.steps.count(polar.schedule, polar.lower)?;
        let wanted = match polar.steps {
            Steps::Auto { tolerance } => tolerance,
            Steps::Measured { tolerance } => attainable(tolerance, eps),
            Steps::Fixed(_) | Steps::Exact => error,
        };
        let elongated = m.max(n) >= 2 * m.min(n);
        let length = match polar.gram {
            GramForm::Auto if elongated => Length::Fixed(2),
            GramForm::Longest if elongated => Length::Within(0.1 * wanted),
            GramForm::Always => Length::Fixed(2),
            GramForm::Never | GramForm::Auto | GramForm::Longest => Length::Fixed(1),
        };
        let interval = (polar.lower.max(1e-30), 1.0);
        let rest = match polar.steps {
            Steps::Fixed(_) | Steps::Exact => polar.schedule.on(interval, steps, eps),
            Steps::Auto { .. } | Steps::Measured { .. } => polar.schedule.reaching(interval, wanted, eps),
        };
        let (polar, covered_from) = (*polar, polar.lower);
        let mut course =
            Self { polar, rest, segments: 0, measured: None, steps: 0, covered_from, length, eps };
        if matches!(polar.steps, Steps::Measured { .. }) && polar.lower < DECADE && workspace.tells_norms()? {
            course.stage(interval);
        } else {
            course.count();
        }
        Ok(course)
    }

    /// Two steps for the upper decade of the interval, then a look.
    fn stage(&mut self, (lower, upper): (f64, f64)) {
        self.rest = self.polar.schedule.on((DECADE * upper, upper), STAGE, self.eps);
        // Below the decade the polynomials increase.
        let mut polynomials = self.rest.clone();
        let small = polynomials.by_ref().fold(lower, |x, p| p.at(x));
        let (low, high) = polynomials.interval();
        self.measured = Some((small.min(low), high));
        self.count();
    }

    /// Whether no step is left, and nothing to learn.
    pub(super) fn is_over(&self) -> bool {
        self.rest.left() == 0 && self.measured.is_none()
    }

    /// Whether the residual is to be [learned](Self::learn) before the next step.
    pub(super) fn measures(&self) -> bool {
        self.rest.left() == 0 && self.measured.is_some()
    }

    /// An upper bound of `||I - X X^T||`, NaN if there is none: plans what follows; `false` if nothing does.
    pub(super) fn learn(&mut self, residual: f64) -> bool {
        let (Steps::Measured { tolerance }, Some((lower, upper))) = (self.polar.steps, self.measured.take())
        else {
            return true;
        };
        let proven = residual < 1.0;
        // The upper end holds of all values in any case.
        let interval = match proven {
            true => (libm::sqrt(1.0 - residual), libm::sqrt(1.0 + residual).min(upper)),
            false => (lower, upper),
        };
        if proven {
            self.covered_from = 0.0;
        }
        if interval.0 >= DECADE * interval.1 {
            self.rest = self.polar.schedule.reaching(interval, attainable(tolerance, self.eps), self.eps);
            self.count();
        } else {
            self.stage(interval);
        }
        self.rest.left() > 0
    }

    fn count(&mut self) {
        let mut rest = self.rest.clone();
        self.segments = 0;
        while rest.left() > 0 {
            let length = self.length(&rest);
            rest.by_ref().take(length).for_each(drop);
            self.segments += 1;
        }
    }

    /// How many segments are left, as far as is known.
    pub(super) fn segments(&self) -> usize {
        self.segments
    }

    /// Whether all ends with the next segment.
    pub(super) fn ends_next(&self) -> bool {
        self.measured.is_none() && self.segments == 1
    }

    fn length(&self, rest: &Polynomials) -> usize {
        match self.length {
            Length::Fixed(length) => length,
            Length::Within(limit) => segment(rest, self.eps, limit),
        }
    }

    /// The steps that go on the Gram matrix at hand.
    pub(super) fn segment(&mut self) -> impl Iterator<Item = OddPolynomial> {
        let length = self.length(&self.rest).min(self.rest.left());
        self.steps += length;
        self.segments = self.segments.saturating_sub(1);
        self.rest.by_ref().take(length)
    }

    /// What was done; products are the caller's.
    pub(super) fn info(&self) -> Info {
        let covered_from = Some(self.covered_from);
        Info { steps: self.steps, accuracy: Some(self.rest.error()), covered_from, ..Info::default() }
    }
}
