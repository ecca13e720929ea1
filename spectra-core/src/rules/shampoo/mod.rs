//! Shampoo (1802.09568), with the surroundings of its distributed form (2309.06497).

mod graft;
mod root;

pub use graft::Graft;
pub use root::InverseRoot;

use super::method::Settings;
use super::soap::{LEFT_GRAM, RIGHT_GRAM, add_grams};
use super::{Dots, GradientLimits, StepInfo, StepRates, UpdateRule, entrywise_flops};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result, Scalar, ScalarOp, domain, require};
use crate::linalg::Workspace;
use crate::state::{BufferSpec, MOMENTUM, SECOND_MOMENT, State};
use alloc::{string::String, vec::Vec};

const LEFT_ROOT: &str = "left_root";
const RIGHT_ROOT: &str = "right_root";

/// With the Gram matrices `L = b2 L + c G G^T` and `R = b2 R + c G^T G` (b2 = 1: sums, c = 1; else averages, c = 1 - b2, divided by
/// `1 - b2^t` when they are used) and the filtered gradient `F = M / (1 - b1^t)`, `M = b1 M + (1 - b1) G`:
///
/// `D = L^-p F R^-p`, `X = (1 - lr wd) X - lr D`,
///
/// p = 1/4, or 1/2 where one side alone has a Gram matrix: a vector (one row), and where the other axis is longer than
/// [`max_dim`](Self::max_dim) (one reading: the authors' program cuts such an axis into blocks; a plan's
/// [`Split`](crate::optimizer::plan::Split) does that). With a [`graft`](Self::graft) of direction `d`, D becomes `||d|| D / (||D|| + 1e-16)`,
/// and until step [`start`](Self::start) the step is `d` itself. Roots are made anew when the step is a multiple of
/// [`every`](Self::every), and at the start; without a graft that is the first step (one reading: before its start the program
/// has the graft's direction and no other).
///
/// The program's default merges a small matrix into one vector; this rule never does.
///
/// State: `2 m^2 + 2 n^2` numbers, `mn` more with momentum and `mn` with a graft that has a second moment. Flops: `4 mn (m + n)`, and about
/// `9 (m^3 + n^3)` when roots are made. Sources: arXiv 1802.09568, 2309.06497, github.com/facebookresearch/optimizers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Shampoo {
    /// b1 in [0, 1); 0: no momentum is kept.
    pub beta1: f64,
    /// b2 in [0, 1], 1 for sums.
    pub beta2: f64,
    /// Of the eigenvalues; positive.
    pub eps: f64,
    /// p in (0, 1] in the place of 1/4 or 1/2.
    pub exponent: Option<f64>,
    /// How roots are made.
    pub root: InverseRoot,
    /// Roots are made at multiples of this step, at least 1.
    pub every: u64,
    /// The first step with roots, at least 1; `None`: [`every`](Self::every).
    pub start: Option<u64>,
    /// Whose length the step takes; `None`: its own.
    pub graft: Option<Graft>,
    /// The longest axis that has a Gram matrix.
    pub max_dim: usize,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Shampoo {
    /// The distributed form: b1 0.9, b2 0.999, eps 1e-12, Adam's graft; roots every 10 steps are ours, the program has 1.
    pub const GRAFTED: Self = Self {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-12,
        exponent: None,
        root: InverseRoot::Eigen,
        every: 10,
        start: None,
        graft: Some(Graft::Adam { beta2: 0.999, eps: 1e-8 }),
        max_dim: 8192,
        weight_decay: 0.0,
    };

    /// The first paper's: sums, and nothing around them.
    pub const FULL: Self = Self { beta1: 0.0, beta2: 1.0, every: 1, graft: None, ..Self::GRAFTED };

    /// Whether rows and columns have a Gram matrix.
    fn axes(&self, (m, n): (usize, usize)) -> (bool, bool) {
        (m > 1 && m <= self.max_dim, n <= self.max_dim)
    }

    /// p for this shape.
    fn power(&self, shape: (usize, usize)) -> f64 {
        let (left, right) = self.axes(shape);
        self.exponent.unwrap_or(if left && right { 0.25 } else { 0.5 })
    }

    /// The first step, from 1, with roots.
    fn first(&self) -> u64 {
        if self.graft.is_none() { 1 } else { self.start.unwrap_or(self.every) }
    }
}

impl Default for Shampoo {
    /// [`GRAFTED`](Self::GRAFTED).
    fn default() -> Self {
        Self::GRAFTED
    }
}

impl Settings for Shampoo {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }
}

impl<B: Backend> UpdateRule<B> for Shampoo {
    fn signature(&self) -> String {
        if self.beta2 == 1.0 { "shampoo, sums" } else { "shampoo" }.into()
    }

