//! The polar factor `U V^T` of `X = U diag(sigma) V^T` by matrix products.

use super::{Info, OddPolynomial, Schedule, Steps, Workspace, add_polynomial, tiny};
use crate::backend::{
    Backend, Coefficient, Element, Error, ErrorKind, Fused, Matrix, Op, Result, Scalar, ScalarOp, check_same,
    require,
};

/// How the input is brought to spectral norm <= 1. In every form X is first divided by its largest entry, so
/// that squares of 1e30 or 1e-30 stay in the range of `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Normalization {
    /// `X / ||X||_F`: the result does not depend on the scale of X. A zero matrix stays zero.
    #[default]
    Frobenius,
    /// `X / (factor ||X||_F + eps)`: KellerJordan/Muon has factor 1 and eps 1e-7, Polar Express 1.02 and 1e-6.
    Added {
        /// Of the norm; from 1 to 1 / [`lower`](Polar::lower), beyond which no singular value is promised to arrive.
        factor: f64,
        /// Added; in [0, 1].
        eps: f64,
    },
    /// `X / max(||X||_F, eps)`: torch.optim.Muon, with eps 1e-7.
    Clamped {
        /// The least divisor; in [0, 1].
        eps: f64,
    },
}

/// Whether the steps work on `X X^T` alone and apply their product to X now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum GramForm {
    /// Where it saves products: the long side at least twice the short one.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Always.
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

    /// To rounding error: as many minimax steps as the element type can make use of.
    pub const EXACT: Self = Self {
        schedule: Schedule::Minimax,
        steps: Steps::Exact,
        lower: 1e-3,
        normalization: Normalization::Frobenius,
        gram: GramForm::Never,
    };

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
            Steps::Fixed(_) | Steps::Auto { .. } => *self,
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
    /// [`ErrorKind::Argument`] with the setting's name.
    pub fn validate(&self) -> Result<()> {
        require(self.lower > 0.0 && self.lower <= 1.0, "polar", "lower", self.lower, "in (0, 1]")?;
        self.schedule.validate("polar")?;
        self.steps.validate("polar")?;
        let eps_in_domain = |eps| require((0.0..=1.0).contains(&eps), "polar", "eps", eps, "in [0, 1]");
        match self.normalization {
            Normalization::Frobenius => Ok(()),
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
    /// Shapes; settings; [`ErrorKind::NonFinite`].
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
        let (steps, error) = self.steps.count(self.schedule, self.lower)?;
        let gram = match self.gram {
            GramForm::Auto => m.max(n) >= 2 * m.min(n),
            GramForm::Never => false,
            GramForm::Always => true,
        };
        let multiplications = if gram { steps.div_ceil(2) } else { steps };
        // `out` is no iterate in 16 bits: the last product is formed in it, unrounded, and the others in two of the pool.
        let narrow = workspace.backend().iterate_format().is_some() && multiplications > 0;
        let mut other = workspace.take_iterate_like(x)?;
        let mut own = if narrow { Some(workspace.take_iterate_like(x)?) } else { None };
        let mut iteration = OnShortSide::new(x, workspace)?;
        // X moves to the other matrix with every multiplication, and ends in `out`: a handle of the caller's must not be
        // exchanged for one of the pool.
        let (mut x_now, mut x_next, mut last) = match &mut own {
            Some(own) => (&mut other, own, Some(out)),
            None if multiplications.is_multiple_of(2) => (out, &mut other, None),
            None => (&mut other, out, None),
        };
        self.normalize(x, last.as_deref_mut().unwrap_or(x_next), x_now, workspace)?;
        let mut polynomials = self.schedule.polynomials(self.lower, steps).peekable();
        while let Some(p) = polynomials.next() {
            // Two steps on the Gram matrix, then a new one: after three its rounding errors, which may be
            // negative eigenvalues of size eps, would have grown 8^6-fold.
            let second = polynomials.next_if(|_| gram);
            let target = match last.as_deref_mut() {
                Some(out) if polynomials.peek().is_none() => out,
                _ => &mut *x_next,
            };
            match second {
                Some(second) => iteration.two_steps(x_now, target, &p, &second, workspace)?,
                None => iteration.step(x_now, target, &p)?,
            }
            core::mem::swap(&mut x_now, &mut x_next);
        }
        workspace.give_iterate(other);
        own.into_iter().for_each(|own| workspace.give_iterate(own));
        let products = iteration.products;
        iteration.release(workspace);
        Ok(Info { steps, products, accuracy: Some(error), ..Info::default() })
    }

    /// `out = X / divisor`, rounded once; `scaled`, in the element type, becomes `X / max |x_ij|`.
    fn normalize<B: Backend>(
        &self,
        x: &B::Matrix,
        scaled: &mut B::Matrix,
        out: &mut B::Matrix,
        workspace: &Workspace<B>,
    ) -> Result<()> {
        let backend = workspace.backend();
        let largest = x.max_abs()?;
        if largest.known().is_some_and(|value| !value.is_finite()) {
            return Err(Error::new("polar", ErrorKind::NonFinite { what: "matrix" }));
        }
        // X / s has entries <= 1 and a Frobenius norm f in [1, sqrt(mn)]: with s f = ||X||_F
        // X / (factor ||X||_F + eps) = (X / s) / (factor f + eps / s).
        let s = B::Scalar::combine(ScalarOp::Max, &largest, &backend.scalar(tiny::<B::Element>())?)?;
        let one = backend.scalar(1.0)?;
        let inverse = B::Scalar::combine(ScalarOp::Div, &one, &s)?;
        scaled.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)?;
        let f = scaled.dot(scaled)?.sqrt()?;
        let over_s = |eps: f64| B::Scalar::combine(ScalarOp::Div, &backend.scalar(eps)?, &s);
        let divisor = match self.normalization {
            Normalization::Frobenius => f,
            Normalization::Clamped { eps } => B::Scalar::combine(ScalarOp::Max, &f, &over_s(eps)?)?,
            Normalization::Added { factor, eps } => {
                let scaled = B::Scalar::combine(ScalarOp::Mul, &f, &backend.scalar(factor)?)?;
                B::Scalar::combine(ScalarOp::Add, &scaled, &over_s(eps)?)?
            }
        };
        // Below 1 it can only be 0, for a zero matrix, which stays 0.
        let divisor = B::Scalar::combine(ScalarOp::Max, &divisor, &backend.scalar(0.5)?)?;
        let inverse =
            B::Scalar::combine(ScalarOp::Mul, &inverse, &B::Scalar::combine(ScalarOp::Div, &one, &divisor)?)?;
        // From X again: one rounding. Where 1 / (s divisor) leaves the range the two factors are applied in turn.
        match (inverse.known(), divisor.known()) {
            (Some(both), _) if both >= tiny::<B::Element>() && both <= 1.0 / tiny::<B::Element>() => {
                out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)
            }
            _ => {
                let inverse = B::Scalar::combine(ScalarOp::Div, &one, &divisor)?;
                out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), scaled)
            }
        }
    }
}

