//! Shampoo's inverse roots.

use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar, ScalarOp, require};
use crate::linalg::{InverseSqrt, Schedule, SmallFactor, Steps, Workspace};

/// How `A^(-p)` comes about.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum InverseRoot {
    /// By eigenvectors of A, whose eigenvalues become `lambda + eps + max(0, -smallest)`. **Waits** for a device.
    Eigen,
    /// By the coupled iteration, on `A / ||A||_F + ridge I` in the place of `A + eps I`, for p = 1/2 and 1/4. Nothing waits.
    Coupled {
        /// In (0, 1]; the roots carry errors of about the type's eps over it.
        ridge: f64,
    },
}

impl InverseRoot {
    pub(super) fn validate(self, exponent: Option<f64>) -> Result<()> {
        let Self::Coupled { ridge } = self else { return Ok(()) };
        require(ridge > 0.0 && ridge <= 1.0, "shampoo", "ridge", ridge, "in (0, 1]")?;
        let p = exponent.unwrap_or(0.25);
        let known = p == 0.5 || p == 0.25;
        require(known, "shampoo", "exponent", p, "1/4 or 1/2 with coupled roots")
    }

    /// `(scale A + eps I)^-p` of a Gram matrix A, as a temporary of the workspace.
    pub(super) fn of<B: Backend>(
        self,
        gram: &B::Matrix,
        (p, scale): (f64, f64),
        eps: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        let (zero, one, k) = (Coefficient::ZERO, Coefficient::ONE, gram.shape().0);
        let mut out = workspace.take(k, k)?;
        let mut a = workspace.take(k, k)?;
        a.scale_add(zero, scale.into(), gram)?;
        match self {
            Self::Eigen => {
                let mut half = workspace.take(k, k)?;
                let factor = SmallFactor::Eigen { ridge: eps, power: -p / 2.0 };
                half.small_factor(factor, &a, &mut workspace.scratch)?;
                out.gemm_symmetric(zero, one, &half, Op::Plain, &half, Op::Transposed)?;
                workspace.give(half);
            }
            Self::Coupled { ridge } => coupled(&mut a, p == 0.25, (ridge, eps), &mut out, workspace)?,
        }
        workspace.give(a);
        Ok(out)
    }
}

/// `out = (A + ridge s I)^-1/2`, or ^-1/4, with `s = max(||A||_F, eps)`; `a` is overwritten.
///
/// Over `s (1 + ridge)` all eigenvalues are between `ridge / (1 + ridge)` and 1. The quarter is the inverse root of the root.
fn coupled<B: Backend>(
    a: &mut B::Matrix,
    quarter: bool,
    (ridge, eps): (f64, f64),
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let combine = <B::Scalar as Scalar>::combine;
    let k = a.shape().0;
    let number = |x: f64, workspace: &Workspace<B>| workspace.backend().scalar(x);
    let size = combine(ScalarOp::Max, &a.dot(a)?.sqrt()?, &number(eps, workspace)?)?;
    let size = combine(ScalarOp::Mul, &size, &number(1.0 + ridge, workspace)?)?;
    let inverse = combine(ScalarOp::Div, &number(1.0, workspace)?, &size)?;
    let smallest = ridge / (1.0 + ridge);
    let identity = workspace.identity(k)?;
    let mut scaled = workspace.take(k, k)?;
    scaled.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), a)?;
    scaled.scale_add(Coefficient::ONE, smallest.into(), &identity)?;
    workspace.give_identity(identity);
    let iteration =
        InverseSqrt { schedule: Schedule::Minimax, steps: Steps::Auto { tolerance: B::Element::EPSILON } };
    let mut factor = inverse.sqrt()?;
    if quarter {
        let mut root = workspace.take(k, k)?;
        iteration.apply(&scaled, smallest, a, Some(&mut root), workspace)?;
        iteration.apply(&root, libm::sqrt(smallest), a, None, workspace)?;
        workspace.give(root);
        factor = factor.sqrt()?;
    } else {
        iteration.apply(&scaled, smallest, a, None, workspace)?;
    }
    workspace.give(scaled);
    out.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &factor), a)
}
