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

    /// Bytes of [`state_numbers`](Self::state_numbers), which may be of several sizes; unless overridden
    /// [as many each](Self::bytes_per_number).
    fn state_bytes(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.state_numbers(rule, rows, cols).saturating_mul(self.bytes_per_number())
    }

    /// Bytes of [`named_numbers`](Self::named_numbers), likewise.
    fn named_bytes(&self, rule: &str, rows: usize, cols: usize) -> usize {
        self.named_numbers(rule, rows, cols).saturating_mul(self.bytes_per_number())
    }

    /// Bytes of a number in the arithmetic type; 4 unless overridden.
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

    fn state_bytes(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.bytes(rule, (rows, cols), self.bytes_per_number())
    }
}

impl Config {
    /// Bytes of state, of `width` for a number in the arithmetic type.
    pub(in crate::optimizer) fn bytes(
        &self,
        rule: Rule,
        (rows, cols): (usize, usize),
        width: usize,
    ) -> usize {
        match rule {
            Rule::Spectral => self.spectral.state_bytes(rows, cols, width),
            Rule::Elementwise => self.elementwise.state_bytes(rows, cols, width),
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
            for block in entry.blocks() {
                let (numbers, bytes) = block_cost(entry, block, cost);
                totals.numbers = totals.numbers.saturating_add(numbers);
                totals.bytes = totals.bytes.saturating_add(bytes);
            }
            if entry.rule() != Rule::Frozen {
                let adamw = (entry.elements() as u64).saturating_mul(2);
                totals.adamw_numbers = totals.adamw_numbers.saturating_add(adamw);
            }
        }
        let width = cost.bytes_per_number() as u64;
        totals.adamw_bytes = totals.adamw_numbers.saturating_mul(width);
        totals
    }

    /// The part of AdamW's state that is saved, `1 - bytes / adamw_bytes`; negative where it is more, 0 where
    /// nothing is trained.
    #[must_use]
    pub fn saving(&self) -> f64 {
        if self.adamw_bytes == 0 {
            return 0.0;
        }
        1.0 - self.bytes as f64 / self.adamw_bytes as f64
    }
}

/// Numbers of state of one block, and their bytes.
pub(super) fn block_cost<C: StateCost>(entry: &Entry, block: &Block, cost: &C) -> (u64, u64) {
    if entry.rule() == Rule::Frozen || entry.view().0 == 0 {
        return (0, 0);
    }
    let ((rows, cols), width) = (block.shape(), cost.bytes_per_number());
    let (numbers, bytes) = match (entry.group().own_method(), entry.group().rule_name()) {
        (Some(method), _) => (method.state_numbers(rows, cols), method.state_bytes(rows, cols, width)),
        (None, Some(name)) => (cost.named_numbers(name, rows, cols), cost.named_bytes(name, rows, cols)),
        (None, None) => {
            (cost.state_numbers(entry.rule(), rows, cols), cost.state_bytes(entry.rule(), rows, cols))
        }
    };
    let master = if entry.weights() == Weights::Master { rows.saturating_mul(cols) } else { 0 };
    let master_bytes = master.saturating_mul(width);
    (numbers.saturating_add(master) as u64, bytes.saturating_add(master_bytes) as u64)
}
