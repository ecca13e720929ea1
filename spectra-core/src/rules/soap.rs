//! SOAP (2409.11321): Adam in the eigenbasis of Shampoo's Gram matrices.

use super::method::Settings;
use super::{Dots, GradientLimits, StepInfo, StepRates, UpdateRule, entrywise_flops};
use crate::backend::{
    Backend, Coefficient, Entrywise, Fused, Gradient, Matrix, Op, Result, Scalar, domain, require,
};
use crate::linalg::{SmallFactor, Workspace, orthonormalize, sort_by};
use crate::state::{BufferSpec, MOMENTUM, SECOND_MOMENT, State};
use alloc::{string::String, vec::Vec};

/// `L`, the average of `G G^T`, or the sum of all.
pub(super) const LEFT_GRAM: &str = "left_gram";
/// `R`, the average of `G^T G`, or the sum of all.
pub(super) const RIGHT_GRAM: &str = "right_gram";

/// Adam on the gradient rotated into the eigenvectors `Q_L`, `Q_R` of averages L of `G G^T` and R of `G^T G`; the c-th step after the
/// first call is, with `beta = shampoo_beta`,
///
/// `G' = Q_L^T G Q_R`, `M = b1 M + (1 - b1) G'`, `V = b2 V + (1 - b2) G' o G'`, `D = M / (sqrt(V) + eps)`,
/// `X = (1 - lr wd) (X - lr sqrt(1 - b2^c) / (1 - b1^c) Q_L D Q_R^T)`, `L = beta L + (1 - beta) G G^T`, R likewise.
///
/// M is kept rotated, and turned from the old bases to the new ones whenever they change. The first call makes
/// L, R and their eigenvectors and changes no weight. When c is a multiple of [`every`](Self::every), Q becomes `qr(A Q)`
/// (one power iteration), after its columns, and V along that axis, have been sorted by `diag(Q^T A Q)`. Where A has a lower rank, the
/// rest of the basis is completed by random columns. An axis longer than [`max_dim`](Self::max_dim) is not rotated, nor is a
/// vector, which is Adam's.
///
/// State: `2 mn + 2 m^2 + 2 n^2` numbers. Flops: `5 mn (m + n)` where of symmetric products a half is computed, and
/// `4 mn (m + n) + 5 (m^3 + n^3)` when bases are refreshed (`6` and `7` on a device, which sorts by products). After the first call and the first refresh nothing is allocated.
/// **Waits** for a device at the first call (eigenvectors) and at a refresh (the order). Source: arXiv 2409.11321,
/// github.com/nikhilvyas/SOAP.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Soap {
    /// b1 in [0, 1).
    pub beta1: f64,
    /// b2 in [0, 1).
    pub beta2: f64,
    /// beta in [0, 1), of L and R.
    pub shampoo_beta: f64,
    /// Added to the root before the bias correction; positive.
    pub eps: f64,
    /// The bases are refreshed at every so many steps; at least 1.
    pub every: u64,
    /// The longest axis that is rotated.
    pub max_dim: usize,
    /// Rotate the shorter axis only.
    pub one_sided: bool,
    /// Decoupled weight decay, of the new weights.
    pub weight_decay: f64,
}

impl Soap {
    /// The authors': betas 0.95, eps 1e-8, every 10 steps, axes up to 10000, decay 0.01.
    pub const PAPER: Self = Self {
        beta1: 0.95,
        beta2: 0.95,
        shampoo_beta: 0.95,
        eps: 1e-8,
        every: 10,
        max_dim: 10_000,
        one_sided: false,
        weight_decay: 0.01,
    };

    /// Whether rows and columns are rotated.
    fn axes(&self, (m, n): (usize, usize)) -> (bool, bool) {
        let rotates = |axis: usize, other: usize| {
            m.min(n) > 1 && axis <= self.max_dim && !(self.one_sided && axis > other)
        };
        // Of a square matrix the rows alone are the shorter axis.
        (rotates(m, n), rotates(n, m) && !(self.one_sided && m == n))
    }
}

impl Default for Soap {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl Settings for Soap {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }
}

