//! Every operation as a call that can be repeated: matrices that are kept, contents and coefficients that depend on a number.

use spectra_core::backend::{
    Backend, Coefficient, Element, Fused, Matrix, Op, Result as CoreResult, Scalar, ScalarOp,
};
use spectra_core::linalg::{Scratch, SmallFactor, uniform};

use super::fused::{Factor, RULES, entrywise};
use crate::suite::{Failure, Subject};

/// Rows, columns and rank of small matrices, and of some with more than 2^16 entries: no multiples of anything.
pub(crate) const SMALL: Shape = (13, 11, 5);
pub(crate) const LARGE: Shape = (301, 257, 33);

type Shape = (usize, usize, usize);

/// Matrices that are handed out and taken back under a name: the same memory for every call.
pub(crate) struct Bench<B: Backend> {
    subject: Subject<B>,
    shape: Shape,
    kept: Vec<(&'static str, B::Matrix)>,
    scratch: Scratch<B::Element>,
}

/// A call with contents and coefficients of this variant, and the numbers that it gave.
pub(crate) type Call<B> = fn(&mut Bench<B>, u64) -> Result<Vec<f64>, Failure>;

impl<B: Backend> Bench<B> {
    pub(crate) fn new(subject: Subject<B>, shape: Shape) -> Self {
        Self { subject, shape, kept: Vec::new(), scratch: Scratch::new() }
    }

