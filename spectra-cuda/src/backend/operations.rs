//! The trait `Matrix`.

use super::scalar::{Evaluated, coefficients, of_other_stacks};
use super::{CudaElement, CudaMatrix, CudaScalar, check_device};
use crate::checked::{Average, Coefficients, Elementwise, Factorization, Products, Storage};
use crate::error::At;
use spectra_core::backend::{
    Coef, Coefficient, Error, Fused, Gradient, Matrix, Op, Result, check_same, check_shape, composed,
};
use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};

/// Up to this rank the weight update is one kernel; beyond, cuBLAS's product is faster than that kernel's by more than
/// the second pass over the weights costs.
const FUSED_RANK: usize = 128;

impl<E: CudaElement> CudaMatrix<E> {
    /// beta and alpha of a launch.
    pub(super) fn pair(
        &self,
        operation: &'static str,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
    ) -> Result<Evaluated> {
        coefficients(
            operation,
            (&self.device, self.region.count),
            [beta, alpha, Coefficient::ONE, Coefficient::ONE],
        )
    }

    /// An error if an operand lives on another stream, or has another number of parts.
    pub(super) fn check_operands(&self, operation: &'static str, operands: &[&Self]) -> Result<()> {
        operands.iter().try_for_each(|x| {
            check_device(operation, &self.device, &x.device)?;
            if x.region.count == self.region.count { Ok(()) } else { Err(of_other_stacks(operation)) }
        })
    }

    /// `self = x^T`; storages and gaps between rows may differ.
    pub(crate) fn set_transposed(&mut self, x: &Self) -> Result<()> {
        self.check_operands("transpose", &[x])?;
        self.device.transpose(self.region, x.region)
    }

    fn elementwise(
        &mut self,
        (f, operation): (Elementwise, &'static str),
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: Option<&Self>,
        eps: f64,
    ) -> Result<()> {
        check_same(operation, self, x)?;
        self.check_operands(operation, &[x, y.unwrap_or(x)])?;
        let c = self.pair(operation, beta, alpha)?;
        let y = y.map(|y| y.region);
        self.device.elementwise(f, self.region, !beta.is_zero(), &c, x.region, y, eps)
    }

    /// Adam's pass; `slow`: S with b3 and its weight.
    pub(super) fn adam(
        &mut self,
        (beta, alpha): (Coef<'_, Self>, Coef<'_, Self>),
        [first, second]: [&mut Self; 2],
        gradient: &Gradient<'_, Self>,
        betas: (f64, f64),
        eps: f64,
        slow: Option<(&mut Self, f64, f64)>,
    ) -> Result<()> {
        const NAME: &str = "adam_add";
        self.check_operands(NAME, &[first, second, gradient.values])?;
        if let Some((slow, ..)) = &slow {
            self.check_operands(NAME, &[slow])?;
        }
        let c = coefficients(
            NAME,
            (&self.device, self.region.count),
            [beta, alpha, gradient.scale, Coefficient::ONE],
        )?;
        let operands = (first.region, second.region, gradient.values.region);
        let slow = slow.map(|(slow, b3, a)| (slow.region, b3, a));
        self.device.adam_add(self.region, !beta.is_zero(), &c, operands, betas, eps, slow)
    }

    /// Momentum's pass.
    pub(super) fn momentum_add(
        &mut self,
        (beta, alpha): (Coef<'_, Self>, Coef<'_, Self>),
        state: &mut Self,
        gradient: &Gradient<'_, Self>,
        average: Average,
    ) -> Result<()> {
        const NAME: &str = "momentum_add";
        self.check_operands(NAME, &[state, gradient.values])?;
        let place = (&self.device, self.region.count);
        let c = coefficients(NAME, place, [beta, alpha, gradient.scale, Coefficient::ONE])?;
        let operands = (state.region, gradient.values.region);
        self.device.momentum_add(self.region, !beta.is_zero(), &c, operands, average)
    }

    /// `self = beta self + alpha op(A) op(B)`.
    fn product(
        &mut self,
        products: Products,
        keep: bool,
        c: &Coefficients,
        (a, op_a): (&Self, Op),
        (b, op_b): (&Self, Op),
    ) -> Result<()> {
        let device = &self.device;
        if !c.differ() {
            return device.gemm(products, self.region, keep, c, (a.region, op_a), (b.region, op_b));
        }
        // A batch of cuBLAS has one pair of factors.
        if !keep && self.region.storage == Storage::Element {
            let one = Coefficients::of([0.0, 1.0, 1.0, 1.0]);
            device.gemm(products, self.region, false, &one, (a.region, op_a), (b.region, op_b))?;
            return device.scale(self.region, true, &c.with_first(1));
        }
        (0..self.region.count).try_for_each(|i| {
            device.gemm(products, self.part(i), keep, &c.of_part(i), (a.part(i), op_a), (b.part(i), op_b))
        })
    }

    fn check_len(&self, operation: &'static str, len: usize) -> Result<()> {
        let (rows, cols) = self.region.shape();
        if rows * cols == len {
            return Ok(());
        }
        Err(Error::shape(operation, (rows, cols), (len.checked_div(cols).unwrap_or(0), cols)))
    }
}

impl<E: CudaElement> Matrix for CudaMatrix<E> {
    type Element = E;
    type Scalar = CudaScalar;

