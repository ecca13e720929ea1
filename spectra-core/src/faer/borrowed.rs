//! The operations on borrowed row-major memory: those of [`FaerMatrix`](super::FaerMatrix), and of a framework
//! that owns the values (candle, burn).

use super::forward::{self, Update};
use super::gemm::view;
use super::low_rank::LowRank;
use super::mars::Clip;
use super::parallel::{Split, for_each};
use super::storage::{self, Values, ValuesMut};
use super::{FaerElement, kernels::beta_of, transposed};
use crate::backend::{Coefficient, Entrywise, Error, Op, Result, check_gemm, check_shape};
use crate::linalg::SixteenBits;
use core::ops::Range;

type Coef<'a> = Coefficient<'a, f64>;

/// A borrowed row-major matrix.
#[derive(Debug, Clone, Copy)]
pub struct MatrixRef<'a, E> {
    pub(super) values: Values<'a, E>,
    pub(super) shape: (usize, usize),
}

/// A borrowed row-major matrix, to change. Each method is the method of that name of
/// [`Matrix`](crate::backend::Matrix), whose documentation says what it does.
#[derive(Debug)]
pub struct MatrixMut<'a, E> {
    pub(super) values: ValuesMut<'a, E>,
    pub(super) shape: (usize, usize),
}

impl<E> Default for MatrixRef<'_, E> {
    /// 0 x 0.
    fn default() -> Self {
        Self { values: Values::default(), shape: (0, 0) }
    }
}

impl<E> Default for MatrixMut<'_, E> {
    /// 0 x 0.
    fn default() -> Self {
        Self { values: ValuesMut::default(), shape: (0, 0) }
    }
}

fn check_len((rows, cols): (usize, usize), len: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::shape("borrow", (rows, cols), (len.checked_div(cols).unwrap_or(0), cols)))
}

impl<'a, E: FaerElement> MatrixRef<'a, E> {
    /// These values as a `rows x cols` matrix.
    ///
    /// # Errors
    /// If `values.len() != rows * cols`.
    pub fn new(values: &'a [E], rows: usize, cols: usize) -> Result<Self> {
        Self::stored(Values::Full(values), rows, cols)
    }

    /// These values, in 16 bits perhaps, as a `rows x cols` matrix.
    ///
    /// # Errors
    /// If there are not `rows * cols` of them.
    pub fn stored(values: Values<'a, E>, rows: usize, cols: usize) -> Result<Self> {
        check_len((rows, cols), values.len())?;
        Ok(Self { values, shape: (rows, cols) })
    }

    /// `<self, X>`
    ///
    /// # Errors
    /// Shapes.
    pub fn dot(self, x: Self) -> Result<f64> {
        check_shape("dot", self.shape, x.shape)?;
        Ok(storage::dot(self.values, x.values))
    }

    /// The largest magnitude, NaN if there is one.
    pub fn max_abs(self) -> f64 {
        storage::max_abs(self.values)
    }
}

impl<'a, E: FaerElement> MatrixMut<'a, E> {
    /// These values as a `rows x cols` matrix.
    ///
    /// # Errors
    /// If `values.len() != rows * cols`.
    pub fn new(values: &'a mut [E], rows: usize, cols: usize) -> Result<Self> {
        Self::stored(ValuesMut::Full(values), rows, cols)
    }

    /// These values, in 16 bits perhaps, as a `rows x cols` matrix.
    ///
    /// # Errors
    /// If there are not `rows * cols` of them.
    pub fn stored(values: ValuesMut<'a, E>, rows: usize, cols: usize) -> Result<Self> {
        check_len((rows, cols), values.len())?;
        Ok(Self { values, shape: (rows, cols) })
    }

    /// `self = beta self + alpha X`
    ///
    /// # Errors
    /// Shapes.
    pub fn scale_add(&mut self, beta: Coef<'_>, alpha: Coef<'_>, x: MatrixRef<'_, E>) -> Result<()> {
        check_shape("scale_add", self.shape, x.shape)?;
        storage::change(&mut self.values, x.values, |out, x| E::scale_add(out, beta, alpha, x));
        Ok(())
    }