    fn buffers(&self, (m, n): (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = Vec::new();
        if self.beta1 > 0.0 {
            buffers.push(BufferSpec::zeros(MOMENTUM, (m, n)));
        }
        if self.graft.is_some_and(Graft::has_second_moment) {
            buffers.push(BufferSpec::zeros(SECOND_MOMENT, (m, n)));
        }
        let (left, right) = self.axes((m, n));
        let sides = [(left, m, LEFT_GRAM, LEFT_ROOT), (right, n, RIGHT_GRAM, RIGHT_ROOT)];
        let sides = sides.iter().filter(|(has, ..)| *has);
        buffers.extend(sides.clone().map(|(_, k, gram, _)| BufferSpec::zeros(gram, (*k, *k))));
        buffers.extend(sides.map(|(_, k, _, root)| BufferSpec::made_by_rule(root, (*k, *k))));
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        let (left, right) = self.axes(shape);
        let (m, n) = (shape.0 as f64, shape.1 as f64);
        let axis = |k: f64| 4.0 * m * n * k + 9.0 * k * k * k / self.every as f64;
        let axes = [(left, m), (right, n)];
        entrywise_flops(shape) + axes.iter().filter(|(has, _)| *has).map(|(_, k)| axis(*k)).sum::<f64>()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("shampoo", "beta1", self.beta1)?;
        if self.beta2 != 1.0 {
            domain::memory::<B::Element>("shampoo", "beta2", self.beta2)?;
        }
        require(self.eps > 0.0 && self.eps.is_finite(), "shampoo", "eps", self.eps, "positive and finite")?;
        domain::rate::<B::Element>("shampoo", "weight_decay", self.weight_decay)?;
        require(self.every >= 1, "shampoo", "every", self.every as f64, "at least 1")?;
        let start = self.start.unwrap_or(1);
        require(start >= 1, "shampoo", "start", start as f64, "at least 1")?;
        let p = self.exponent.unwrap_or(0.5);
        require(p > 0.0 && p <= 1.0, "shampoo", "exponent", p, "in (0, 1]")?;
        self.root.validate(self.exponent)?;
        self.graft.map_or(Ok(()), |graft| graft.validate::<B::Element>())
    }

    /// Squares are summed: with room for 2^24 steps.
    fn gradient_limits(&self, _: (usize, usize), _: Dots) -> GradientLimits {
        let norm = libm::sqrt(domain::largest::<B::Element>() / 2.0) / 4096.0;
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
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let (shape, t) = (weights.shape(), rates.step + 1);
        let like = gradient.values;
        let mut g = workspace.take_like(like, shape.1)?;
        g.scale_add(zero, gradient.scale, gradient.values)?;
        let sums = self.beta2 == 1.0;
        add_grams(state, (self.beta2, if sums { 1.0 } else { 1.0 - self.beta2 }), &g)?;

        let mut filtered = workspace.take_like(like, shape.1)?;
        if self.beta1 > 0.0 {
            let [m] = state.all_mut([MOMENTUM])?;
            m.scale_add(self.beta1.into(), (1.0 - self.beta1).into(), &g)?;
            filtered.scale_add(zero, (1.0 / (1.0 - libm::pow(self.beta1, t as f64))).into(), m)?;
        } else {
            filtered.copy_from(&g)?;
        }
        let mut grafted = None;
        if let Some(graft) = self.graft {
            let out = grafted.insert(workspace.take_like(like, shape.1)?);
            graft.direction((&filtered, &g, t), state, out)?;
        }
        workspace.give(g);

        let first = self.first();
        let (decay, step) = (rates.decay(), -rates.lr);
        if t < first {
            weights.scale_add(decay.into(), step.into(), grafted.as_ref().unwrap_or(&filtered))?;
        } else {
            if t == first || t.is_multiple_of(self.every) {
                let scale = if sums { 1.0 } else { 1.0 / (1.0 - libm::pow(self.beta2, t as f64)) };
                let how = (self.power(shape), scale);
                for (gram, root) in [(LEFT_GRAM, LEFT_ROOT), (RIGHT_GRAM, RIGHT_ROOT)] {
                    if let Some(gram) = state.get(gram) {
                        let made = self.root.of(gram, how, self.eps, workspace)?;
                        let [place] = state.zeros([root], &made, workspace.backend())?;
                        place.copy_from(&made)?;
                        workspace.give(made);
                    }
                }
            }
            let mut direction = workspace.take_like(like, shape.1)?;
            for (root, is_left) in [(LEFT_ROOT, true), (RIGHT_ROOT, false)] {
                let Some(root) = state.get(root) else { continue };
                let (a, b) = if is_left { (root, &filtered) } else { (&filtered, root) };
                direction.gemm(zero, one, a, Op::Plain, b, Op::Plain)?;
                core::mem::swap(&mut filtered, &mut direction);
            }
            let length = match &grafted {
                None => None,
                Some(grafted) => {
                    let norm = |x: &B::Matrix| x.dot(x)?.sqrt();
                    let own = B::Scalar::combine(
                        ScalarOp::Add,
                        &norm(&filtered)?,
                        &workspace.backend().scalar(1e-16)?,
                    )?;
                    Some(B::Scalar::combine(ScalarOp::Div, &norm(grafted)?, &own)?)
                }
            };
            let alpha = Coefficient { factor: step, scalar: length.as_ref() };
            weights.scale_add(decay.into(), alpha, &filtered)?;
            workspace.give(direction);
        }
        workspace.give(filtered);
        if let Some(grafted) = grafted {
            workspace.give(grafted);
        }
        Ok(StepInfo::default())
    }
}
