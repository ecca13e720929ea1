//! The fourth stage of NorMuon and AdaMuon: a mapped matrix over the root of its own second moment.

use crate::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, ScalarOp, domain};
use crate::linalg::Workspace;

/// Which entries share a second moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Slices {
    /// Those of a row: m numbers. An exact polar factor of a wide matrix has rows of length 1, which leaves this nothing to do.
    Rows,
    /// Those of a slice across the longer side, the rows of an m x n matrix with m >= n, else the columns: max(m, n) numbers.
    Short,
    /// None: m n numbers.
    Entries,
}

/// How a divisor is kept from zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Guard {
    /// `x + eps`.
    Added {
        /// Positive with a square that does not vanish in the arithmetic type, from 1.1e-19 in `f32`.
        eps: f64,
    },
    /// `max(x, eps)`.
    Clamped {
        /// Likewise.
        eps: f64,
    },
}

impl Guard {
    fn eps(self) -> f64 {
        let (Self::Added { eps } | Self::Clamped { eps }) = self;
        eps
    }

    /// The guarded divisor.
    fn of<B: Backend>(self, x: &B::Scalar, backend: &B) -> Result<B::Scalar> {
        let op = if matches!(self, Self::Added { .. }) { ScalarOp::Add } else { ScalarOp::Max };
        B::Scalar::combine(op, x, &backend.scalar(self.eps())?)
    }
}

/// `V = b2 V + (1 - b2) mean(U o U)`, the mean over each of the [`slices`](Self::slices), and `Y = U / guard(sqrt(V))`; with
/// [`norm`](Self::norm) `Y ||U||_F / guard(||Y||_F)`, which keeps the norm that the map gave. V starts at zero and has no bias
/// correction, which the norm makes harmless.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SecondMoment {
    /// Which entries share one.
    pub slices: Slices,
    /// b2 in [0, 1), below 1 also when rounded to the arithmetic type.
    pub beta2: f64,
    /// Of the root.
    pub guard: Guard,
    /// Of the new norm; `None`: the norm is not kept.
    pub norm: Option<Guard>,
}

impl SecondMoment {
    /// NorMuon as its authors' program has it (zichongli5/NorMuon, 2510.05491).
    pub const NORMUON: Self = Self {
        slices: Slices::Rows,
        beta2: 0.95,
        guard: Guard::Added { eps: 1e-10 },
        norm: Some(Guard::Added { eps: 1e-10 }),
    };

    /// NorMuon in microsoft/dion.
    pub const NORMUON_DION: Self =
        Self { guard: Guard::Added { eps: 1e-8 }, norm: Some(Guard::Clamped { eps: 1e-8 }), ..Self::NORMUON };

    /// NorMuon in modded-nanogpt: the axis by the shape, `sqrt(max(V, 1e-10))`.
    pub const NORMUON_MODDED: Self = Self {
        slices: Slices::Short,
        beta2: 0.9,
        guard: Guard::Clamped { eps: 1e-5 },
        norm: Some(Guard::Clamped { eps: 1e-10 }),
    };

    /// AdaMuon as its authors' program has it (Chongjie-Si/AdaMuon, 2507.11005); the norm is its step scale's.
    pub const ADAMUON: Self =
        Self { slices: Slices::Entries, beta2: 0.95, guard: Guard::Added { eps: 1e-8 }, norm: None };

