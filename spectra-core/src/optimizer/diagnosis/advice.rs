//! What can be found, in words, and what to do about each.

use core::fmt;

/// What was found. Kinds may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum FindingKind {
    /// A NaN or an infinity. Figure: in how many matrices of the block.
    NonFinite,
    /// No gradient. Figure: 0.
    MissingGradient,
    /// A gradient of zeros. Figure: 0.
    ZeroGradient,
    /// Fewer steps than the model has taken. Figure: the share taken.
    SkippedSteps,
    /// Rows without a gradient. Figure: their share.
    DeadRows,
    /// Columns without a gradient. Figure: their share.
    DeadColumns,
    /// Entries elsewhere without a gradient. Figure: their share of all.
    DeadEntries,
    /// An update below half a unit in the last place of weights of 16 bits. Figure: the share of entries that an update would move and rounding
    /// does not let.
    Stagnation,
    /// Figure: the update over the weights.
    UpdateTooLarge,
    /// Figure: the update over the weights.
    UpdateTooSmall,
    /// A learning rate of zero. Figure: 0.
    ZeroLearningRate,
    /// A cached subspace that captures less than it could. Figure: the share of the possible that it captures.
    StaleSubspace,
    /// A spectral rule for what is no hidden matrix, by its name or its shape. Figure: the longer side over the shorter.
    NotHidden,
    /// A spectral rule for a matrix of one or two singular values. Figure: how many.
    VectorLike,
    /// An elementwise rule for what is a hidden matrix by its name and shape. Figure: its number of singular values.
    Unspectral,
    /// Neither name nor shape tells what it is, or what it holds. Figure: its number of dimensions.
    Untold,
    /// Weights that have grown since an earlier diagnosis. Figure: the factor.
    WeightGrowth,
    /// A gradient that has grown since. Figure: the factor.
    GradientGrowth,
    /// The norm clip takes nearly everything. Figure: its factor.
    NormClip,
    /// A buffer of a saved state that is damaged or missing. Figure: how many of the block.
    Corrupt,
}

impl FindingKind {
    /// A few words for it.
    pub fn title(self) -> &'static str {
        match self {
            Self::NonFinite => "NaN or infinity",
            Self::MissingGradient => "no gradient",
            Self::ZeroGradient => "zero gradient",
            Self::SkippedSteps => "skipped steps",
            Self::DeadRows => "dead rows",
            Self::DeadColumns => "dead columns",
            Self::DeadEntries => "dead entries",
            Self::Stagnation => "stagnation in 16 bit",
            Self::UpdateTooLarge => "large update",
            Self::UpdateTooSmall => "small update",
            Self::ZeroLearningRate => "learning rate zero",
            Self::StaleSubspace => "stale subspace",
            Self::NotHidden => "wrong rule: no hidden matrix",
            Self::VectorLike => "wrong rule: nearly a vector",
            Self::Unspectral => "wrong rule: a hidden matrix, elementwise",
            Self::Untold => "unknown parameter",
            Self::WeightGrowth => "growing weights",
            Self::GradientGrowth => "growing gradient",
            Self::NormClip => "gradients clipped to almost nothing",
            Self::Corrupt => "corrupt",
        }
    }

    /// What to do about it, in a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NonFinite => {
                "look for the first layer whose output is not finite (a division by 0, the log of 0, an overflow in f16), \
                 lower the learning rate or set clip_norm, and go on from a checkpoint if weights or state hold it"
            }
            Self::MissingGradient => {
                "see that the loss depends on it and that nothing on the way is detached, or freeze it in the plan if it is not \
                 to be trained"
            }
            Self::ZeroGradient => {
                "look for what multiplies it by zero: a layer behind it that begins at zero, a saturated or dead activation, a \
                 mask, an input that is always zero"
            }
            Self::SkippedSteps => {
                "nothing, for experts that are rarely chosen; otherwise look for the branch of the model that is rarely run"
            }
            Self::DeadRows => {
                "nothing, for tokens or classes that do not occur; otherwise these outputs are dead units: lower the learning rate, \
                 or take another initialisation or an activation that is nowhere flat"
            }
            Self::DeadColumns => {
                "these inputs are always zero: dead units in the layer before, padding, or features that the data do not have; \
                 mend that layer or drop the inputs"
            }
            Self::DeadEntries => {
                "nothing, if a mask is meant to keep them; otherwise look for what multiplies their gradient by zero"
            }
            Self::Stagnation => {
                "keep a master or round at random (`Config::rounding`: Master or Stochastic), or raise the learning rate"
            }
            Self::UpdateTooLarge => {
                "lower the learning rate, or this group's factor of it; at the start a warm-up does"
            }
            Self::UpdateTooSmall => {
                "raise the learning rate, or this group's factor of it, unless the schedule is at its end"
            }
            Self::ZeroLearningRate => {
                "nothing, at the first step of a warm-up or the last of a decay; otherwise see schedule, group's factor and setting"
            }
            Self::StaleSubspace => {
                "refresh it more often (`refresh_every` 1), with more iterations (`power_iterations` 2) or a larger `rank_ratio`; after a change of \
                 data or a resume it catches up by itself in a few steps"
            }
            Self::NotHidden => {
                "give it the elementwise rule: `Plan::builder().rule(name, Rule::Elementwise)`, or take away the pattern that made it \
                 spectral"
            }
            Self::VectorLike => {
                "nothing, if it trains; otherwise give it the elementwise rule, as a spectral map can do next to nothing with so few \
                 singular values"
            }
            Self::Unspectral => "take away the pattern, if it was not meant for this matrix",
            Self::Untold => {
                "say what it is: `Plan::builder().rule(name, ..)`, or `.split(name, ..)` if it holds several matrices"
            }
            Self::WeightGrowth => {
                "set a weight decay, or lower the learning rate; that growth ends in divergence"
            }
            Self::GradientGrowth => {
                "lower the learning rate or lengthen the warm-up, set clip_norm, and go on from a checkpoint before the growth"
            }
            Self::NormClip => {
                "look at the loss: it diverges, is a sum where a mean is meant, or is scaled and the gradients were not scaled back"
            }
            Self::Corrupt => {
                "load an older checkpoint: what is damaged cannot be had back, and `load` refuses the file"
            }
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}
