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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::{Dense, DenseMatrix};
    use crate::linalg::uniform;

    /// The coupled iteration finds what the eigenvectors of the same matrix with the same ridge find.
    #[test]
    fn both_ways() {
        let (k, ridge) = (7, 1e-3);
        let half = DenseMatrix::from_fn(k, 4, |i, j| uniform(7, i, j));
        let mut a = DenseMatrix::from_fn(k, k, |_, _| 0.0);
        a.gemm(Coefficient::ZERO, Coefficient::ONE, &half, Op::Plain, &half, Op::Transposed).unwrap();
        let size = a.dot(&a).unwrap().sqrt();
        let workspace = &mut Workspace::new(Dense::<f64>::new());
        for p in [0.25, 0.5] {
            let coupled = InverseRoot::Coupled { ridge }.of(&a, (p, 1.0), 1e-12, workspace).unwrap();
            let eigen = InverseRoot::Eigen.of(&a, (p, 1.0), ridge * size, workspace).unwrap();
            // eps / ridge = 2e-13 of the largest entry, and as much for each of the two roots and the four unit vectors.
            let largest = eigen.max_abs().unwrap();
            let off = coupled.values().iter().zip(eigen.values()).map(|(x, y)| (x - y).abs());
            assert!(off.fold(0.0, f64::max) < 2e-12 * largest, "p = {p}");
        }
    }

    /// Of a zero matrix: that of eps.
    #[test]
    fn a_zero_matrix_has_eps() {
        let a = DenseMatrix::from_fn(2, 2, |_, _| 0.0);
        let workspace = &mut Workspace::new(Dense::<f64>::new());
        for root in [InverseRoot::Eigen, InverseRoot::Coupled { ridge: 1.0 }] {
            let root = root.of(&a, (0.25, 1.0), 1.0 / 16.0, workspace).unwrap();
            let off = root.values().iter().zip([2.0, 0.0, 0.0, 2.0]).map(|(x, y)| (x - y).abs());
            assert!(off.fold(0.0, f64::max) < 1e-14);
        }
    }
}
