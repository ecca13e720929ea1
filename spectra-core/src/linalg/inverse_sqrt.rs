//! `A^{-1/2}` and `A^{1/2}` of a symmetric positive definite matrix by matrix products.

use super::{Coupled, Info, Schedule, Steps, Workspace};
use crate::backend::{
    Backend, Coefficient, Element, Fused, Matrix, Op, Result, check_same, check_shape, require,
};

/// The coupled iteration: `R_0 = A`, `Z_0 = I`, and with `P = a I + b R + c R^2` for the step's polynomial
/// `p(x) = x (a + b x^2 + c x^4)`, which is applied without being formed,
///
/// `R <- P R P`, `Z <- P Z`
///
/// so that an eigenvalue `x^2` of A becomes `p(x)^2`, then `p(p(x))^2`, ... `-> 1` in R, and Z tends to
/// `A^{-1/2}`. The authors of 2603.14315 write the same with `Y = A Z` (Higham 2008, eq. 6.35):
/// `M = Z Y`, `Y <- Y P(M)`, `Z <- P(M) Z`. That form corrects itself only as long as `Z Y` is not made
/// symmetric, so it cannot use symmetric products: measured at `1 / smallest` = 2700 in `f64`, a relative
/// error of 3e-11 where this form has 1e-13. Both take the same number of products.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InverseSqrt {
    /// The polynomials.
    pub schedule: Schedule,
    /// How many.
    pub steps: Steps,
}

impl InverseSqrt {
    /// Writes `A^{-1/2}` to `inverse`, and `A^{1/2}` to `root` if that is wanted; all n x n.
    ///
    /// `smallest`: a lower bound, in (0, 1], of the eigenvalues of `a`, whose largest must be <= 1. Of a
    /// symmetric `a` whose entries carry rounding errors of size eps the result has a relative error of about
    /// `eps / smallest`; eigenvalues above 1.6 diverge. The device is not read. Products: 3 in the first step,
    /// 4 in each of the others (the cubic: 2 and 3), two less in the last, one more if `root` is wanted.
    ///
    /// # Errors
    /// Shapes; `smallest` outside (0, 1]; settings.
    pub fn apply<B: Backend>(
        &self,
        a: &B::Matrix,
        smallest: f64,
        inverse: &mut B::Matrix,
        root: Option<&mut B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        let (n, cols) = a.shape();
        check_shape("inverse_sqrt", (n, n), (n, cols))?;
        check_same("inverse_sqrt", a, inverse)?;
        let _scope = workspace.scope();
        if let Some(root) = root.as_deref() {
            check_same("inverse_sqrt", a, root)?;
        }
        let operation = "inverse_sqrt";
        require(smallest > 0.0 && smallest <= 1.0, operation, "smallest", smallest, "in (0, 1]")?;
        let lower = libm::sqrt(smallest);
        let (steps, error) = self.steps.count(self.schedule, lower)?;
        let mut state = Coupled::new(n, workspace)?;
        state.r.copy_from(a)?;
        state.run(self.schedule.polynomials(lower, steps), None, workspace)?;
        inverse.copy_from(&state.q)?;
        if let Some(root) = root {
            root.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, a, Op::Plain, inverse, Op::Plain)?;
            state.products += 1;
        }
        let products = state.products;
        state.release(workspace);
        let accuracy = Some(error + B::Element::EPSILON / smallest);
        Ok(Info { steps, products, accuracy, ..Info::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::{Dense, DenseMatrix};
    use crate::linalg::uniform;
    use alloc::vec::Vec;

    /// `Q diag(lambda) Q^T` by a Householder reflection Q.
    fn symmetric(lambda: &[f64]) -> DenseMatrix<f64> {
        let n = lambda.len();
        let v: Vec<f64> = (0..n).map(|i| uniform(3, i, 0)).collect();
        let square: f64 = v.iter().map(|x| x * x).sum();
        let q = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square;
        DenseMatrix::from_fn(n, n, |i, j| (0..n).map(|k| q(i, k) * lambda[k] * q(j, k)).sum())
    }

    #[test]
    fn both_roots() {
        let lambda = [1.0, 0.5, 0.1, 0.02, 0.01];
        let a = symmetric(&lambda);
        let roots = symmetric(&lambda.map(f64::sqrt));
        let inverses = symmetric(&lambda.map(|x| 1.0 / x.sqrt()));
        for (schedule, at_most) in [(Schedule::Cubic, 40), (Schedule::Minimax, 18)] {
            let mut workspace = Workspace::new(Dense::<f64>::new());
            let (mut z, mut y) = (a.clone(), a.clone());
            let options = InverseSqrt { schedule, steps: Steps::Auto { tolerance: 1e-13 } };
            let info = options.apply(&a, 0.01, &mut z, Some(&mut y), &mut workspace).unwrap();
            // eps / smallest = 2e-14, a few roundings of values up to 10.
            let close = |x: &DenseMatrix<f64>, y: &DenseMatrix<f64>| {
                x.values().iter().zip(y.values()).all(|(x, y)| (x - y).abs() < 2e-12)
            };
            assert!(close(&z, &inverses) && close(&y, &roots), "{schedule:?} {info:?}");
            assert!(info.products <= at_most, "{info:?}");
        }
    }

    #[test]
    fn bad_bounds_and_zero_steps() {
        let a = symmetric(&[1.0, 0.5]);
        let mut z = a.clone();
        let mut workspace = Workspace::new(Dense::<f64>::new());
        let auto = InverseSqrt { schedule: Schedule::Minimax, steps: Steps::Auto { tolerance: 1e-6 } };
        for smallest in [0.0, -1.0, 2.0, f64::NAN] {
            assert!(auto.apply(&a, smallest, &mut z, None, &mut workspace).is_err());
        }
        let bad = InverseSqrt { steps: Steps::Auto { tolerance: f64::NAN }, ..auto };
        assert!(bad.apply(&a, 0.5, &mut z, None, &mut workspace).is_err());
        let none = InverseSqrt { steps: Steps::Fixed(0), ..auto };
        assert_eq!(none.apply(&a, 0.5, &mut z, None, &mut workspace).unwrap().products, 0);
        assert_eq!(z.values(), [1.0, 0.0, 0.0, 1.0], "no step leaves the identity");
    }
}
