//! The polar factor by the dynamically weighted Halley iteration.

use super::{Info, SmallFactor, Workspace, gram_schmidt, tiny};
use crate::backend::{
    Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar, ScalarOp, check_same, domain, require,
};
use crate::maps::{MapRule, Moment};

/// QDWH (Nakatsukasa, Bai, Gygi 2010; as PolarGrad's program, 2505.21799, has it): the polar factor `U V^T` of an m x n matrix
/// `X = U diag(sigma) V^T` by rational steps that are as large as a lower bound of the singular values allows.
///
/// `X_0 = X / sqrt(||X||_1 ||X||_inf)`, and with l from [`lower`](Self::lower) on, `d = (4 (1 / l^2 - 1) / l^2)^(1/3)`, `h = sqrt(1 + d)`,
/// `a = h + sqrt(2 - d + 2 (2 - l^2) / (l^2 h))`, `b = (a - 1)^2 / 4`, `c = a + b - 1`
///
/// `sigma <- sigma (a + b sigma^2) / (1 + c sigma^2)`, l likewise, until l is 1, and one step more; then `1.5 X - 0.5 X X^T X`.
///
/// Where c > 100 by the thin QR factors of `[sqrt(c) X; I]`, which **waits** for a device: Gram-Schmidt in `f64` on the host. Else by the
/// Cholesky factor of `I + c X^T X`. Six steps in `f64`, two of them by QR: `U^T U - I` and `X - U H` of the size of rounding errors
/// at any condition up to 1 / eps. (The factor itself is as sensitive as the matrix: singular vectors of the smallest
/// singular values carry `eps / sigma`.) [`Polar`](super::Polar) does the same by products alone; this one needs a third of the
/// steps, but factors. ZOLO-PD, which takes two rounds of r parallel QR factorisations in the place of six steps, is left out: on one device they
/// follow one another, 8 rather than 2 of them, and a square matrix in `f64` takes more than `8 * 16 n^3` flops by the first round alone, by
/// these six steps about `2 * 16 n^3 + 4 * 6 n^3`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Qdwh {
    /// The most steps, from 0 to 100; 20 are never reached.
    pub max_steps: usize,
    /// Of the singular values of `X_0`; from 1e-60 to 1.
    pub lower: f64,
}

impl Qdwh {
    /// PolarGrad's program with enough steps: down to 2^-52, whatever the arithmetic type.
    pub const F64: Self = Self { max_steps: 20, lower: f64::EPSILON };

    /// Down to the arithmetic type's eps.
    pub fn exact<E: Element>() -> Self {
        Self { lower: E::EPSILON, ..Self::F64 }
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        domain::iterations("qdwh", "max_steps", self.max_steps, 0)?;
        require((1e-60..=1.0).contains(&self.lower), "qdwh", "lower", self.lower, "from 1e-60 to 1")
    }

    /// Writes the polar factor of `x` (m x n) to `out` (m x n). A zero matrix gives zero; a singular value below `lower` stays below 1.
    ///
    /// # Errors
    /// Shapes and settings.
    pub fn apply<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        self.validate()?;
        check_same("qdwh", x, out)?;
        let _scope = workspace.scope();
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let (m, n) = x.shape();
        let mut info = Info::default();
        if m == 0 || n == 0 {
            return Ok(info);
        }
        // Tall: a wide matrix is transposed by a product with the identity, which is exact.
        let wide = m < n;
        let (long, short) = (m.max(n), m.min(n));
        let mut tall = if wide { workspace.take(long, short)? } else { workspace.take_like(x, short)? };
        if wide {
            let identity = workspace.identity(m)?;
            tall.gemm(zero, one, x, Op::Transposed, &identity, Op::Plain)?;
            workspace.give_identity(identity);
        } else {
            tall.copy_from(x)?;
        }
        normalize(&mut tall, workspace)?;
        let (mut l, mut last) = (self.lower, false);
        while info.steps < self.max_steps && !last {
            last = l + 5.0 * f64::EPSILON >= 1.0;
            let step = Step::at(l);
            step.apply(&mut tall, workspace)?;
            l = (l * (step.a + step.b * l * l) / (1.0 + step.c * l * l)).min(1.0);
            info.steps += 1;
        }
        let mut gram = workspace.take(short, short)?;
        let mut polished = workspace.take_like(&tall, short)?;
        gram.gemm_symmetric(zero, one, &tall, Op::Transposed, &tall, Op::Plain)?;
        polished.scale_add(zero, 1.5.into(), &tall)?;
        polished.gemm(one, (-0.5).into(), &tall, Op::Plain, &gram, Op::Plain)?;
        if wide {
            let identity = workspace.identity(m)?;
            out.gemm(zero, one, &identity, Op::Plain, &polished, Op::Transposed)?;
            workspace.give_identity(identity);
        } else {
            out.copy_from(&polished)?;
        }
        for matrix in [tall, gram, polished] {
            workspace.give(matrix);
        }
        // Not the number of products: factorisations count for most.
        info.accuracy = last.then_some(5.0 * B::Element::EPSILON);
        Ok(info)
    }
}

