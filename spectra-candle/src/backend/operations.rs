//! The trait `Matrix`: on the CPU on the tensors' memory, elsewhere by tensor operations.

use super::element::CandleElement;
use super::matrix::{CandleMatrix, at, check_len};
use super::scalar::CandleScalar;
use super::{memory, tensor_ops};
use candle_core::{Result as CandleResult, Tensor};
use spectra_core::backend::{
    Coef, Coefficient, Fused, Gradient, Matrix, Op, Result, check_gemm, check_same, check_shape, composed,
};
use spectra_core::linalg::{Scratch, SixteenBits};

impl<E: CandleElement> Matrix for CandleMatrix<E> {
    type Element = E;
    type Scalar = CandleScalar;

    fn shape(&self) -> (usize, usize) {
        // Two-dimensional by construction.
        let dims = self.tensor.dims();
        (dims.first().copied().unwrap_or(0), dims.get(1).copied().unwrap_or(0))
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        check_len("read", self.shape(), out.len())?;
        self.with_values(|values| out.copy_from_slice(values))
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        check_len("write", self.shape(), values.len())?;
        if self.on_memory {
            let prepared = Self::prepare(&mut [&mut *self], []);
            let written =
                prepared.and_then(|[]| memory::write([&self.tensor], |[mut out]| out.write(values)));
            return at("write", written)?;
        }
        let fresh = Tensor::from_slice(values, self.shape(), self.tensor.device());
        at("write", fresh.and_then(|t| self.assign(t)))
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        const NAME: &str = "scale_add";
        check_same(NAME, self, x)?;
        if self.on_memory {
            return self.change(NAME, beta, alpha, [x], |mut out, (b, a), [x]| out.scale_add(b, a, x));
        }
        self.combine(NAME, beta, alpha, Ok(x.tensor.clone()))
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        const NAME: &str = "product_add";
        check_same(NAME, self, x)?;
        check_same(NAME, self, y)?;
        if self.on_memory {
            return self
                .change(NAME, beta, alpha, [x, y], |mut out, (b, a), [x, y]| out.product_add(b, a, x, y));
        }
        self.combine(NAME, beta, alpha, x.tensor.mul(&y.tensor))
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        const NAME: &str = "quotient_add";
        check_same(NAME, self, x)?;
        check_same(NAME, self, y)?;
        if self.on_memory {
            return self.change(NAME, beta, alpha, [x, y], |mut out, (b, a), [x, y]| {
                out.quotient_add(b, a, x, y, eps)
            });
        }
        self.combine(NAME, beta, alpha, tensor_ops::quotient(&x.tensor, &y.tensor, eps))
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        const NAME: &str = "sign_add";
        check_same(NAME, self, x)?;
        if self.on_memory {
            return self.change(NAME, beta, alpha, [x], |mut out, (b, a), [x]| out.sign_add(b, a, x));
        }
        self.combine(NAME, beta, alpha, tensor_ops::sign(&x.tensor))
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
        const NAME: &str = "gemm";
        check_gemm(self.shape(), a.shape(), op_a, b.shape(), op_b)?;
        if self.on_memory {
            return self.change(NAME, beta, alpha, [a, b], |mut out, (beta, alpha), [a, b]| {
                out.gemm(beta, alpha, (a, op_a), (b, op_b))
            });
        }
        self.combine(NAME, beta, alpha, tensor_ops::product(&a.tensor, op_a, &b.tensor, op_b))
    }

    fn has_wide_dot(&self) -> bool {
        self.on_memory
    }

    fn dot(&self, x: &Self) -> Result<CandleScalar> {
        check_same("dot", self, x)?;
        if self.on_memory {
            return Self::inspect("dot", [self, x], |[a, b]| a.dot(b)).map(CandleScalar::host);
        }
        at("dot", tensor_ops::dot(&self.tensor, &x.tensor)).map(CandleScalar::device)
    }

    fn max_abs(&self) -> Result<CandleScalar> {
        if self.on_memory {
            return Self::inspect("max_abs", [self], |[a]| Ok(a.max_abs())).map(CandleScalar::host);
        }
        at("max_abs", tensor_ops::max_abs::<E>(&self.tensor)).map(CandleScalar::device)
    }
}

impl<E: CandleElement> Fused for CandleMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        const NAME: &str = "gemm_symmetric";
        if !self.on_memory {
            return self.gemm(beta, alpha, a, op_a, b, op_b);
        }
        check_gemm(self.shape(), a.shape(), op_a, b.shape(), op_b)?;
        let (m, n) = self.shape();
        check_shape(NAME, (m, m), (m, n))?;
        self.change(NAME, beta, alpha, [a, b], |mut out, (beta, alpha), [a, b]| {
            out.gemm_symmetric(beta, alpha, (a, op_a), (b, op_b))
        })
    }

    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<CandleScalar> {
        if !self.on_memory {
            return composed::power_sweep(self, update, alpha, v, p, gram, z);
        }
        let ((m, n), (_, k)) = (self.shape(), v.shape());
        for (expected, matrix) in [((n, k), v), ((m, k), &*p), ((k, k), &*gram), ((n, k), &*z)] {
            check_shape("power_sweep", expected, matrix.shape())?;
        }
        if let Some((_, gradient)) = update {
            check_same("power_sweep", self, gradient.values)?;
        }
        self.sweep(update, alpha, v, p, gram, z)
    }

    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        const NAME: &str = "low_rank_add";
        if !self.on_memory {
            return composed::low_rank_add(self, beta, alpha, x, left, right);
        }
        check_same(NAME, self, x)?;
        check_gemm(self.shape(), left.shape(), Op::Plain, right.shape(), Op::Transposed)?;
        self.change(NAME, beta, alpha, [x, left, right], |mut out, (b, a), [x, l, r]| {
            out.low_rank_add(b, a, x, l, r)
        })
    }

    fn round_stochastic(&mut self, format: SixteenBits, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        if !self.on_memory {
            return composed::round_stochastic(self, format, seed, scratch);
        }
        let (one, none) = (Coefficient::ONE, Coefficient::ZERO);
        self.change("round_stochastic", one, none, [], |mut out, _, []| {
            out.round_stochastic(format, seed);
            Ok(())
        })
    }
}

impl<E: CandleElement> CandleMatrix<E> {
    /// `self = beta self + alpha x` by tensor operations.
    fn combine(
        &mut self,
        operation: &'static str,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: CandleResult<Tensor>,
    ) -> Result<()> {
        at(operation, x.and_then(|x| self.assign(tensor_ops::combine(&self.tensor, beta, alpha, &x)?)))
    }
}
