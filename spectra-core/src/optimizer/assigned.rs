//! From specifications to rules.

use super::Config;
use super::member::{ParameterSpec, SharedRules};
use super::plan::{Own, Rule};
use super::policy::check_rule;
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::rules::{Recipe, Rules, UpdateRule};
use alloc::{boxed::Box, vec::Vec};

/// The rules of a model: the two of its configuration, those of its own, and the groups' recipes.
pub(super) struct Assigned<B: Backend> {
    pub(super) rules: SharedRules<B>,
    names: Rules<B>,
    /// Groups' recipes and where they are.
    recipes: Vec<(Recipe, usize)>,
    /// The names of rules of one's own, and where they are.
    pub(super) named: Vec<(Box<str>, usize)>,
}

impl<B: Backend> Assigned<B> {
    pub(super) fn new(config: &Config, names: Rules<B>) -> Self {
        let rules: SharedRules<B> = Vec::from([
            Box::new(config.spectral) as Box<dyn UpdateRule<B>>,
            Box::new(config.elementwise) as Box<dyn UpdateRule<B>>,
        ]);
        Self { rules, names, recipes: Vec::new(), named: Vec::new() }
    }

    pub(super) fn rule_of(&mut self, spec: &ParameterSpec) -> Result<usize> {
        let added = match &spec.group.own {
            None => return Ok(usize::from(spec.rule != Rule::Spectral)),
            Some(Own::Recipe(recipe)) => {
                if let Some((_, at)) = self.recipes.iter().find(|(known, _)| known == recipe) {
                    return Ok(*at);
                }
                self.recipes.push((*recipe, self.rules.len()));
                Box::new(*recipe) as Box<dyn UpdateRule<B>>
            }
            Some(Own::Named(name)) => {
                if let Some((_, at)) = self.named.iter().find(|(known, _)| known == name) {
                    return Ok(*at);
                }
                let reason = "is no rule that the optimizer was given";
                let unknown = || Error::new("optimizer", ErrorKind::Name { name: name.clone(), reason });
                self.named.push((name.clone(), self.rules.len()));
                self.names.take(name).ok_or_else(unknown)?
            }
        };
        check_rule(&*added, (spec.rows, spec.cols))?;
        self.rules.push(added);
        Ok(self.rules.len() - 1)
    }
}