/// The temporaries of a polynomial iteration on X with the Gram matrix on its short side.
#[derive(Debug)]
struct OnShortSide<B: Backend> {
    wide: bool,
    gram: B::Matrix,
    factor: B::Matrix,
    products: usize,
}

impl<B: Backend> OnShortSide<B> {
    fn new(x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<Self> {
        let (m, n) = x.shape();
        let r = m.min(n);
        let (gram, factor) = (workspace.take_iterate(r, r)?, workspace.take_iterate(r, r)?);
        Ok(Self { wide: m <= n, gram, factor, products: 0 })
    }

    fn release(self, workspace: &mut Workspace<B>) {
        workspace.give_iterate(self.gram);
        workspace.give_iterate(self.factor);
    }

    /// `gram = X X^T` or `X^T X`.
    fn form(&mut self, x: &B::Matrix) -> Result<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let (left, right) = if self.wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
        self.products += 1;
        self.gram.gemm_symmetric(zero, one, x, left, x, right)
    }

    /// `next = a X + F X` or `a X + X F`.
    fn multiply(&mut self, a: f64, x: &B::Matrix, next: &mut B::Matrix) -> Result<()> {
        let (one, mut beta) = (Coefficient::ONE, Coefficient::ZERO);
        if a != 0.0 {
            next.scale_add(beta, a.into(), x)?;
            beta = one;
        }
        self.products += 1;
        if self.wide {
            next.gemm(beta, one, &self.factor, Op::Plain, x, Op::Plain)
        } else {
            next.gemm(beta, one, x, Op::Plain, &self.factor, Op::Plain)
        }
    }

    /// `next = p(X)`.
    fn step(&mut self, x: &B::Matrix, next: &mut B::Matrix, p: &OddPolynomial) -> Result<()> {
        self.form(x)?;
        self.products += add_polynomial(&mut self.factor, p, &self.gram)?;
        self.multiply(p.a, x, next)
    }

    /// `next = q(p(X))` from one Gram matrix `R`: with `P = a I + b R + c R^2` the second step sees `R' = P R P`,
    /// and X is multiplied once, by `(a' I + b' R' + c' R'^2) P`.
    fn two_steps(
        &mut self,
        x: &B::Matrix,
        next: &mut B::Matrix,
        p: &OddPolynomial,
        q: &OddPolynomial,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let r = self.gram.shape().0;
        self.form(x)?;
        self.products += add_polynomial(&mut self.factor, p, &self.gram)?;
        let identity = workspace.identity(r)?;
        self.factor.scale_add(one, p.a.into(), &identity)?;
        workspace.give_identity(identity);
        let mut product = workspace.take_iterate(r, r)?;
        product.gemm_symmetric(zero, one, &self.factor, Op::Plain, &self.gram, Op::Plain)?;
        self.gram.gemm_symmetric(zero, one, &product, Op::Plain, &self.factor, Op::Plain)?;
        let mut second = workspace.take_iterate(r, r)?;
        self.products += 3 + add_polynomial(&mut second, q, &self.gram)?;
        product.scale_add(zero, q.a.into(), &self.factor)?;
        product.gemm_symmetric(one, one, &second, Op::Plain, &self.factor, Op::Plain)?;
        core::mem::swap(&mut self.factor, &mut product);
        workspace.give_iterate(product);
        workspace.give_iterate(second);
        self.multiply(0.0, x, next)
    }
}