/// `x = x / sqrt(||x||_1 ||x||_inf)`, a bound of its largest singular value; zero stays zero.
fn normalize<B: Backend>(x: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
    let combine = <B::Scalar as Scalar>::combine;
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let (m, n) = x.shape();
    let (mut signs, mut sizes) = (workspace.take_like(x, n)?, workspace.take_like(x, n)?);
    signs.sign_add(zero, one, x)?;
    sizes.product_add(zero, one, x, &signs)?;
    let (row, column) = (workspace.ones(1, m)?, workspace.ones(n, 1)?);
    let (mut of_columns, mut of_rows) = (workspace.take(1, n)?, workspace.take_like(x, 1)?);
    of_columns.gemm(zero, one, &row, Op::Plain, &sizes, Op::Plain)?;
    of_rows.gemm(zero, one, &sizes, Op::Plain, &column, Op::Plain)?;
    // Roots apart: the product of the norms may leave the range.
    let roots = combine(ScalarOp::Mul, &of_columns.max_abs()?.sqrt()?, &of_rows.max_abs()?.sqrt()?)?;
    let bound = combine(ScalarOp::Max, &roots, &workspace.backend().scalar(tiny::<B::Element>())?)?;
    let inverse = combine(ScalarOp::Div, &workspace.backend().scalar(1.0)?, &bound)?;
    x.scale_add(Coefficient::device(1.0, &inverse), zero, &sizes)?;
    workspace.give_ones(row);
    workspace.give_ones(column);
    for matrix in [signs, sizes, of_columns, of_rows] {
        workspace.give(matrix);
    }
    Ok(())
}

/// The coefficients of a step.
struct Step {
    a: f64,
    b: f64,
    c: f64,
}

impl Step {
    /// The best for singular values in [l, 1].
    fn at(l: f64) -> Self {
        let square = l * l;
        let d = libm::cbrt(4.0 * (1.0 / square - 1.0) / square);
        let h = libm::sqrt(1.0 + d);
        let a = h + libm::sqrt(2.0 - d + 2.0 * (2.0 - square) / (square * h));
        let b = (a - 1.0) * (a - 1.0) / 4.0;
        Self { a, b, c: a + b - 1.0 }
    }

    /// `X (a + b X^T X) (1 + c X^T X)^-1 = (b / c) X + (a - b / c) X (1 + c X^T X)^-1` of a tall X.
    fn apply<B: Backend>(&self, x: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let &Self { a, b, c } = self;
        let n = x.shape().1;
        let (mut left, mut right) = (workspace.take_like(x, n)?, workspace.take(n, n)?);
        let weight = if c > 100.0 {
            stacked_qr(libm::sqrt(c), x, &mut left, &mut right, workspace)?;
            (a - b / c) / libm::sqrt(c)
        } else {
            let identity = workspace.identity(n)?;
            let mut gram = workspace.take(n, n)?;
            gram.gemm_symmetric(zero, c.into(), x, Op::Transposed, x, Op::Plain)?;
            gram.scale_add(one, one, &identity)?;
            right.small_factor(SmallFactor::CholeskyInverse, &gram, &mut workspace.scratch)?;
            left.gemm(zero, one, x, Op::Plain, &right, Op::Plain)?;
            workspace.give(gram);
            workspace.give_identity(identity);
            a - b / c
        };
        let mut next = workspace.take_like(x, n)?;
        next.scale_add(zero, (b / c).into(), x)?;
        next.gemm(one, weight.into(), &left, Op::Plain, &right, Op::Transposed)?;
        core::mem::swap(x, &mut next);
        for matrix in [left, right, next] {
            workspace.give(matrix);
        }
        Ok(())
    }
}

/// The upper (m x n) and the lower (n x n) part of the orthonormal factor of `[root X; I]`.
fn stacked_qr<B: Backend>(
    root: f64,
    x: &B::Matrix,
    upper: &mut B::Matrix,
    lower: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let (m, n) = x.shape();
    let (values, numbers) = workspace.scratch.slices((m + n) * n, (m + n) * n);
    let (top, bottom) = values.split_at_mut(m * n);
    x.read(top)?;
    top.iter_mut().for_each(|x| *x = B::Element::narrow(root * x.widen()));
    bottom.fill(B::Element::narrow(0.0));
    bottom.iter_mut().step_by(n + 1).for_each(|x| *x = B::Element::narrow(1.0));
    gram_schmidt(m + n, n, values, numbers);
    upper.write(&values[..m * n])?;
    lower.write(&values[m * n..])
}

