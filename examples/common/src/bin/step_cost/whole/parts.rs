//! A model's matrices, whole or in parts that fit into memory.

use spectra_core::backend::Result;
use spectra_core::optimizer::plan::models::{self, LLAMA3_8B, OLMOE_1B_7B, QWEN3_0_6B, Shapes};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, ParameterSpec};

/// A published model.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Model {
    /// 596 million numbers.
    #[value(name = "qwen3-0.6b")]
    Qwen3,
    /// 8.0 thousand million.
    #[value(name = "llama3-8b")]
    Llama3,
    /// 124 million, matrices stored `in x out`.
    #[value(name = "gpt2")]
    Gpt2,
    /// OLMoE-1B-7B, 64 experts a layer, 6.9 thousand million.
    #[value(name = "moe")]
    Experts,
}

impl Model {
    pub(super) fn shapes(self) -> Shapes {
        match self {
            Self::Qwen3 => QWEN3_0_6B.parameters(),
            Self::Llama3 => LLAMA3_8B.parameters(),
            Self::Gpt2 => models::gpt2(),
            Self::Experts => OLMOE_1B_7B.parameters(),
        }
    }

    pub(super) fn name(self) -> String {
        use clap::ValueEnum as _;
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
    }
}

/// Matrices that are stepped together.
#[derive(Debug)]
pub(super) struct Part {
    /// What they are.
    pub(super) name: String,
    /// How often the model has such.
    pub(super) times: usize,
    /// The matrices.
    pub(super) blocks: Vec<ParameterSpec>,
}

impl Part {
    /// The whole model as one.
    pub(super) fn whole(plan: &Plan) -> Vec<Self> {
        vec![Self { name: "whole model".into(), times: 1, blocks: trained(plan).collect() }]
    }

    /// Its layers, equal ones once, and what lies outside of them one by one.
    pub(super) fn layers(plan: &Plan) -> Vec<Self> {
        let mut parts: Vec<(Option<&str>, Self)> = Vec::new();
        let blocks: Vec<_> = trained(plan).collect();
        for block in &blocks {
            let layer = block.name.split('.').find(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            match parts.last_mut() {
                Some((last, part)) if layer.is_some() && *last == layer => part.blocks.push(block.clone()),
                _ => {
                    let name = layer.map_or_else(|| block.name.to_string(), |_| "layer".into());
                    parts.push((layer, Self { name, times: 1, blocks: vec![block.clone()] }));
                }
            }
        }
        let mut different: Vec<Self> = Vec::new();
        for (layer, part) in parts {
            let same =
                |other: &&mut Self| layer.is_some() && other.name == "layer" && other.kinds() == part.kinds();
            match different.iter_mut().find(same) {
                Some(other) => other.times += 1,
                None => different.push(part),
            }
        }
        different
    }

    /// Shapes and rules in order.
    fn kinds(&self) -> Vec<(usize, usize, Rule)> {
        self.blocks.iter().map(|block| (block.rows, block.cols, block.rule)).collect()
    }

    /// Numbers of weights.
    pub(super) fn numbers(&self) -> usize {
        self.blocks.iter().map(|block| block.rows * block.cols).sum()
    }

    /// Numbers of weights, gradients and state.
    pub(super) fn needs(&self, config: &Config) -> usize {
        let state = |block: &ParameterSpec| match block.rule {
            Rule::Elementwise => config.elementwise.state_numbers(block.rows, block.cols),
            _ => config.spectral.state_numbers(block.rows, block.cols),
        };
        2 * self.numbers() + self.blocks.iter().map(state).sum::<usize>()
    }

    /// Lines `part,times,rows,cols,rule,count` for other programs.
    pub(super) fn csv(parts: &[Self]) -> String {
        let mut text = String::from("part,times,rows,cols,rule,count\n");
        for part in parts {
            let mut kinds = part.kinds();
            kinds.sort_unstable_by_key(|(rows, cols, rule)| (*rule as usize, *rows, *cols));
            for equal in kinds.chunk_by(|a, b| a == b) {
                let ((rows, cols, rule), count) = (equal[0], equal.len());
                text += &format!("{},{},{rows},{cols},{rule:?},{count}\n", part.name, part.times);
            }
        }
        text
    }
}

fn trained(plan: &Plan) -> impl Iterator<Item = ParameterSpec> + '_ {
    plan.parameters().filter(|block| block.rule != Rule::Frozen)
}

/// The plan of the model.
pub(super) fn plan(model: Model) -> Result<Plan> {
    Plan::builder().build(model.shapes())
}