impl<B: Backend> UpdateRule<B> for Soap {
    fn signature(&self) -> String {
        "soap".into()
    }

    fn buffers(&self, (m, n): (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = [MOMENTUM, SECOND_MOMENT].map(|name| BufferSpec::zeros(name, (m, n))).to_vec();
        let (left, right) = self.axes((m, n));
        let sides = [(left, m, LEFT), (right, n, RIGHT)];
        let sides = sides.iter().filter(|(has, ..)| *has);
        buffers.extend(sides.clone().map(|(_, k, side)| BufferSpec::zeros(side.gram, (*k, *k))));
        buffers.extend(sides.map(|(_, k, side)| BufferSpec::made_by_rule(side.basis, (*k, *k))));
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        let (left, right) = self.axes(shape);
        let (m, n) = (shape.0 as f64, shape.1 as f64);
        let axis = |k: f64| 5.0 * m * n * k + (4.0 * m * n * k + 5.0 * k * k * k) / self.every as f64;
        let axes = [(left, m), (right, n)];
        entrywise_flops(shape) + axes.iter().filter(|(has, _)| *has).map(|(_, k)| axis(*k)).sum::<f64>()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("soap", "beta1", self.beta1)?;
        domain::memory::<B::Element>("soap", "beta2", self.beta2)?;
        domain::memory::<B::Element>("soap", "shampoo_beta", self.shampoo_beta)?;
        domain::square_normal::<B::Element>("soap", "eps", self.eps)?;
        require(self.every >= 1, "soap", "every", self.every as f64, "at least 1")?;
        domain::rate::<B::Element>("soap", "weight_decay", self.weight_decay)
    }

    /// Gram matrices hold squares, and a host that does not know how large they are orthonormalizes by the squares of those.
    fn gradient_limits(&self, _: (usize, usize), dots: Dots) -> GradientLimits {
        let squares = libm::sqrt(domain::largest::<B::Element>() / 4.0);
        let norm = if dots.known { squares } else { libm::sqrt(squares) };
        GradientLimits { entry: norm, norm }
    }

    fn reads_weights(&self) -> bool {
        false
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let zero = Coefficient::ZERO;
        let mut g = workspace.take_like(gradient.values, weights.shape().1)?;
        g.scale_add(zero, gradient.scale, gradient.values)?;
        let count = rates.step;
        if count > 0 {
            let rotated = rotate(&g, Op::Transposed, state, workspace)?;
            let mut direction = workspace.take_like(&rotated, rotated.shape().1)?;
            let [m, v] = state.all_mut([MOMENTUM, SECOND_MOMENT])?;
            let adam = Entrywise::Adam { betas: (self.beta1, self.beta2), eps: self.eps, slow: None };
            B::entrywise_add([&mut direction, m, v], (0.0, 1.0), adam, &Gradient::new(&rotated), workspace)?;
            let back = rotate(&direction, Op::Plain, state, workspace)?;
            let correction = |beta: f64| 1.0 - libm::pow(beta, count as f64);
            let step = rates.lr * libm::sqrt(correction(self.beta2)) / correction(self.beta1);
            weights.scale_add(rates.decay().into(), (-rates.decay() * step).into(), &back)?;
            for matrix in [rotated, direction, back] {
                workspace.give(matrix);
            }
        }
        add_grams(state, (self.shampoo_beta, 1.0 - self.shampoo_beta), &g)?;
        workspace.give(g);
        if count == 0 {
            for side in [LEFT, RIGHT] {
                side.begin(state, workspace)?;
            }
        } else if count.is_multiple_of(self.every) {
            let momentum = rotate(state.named(MOMENTUM)?, Op::Plain, state, workspace)?;
            for side in [LEFT, RIGHT] {
                side.refresh(state, workspace)?;
            }
            let rotated = rotate(&momentum, Op::Transposed, state, workspace)?;
            let [m] = state.all_mut([MOMENTUM])?;
            m.copy_from(&rotated)?;
            for matrix in [momentum, rotated] {
                workspace.give(matrix);
            }
        }
        Ok(StepInfo::default())
    }
}

/// `L = beta L + c G G^T`, `R = beta R + c G^T G`, of those that are kept.
pub(super) fn add_grams<M: Fused>(state: &mut State<M>, (beta, c): (f64, f64), g: &M) -> Result<()> {
    for (name, a, b) in [(LEFT_GRAM, Op::Plain, Op::Transposed), (RIGHT_GRAM, Op::Transposed, Op::Plain)] {
        if let Some(gram) = state.get_mut(name) {
            gram.gemm_symmetric(beta.into(), c.into(), g, a, g, b)?;
        }
    }
    Ok(())
}

/// `Q_L^T X Q_R` or, plain, `Q_L X Q_R^T`; a side without a basis is left out. A temporary of the workspace.
fn rotate<B: Backend>(
    x: &B::Matrix,
    op: Op,
    state: &State<B::Matrix>,
    workspace: &mut Workspace<B>,
) -> Result<B::Matrix> {
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let (left, right) = (state.get(LEFT.basis), state.get(RIGHT.basis));
    let mut out = workspace.take_like(x, x.shape().1)?;
    match left {
        Some(q) => out.gemm(zero, one, q, op, x, Op::Plain)?,
        None => out.copy_from(x)?,
    }
    if let Some(q) = right {
        let mut both = workspace.take_like(x, x.shape().1)?;
        let other = if op == Op::Plain { Op::Transposed } else { Op::Plain };
        both.gemm(zero, one, &out, Op::Plain, q, other)?;
        workspace.give(core::mem::replace(&mut out, both));
    }
    Ok(out)
}

/// A side of the matrix: its buffers, and how a matrix is multiplied there.
struct Side {
    gram: &'static str,
    basis: &'static str,
    is_left: bool,
}

const LEFT: Side = Side { gram: LEFT_GRAM, basis: "left_basis", is_left: true };
const RIGHT: Side = Side { gram: RIGHT_GRAM, basis: "right_basis", is_left: false };

impl Side {
    /// The eigenvectors of the first Gram matrix.
    fn begin<B: Backend>(&self, state: &mut State<B::Matrix>, workspace: &mut Workspace<B>) -> Result<()> {
        let Some(gram) = state.get(self.gram) else { return Ok(()) };
        let mut q = workspace.backend().zeros(gram.shape().0, gram.shape().1, None)?;
        q.small_factor(SmallFactor::EIGENVECTORS, gram, &mut workspace.scratch)?;
        state.put(self.basis, q);
        Ok(())
    }

