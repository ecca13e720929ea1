//! Rules by name, for plans that speak of them.

use super::UpdateRule;
use crate::backend::Backend;
use alloc::{boxed::Box, vec::Vec};

/// Rules of one's own that a [plan's groups](crate::optimizer::plan::Group::named) name. A later one of the same name takes the
/// place of the earlier.
#[derive(Debug)]
pub struct Rules<B: Backend>(Vec<(Box<str>, Box<dyn UpdateRule<B>>)>);

impl<B: Backend> Default for Rules<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Backend> Rules<B> {
    /// None.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, name: &str, rule: impl UpdateRule<B> + 'static) -> Self {
        self.0.retain(|(known, _)| **known != *name);
        self.0.push((name.into(), Box::new(rule)));
        self
    }

    /// The rule of this name.
    pub fn get(&self, name: &str) -> Option<&dyn UpdateRule<B>> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, rule)| &**rule)
    }

    /// Takes out the rule of this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Box<dyn UpdateRule<B>>> {
        let at = self.0.iter().position(|(known, _)| **known == *name)?;
        Some(self.0.remove(at).1)
    }
}
