//! Rules in the two arithmetics of burn's parameters.

use crate::BurnBackend;
use spectra_core::rules::UpdateRule;
use std::fmt;
use std::sync::Arc;

/// A rule in both arithmetics.
pub(super) trait BurnRule: fmt::Debug + Send + Sync {
    /// In that of f32, bf16 and f16 parameters.
    fn single(&self) -> &dyn UpdateRule<BurnBackend<f32>>;
    /// In that of f64 parameters.
    fn double(&self) -> &dyn UpdateRule<BurnBackend<f64>>;
}

impl<R: UpdateRule<BurnBackend<f32>> + UpdateRule<BurnBackend<f64>>> BurnRule for R {
    fn single(&self) -> &dyn UpdateRule<BurnBackend<f32>> {
        self
    }

    fn double(&self) -> &dyn UpdateRule<BurnBackend<f64>> {
        self
    }
}

/// Rules of one's own by name, for plans whose [groups](crate::plan::Group::named) speak of them. A later one of the same name takes
/// the place of the earlier. See the [crate's front page](crate) for an example.
#[derive(Debug, Clone, Default)]
pub struct OwnRules(Vec<(Box<str>, Arc<dyn BurnRule>)>);

impl OwnRules {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more: a rule on any backend is one on both of burn's arithmetics.
    #[must_use]
    pub fn with<R>(mut self, name: &str, rule: R) -> Self
    where
        R: UpdateRule<BurnBackend<f32>> + UpdateRule<BurnBackend<f64>> + 'static,
    {
        self.0.retain(|(known, _)| **known != *name);
        self.0.push((name.into(), Arc::new(rule)));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<dyn BurnRule>> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, rule)| rule.clone())
    }
}