    /// Sorts the columns of Q, and V along this side, by `diag(Q^T A Q)`; then `Q = qr(A Q)`.
    fn refresh<B: Backend>(&self, state: &mut State<B::Matrix>, workspace: &mut Workspace<B>) -> Result<()> {
        if state.get(self.gram).is_none() {
            return Ok(());
        }
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let [gram, q, v] = state.all_mut([self.gram, self.basis, SECOND_MOMENT])?;
        let k = gram.shape().0;
        let (mut product, mut terms) = (workspace.take(k, k)?, workspace.take(k, k)?);
        let (row, mut estimates) = (workspace.ones(1, k)?, workspace.take(1, k)?);
        product.gemm(zero, one, gram, Op::Plain, q, Op::Plain)?;
        // The sums of the columns of Q o A Q.
        terms.product_add(zero, one, q, &product)?;
        estimates.gemm(zero, one, &row, Op::Plain, &terms, Op::Plain)?;
        sort_by(&estimates, &mut [(&mut product, false), (v, self.is_left)], workspace)?;
        q.copy_from(&product)?;
        orthonormalize(q, workspace)?;
        // Columns that depend on others are zero; without any the squares sum up to k.
        if q.dot(q)?.known().is_none_or(|square| square < k as f64 - 0.5) {
            q.seed_zero_columns(k as u64, &mut workspace.scratch)?;
            orthonormalize(q, workspace)?;
        }
        for matrix in [product, terms, estimates] {
            workspace.give(matrix);
        }
        workspace.give_ones(row);
        Ok(())
    }
}