    pub(super) fn shape(&self, (m, n): (usize, usize)) -> (usize, usize) {
        match self.slices {
            Slices::Rows => (m, 1),
            Slices::Short if m >= n => (m, 1),
            Slices::Short => (1, n),
            Slices::Entries => (m, n),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.slices {
            Slices::Rows => "second moment of rows",
            Slices::Short => "second moment of short slices",
            Slices::Entries => "second moment of entries",
        }
    }

    pub(crate) fn check<B: Backend>(&self) -> Result<()> {
        domain::memory::<B::Element>("second_moment", "beta2", self.beta2)?;
        domain::square_normal::<B::Element>("second_moment", "guard", self.guard.eps())?;
        self.norm
            .map_or(Ok(()), |guard| domain::square_normal::<B::Element>("second_moment", "norm", guard.eps()))
    }

    /// `out = X / guard(sqrt(V))`, entry by entry.
    fn divide<B: Backend>(
        &self,
        out: &mut B::Matrix,
        x: &B::Matrix,
        v: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let eps = match self.guard {
            Guard::Added { eps } => return out.quotient_add(zero, one, x, v, eps),
            Guard::Clamped { eps } => eps * eps,
        };
        // max(V, e) = (V + e + |V - e|) / 2 with |d| = sign(d) d.
        let (rows, cols) = v.shape();
        let ones = workspace.ones(rows, cols)?;
        let [mut difference, mut sign, mut larger] =
            [workspace.take_like(v, cols)?, workspace.take_like(v, cols)?, workspace.take_like(v, cols)?];
        difference.copy_from(v)?;
        difference.scale_add(one, (-eps).into(), &ones)?;
        sign.sign_add(zero, one, &difference)?;
        larger.product_add(zero, 0.5.into(), &sign, &difference)?;
        larger.scale_add(one, 0.5.into(), v)?;
        larger.scale_add(one, (0.5 * eps).into(), &ones)?;
        out.quotient_add(zero, one, x, &larger, 0.0)?;
        workspace.give_ones(ones);
        for temporary in [difference, sign, larger] {
            workspace.give(temporary);
        }
        Ok(())
    }

    /// `Y` of `u`, a temporary.
    pub(crate) fn apply<B: Backend>(
        &self,
        u: &B::Matrix,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        if self.slices == Slices::Entries {
            self.by_entries(u, v, workspace)
        } else {
            self.by_slices(u, v, workspace)
        }
    }

    fn by_entries<B: Backend>(
        &self,
        u: &B::Matrix,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        v.product_add(self.beta2.into(), (1.0 - self.beta2).into(), u, u)?;
        let mut y = workspace.take_like(u, u.shape().1)?;
        self.divide(&mut y, u, v, workspace)?;
        if let Some(guard) = self.norm {
            let factor = kept(guard, &u.dot(u)?, &y.dot(&y)?, workspace.backend())?;
            y.scale_add(Coefficient::device(1.0, &factor), Coefficient::ZERO, u)?;
        }
        Ok(y)
    }

    fn by_slices<B: Backend>(
        &self,
        u: &B::Matrix,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let ((m, n), (slices, width)) = (u.shape(), v.shape());
        let rows = width == 1;
        let across = workspace.ones(if rows { n } else { m }, 1)?;
        let ones = workspace.ones(slices, width)?;
        let mut full = workspace.take_like(u, n)?;
        let [mut sums, mut inverse, mut squares] =
            [workspace.take_like(v, width)?, workspace.take_like(v, width)?, workspace.take_like(v, width)?];
        // The sums of squares of the slices.
        full.product_add(zero, one, u, u)?;
        if rows {
            sums.gemm(zero, one, &full, Op::Plain, &across, Op::Plain)?;
        } else {
            sums.gemm(zero, one, &across, Op::Transposed, &full, Op::Plain)?;
        }
        let length = if rows { n } else { m };
        v.scale_add(self.beta2.into(), ((1.0 - self.beta2) / length as f64).into(), &sums)?;
        self.divide(&mut inverse, &ones, v, workspace)?;
        // Both norms follow from the sums.
        let factor = match self.norm {
            Some(guard) => {
                squares.product_add(zero, one, &inverse, &inverse)?;
                Some(kept(guard, &sums.dot(&ones)?, &sums.dot(&squares)?, workspace.backend())?)
            }
            None => None,
        };
        let factor = Coefficient { factor: 1.0, scalar: factor.as_ref() };
        if rows {
            full.gemm(zero, factor, &inverse, Op::Plain, &across, Op::Transposed)?;
        } else {
            full.gemm(zero, factor, &across, Op::Plain, &inverse, Op::Plain)?;
        }
        let mut y = workspace.take_like(u, n)?;
        y.product_add(zero, one, u, &full)?;
        workspace.give_ones(across);
        workspace.give_ones(ones);
        for temporary in [full, sums, inverse, squares] {
            workspace.give(temporary);
        }
        Ok(y)
    }
}

/// `sqrt(before) / guard(sqrt(after))`.
fn kept<B: Backend>(guard: Guard, before: &B::Scalar, after: &B::Scalar, backend: &B) -> Result<B::Scalar> {
    B::Scalar::combine(ScalarOp::Div, &before.sqrt()?, &guard.of(&after.sqrt()?, backend)?)
}
