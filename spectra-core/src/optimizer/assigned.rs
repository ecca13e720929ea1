//! From specifications to rules.

use super::Config;
use super::member::{ParameterSpec, SharedRules};
use super::plan::{Own, Rule};
use super::policy::check_rule;
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::rules::{Method, Rules, UpdateRule};
use alloc::{boxed::Box, vec::Vec};

/// The rules of a model: the two of its configuration, those of its own, and the groups' methods.
pub(super) struct Assigned<B: Backend> {
    pub(super) rules: SharedRules<B>,
    names: Rules<B>,
    /// Groups' methods and where they are.
    methods: Vec<(Method, usize)>,
    /// The names of rules of one's own, and where they are.
    pub(super) named: Vec<(Box<str>, usize)>,
}

impl<B: Backend> Assigned<B> {
    pub(super) fn new(config: &Config, names: Rules<B>) -> Self {
        let rules: SharedRules<B> = Vec::from([
            Box::new(config.spectral) as Box<dyn UpdateRule<B>>,
            Box::new(config.elementwise) as Box<dyn UpdateRule<B>>,
        ]);
        Self { rules, names, methods: Vec::new(), named: Vec::new() }
    }

    pub(super) fn rule_of(&mut self, spec: &ParameterSpec) -> Result<usize> {
        let added = match &spec.group.own {
            None => return Ok(usize::from(spec.rule != Rule::Spectral)),
            Some(Own::Method(method)) => {
                if let Some((_, at)) = self.methods.iter().find(|(known, _)| *known == **method) {
                    return Ok(*at);
                }
                self.methods.push((**method, self.rules.len()));
                method.clone() as Box<dyn UpdateRule<B>>
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