impl<B: Backend> MapRule<B> for Qdwh {
    fn name(&self) -> &'static str {
        "orthogonalize"
    }

    /// Six steps of `6 s^2 l`.
    fn flops(&self, (m, n): (usize, usize)) -> f64 {
        let (short, long) = (m.min(n) as f64, m.max(n) as f64);
        36.0 * short * short * long
    }

    fn validate(&self) -> Result<()> {
        Qdwh::validate(self)
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        _: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        Qdwh::apply(self, direction, out, workspace).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::{Dense, DenseMatrix};
    use crate::linalg::uniform;

    /// `A B` or `A^T B`.
    fn product(a: &DenseMatrix<f64>, op: Op, b: &DenseMatrix<f64>) -> DenseMatrix<f64> {
        let mut out = DenseMatrix::from_fn(op.shape(a.shape()).0, b.shape().1, |_, _| 0.0);
        out.gemm(Coefficient::ZERO, Coefficient::ONE, a, op, b, Op::Plain).unwrap();
        out
    }

    /// m x n with singular values from 1 down to 1 / condition.
    fn graded(m: usize, n: usize, condition: f64) -> DenseMatrix<f64> {
        let r = m.min(n);
        let basis = |seed, rows| {
            let mut q = DenseMatrix::from_fn(rows, r, |i, j| uniform(seed, i, j));
            q.gram_schmidt(&mut Default::default()).unwrap();
            q
        };
        let mut right = basis(2, n);
        let sigma = |j: usize| condition.powf(-(j as f64) / (r - 1) as f64);
        right = DenseMatrix::from_fn(n, r, |i, j| right.values()[i * r + j] * sigma(j));
        let mut x = DenseMatrix::from_fn(m, n, |_, _| 0.0);
        x.gemm(Coefficient::ZERO, Coefficient::ONE, &basis(1, m), Op::Plain, &right, Op::Transposed).unwrap();
        x
    }

    fn largest(x: &DenseMatrix<f64>, minus: impl Fn(usize, usize) -> f64) -> f64 {
        let n = x.shape().1;
        let entries = x.values().iter().enumerate();
        entries.map(|(at, x)| (x - minus(at / n, at % n)).abs()).fold(0.0, f64::max)
    }

    /// `U^T U = I`, `H = U^T X` symmetric, `X = U H`: of the size of rounding errors whatever the condition.
    #[test]
    fn polar_factors_at_any_condition() {
        for (m, n) in [(9, 9), (14, 6), (6, 14)] {
            for condition in [1.0, 1e6, 1e12] {
                let x = graded(m, n, condition);
                let mut u = x.clone();
                let info = Qdwh::F64.apply(&x, &mut u, &mut Workspace::new(Dense::<f64>::new())).unwrap();
                assert!(info.steps <= 7 && info.accuracy.is_some(), "{info:?}");
                let identity = |i, j| f64::from(u8::from(i == j));
                if m >= n {
                    assert!(largest(&product(&u, Op::Transposed, &u), identity) < 1e-13);
                } else {
                    let transposed = DenseMatrix::from_fn(n, m, |i, j| u.values()[j * n + i]);
                    assert!(largest(&product(&u, Op::Plain, &transposed), identity) < 1e-13);
                }
                let h = product(&u, Op::Transposed, &x);
                assert!(largest(&h, |i, j| h.values()[j * n + i]) < 1e-13, "{m} x {n}, {condition:e}");
                assert!(largest(&product(&u, Op::Plain, &h), |i, j| x.values()[i * n + j]) < 1e-13);
                assert!((0..n).all(|i| h.values()[i * n + i] > -1e-13));
            }
        }
    }

    #[test]
    fn zero_stays_zero_and_settings_are_checked() {
        let x = DenseMatrix::from_fn(3, 2, |_, _| 0.0);
        let mut out = DenseMatrix::from_fn(3, 2, |_, _| 1.0);
        let workspace = &mut Workspace::new(Dense::<f64>::new());
        Qdwh::F64.apply(&x, &mut out, workspace).unwrap();
        assert!(out.values().iter().all(|x| *x == 0.0));
        assert!(Qdwh { lower: 0.0, ..Qdwh::F64 }.apply(&x, &mut out, workspace).is_err());
        assert!(Qdwh { max_steps: 101, ..Qdwh::F64 }.apply(&x, &mut out, workspace).is_err());
    }
}
