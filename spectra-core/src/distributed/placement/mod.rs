//! Which matrix is stepped where: divided over all ranks, whole by an owner, or whole by every rank with what is summed at low rank.

mod balance;
mod placing;
mod table;

pub use placing::{Mode, Placing};

use super::{Axis, Division, traffic};
use crate::rules::Sharding;
use alloc::{boxed::Box, vec::Vec};

/// A matrix as it is placed: what [`Optimizer::work`](crate::optimizer::Optimizer::work) lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Its name.
    pub name: Box<str>,
    /// Its shape.
    pub shape: (usize, usize),
    /// The signature of its rule.
    pub rule: Box<str>,
    /// Of a step, as [`UpdateRule::flops`](crate::rules::UpdateRule::flops).
    pub flops: f64,
    /// How ranks step it together, if they can.
    pub sharding: Option<Sharding>,
    /// Whether it is stepped at all.
    pub is_live: bool,
}

impl Work {
    /// A matrix that stays as it is.
    pub fn frozen(name: impl Into<Box<str>>, shape: (usize, usize)) -> Self {
        Self { name: name.into(), shape, rule: "frozen".into(), flops: 0.0, sharding: None, is_live: false }
    }

    fn entries(&self) -> f64 {
        self.shape.0 as f64 * self.shape.1 as f64
    }
}

/// The words that a rank sends in a step; see [`traffic`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Words {
    /// Its summands of gradients, to the ranks that step them.
    pub gradients: f64,
    /// The sums of divided tail shrink, as a ring sends them.
    pub sums: f64,
    /// Those of Dion's low-rank exchange.
    pub low_rank: f64,
    /// Its new weights, to all others.
    pub weights: f64,
}

impl Words {
    /// Of all kinds.
    pub fn total(&self) -> f64 {
        self.gradients + self.sums + self.low_rank + self.weights
    }
}

/// Where each matrix of a model is stepped; the same on every rank, as it depends on the matrices and on the number of ranks alone.
///
/// ```
/// use spectra_core::dense::Dense;
/// use spectra_core::distributed::Placing;
/// use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
///
/// let shapes = [("layers.0.up.weight", [1024, 512]), ("layers.1.up.weight", [1024, 512])];
/// let plan = Plan::builder().build(shapes)?;
/// let optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset("muon")?, plan.parameters())?;
/// let placement = Placing::AUTO.place(optimizer.work(), 2)?;
/// // A polar factor takes the whole matrix: each rank owns one.
/// let owners: Vec<_> = placement.divisions().iter().flatten().map(|division| division.owner()).collect();
/// assert_eq!(owners, [Some(0), Some(1)]);
/// assert_eq!(placement.imbalance(), 1.0);
/// println!("{placement}");
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    ranks: usize,
    work: Vec<Work>,
    divisions: Vec<Option<Division>>,
    loads: Vec<f64>,
}

impl Placement {
    /// How many ranks there are.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// The matrices.
    pub fn work(&self) -> &[Work] {
        &self.work
    }

    /// Where each is, `None` if frozen.
    pub fn divisions(&self) -> &[Option<Division>] {
        &self.divisions
    }

    /// The flops of each rank in a step.
    pub fn loads(&self) -> &[f64] {
        &self.loads
    }

    /// The largest load over the mean: how much longer a step takes than if the work were divided evenly. 1 where there is none.
    pub fn imbalance(&self) -> f64 {
        let total: f64 = self.loads.iter().sum();
        let largest = self.loads.iter().copied().fold(0.0, f64::max);
        if total > 0.0 { largest * self.ranks as f64 / total } else { 1.0 }
    }

    /// What a rank sends in a step.
    pub fn words(&self, rank: usize) -> Words {
        let others = (self.ranks - 1) as f64;
        let mut words = Words::default();
        for (work, division) in self.live() {
            if division.is_shared() {
                words.low_rank += mean_words(work, division);
                continue;
            }
            let here = entries(division.part(rank));
            words.gradients += work.entries() - here;
            words.weights += here * others;
            if let (true, Some(Sharding::Sweeps { rank, sweeps })) = (division.is_divided(), work.sharding) {
                words.sums += sweeps as f64 * traffic::sweep(work.shape, rank, self.ranks);
            }
        }
        words
    }

    /// The collectives of a step, however many matrices there are: one for gradients, one for weights, and for each sweep of tail shrink one,
    /// or two if the columns of a matrix are divided; two for Dion's low-rank exchange. A norm clip takes one more. For one rank nothing
    /// is sent.
    pub fn collectives(&self) -> usize {
        if self.ranks == 1 { 0 } else { 2 + self.sums() + self.low_rank_sums() }
    }

    /// Those of tail shrink.
    pub(super) fn sums(&self) -> usize {
        let divided = self.live().filter(|(_, division)| division.is_divided());
        let sweeps = |axis: Option<Axis>| {
            let of_axis =
                divided.clone().filter(|(_, division)| axis.is_none_or(|axis| division.axis() == axis));
            let sweeps = of_axis.map(|(work, _)| match work.sharding {
                Some(Sharding::Sweeps { sweeps, .. }) => sweeps,
                _ => 0,
            });
            sweeps.max().unwrap_or(0)
        };
        sweeps(None) + sweeps(Some(Axis::Cols))
    }

    /// Those of Dion's exchange: P and R of all matrices.
    pub(super) fn low_rank_sums(&self) -> usize {
        if self.live().any(|(_, division)| division.is_shared()) { 2 } else { 0 }
    }

    /// Those that are stepped.
    pub(super) fn live(&self) -> impl Iterator<Item = (&Work, &Division)> + Clone {
        self.work.iter().zip(&self.divisions).filter_map(|(work, division)| Some((work, division.as_ref()?)))
    }
}

/// What a rank sends for a matrix, in the mean.
fn mean_words(work: &Work, division: &Division) -> f64 {
    match work.sharding {
        Some(Sharding::Sweeps { rank, sweeps }) if division.is_divided() => {
            traffic::divided(work.shape, rank, sweeps, division.ranks())
        }
        Some(Sharding::LowRank { rank }) if division.is_shared() => {
            traffic::low_rank(work.shape, rank, division.ranks())
        }
        _ => traffic::owners(work.shape, division.ranks()),
    }
}

fn entries((m, n): (usize, usize)) -> f64 {
    m as f64 * n as f64
}
