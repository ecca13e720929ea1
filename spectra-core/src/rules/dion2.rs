//! Dion2 (2512.16928) and Dion3: the polar factor of the largest rows or columns of the momentum.

use super::method::Settings;
use super::{Dots, GradientLimits, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Element, Gradient, Matrix, Op, Result, domain, require};
use crate::linalg::{Normalization, Polar, Workspace};
use crate::maps::{SecondMoment, Slices};
use crate::scales::{ScaleRule, StepScale};
use crate::state::{BufferSpec, MOMENTUM, SECOND_MOMENT, State};
use alloc::{string::String, vec, vec::Vec};

/// What is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SliceAxis {
    /// Slices along the shorter axis: rows if m <= n, else columns.
    Short,
    /// Rows.
    Rows,
}

/// Only the k largest rows (or columns) of the momentum by their sum of magnitudes, the slices S, are used and damped:
///
/// `M = M + G`, `D = polar(S)`, `S in M = decay S`, `X = (1 - lr wd) X - lr scale D in X's slices`,
///
/// `k = max(1, ceil(fraction d))`, d the length of the axis, and the scale of the whole shape. With [`norm`](Self::norm), as in Dion3,
/// D is divided by the roots of second moments, as in NorMuon, of which those of the selected slices alone advance. Of slices
/// of the same size the first ones are taken. At fraction 1 it is Muon with Polyak momentum.
///
/// State: `mn` numbers, and d with a norm. Flops: `20 f^2 s^2 l + 10 f^3 s^3 + 4 mn` and `6 f d mn` for the selection, which is
/// a product with a matrix of zeros and ones. **Waits** for a device at every step: d sums are read.
/// Sources: arXiv 2512.16928, and `dion2.py`, `nordion2.py` of github.com/microsoft/dion (Dion3 has no paper).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Dion2 {
    /// The share of the slices; in (0, 1].
    pub fraction: f64,
    /// What is left of the selected slices; in [0, 1).
    pub decay: f64,
    /// What is selected.
    pub axis: SliceAxis,
    /// Their polar factor.
    pub polar: Polar,
    /// Dion3's second moment of the selected slices; of rows or short slices, which are here the same: along the axis.
    pub norm: Option<SecondMoment>,
    /// The factor of the step.
    pub scale: StepScale,
    /// Decoupled weight decay, of all weights.
    pub weight_decay: f64,
}

impl Dion2 {
    /// The authors': a quarter, decay 0.95, Polar Express with 1e-8 added, scale sqrt(m / n), weight decay 0.01.
    pub const PAPER: Self = Self {
        fraction: 0.25,
        decay: 0.95,
        axis: SliceAxis::Short,
        polar: Polar {
            normalization: Normalization::Added { factor: 1.02, eps: 1e-8 },
            ..Polar::POLAR_EXPRESS
        },
        norm: None,
        scale: StepScale::RATIO,
        weight_decay: 0.01,
    };

    /// `nordion2.py`: rows, with NorMuon's stage.
    pub const DION3: Self =
        Self { axis: SliceAxis::Rows, norm: Some(SecondMoment::NORMUON_DION), ..Self::PAPER };

    /// Whether rows are selected, how many there are, and of how many.
    fn slices(&self, (m, n): (usize, usize)) -> (bool, usize, usize) {
        let rows = self.axis == SliceAxis::Rows || m <= n;
        let d = if rows { m } else { n };
        (rows, (libm::ceil(self.fraction * d as f64) as usize).clamp(1, d.max(1)).min(d), d)
    }
}

impl Default for Dion2 {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl Settings for Dion2 {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }
}

impl<B: Backend> UpdateRule<B> for Dion2 {
    fn signature(&self) -> String {
        if self.norm.is_some() { "dion3" } else { "dion2" }.into()
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let (rows, _, d) = self.slices(shape);
        let mut buffers = vec![BufferSpec::zeros(MOMENTUM, shape)];
        if self.norm.is_some() {
            buffers.push(BufferSpec::zeros(SECOND_MOMENT, if rows { (d, 1) } else { (1, d) }));
        }
        buffers
    }

    fn flops(&self, (m, n): (usize, usize)) -> f64 {
        let (rows, k, _) = self.slices((m, n));
        let slices = if rows { (k, n) } else { (m, k) };
        self.polar.flops::<B::Element>(slices) + (6 * k + 4) as f64 * m as f64 * n as f64
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        let f = self.fraction;
        require(f > 0.0 && f <= 1.0, "dion2", "fraction", f, "in (0, 1]")?;
        domain::memory::<B::Element>("dion2", "decay", self.decay)?;
        self.polar.validate()?;
        let by_shape = ScaleRule::<B>::of_shape(&self.scale, (1, 1)).is_some();
        require(by_shape, "dion2", "scale", 0.0, "one that the shape tells")?;
        ScaleRule::<B>::validate(&self.scale)?;
        domain::rate::<B::Element>("dion2", "weight_decay", self.weight_decay)?;
        let Some(norm) = self.norm else { return Ok(()) };
        require(norm.slices != Slices::Entries, "dion2", "norm", 0.0, "of slices, not of entries")?;
        norm.check::<B>()
    }

