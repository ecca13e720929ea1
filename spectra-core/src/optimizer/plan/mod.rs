//! The parameter plan: which rule updates which parameter, and what its state costs.
//!
//! A [`Plan`] is made from names and shapes alone; nothing is allocated for the parameters themselves. Each gets a [`Rule`]:
//! the last user pattern that matches its name, else the default of the first row that fits:
//!
//! | parameter                                                                              | default rule | reason printed        |
//! |----------------------------------------------------------------------------------------|--------------|-----------------------|
//! | no elements                                                                            | frozen       | `empty`               |
//! | `bias`, `bias_ih_l0`, `relative_attention_bias.weight`, ...                            | elementwise  | `bias by name`        |
//! | `norm`, `input_layernorm`, `q_norm`, `ln_1`, `ln_f`, `bn2`, ...                        | elementwise  | `norm by name`        |
//! | `lora_A`, `lora_B.default`, `lora_down`, `to_q_lora.up`, ...                           | elementwise  | `low-rank factor by name` |
//! | `A_log`, `time_decay`, ...                                                             | elementwise  | `recurrence by name`  |
//! | `lm_head`, `embed_out`, `cls.predictions.decoder`, ... anywhere; `head`, `mlm_head`, `output`, `classifier`, `score`, `logits`, ... outside numbered layers; `proj_out` and nothing around it; `fc` as the last matrix of the model | elementwise | `head by name` |
//! | `wte`, `embed_tokens`, `tok_embeddings`, `pos_emb`, ... with at most three dimensions; `tok`, `token_type`, `vocab`, `position`, T5's `shared`, ... outside numbered layers | elementwise | `embedding by name` |
//! | one element                                                                            | elementwise  | `scalar`              |
//! | one row or one column                                                                  | elementwise  | `vector`              |
//! | `experts` and no index behind it, or three dimensions and a name with `experts`        | spectral, split, with three dimensions; else elementwise | `stacked experts` |
//! | two dimensions, `qkv`, `c_attn`, `gate_up_proj`, ...                                    | spectral, split | `fused matrices`   |
//! | two dimensions                                                                         | spectral     | `matrix`              |
//! | three to five, the second 1                                                            | elementwise  | `depthwise convolution` |
//! | three dimensions, the last at most 16; four or five                                    | spectral     | `convolution flattened 64 x 27` |
//! | all others                                                                             | elementwise  | `not told by name and shape` |
//!
//! Why: the spectral rules are about the singular values of a linear map between hidden features. Embeddings and heads map
//! to or from single tokens, whose rows are updated at very different rates; a vector, or a channel of a depthwise convolution,
//! has one singular value; the map of a low-rank adapter is the product of its two factors and neither of them; and a tensor of
//! several matrices has the singular values of none.
//!
//! **How names are read.** A name is split at `.` and `/`; segments that are numbers are layer indices. But for the rows that
//! say *anywhere*, LoRA and experts only the last two other segments count (`model.layers.3.self_attn.q_proj.weight`: `q_proj` and
//! `weight`), in lower case, each split into words at `_` and `-`. `output` behind a layer index is an attention's or a block's
//! projection and no head; a segment with a word like `proj` names a map from an embedding and no table (`time_emb_proj`). All
//! names are in the tables of `names.rs`; tests hold them against twenty public architectures in the names of Hugging Face and of
//! their authors. [`PlanBuilder::rule`] is for all others.
//!
//! **What is not told is not guessed.** A tensor that neither name nor shape explains, and one that holds several matrices, are
//! updated elementwise, with that reason in the table. [`PlanBuilder::strict`] makes them an error that names them.
//!
//! **Blocks.** A parameter may hold several matrices: fused projections, heads, stacked experts. Each
//! [block](PlanBuilder::split) is optimized by itself, with its own state, scale and line in the table. Without a word of yours these are
//! split, and the reason says so: `[experts, out, in]` by its name; `qkv`, `qkv_proj`, `Wqkv`, `to_qkv`, `in_proj_weight`, `c_attn` with three
//! times as many rows as columns into thirds, GPT-2's `c_attn`, stored `in x out`, by columns; `gate_up_proj`, `gate_up`, `w12` into halves. Where
//! the shape does not tell the parts (grouped queries, interleaved heads) nothing is split, and the reason says that.
//!
//! **Groups.** [`PlanBuilder::group`] sets another rate, decay, rule or clip schedule for the parameters that a pattern matches, by name,
//! or that a predicate picks; for each setting the last group that makes it counts. Norms, biases and scalars are not decayed
//! unless a group says so: decay shrinks what these merely shift or rescale, and every common training recipe leaves them out.
//!
//! **Orientation.** A shape is `out x in`, rows are output features. GPT-2's `Conv1D` and burn's `Linear` store `in x out`. The
//! maps of this crate commute with transposition, so their singular values come out the same; what changes is a step scale
//! that depends on the ratio of rows to columns, and the side on which tail shrink caches its subspace.
//!
//! ```
//! use spectra_core::optimizer::Config;
//! use spectra_core::optimizer::plan::{Plan, Rule};
//!
//! let plan = Plan::builder()
//!     .rule("layers.0.*", Rule::Frozen)
//!     .rule("layers.0.norm.*", Rule::Elementwise) // later rules win
//!     .build([
//!         ("embed_tokens.weight", &[1000, 64][..]),
//!         ("layers.0.mlp.up.weight", &[256, 64]),
//!         ("layers.0.norm.weight", &[64]),
//!         ("layers.1.mlp.up.weight", &[256, 64]),
//!     ])?;
//! let rules: Vec<Rule> = plan.entries().iter().map(|entry| entry.rule()).collect();
//! assert_eq!(rules, [Rule::Elementwise, Rule::Frozen, Rule::Elementwise, Rule::Spectral]);
//!
//! // A table of who got what, and what that costs.
//! let table = plan.table(Config::preset("spectra")?);
//! assert!(table.to_string().contains("embedding by name"));
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```

mod builder;
mod cost;
mod defaults;
mod entry;
mod group;
mod last_fc;
mod layers;
pub mod models;
mod names;
mod pattern;
mod split;
mod table;

pub use builder::PlanBuilder;
pub use cost::{StateCost, StateTotals};
pub use entry::{Entry, Reason, Rule};
pub use group::Group;
pub(crate) use group::Own;
pub(crate) use layers::{name_of, write_indices};
pub(crate) use names::without_indices;
pub(crate) use pattern::matches;
pub use split::{Block, Place, Split};
pub use table::Table;
pub(crate) use table::{shape_text, thousands, write_lines};

use super::ParameterSpec;
use crate::linalg::SixteenBits;
use crate::rules::{Rounding, Weights};
use alloc::vec::Vec;

/// A rule for every parameter of a model, in the order they were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    entries: Vec<Entry>,
}

impl Plan {
    /// Begins a plan.
    #[must_use]
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// Every parameter's entry.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of the parameter `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name() == name)
    }

    /// The same plan where every parameter that is not frozen, and whose weights, by its place in the plan, have 16 bits, takes an update as
    /// its group's [`Rounding`] says, or else `rounding`.
    #[must_use]
    pub fn with_rounding(
        mut self,
        rounding: Rounding,
        format: impl Fn(usize) -> Option<SixteenBits>,
    ) -> Self {
        for at in 0..self.entries.len() {
            self.round(at, rounding, format(at));
        }
        self
    }

    /// Says of the parameter at this place that its weights are kept in this 16-bit type, for its group's [`Rounding`] or else `rounding`;
    /// how they take an update from now on.
    pub fn round(&mut self, at: usize, rounding: Rounding, format: Option<SixteenBits>) -> Weights {
        let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.rule != Rule::Frozen) else {
            return Weights::Plain;
        };
        entry.format = format;
        entry.weights = entry.group.rounding().unwrap_or(rounding).of(format);
        entry.weights
    }

    /// Every matrix that is optimized: the blocks of all parameters, as [`Optimizer::new`](super::Optimizer::new) takes and numbers them. A
    /// parameter that is not [split](PlanBuilder::split) is one.
    ///
    /// ```
    /// use spectra_core::dense::Dense;
    /// use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
    ///
    /// let plan = Plan::builder().build([("mlp.up.weight", &[8, 4][..]), ("norm.weight", &[4])])?;
    /// let optimizer = Optimizer::new(Dense::<f32>::default(), Config::preset("spectra")?, plan.parameters())?;
    /// assert_eq!(optimizer.parameters().len(), 2);
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    pub fn parameters(&self) -> impl Iterator<Item = ParameterSpec> + '_ {
        self.blocks().map(|(_, entry, block)| {
            let group = entry.group().clone();
            ParameterSpec {
                group,
                weights: entry.weights(),
                ..ParameterSpec::new(block.name(), block.shape(), entry.rule())
            }
        })
    }

    /// The place of its parameter, its parameter and itself, of every block in order.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &Entry, &Block)> + '_ {
        self.entries
            .iter()
            .enumerate()
            .flat_map(|(at, entry)| entry.blocks().iter().map(move |b| (at, entry, b)))
    }

    /// What the state costs, and what AdamW's `2 mn` for every parameter that is not frozen would.
    pub fn state<C: StateCost>(&self, cost: C) -> StateTotals {
        StateTotals::of(&self.entries, &cost)
    }

    /// A printable table of who got what, why, and what state it costs; equal layers share a line.
    ///
    /// ```
    /// use spectra_core::optimizer::{Config, plan::Plan};
    ///
    /// let shapes = (0..4).map(|i| (format!("layers.{i}.mlp.gate.weight"), [352, 128]));
    /// let table = Plan::builder().build(shapes)?.table(Config::preset("spectra")?).to_string();
    /// assert!(table.contains("layers.{0..3}.mlp.gate.weight"));
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    pub fn table<C: StateCost>(&self, cost: C) -> Table<'_, C> {
        Table::new(self, cost)
    }
}

#[cfg(test)]
mod tests;
