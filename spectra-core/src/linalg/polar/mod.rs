//! The polar factor `U V^T` of `X = U diag(sigma) V^T` by matrix products.

mod course;
mod normalize;
mod short_side;

pub use normalize::Normalization;
pub(crate) use normalize::{Stretch, coefficients};

use super::{Info, Schedule, Steps, Workspace};
use crate::backend::{Backend, Element, Matrix, Result, check_same, require};
use course::Course;
use short_side::OnShortSide;

/// Whether the steps work on `X X^T` alone and apply their product to X now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum GramForm {
    /// Two steps at a time, where that saves products: the long side at least twice the short one.
    #[default]
    Auto,
    /// As `Auto`, with as many steps at a time as keep the rounding errors of the [products](crate::backend::Backend::product_epsilon) below a
    /// tenth of what the polynomials leave: in `f32` the four of [`Polar::GRAM`] at once, in 16 bits two by two.
    Longest,
    /// Never.
    Never,
    /// Two steps at a time, always.
    Always,
}

/// The iteration `X <- X (a + b X^T X + c (X^T X)^2)`, on the short side.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Polar {
    /// The polynomials.
    pub schedule: Schedule,
    /// How many.
    pub steps: Steps,
    /// Singular values below `lower` times the divisor of the [`normalization`](Self::normalization) are not
    /// promised to have arrived; in (0, 1].
    pub lower: f64,
    /// The first division.
    pub normalization: Normalization,
    /// See there.
    pub gram: GramForm,
}

impl Polar {
    /// Muon as published: five quintic steps, `X / (||X||_F + 1e-7)`.
    pub const MUON: Self = Self {
        schedule: Schedule::Muon,
        steps: Steps::Fixed(5),
        lower: 1e-3,
        normalization: Normalization::Added { factor: 1.0, eps: 1e-7 },
        gram: GramForm::Auto,
    };

    /// Muon as `torch.optim.Muon` has it: `X / max(||X||_F, 1e-7)`.
    pub const MUON_TORCH: Self = Self { normalization: Normalization::Clamped { eps: 1e-7 }, ..Self::MUON };

    /// Polar Express as published: five steps for `[1e-3, 1]`, `X / (1.02 ||X||_F + 1e-6)`.
    pub const POLAR_EXPRESS: Self = Self {
        schedule: Schedule::POLAR_EXPRESS,
        normalization: Normalization::Added { factor: 1.02, eps: 1e-6 },
        ..Self::MUON
    };

    /// Four minimax steps for `[5e-3, 1]`, stretched by 1.02 as the published ones are, after the division by the
    /// [Gram bound](Normalization::Gram): to within 0.1. Polar Express comes to within 0.14 in five, from a thousandth of the Frobenius norm.
    pub const GRAM: Self = Self {
        schedule: Schedule::POLAR_EXPRESS,
        steps: Steps::Fixed(4),
        lower: 5e-3,
        normalization: Normalization::Gram,
        gram: GramForm::Longest,
    };

    /// To rounding error: as many minimax steps as the element type can make use of.
    pub const EXACT: Self = Self {
        schedule: Schedule::Minimax,
        steps: Steps::Exact,
        lower: 1e-3,
        normalization: Normalization::Frobenius,
        gram: GramForm::Never,
    };

    /// To within `error`, in (0, 1), or what the precision of products allows, in the fewest minimax steps that the singular values at hand need.
    ///
    /// Divided by the [Gram bound](Normalization::Gram), singular values in [0.1, 1] are brought near 1 in two steps, which take smaller ones
    /// a decade up. The residual `E = I - X X^T` of what was reached, whose two products the next step needs anyway, bounds the distance of all
    /// singular values by `||E||_2 <= min(||E||_F, ||E^2||_F^(1/2))`. Where that is below 1, no singular value is left behind: the rest is
    /// planned for the interval so proven, and [`Info::covered_from`] is 0. Otherwise come two steps more, until
    /// [`lower`](Self::lower), 1e-3 unless set, is reached from below; then `covered_from` is `lower`: all singular values from `lower` times the divisor on
    /// have arrived, and nothing is promised of smaller ones. A matrix of lower rank ends so, its zeros being still small, or noise.
    /// At most one step more than if the smallest singular value, or 0.1 where it is larger, had been known.
    ///
    /// On a device whose norms the host does not know nothing is measured: the steps are those for `[lower, 1]`.
    pub const fn to(error: f64) -> Self {
        Self {
            schedule: Schedule::Minimax,
            steps: Steps::Measured { tolerance: error },
            lower: 1e-3,
            normalization: Normalization::Gram,
            gram: GramForm::Longest,
        }
    }

    /// [`EXACT`](Self::EXACT), spelled out for this element type.
    pub fn exact<E: Element>() -> Self {
        Self::EXACT.spelled_out::<E>()
    }

    /// With the steps of [`Steps::Exact`] as those to a tolerance.
    fn spelled_out<E: Element>(&self) -> Self {
        match self.steps {
            // Noise of size eps in the null space of a rank-deficient matrix is driven to 1 as well.
            Steps::Exact => {
                Self { steps: Steps::Auto { tolerance: E::EPSILON }, lower: E::EPSILON / 64.0, ..*self }
            }
            Steps::Fixed(_) | Steps::Auto { .. } | Steps::Measured { .. } => *self,
        }
    }

