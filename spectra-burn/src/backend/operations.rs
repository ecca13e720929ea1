//! The trait `Matrix`: on the CPU device on the tensors' memory, elsewhere by tensor operations.

use super::counted::{Work, note};
use super::element::BurnElement;
use super::matrix::{BurnMatrix, Values, check_len};
use super::scalar::BurnScalar;
use super::tensor_ops;
use burn::tensor::{Tensor, TensorData};
use spectra_core::backend::{
    Coef, Coefficient, Error, Fused, Gradient, Matrix, Op, Result, check_gemm, check_same, check_shape,
    composed,
};
use spectra_core::linalg::{Scratch, SmallFactor, SmallInfo};

impl<E: BurnElement> Matrix for BurnMatrix<E> {
    type Element = E;
    type Scalar = BurnScalar;

    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// 1 if entries lie column by column: temporaries like this matrix must, too.
    fn layout(&self) -> usize {
        usize::from(self.is_transposed())
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        check_len("read", self.shape, out.len())?;
        if let Some(memory) = self.memory() {
            memory.read(out);
            return Ok(());
        }
        note(Work::Wait, 1);
        let data = self.single()?.try_into_data().map_err(|e| Error::device("read", e.to_string()))?;
        let values = data.as_slice::<E>().map_err(|e| Error::device("read", format!("{e:?}")))?;
        out.copy_from_slice(values);
        Ok(())
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        check_len("write", self.shape, values.len())?;
        let (rows, cols) = self.shape;
        if let Values::Memory(memory) = &mut self.values {
            return memory.write(values);
        }
        note(Work::Upload, 1);
        let options = (&self.device(), E::DTYPE);
        self.values = match &self.values {
            Values::Stack(whole) => {
                let one = Tensor::from_data(TensorData::new(values.to_vec(), [1, rows, cols]), options);
                Values::Stack(one.repeat_dim(0, whole.dims()[0]))
            }
            _ => Values::Tensor(Tensor::from_data(TensorData::new(values.to_vec(), [rows, cols]), options)),
        };
        Ok(())
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("scale_add", self, x)?;
        if self.change((beta, alpha), [x], |out, (b, a), [x]| out.scale_add(b, a, x))? {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Plain(x))
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        check_same("product_add", self, x)?;
        check_same("product_add", self, y)?;
        if self.change((beta, alpha), [x, y], |out, (b, a), [x, y]| out.product_add(b, a, x, y))? {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Product(x, y))
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        check_same("quotient_add", self, x)?;
        check_same("quotient_add", self, y)?;
        if self.change((beta, alpha), [x, y], |out, (b, a), [x, y]| out.quotient_add(b, a, x, y, eps))? {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Quotient(x, y, eps))
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("sign_add", self, x)?;
        if self.change((beta, alpha), [x], |out, (b, a), [x]| out.sign_add(b, a, x))? {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Sign(x))
    }

    fn gemm(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        check_gemm(self.shape, a.shape, op_a, b.shape, op_b)?;
        let done = self.multiply((beta, alpha), (a, op_a), (b, op_b), |mut out, (beta, alpha), a, b| {
            out.gemm(beta, alpha, a, b)
        })?;
        if done {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Gemm((a, op_a), (b, op_b)))
    }

    fn has_wide_dot(&self) -> bool {
        self.memory().is_some()
    }

    fn dot(&self, x: &Self) -> Result<BurnScalar> {
        check_same("dot", self, x)?;
        if let (Some(a), Some(b)) = (self.memory(), x.memory()) {
            return a.stored::<E>()?.dot(b.in_order(a.is_transposed()).stored()?).map(BurnScalar::host);
        }
        Ok(BurnScalar::device(match &self.values {
            Values::Stack(whole) => tensor_ops::dot(whole.clone(), x.stacked(whole.dims()[0])?),
            _ => tensor_ops::dot(self.tensor(), x.single()?),
        }))
    }

    fn max_abs(&self) -> Result<BurnScalar> {
        if let Some(memory) = self.memory() {
            return Ok(BurnScalar::host(memory.stored::<E>()?.max_abs()));
        }
        Ok(BurnScalar::device(match &self.values {
            Values::Stack(whole) => tensor_ops::max_abs(whole.clone()),
            _ => tensor_ops::max_abs(self.tensor()),
        }))
    }
}

