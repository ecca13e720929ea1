//! What a plan's optimizer state costs.

use super::Block;
use super::entry::{Entry, Rule};
use crate::optimizer::Config;
use crate::rules::Weights;

/// How much state an optimizer keeps for a parameter.
///
/// A [`Config`] is one, and so is a closure, both of four bytes a number:
///
/// ```
/// use spectra_core::optimizer::Config;
/// use spectra_core::optimizer::plan::{Plan, Rule};
///
/// // Tail shrink keeps mn + nk numbers; here k = 1.
/// let totals = Plan::builder().build([("w", [30, 20])])?.state(Config::preset("spectra")?);
/// assert_eq!(totals.numbers, 620);
///
/// let muon = |rule: Rule, m: usize, n: usize| if rule == Rule::Spectral { m * n } else { 2 * m * n };
/// let totals = Plan::builder().build([("w", [30, 20])])?.state(muon);
/// assert_eq!((totals.numbers, totals.bytes, totals.saving()), (600, 2400, 0.5));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
pub trait StateCost {
    /// Numbers of state for an `rows x cols` parameter under `rule`.
    ///
    /// Asked for spectral and elementwise parameters that have elements; all others have no state. Elementwise
    /// parameters come as they are viewed: vectors as one row.
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize;

    /// Numbers of state for a `rows x cols` block under a rule of one's own, by its [name](super::Group::named). 0 unless
    /// overridden by a cost that knows these rules, as an optimizer's does.
    fn named_numbers(&self, rule: &str, rows: usize, cols: usize) -> usize {
        let _ = (rule, rows, cols);
        0
    }

    /// Bytes of one such number; 4 unless overridden.
    fn bytes_per_number(&self) -> usize {
        4
    }
}

impl<F: Fn(Rule, usize, usize) -> usize> StateCost for F {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self(rule, rows, cols)
    }
}

impl StateCost for Config {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        match rule {
            Rule::Spectral => self.spectral.state_numbers(rows, cols),
            Rule::Elementwise => self.elementwise.state_numbers(rows, cols),
            Rule::Frozen => 0,
        }
    }
}

/// The state of a whole plan beside AdamW's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTotals {
    /// Numbers in all parameters, frozen ones too.
    pub elements: u64,
    /// Numbers of state.
    pub numbers: u64,
    /// Bytes of state.
    pub bytes: u64,
    /// Numbers of state if AdamW updated every parameter that is not frozen: twice their elements.
    pub adamw_numbers: u64,
    /// Bytes of that, with as many for each number.
    pub adamw_bytes: u64,
}

impl StateTotals {
    pub(super) fn of<C: StateCost>(entries: &[Entry], cost: &C) -> Self {
        let mut totals = Self::default();
        for entry in entries {
            totals.elements = totals.elements.saturating_add(entry.elements() as u64);
            totals.numbers = totals.numbers.saturating_add(numbers_of(entry, cost));
            if entry.rule() != Rule::Frozen {
                let adamw = (entry.elements() as u64).saturating_mul(2);
                totals.adamw_numbers = totals.adamw_numbers.saturating_add(adamw);
            }
        }
        let width = cost.bytes_per_number() as u64;
        totals.bytes = totals.numbers.saturating_mul(width);
        totals.adamw_bytes = totals.adamw_numbers.saturating_mul(width);
        totals
    }

    /// The part of AdamW's state that is saved, `1 - numbers / adamw_numbers`; negative where it is more, 0 where
    /// nothing is trained.
    #[must_use]
    pub fn saving(&self) -> f64 {
        if self.adamw_numbers == 0 {
            return 0.0;
        }
        1.0 - self.numbers as f64 / self.adamw_numbers as f64
    }
}

/// Numbers of state of one parameter.
pub(super) fn numbers_of<C: StateCost>(entry: &Entry, cost: &C) -> u64 {
    let of_block = |block: &Block| block_numbers(entry, block, cost);
    entry.blocks().iter().map(of_block).fold(0, u64::saturating_add)
}

/// Numbers of state of one block.
pub(super) fn block_numbers<C: StateCost>(entry: &Entry, block: &Block, cost: &C) -> u64 {
    if entry.rule() == Rule::Frozen || entry.view().0 == 0 {
        return 0;
    }
    let (rows, cols) = block.shape();
    let numbers = match (entry.group().own_method(), entry.group().rule_name()) {
        (Some(method), _) => method.state_numbers(rows, cols),
        (None, Some(name)) => cost.named_numbers(name, rows, cols),
        (None, None) => cost.state_numbers(entry.rule(), rows, cols),
    };
    let master = if entry.weights() == Weights::Master { rows.saturating_mul(cols) } else { 0 };
    numbers.saturating_add(master) as u64
}
