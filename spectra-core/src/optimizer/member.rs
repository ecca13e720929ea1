//! What an optimizer keeps of each matrix: its specification, its rule, its state.

use super::StepReport;
use super::parameter::BlockState;
use super::plan::{Group, Rule};
use crate::backend::Backend;
use crate::rules::{UpdateRule, Weights};
use alloc::{boxed::Box, vec::Vec};

/// One matrix as the optimizer sees it: a parameter, or a block of one.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Unique name, for errors and saved states.
    pub name: Box<str>,
    /// Rows (output features) of its matrix view.
    pub rows: usize,
    /// Columns of its matrix view.
    pub cols: usize,
    /// Its rule.
    pub rule: Rule,
    /// What is not the model's.
    pub group: Group,
    /// How its weights take an update.
    pub weights: Weights,
}

impl ParameterSpec {
    /// A matrix with the model's settings.
    pub fn new(name: impl Into<Box<str>>, (rows, cols): (usize, usize), rule: Rule) -> Self {
        Self { name: name.into(), rows, cols, rule, group: Group::default(), weights: Weights::Plain }
    }
}

/// A matrix, which rule it has, and its state.
#[derive(Debug)]
pub(super) struct Member<B: Backend> {
    pub(super) spec: ParameterSpec,
    /// Its place in the optimizer's rules.
    pub(super) rule: usize,
    pub(super) block: BlockState<B::Matrix>,
    pub(super) report: Option<StepReport<B::Scalar>>,
}

impl<B: Backend> Member<B> {
    pub(super) fn is_live(&self) -> bool {
        self.spec.rule != Rule::Frozen
    }
}

/// Rules that members share.
pub(super) type SharedRules<B> = Vec<Box<dyn UpdateRule<B>>>;

impl<B: Backend> Member<B> {
    /// Runs `f` on its rule.
    pub(super) fn with_rule<R>(&self, rules: &SharedRules<B>, f: impl FnOnce(&dyn UpdateRule<B>) -> R) -> R {
        with_rule(&*rules[self.rule], &self.spec, f)
    }
}

/// Runs `f` on a matrix's rule as its weights take an update.
pub(super) fn with_rule<B: Backend, R>(
    rule: &dyn UpdateRule<B>,
    spec: &ParameterSpec,
    f: impl FnOnce(&dyn UpdateRule<B>) -> R,
) -> R {
    spec.weights.with_rule(rule, &spec.name, f)
}