    /// The matrix of this name, with the numbers of a variant.
    fn take(
        &mut self,
        name: &'static str,
        (rows, cols): (usize, usize),
        variant: u64,
    ) -> Result<B::Matrix, Failure> {
        let seed =
            name.bytes().fold(variant, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let positive = |i, j| B::Element::narrow(1.0 + uniform(seed, i, j) / 2.0);
        let values: Vec<B::Element> = (0..rows * cols).map(|at| positive(at / cols, at % cols)).collect();
        let found =
            self.kept.iter().position(|(kept, matrix)| *kept == name && matrix.shape() == (rows, cols));
        let mut matrix = match found {
            Some(index) => self.kept.swap_remove(index).1,
            None => self.subject.backend().zeros(rows, cols, None)?,
        };
        matrix.write(&values)?;
        Ok(matrix)
    }

    /// Takes matrices back, and gives the values of the first `results` of them.
    fn finish<const N: usize>(
        &mut self,
        results: usize,
        matrices: [(&'static str, B::Matrix); N],
    ) -> Result<Vec<f64>, Failure> {
        let mut values = Vec::new();
        for (_, matrix) in matrices.iter().take(results) {
            values.extend(self.subject.download(matrix)?.data);
        }
        self.kept.extend(matrices);
        Ok(values)
    }

    /// `self = beta self + alpha f(X, Y)`
    fn accumulate(
        &mut self,
        variant: u64,
        apply: impl Fn(&mut B::Matrix, Pair<'_, B>, &B::Matrix, &B::Matrix) -> CoreResult<()>,
    ) -> Result<Vec<f64>, Failure> {
        let shape = (self.shape.0, self.shape.1);
        let [mut out, x, y] = [
            self.take("out", shape, variant)?,
            self.take("x", shape, variant)?,
            self.take("y", shape, variant)?,
        ];
        let (beta, alpha) = coefficients(variant);
        let scalar = self.subject.scalar(alpha)?;
        apply(&mut out, pair(variant, beta, alpha, &scalar), &x, &y)?;
        self.finish(1, [("out", out), ("x", x), ("y", y)])
    }

    fn product(
        &mut self,
        variant: u64,
        (a_shape, b_shape, out_shape): ((usize, usize), (usize, usize), (usize, usize)),
        apply: impl Fn(&mut B::Matrix, Pair<'_, B>, &B::Matrix, &B::Matrix) -> CoreResult<()>,
    ) -> Result<Vec<f64>, Failure> {
        let (mut out, a, b) = (
            self.take("product", out_shape, variant)?,
            self.take("a", a_shape, variant)?,
            self.take("b", b_shape, variant)?,
        );
        let (beta, alpha) = coefficients(variant);
        let scalar = self.subject.scalar(alpha)?;
        apply(&mut out, pair(variant, beta, alpha, &scalar), &a, &b)?;
        self.finish(1, [("product", out), ("a", a), ("b", b)])
    }

    /// Of a Gram matrix, which is symmetric and positive definite. The diagonalizer's columns have no sign: what it makes of the
    /// matrix stands for them.
    fn small_factor(&mut self, variant: u64, factor: SmallFactor) -> Result<Vec<f64>, Failure> {
        let (m, _, k) = self.shape;
        let x = self.take("columns", (m, k), variant)?;
        let (mut gram, mut out) =
            (self.take("gram", (k, k), variant)?, self.take("factor", (k, k), variant)?);
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        gram.gemm_symmetric(zero, one, &x, Op::Transposed, &x, Op::Plain)?;
        out.small_factor(factor, &gram, &mut self.scratch)?;
        if factor == SmallFactor::Diagonalizer {
            let mut half = self.take("half rotated", (k, k), variant)?;
            half.gemm(zero, one, &gram, Op::Plain, &out, Op::Plain)?;
            gram.gemm(zero, one, &out, Op::Transposed, &half, Op::Plain)?;
            self.finish(0, [("half rotated", half)])?;
            return self.finish(1, [("gram", gram), ("factor", out), ("columns", x)]);
        }
        self.finish(1, [("factor", out), ("gram", gram), ("columns", x)])
    }
}

/// `beta` and `alpha` of a call.
type Pair<'a, B> = (Coefficient<'a, <B as Backend>::Scalar>, Coefficient<'a, <B as Backend>::Scalar>);

/// Different ones for successive variants, a beta of zero among them.
fn coefficients(variant: u64) -> (f64, f64) {
    let beta = [0.0, 1.0, -0.7, 0.3, 2.0][(variant % 5) as usize];
    (beta, uniform(77, variant as usize, 0) + 2.0)
}

/// alpha of the host or of the device in turn.
fn pair<S>(variant: u64, beta: f64, alpha: f64, scalar: &S) -> (Coefficient<'_, S>, Coefficient<'_, S>) {
    (beta.into(), if variant.is_multiple_of(2) { alpha.into() } else { Coefficient::device(1.0, scalar) })
}

/// Every operation, by name.
pub(crate) fn calls<B: Backend>() -> Vec<(&'static str, Call<B>)> {
    vec![
        ("scale_add", |bench, v| {
            bench.accumulate(v, |out, (beta, alpha), x, _| out.scale_add(beta, alpha, x))
        }),
        ("product_add", |bench, v| {
            bench.accumulate(v, |out, (beta, alpha), x, y| out.product_add(beta, alpha, x, y))
        }),
        ("quotient_add", |bench, v| {
            bench.accumulate(v, |out, (beta, alpha), x, y| {
                out.quotient_add(beta, alpha, x, y, 1e-3 * (1 + v % 3) as f64)
            })
        }),
        ("sign_add", |bench, v| bench.accumulate(v, |out, (beta, alpha), x, _| out.sign_add(beta, alpha, x))),
        ("copy_from", |bench, v| bench.accumulate(v, |out, _, x, _| out.copy_from(x))),
        ("gemm", |bench, v| {
            let (m, n, k) = bench.shape;
            bench.product(v, ((m, k), (k, n), (m, n)), |out, (beta, alpha), a, b| {
                out.gemm(beta, alpha, a, Op::Plain, b, Op::Plain)
            })
        }),
        ("gemm, transposed", |bench, v| {
            let (m, n, k) = bench.shape;
            bench.product(v, ((m, k), (m, n), (k, n)), |out, (beta, alpha), a, b| {
                out.gemm(beta, alpha, a, Op::Transposed, b, Op::Plain)
            })
        }),
        ("gemm, second transposed", |bench, v| {
            let (m, n, k) = bench.shape;
            bench.product(v, ((m, k), (n, k), (m, n)), |out, (beta, alpha), a, b| {
                out.gemm(beta, alpha, a, Op::Plain, b, Op::Transposed)
            })
        }),
        ("gemm, both transposed", |bench, v| {
            let (m, n, k) = bench.shape;
            bench.product(v, ((k, m), (n, k), (m, n)), |out, (beta, alpha), a, b| {
                out.gemm(beta, alpha, a, Op::Transposed, b, Op::Transposed)
            })
        }),
        ("gemm_symmetric", |bench, v| {
            // Old values that are symmetric.
            let (m, n, _) = bench.shape;
            bench.product(v, ((m, n), (n, n), (n, n)), |out, (beta, alpha), a, _| {
                out.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, a, Op::Transposed, a, Op::Plain)?;
                out.gemm_symmetric(beta, alpha, a, Op::Transposed, a, Op::Plain)
            })
        }),
        ("dot", |bench, v| {
            let (m, n, _) = bench.shape;
            let (x, y) = (bench.take("x", (m, n), v)?, bench.take("y", (m, n), v)?);
            let dot = x.dot(&y)?.read()?;
            bench.finish(0, [("x", x), ("y", y)])?;
            Ok(vec![dot])
        }),
        ("max_abs", |bench, v| {
            let (m, n, _) = bench.shape;
            let x = bench.take("x", (m, n), v)?;
            let largest = x.max_abs()?.read()?;
            bench.finish(0, [("x", x)])?;
            Ok(vec![largest])
        }),
        ("low_rank_add", |bench, v| {
            let (m, n, k) = bench.shape;
            let x = bench.take("x", (m, n), v)?;
            let values = bench.product(v, ((m, k), (n, k), (m, n)), |out, (beta, alpha), left, right| {
                out.low_rank_add(beta, alpha, &x, left, right)
            });
            bench.finish(0, [("x", x)])?;
            values
        }),
        ("entrywise_add", |bench, v| {
            let (mut matrices, shape) = (Vec::new(), (bench.shape.0, bench.shape.1));
            let rule = RULES[(v % RULES.len() as u64) as usize];
            for name in ["out", "m", "v", "s"].into_iter().take(rule.matrices()) {
                matrices.push(bench.take(name, shape, v)?);
            }
            let (g, weights) = (bench.take("x", shape, v)?, coefficients(v));
            let factor = Factor::new(&bench.subject, weights.1)?;
            entrywise(&bench.subject, &mut matrices, weights, rule, &g, &factor)?;
            bench.finish(0, [("x", g)])?;
            let mut values = Vec::new();
            for (name, matrix) in ["out", "m", "v", "s"].into_iter().zip(matrices) {
                values.extend(bench.finish(1, [(name, matrix)])?);
            }
            Ok(values)
        }),
        ("power_sweep", |bench, v| {
            let (rows, cols, k) = bench.shape;
            let (mut m, g) = (bench.take("out", (rows, cols), v)?, bench.take("x", (rows, cols), v)?);
            let (right, mut p) = (bench.take("v", (cols, k), v)?, bench.take("p", (rows, k), v)?);
            let (mut gram, mut z) = (bench.take("gram", (k, k), v)?, bench.take("z", (cols, k), v)?);
            let (mu, alpha) = coefficients(v);
            let factor = Factor::new(&bench.subject, alpha)?;
            let update = (v % 3 > 0).then_some((mu, factor.gradient(&g)));
            let update = update.as_ref().map(|(mu, gradient)| (*mu, gradient));
            let norm = m.power_sweep(update, alpha, &right, &mut p, &mut gram, &mut z)?.read()?;
            let mut values =
                bench.finish(4, [("out", m), ("p", p), ("gram", gram), ("z", z), ("x", g), ("v", right)])?;
            values.push(norm);
            Ok(values)
        }),
        ("small_factor, CholeskyInverse", |bench, v| bench.small_factor(v, SmallFactor::CholeskyInverse)),
        ("small_factor, ColumnNormalizer", |bench, v| bench.small_factor(v, SmallFactor::ColumnNormalizer)),
        ("small_factor, Diagonalizer", |bench, v| bench.small_factor(v, SmallFactor::Diagonalizer)),
        ("gram_schmidt", |bench, v| {
            let (m, _, k) = bench.shape;
            let mut x = bench.take("columns", (m, k), v)?;
            x.gram_schmidt(&mut bench.scratch)?;
            bench.finish(1, [("columns", x)])
        }),
        ("seed_zero_columns", |bench, v| {
            let (m, _, k) = bench.shape;
            let mut x = bench.take("columns", (m, k), v)?;
            x.write(&vec![B::Element::narrow(0.0); m * k])?;
            x.seed_zero_columns(v, &mut bench.scratch)?;
            bench.finish(1, [("columns", x)])
        }),
        ("zeros", |bench, v| {
            let (m, n, _) = bench.shape;
            let x = bench.subject.backend().zeros(m, n + (v % 2) as usize, None)?;
            Ok(bench.subject.download(&x)?.data)
        }),
        ("write and read", |bench, v| {
            let (m, n, _) = bench.shape;
            let x = bench.take("x", (m, n), v)?;
            bench.finish(1, [("x", x)])
        }),
        ("scalars", |bench, v| {
            let (a, b) = (bench.subject.scalar(coefficients(v).0)?, bench.subject.scalar(coefficients(v).1)?);
            let mut values = vec![a.read()?, b.sqrt()?.read()?];
            for op in [
                ScalarOp::Add,
                ScalarOp::Sub,
                ScalarOp::Mul,
                ScalarOp::Div,
                ScalarOp::Min,
                ScalarOp::Max,
                ScalarOp::Less,
            ] {
                values.push(B::Scalar::combine(op, &a, &b)?.read()?);
            }
            Ok(values)
        }),
    ]
}