    /// `self = beta self + alpha sign(X)`
    ///
    /// # Errors
    /// Shapes.
    pub fn sign_add(&mut self, beta: Coef<'_>, alpha: Coef<'_>, x: MatrixRef<'_, E>) -> Result<()> {
        check_shape("sign_add", self.shape, x.shape)?;
        storage::change(&mut self.values, x.values, |out, x| E::sign_add(out, beta, alpha, x));
        Ok(())
    }

    /// `self = beta self + alpha X o Y`
    ///
    /// # Errors
    /// Shapes.
    pub fn product_add(
        &mut self,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        x: MatrixRef<'_, E>,
        y: MatrixRef<'_, E>,
    ) -> Result<()> {
        check_shape("product_add", self.shape, x.shape)?;
        check_shape("product_add", self.shape, y.shape)?;
        full(self, [x, y], |out, [x, y]| E::product_add(out, beta, alpha, x, y));
        Ok(())
    }

    /// `self = beta self + alpha X / (sqrt(Y) + eps)`
    ///
    /// # Errors
    /// Shapes.
    pub fn quotient_add(
        &mut self,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        x: MatrixRef<'_, E>,
        y: MatrixRef<'_, E>,
        eps: f64,
    ) -> Result<()> {
        check_shape("quotient_add", self.shape, x.shape)?;
        check_shape("quotient_add", self.shape, y.shape)?;
        full(self, [x, y], |out, [x, y]| E::quotient_add(out, beta, alpha, x, y, eps));
        Ok(())
    }

