//! One parameter's place in a plan.

use super::{Block, Group};
use crate::linalg::SixteenBits;
use crate::rules::Weights;
use alloc::boxed::Box;
use core::fmt;

/// How a parameter is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Rule {
    /// As a matrix, by the optimizer's spectral map.
    Spectral,
    /// Number by number, by AdamW or whatever else the optimizer has for vectors.
    Elementwise,
    /// Not at all; it has no state.
    Frozen,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Rule::Spectral => "spectral",
            Rule::Elementwise => "elementwise",
            Rule::Frozen => "frozen",
        })
    }
}

/// Why a parameter has its rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The last user pattern that matches the name.
    Pattern(Box<str>),
    /// It has no elements.
    Empty,
    /// A bias by its name.
    Bias,
    /// A normalisation by its name.
    Norm,
    /// An embedding by its name.
    Embedding,
    /// An output head by its name, or `fc` at the end of a model.
    Head,
    /// A factor of a low-rank adapter by its name (LoRA's `lora_A`).
    LowRank,
    /// Coefficients of a recurrence by their name (Mamba's `A_log`): two dimensions, but no map between features.
    Recurrence,
    /// It has one element.
    Scalar,
    /// It has one row or one column.
    Vector,
    /// It has two dimensions.
    Matrix,
    /// A convolution: its first dimension against all others.
    Convolution {
        /// The first dimension.
        rows: usize,
        /// The product of the others.
        cols: usize,
    },
    /// A convolution each of whose outputs sees one channel: no map between channels.
    Depthwise,
    /// Several experts in one tensor by its name: many matrices, not one.
    Experts,
    /// Fused matrices by its name, split into so many.
    Fused {
        /// The blocks.
        parts: usize,
    },
    /// Fused matrices by its name, whose parts its shape does not tell.
    FusedUnknown,
    /// Neither its name nor its shape tells what it is.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Pattern(pattern) => write!(f, "user pattern `{pattern}`"),
            Reason::Empty => f.write_str("empty"),
            Reason::Bias => f.write_str("bias by name"),
            Reason::Norm => f.write_str("norm by name"),
            Reason::Embedding => f.write_str("embedding by name"),
            Reason::Head => f.write_str("head by name"),
            Reason::LowRank => f.write_str("low-rank factor by name"),
            Reason::Recurrence => f.write_str("recurrence by name"),
            Reason::Scalar => f.write_str("scalar"),
            Reason::Vector => f.write_str("vector"),
            Reason::Matrix => f.write_str("matrix"),
            Reason::Convolution { rows, cols } => {
                write!(f, "convolution flattened {rows} x {cols}")
            }
            Reason::Depthwise => f.write_str("depthwise convolution"),
            Reason::Experts => f.write_str("stacked experts"),
            Reason::Fused { parts } => write!(f, "{parts} fused matrices, split"),
            Reason::FusedUnknown => f.write_str("fused matrices of unknown sizes, not split"),
            Reason::Unknown => f.write_str("not told by name and shape"),
        }
    }
}

/// A parameter: its name, shape, rule, the matrix that the optimizer sees in it, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) name: Box<str>,
    pub(super) shape: Box<[usize]>,
    pub(super) rule: Rule,
    pub(super) view: (usize, usize),
    pub(super) reason: Reason,
    pub(super) group: Group,
    pub(super) blocks: Box<[Block]>,
    pub(super) weights: Weights,
    pub(super) format: Option<SixteenBits>,
}

impl Entry {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape as it was given.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Rows and columns of the parameter's row-major numbers as a matrix, `rows * cols` of them.
    ///
    /// A matrix is itself, anything of more dimensions `out x (the rest)`; vectors, columns and scalars are one row, so that a step
    /// scale `sqrt(max(1, rows / cols))` is 1 for them. A parameter without elements is `0 x 0`.
    #[must_use]
    pub fn view(&self) -> (usize, usize) {
        self.view
    }

    /// How many numbers the parameter has.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.view.0 * self.view.1
    }

    /// The matrices in it that are optimized, each by itself; one unless it is split.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// How its weights take an update.
    #[must_use]
    pub fn weights(&self) -> Weights {
        self.weights
    }

    /// The 16-bit type in which its weights are kept, if a front-end has [said so](super::Plan::round).
    #[must_use]
    pub fn format(&self) -> Option<SixteenBits> {
        self.format
    }

    /// What is not the model's.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Why it has its rule.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}