    /// What is not selected is not damped: with room for 2^24 steps of a whole slice's sum.
    fn gradient_limits(&self, (m, n): (usize, usize), _: Dots) -> GradientLimits {
        let limit = domain::largest::<B::Element>() / 2.0 / (1u64 << 24) as f64;
        GradientLimits { entry: limit / m.max(n).max(1) as f64, norm: limit }
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
        let shape = weights.shape();
        let (rows, k, d) = self.slices(shape);
        let [m] = state.all_mut([MOMENTUM])?;
        m.scale_add(one, gradient.scale, gradient.values)?;
        // Row i of the k x d selection is the unit vector of the i-th slice.
        let mut selection = workspace.take(k, d)?;
        select::<B>(m, rows, &mut selection, workspace)?;
        let selected = if rows { (k, shape.1) } else { (shape.0, k) };
        let mut slices = workspace.take(selected.0, selected.1)?;
        // S = E M or M E^T; what goes back is E^T S or S E.
        let take = |out: &mut B::Matrix, x: &B::Matrix| {
            let (a, b) = if rows { (&selection, x) } else { (x, &selection) };
            let op = if rows { Op::Plain } else { Op::Transposed };
            out.gemm(zero, one, a, Op::Plain, b, op)
        };
        let put_back = |out: &mut B::Matrix, beta: f64, alpha: f64, slices: &B::Matrix| {
            let (a, b) = if rows { (&selection, slices) } else { (slices, &selection) };
            let op = if rows { Op::Transposed } else { Op::Plain };
            out.gemm(beta.into(), alpha.into(), a, op, b, Op::Plain)
        };
        take(&mut slices, m)?;
        put_back(m, 1.0, self.decay - 1.0, &slices)?;
        let mut update = workspace.take(selected.0, selected.1)?;
        self.polar.apply(&slices, &mut update, workspace)?;
        if let Some(norm) = self.norm {
            let [all] = state.all_mut([SECOND_MOMENT])?;
            let shape = if rows { (k, 1) } else { (1, k) };
            let (mut v, mut change) = (workspace.take(shape.0, shape.1)?, workspace.take(shape.0, shape.1)?);
            take(&mut v, all)?;
            change.scale_add(zero, (-1.0).into(), &v)?;
            let normalized = norm.apply(&update, &mut v, workspace)?;
            change.scale_add(one, one, &v)?;
            put_back(all, 1.0, 1.0, &change)?;
            for matrix in [v, change, core::mem::replace(&mut update, normalized)] {
                workspace.give(matrix);
            }
        }
        let scale = self.scale.of_shape(shape).unwrap_or(1.0);
        put_back(weights, rates.decay(), -rates.lr * scale, &update)?;
        for matrix in [selection, slices, update] {
            workspace.give(matrix);
        }
        Ok(StepInfo::default())
    }
}

/// Writes the unit vectors of the slices of `m` with the largest sums of magnitudes, in their order.
fn select<B: Backend>(
    m: &B::Matrix,
    rows: bool,
    selection: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let ((k, d), cols) = (selection.shape(), m.shape().1);
    let (mut signs, mut sizes) = (workspace.take_like(m, cols)?, workspace.take_like(m, cols)?);
    signs.sign_add(zero, one, m)?;
    sizes.product_add(zero, one, m, &signs)?;
    let sums = sum_slices(&sizes, rows, workspace)?;
    // The sums first, the matrix of unit vectors behind them.
    let (values, order) = workspace.scratch.slices(d + k * d, d);
    let (sizes_of, unit) = values.split_at_mut(d);
    sums.read(sizes_of)?;
    order.iter_mut().enumerate().for_each(|(i, order)| *order = i as f64);
    let size = |i: &f64| sizes_of[*i as usize].widen();
    order.sort_unstable_by(|i, j| size(j).total_cmp(&size(i)).then(i.total_cmp(j)));
    order[..k].sort_unstable_by(f64::total_cmp);
    unit.fill(B::Element::narrow(0.0));
    for (row, at) in unit.chunks_exact_mut(d.max(1)).zip(order.iter()) {
        row[*at as usize] = B::Element::narrow(1.0);
    }
    selection.write(unit)?;
    for matrix in [signs, sizes, sums] {
        workspace.give(matrix);
    }
    Ok(())
}

/// The sum of each row, or of each column; a temporary.
fn sum_slices<B: Backend>(x: &B::Matrix, rows: bool, workspace: &mut Workspace<B>) -> Result<B::Matrix> {
    let (m, n) = x.shape();
    let zero = Coefficient::ZERO;
    let (shape, ones) = if rows { ((m, 1), (n, 1)) } else { ((1, n), (1, m)) };
    let ones = workspace.ones(ones.0, ones.1)?;
    let mut sums = workspace.take(shape.0, shape.1)?;
    let (a, b) = if rows { (x, &ones) } else { (&ones, x) };
    sums.gemm(zero, Coefficient::ONE, a, Op::Plain, b, Op::Plain)?;
    workspace.give_ones(ones);
    Ok(sums)
}