    /// `self = beta self + alpha op_a(A) op_b(B)`
    ///
    /// # Errors
    /// Shapes.
    pub fn gemm(
        &mut self,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        (a, op_a): (MatrixRef<'_, E>, Op),
        (b, op_b): (MatrixRef<'_, E>, Op),
    ) -> Result<()> {
        let inner = check_gemm(self.shape, a.shape, op_a, b.shape, op_b)?;
        let (m, n) = self.shape;
        if (op_a, op_b) == (Op::Transposed, Op::Plain) && transposed::pays(m, n, inner) {
            b.values.full(|b| self.values.full(|out| E::transposed(out, beta, alpha, a.values, b, n)));
            return Ok(());
        }
        full(self, [a, b], |out, [a_values, b_values]| {
            let (a, b) = (view(a_values, a.shape, op_a), view(b_values, b.shape, op_b));
            E::gemm(out, beta, alpha, a, b);
        });
        Ok(())
    }

    /// [`gemm`](Self::gemm) for a symmetric result: one triangle, mirrored.
    ///
    /// # Errors
    /// Shapes.
    pub fn gemm_symmetric(
        &mut self,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        (a, op_a): (MatrixRef<'_, E>, Op),
        (b, op_b): (MatrixRef<'_, E>, Op),
    ) -> Result<()> {
        check_gemm(self.shape, a.shape, op_a, b.shape, op_b)?;
        let (m, n) = self.shape;
        check_shape("gemm_symmetric", (m, m), (m, n))?;
        full(self, [a, b], |out, [a_values, b_values]| {
            let (a, b) = (view(a_values, a.shape, op_a), view(b_values, b.shape, op_b));
            E::gemm_symmetric(out, beta, alpha, a, b);
        });
        Ok(())
    }

    /// A step of an entrywise rule in one pass; `scale`: the gradient's factor. See
    /// [`Backend::entrywise_add`](crate::backend::Backend::entrywise_add).
    ///
    /// # Errors
    /// Shapes, another number of matrices.
    pub fn entrywise_add<const N: usize>(
        matrices: [Self; N],
        (beta, alpha): (f64, f64),
        rule: Entrywise,
        gradient: MatrixRef<'_, E>,
        scale: Coef<'_>,
    ) -> Result<()> {
        rule.check(&matrices.each_ref().map(|x| x.shape), gradient.shape)?;
        let clip = match (rule, matrices.as_slice()) {
            (Entrywise::Mars { weight, .. }, [_, _, _, last]) => {
                Clip::of(-weight, last.values.shared(), scale.times(1.0 + weight), gradient.values)?
            }
            _ => Clip::none(E::one()),
        };
        storage::change_several(matrices.map(|x| x.values), gradient.values, &|mut matrices, gradient| {
            E::entrywise(&mut matrices, (beta, alpha), rule, gradient, (scale, clip));
        });
        Ok(())
    }

    /// The one-sweep half of the power iteration; `update`: `(mu, G, G's factor)`.
    ///
    /// # Errors
    /// Shapes.
    pub fn power_sweep(
        &mut self,
        update: Option<(f64, MatrixRef<'_, E>, Coef<'_>)>,
        alpha: f64,
        v: MatrixRef<'_, E>,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<f64> {
        let ((m, n), (_, k)) = (self.shape, v.shape);
        check_shape("power_sweep", (n, k), v.shape)?;
        check_shape("power_sweep", (m, k), p.shape)?;
        check_shape("power_sweep", (k, k), gram.shape)?;
        check_shape("power_sweep", (n, k), z.shape)?;
        if let Some((_, gradient, _)) = update {
            check_shape("power_sweep", (m, n), gradient.shape)?;
        }
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let square = match (&mut p.values, v.values) {
            (ValuesMut::Full(p), Values::Full(v)) if forward::pays(k) && m > 0 && n > 0 => {
                let update = update.map(|(mu, gradient, scale)| Update {
                    mu: beta_of(mu.into()),
                    scale: E::narrow(scale.value()),
                    gradient: gradient.values,
                });
                E::forward(E::narrow(alpha), self.values.reborrow(), update, v, p, k)
            }
            _ => {
                if let Some((mu, gradient, scale)) = update {
                    self.scale_add(mu.into(), scale, gradient)?;
                }
                p.gemm(zero, alpha.into(), (self.reborrow(), Op::Plain), (v, Op::Plain))?;
                self.reborrow().dot(self.reborrow())?
            }
        };
        let m = self.reborrow();
        let p = p.reborrow();
        gram.gemm_symmetric(zero, one, (p, Op::Transposed), (p, Op::Plain))?;
        z.gemm(zero, alpha.into(), (m, Op::Transposed), (p, Op::Plain))?;
        Ok(square)
    }

    /// `self = beta self + alpha (X - L R^T)`
    ///
    /// # Errors
    /// Shapes.
    pub fn low_rank_add(
        &mut self,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        x: MatrixRef<'_, E>,
        left: MatrixRef<'_, E>,
        right: MatrixRef<'_, E>,
    ) -> Result<()> {
        let ((m, n), (_, k)) = (self.shape, left.shape);
        check_shape("low_rank_add", (m, n), x.shape)?;
        check_shape("low_rank_add", (m, k), left.shape)?;
        check_shape("low_rank_add", (n, k), right.shape)?;
        let alpha = E::narrow(alpha.value());
        left.values.full(|left| {
            right.values.full(|right| {
                let step = LowRank { beta: beta_of(beta), alpha, right, n, k };
                E::low_rank(step, self.values.reborrow(), x.values, left);
            });
        });
        Ok(())
    }

    /// Every entry to one of the two numbers of this type next to it.
    pub fn round_stochastic(&mut self, format: SixteenBits, seed: u64) {
        self.values.full(|x| {
            for_each((0..x.len(), x), &|(numbers, x): (Range<usize>, &mut [E])| {
                format.round_all(x, seed, numbers.start);
            });
        });
    }

    fn reborrow(&self) -> MatrixRef<'_, E> {
        MatrixRef { values: self.values.shared(), shape: self.shape }
    }
}

/// Runs `f` in full width; whatever is kept in 16 bits is copied for the time of the call.
fn full<E: FaerElement, R>(
    out: &mut MatrixMut<'_, E>,
    [x, y]: [MatrixRef<'_, E>; 2],
    f: impl FnOnce(&mut [E], [&[E]; 2]) -> R,
) -> R {
    x.values.full(|x| y.values.full(|y| out.values.full(|out| f(out, [x, y]))))
}