    /// [`exact`](Self::exact), down to what rounding makes of zero singular values of an m x n matrix of lower rank: its
    /// entries carry `eps ||X||_F / sqrt(mn)`. For maps that need a null space to be treated as all or nothing.
    pub(crate) fn exact_with_noise<E: Element>((m, n): (usize, usize)) -> Self {
        let exact = Self::exact::<E>();
        Self { lower: exact.lower / m.max(n).max(1) as f64, ..exact }
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        require(self.lower > 0.0 && self.lower <= 1.0, "polar", "lower", self.lower, "in (0, 1]")?;
        self.schedule.validate("polar")?;
        self.steps.validate("polar")?;
        if let (Steps::Measured { tolerance }, false) = (self.steps, self.schedule == Schedule::Minimax) {
            require(
                false,
                "polar",
                "tolerance",
                tolerance,
                "of steps that are measured only with Schedule::Minimax",
            )?;
        }
        let eps_in_domain = |eps| require((0.0..=1.0).contains(&eps), "polar", "eps", eps, "in [0, 1]");
        match self.normalization {
            Normalization::Frobenius | Normalization::Gram => Ok(()),
            Normalization::Clamped { eps } => eps_in_domain(eps),
            Normalization::Added { factor, eps } => {
                let ok = factor >= 1.0 && factor * self.lower <= 1.0;
                require(ok, "polar", "factor", factor, "from 1 to 1 / lower")?;
                eps_in_domain(eps)
            }
        }
    }

    /// Flops for an m x n matrix in the element type, to leading order: `4 s^2 l + 2 s^3` in each step, s the short side and l the
    /// long one. 0 for settings that [`validate`](Self::validate) refuses.
    pub fn flops<E: Element>(&self, (m, n): (usize, usize)) -> f64 {
        let this = self.spelled_out::<E>();
        let steps = this.steps.count(this.schedule, this.lower).map_or(0, |(steps, _)| steps);
        let (short, long) = (m.min(n) as f64, m.max(n) as f64);
        steps as f64 * short * short * (4.0 * long + 2.0 * short)
    }

    /// Writes the polar factor of `x` (m x n) to `out` (m x n).
    ///
    /// The device is not read. A zero or empty matrix gives zero; a NaN or an infinity in `x` makes every entry
    /// NaN, or an error where the host knows the largest entry without waiting. Per step two products with
    /// the long side (2 m n r flops each, r the short side) and one r x r x r (none for the cubic).
    ///
    /// # Errors
    /// Shapes; settings; [`ErrorKind::NonFinite`](crate::backend::ErrorKind::NonFinite).
    pub fn apply<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        self.validate()?;
        self.spelled_out::<B::Element>().run(x, out, workspace)
    }

    fn run<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        check_same("polar", x, out)?;
        let _scope = workspace.scope();
        let (m, n) = x.shape();
        if m == 0 || n == 0 {
            return Ok(Info { accuracy: Some(0.0), ..Info::default() });
        }
        let mut course = Course::new(self, (m, n), workspace)?;
        let narrow = workspace.backend().iterate_format().is_some();
        let mut other = workspace.take_iterate_like(x)?;
        let mut own = if narrow { Some(workspace.take_iterate_like(x)?) } else { None };
        let mut iteration = OnShortSide::new(x, workspace)?;
        // X moves to the other matrix with every segment, and ends in `out`: a handle of the caller's must not be exchanged
        // for one of the pool. That is no iterate in 16 bits: only the last product is formed in it, unrounded.
        let mut in_out = !narrow && course.segments().is_multiple_of(2);
        let (mut x_now, mut x_next, mut full) = match &mut own {
            Some(own) => (&mut other, own, Some(out)),
            None if in_out => (out, &mut other, None),
            None => (&mut other, out, None),
        };
        self.normalize(x, full.as_deref_mut().unwrap_or(x_next), x_now, workspace)?;
        let mut first = true;
        while !course.is_over() {
            if first && self.normalization == Normalization::Gram {
                iteration.form_bounded(x_now, workspace)?;
            } else {
                iteration.form(x_now)?;
            }
            if course.measures() && !course.learn(iteration.residual(workspace)?) {
                break;
            }
            first = false;
            match full.as_deref_mut() {
                Some(out) if course.ends_next() => {
                    iteration.advance(x_now, out, course.segment(), workspace)?;
                    in_out = true;
                }
                _ => {
                    iteration.advance(x_now, x_next, course.segment(), workspace)?;
                    core::mem::swap(&mut x_now, &mut x_next);
                    in_out = !narrow && !in_out;
                }
            }
        }
        if !in_out {
            full.unwrap_or(x_next).copy_from(x_now)?;
        }
        workspace.give_iterate(other);
        own.into_iter().for_each(|own| workspace.give_iterate(own));
        let products = iteration.products();
        iteration.release(workspace);
        Ok(Info { products, ..course.info() })
    }
}