impl<E: BurnElement> Fused for BurnMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        check_gemm(self.shape, a.shape, op_a, b.shape, op_b)?;
        let (m, n) = self.shape;
        check_shape("gemm_symmetric", (m, m), (m, n))?;
        let done = self.multiply((beta, alpha), (a, op_a), (b, op_b), |mut out, (beta, alpha), a, b| {
            out.gemm_symmetric(beta, alpha, a, b)
        })?;
        if done {
            return Ok(());
        }
        self.combine(beta, alpha, Term::Gemm((a, op_a), (b, op_b)))
    }

    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        check_same("small_factor", self, gram)?;
        let (Values::Stack(out), Values::Stack(whole)) = (&mut self.values, &gram.values) else {
            return composed::small_factor(self, factor, gram, scratch);
        };
        *out = Self::small_factors(whole, factor, scratch)?;
        Ok(None)
    }

    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        match &mut self.values {
            Values::Tensor(x) => *x = Self::seed_columns(x, seed)?.unwrap_or_else(|| x.clone()),
            Values::Stack(x) => *x = Self::seed_columns(x, seed)?.unwrap_or_else(|| x.clone()),
            _ => return composed::seed_zero_columns(self, seed, scratch),
        }
        Ok(())
    }

    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<BurnScalar> {
        let ((m, n), (_, k)) = (self.shape, v.shape);
        for (wanted, found) in [((n, k), v.shape), ((m, k), p.shape), ((k, k), gram.shape), ((n, k), z.shape)]
        {
            check_shape("power_sweep", wanted, found)?;
        }
        if let Some((_, gradient)) = update {
            check_same("power_sweep", self, gradient.values)?;
        }
        if let Some(square) = self.sweep(update, alpha, v, p, gram, z)? {
            return Ok(square);
        }
        // The trait's default.
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        if let Some((mu, gradient)) = update {
            self.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        p.gemm(zero, alpha.into(), self, Op::Plain, v, Op::Plain)?;
        gram.gemm_symmetric(zero, one, p, Op::Transposed, p, Op::Plain)?;
        z.gemm(zero, alpha.into(), self, Op::Transposed, p, Op::Plain)?;
        self.dot(self)
    }

    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        let ((m, n), (_, k)) = (self.shape, left.shape);
        check_same("low_rank_add", self, x)?;
        check_shape("low_rank_add", (m, k), left.shape)?;
        check_shape("low_rank_add", (n, k), right.shape)?;
        if self.low_rank((beta, alpha), x, left, right)? {
            return Ok(());
        }
        // The trait's default.
        self.scale_add(beta, alpha, x)?;
        self.gemm(Coefficient::ONE, alpha.times(-1.0), left, Op::Plain, right, Op::Transposed)
    }
}

/// What is added to a matrix.
enum Term<'a, M> {
    Plain(&'a M),
    Sign(&'a M),
    Product(&'a M, &'a M),
    Quotient(&'a M, &'a M, f64),
    Gemm((&'a M, Op), (&'a M, Op)),
}

impl<M> Term<'_, M> {
    /// By tensor operations.
    fn tensor<const D: usize>(self, of: impl Fn(&M) -> Result<Tensor<D>>) -> Result<Tensor<D>> {
        Ok(match self {
            Self::Plain(x) => of(x)?,
            Self::Sign(x) => tensor_ops::sign(of(x)?),
            Self::Product(x, y) => tensor_ops::multiply(of(x)?, of(y)?),
            Self::Quotient(x, y, eps) => tensor_ops::quotient(of(x)?, of(y)?, eps),
            Self::Gemm((a, op_a), (b, op_b)) => tensor_ops::product(of(a)?, op_a, of(b)?, op_b),
        })
    }
}

impl<E: BurnElement> BurnMatrix<E> {
    /// `self = beta self + alpha x` by tensor operations, on every part of a stack.
    fn combine(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: Term<'_, Self>) -> Result<()> {
        if let Values::Part(..) = self.values {
            self.values = Values::Tensor(self.tensor());
        }
        match &mut self.values {
            Values::Tensor(out) => tensor_ops::combine(out, beta, alpha, x.tensor(Self::single)?),
            Values::Stack(out) => {
                let count = out.dims()[0];
                tensor_ops::combine(out, beta, alpha, x.tensor(|x| x.stacked(count))?)
            }
            _ => Err(Error::device("combine", "matrices of two backends")),
        }
    }
}