    fn shape(&self) -> (usize, usize) {
        self.region.shape()
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        self.check_len("read", out.len())?;
        self.device.refuse_stacks("read", [self.region])?;
        self.read_entries(out).at("read")
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        self.check_len("write", values.len())?;
        self.write_entries(values).at("write")
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.elementwise((Elementwise::Scale, "scale_add"), beta, alpha, x, None, 0.0)
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.elementwise((Elementwise::Product, "product_add"), beta, alpha, x, Some(y), 0.0)
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.elementwise((Elementwise::Quotient, "quotient_add"), beta, alpha, x, Some(y), eps)
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.elementwise((Elementwise::Sign, "sign_add"), beta, alpha, x, None, 0.0)
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
        self.check_operands("gemm", &[a, b])?;
        let (c, products) = (self.pair("gemm", beta, alpha)?, self.device.products());
        self.product(products, !beta.is_zero(), &c, (a, op_a), (b, op_b))
    }

    fn has_wide_dot(&self) -> bool {
        true
    }

    fn dot(&self, x: &Self) -> Result<CudaScalar> {
        check_same("dot", self, x)?;
        self.check_operands("dot", &[x])?;
        if self.region.is_empty() {
            return Ok(CudaScalar::constant(0.0));
        }
        CudaScalar::measured(&self.device, self.region.count, |place| {
            self.device.dot(self.region, x.region, place)
        })
    }

    fn max_abs(&self) -> Result<CudaScalar> {
        if self.region.is_empty() {
            return Ok(CudaScalar::constant(0.0));
        }
        CudaScalar::measured(&self.device, self.region.count, |place| self.device.max_abs(self.region, place))
    }
}

impl<E: CudaElement> Fused for CudaMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        self.check_operands("gemm_symmetric", &[a, b])?;
        let (c, keep) = (self.pair("gemm_symmetric", beta, alpha)?, !beta.is_zero());
        // With factors of their own parts are asked for one by one.
        let like = if c.differ() { self.part(0) } else { self.region };
        let half = self.device.half(like, (a.region, op_a), (b.region, op_b))?;
        match half {
            None => return self.product(self.device.products(), keep, &c, (a, op_a), (b, op_b)),
            Some(half) if half.is_for_all(self.region) && !c.differ() => {
                self.device.triangle(half, self.region, keep, &c, (a.region, op_a), (b.region, op_b))?;
            }
            // Parts that cannot be cut, or so many blocks in each that one call for all would gain nothing.
            Some(half) => (0..self.region.count).try_for_each(|i| {
                let (out, a, b) = (self.part(i), (a.part(i), op_a), (b.part(i), op_b));
                self.device.triangle(half, out, keep, &c.of_part(i), a, b)
            })?,
        }
        self.device.mirror(self.region)
    }

    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Self,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        self.adam((beta, alpha), [first, second], &Gradient::new(gradient), betas, eps, None)
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
        self.check_operands(NAME, &[x, left, right])?;
        let ((m, n), k) = (self.shape(), left.shape().1);
        check_same(NAME, self, x)?;
        check_shape(NAME, (m, k), left.shape())?;
        check_shape(NAME, (n, k), right.shape())?;
        let full = [self, x, left, right].iter().all(|matrix| matrix.region.storage == Storage::Element);
        let c = self.pair(NAME, beta, alpha)?;
        if k > FUSED_RANK && full && !c.differ() {
            self.scale_add(beta, alpha, x)?;
            return self.gemm(Coefficient::ONE, alpha.times(-1.0), left, Op::Plain, right, Op::Transposed);
        }
        let keep = !beta.is_zero();
        self.device.low_rank_add(self.region, keep, &c, x.region, left.region, right.region)
    }

    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        self.check_operands("small_factor", &[gram])?;
        let factor = match factor {
            SmallFactor::CholeskyInverse => Factorization::CholeskyInverse,
            SmallFactor::ColumnNormalizer => Factorization::ColumnNormalizer,
            SmallFactor::Diagonalizer => Factorization::Diagonalizer,
            // On the host: at most once in several steps of the rules that ask for them.
            SmallFactor::Eigen { .. } | SmallFactor::Sorter => {
                return composed::small_factor(self, factor, gram, scratch);
            }
        };
        self.device.small_factor(factor, self.region, gram.region, E::EPSILON)?;
        Ok(None)
    }

    fn round_stochastic(&mut self, format: SixteenBits, seed: u64, _: &mut Scratch<E>) -> Result<()> {
        self.device.round_stochastic(self.region, format, seed)
    }

    fn seed_zero_columns(&mut self, seed: u64, _: &mut Scratch<E>) -> Result<()> {
        self.device.seed_zero_columns(self.region, seed)
    }
}
