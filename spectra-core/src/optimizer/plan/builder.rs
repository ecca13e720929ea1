//! From names and shapes to a plan.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Plan;
use super::defaults::{default_rule, matrix_view};
use super::entry::{Entry, Reason, Rule};
use super::last_fc::name_last_fc;
use super::pattern::matches;
use crate::backend::{Error, ErrorKind, Result};

const OPERATION: &str = "plan";

/// Collects a user's rules; [`build`](Self::build) applies them to a model.
#[derive(Clone, Debug)]
pub struct PlanBuilder {
    rules: Vec<(Box<str>, Rule)>,
    convolutions: Rule,
    strict: bool,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        Self { rules: Vec::new(), convolutions: Rule::Spectral, strict: false }
    }
}

impl PlanBuilder {
    /// Every parameter whose whole name matches `pattern` gets `rule`, unless a later rule says otherwise.
    ///
    /// In a pattern, `*` stands for any characters, dots included, and `?` for one character.
    #[must_use]
    pub fn rule(mut self, pattern: &str, rule: Rule) -> Self {
        self.rules.push((pattern.into(), rule));
        self
    }

    /// The default rule of convolutions that are not depthwise; spectral, as `out x (the rest)`, unless set.
    #[must_use]
    pub fn convolutions(mut self, rule: Rule) -> Self {
        self.convolutions = rule;
        self
    }

    /// Refuses a parameter that takes the elementwise rule only because nothing tells what it is, [`Reason::Unknown`], or
    /// because it holds many matrices, [`Reason::Experts`]: each needs a [rule](Self::rule) then.
    ///
    /// ```
    /// use spectra_core::optimizer::plan::{Plan, Rule};
    ///
    /// let parameters = [("mlp.experts.w1", [8, 64, 256])];
    /// assert_eq!(Plan::builder().build(parameters)?.entries()[0].rule(), Rule::Elementwise);
    /// assert!(Plan::builder().strict().build(parameters).is_err());
    /// Plan::builder().strict().rule("*.experts.*", Rule::Elementwise).build(parameters)?;
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The plan of the parameters given as names and shapes.
    ///
    /// # Errors
    /// * a name that is empty or given twice;
    /// * a pattern that is empty or matches no name (overridden by a later one is fine);
    /// * a pattern that makes a vector, a scalar or an empty parameter spectral;
    /// * under [`strict`](Self::strict), a parameter that no rule of yours and no default fits;
    /// * a shape with more than `isize::MAX` elements.
    pub fn build<N, S>(&self, parameters: impl IntoIterator<Item = (N, S)>) -> Result<Plan>
    where
        N: AsRef<str>,
        S: AsRef<[usize]>,
    {
        if self.rules.iter().any(|(pattern, _)| pattern.is_empty()) {
            return Err(refuse("", "is an empty pattern and matches no name"));
        }
        let mut used = Vec::new();
        used.resize(self.rules.len(), false);
        let mut entries = Vec::new();
        for (name, shape) in parameters {
            let entry = self.entry(name.as_ref(), shape.as_ref(), &mut used);
            entries.push(entry.map_err(|error| error.for_parameter(name.as_ref()))?);
        }
        if let Some(((pattern, _), _)) = self.rules.iter().zip(used).find(|(_, used)| !used) {
            return Err(refuse(pattern, "matches no parameter's name"));
        }
        name_last_fc(&mut entries);
        let mut names = BTreeSet::new();
        match entries.iter().find(|entry| !names.insert(entry.name())) {
            Some(twice) => Err(refuse(twice.name(), "is the name of two parameters")),
            None => Ok(Plan { entries }),
        }
    }

    /// The entry of one parameter; marks in `used` the rules whose pattern matches it.
    fn entry(&self, name: &str, shape: &[usize], used: &mut [bool]) -> Result<Entry> {
        if name.is_empty() {
            return Err(refuse("", "is an empty name: every parameter needs one"));
        }
        let view = matrix_view(shape)?;
        let mut chosen = None;
        for ((pattern, rule), used) in self.rules.iter().zip(used) {
            if matches(pattern, name) {
                *used = true;
                chosen = Some((pattern, *rule));
            }
        }
        let (rule, reason) = match chosen {
            Some((pattern, Rule::Spectral)) if view.0 <= 1 => {
                return Err(refuse(
                    pattern,
                    "makes a parameter spectral that is no matrix (one row or column, or empty)",
                ));
            }
            Some((pattern, rule)) => (rule, Reason::Pattern(pattern.clone())),
            None => default_rule(name, shape, view, self.convolutions),
        };
        match reason {
            Reason::Experts if self.strict => {
                return Err(refuse(name, "is a stack of experts, not one matrix: give it a rule"));
            }
            Reason::Unknown if self.strict => {
                return Err(refuse(name, "is nothing that its name or its shape tells: give it a rule"));
            }
            _ => {}
        }
        Ok(Entry { name: name.into(), shape: shape.into(), rule, view, reason })
    }
}

fn refuse(name: &str, reason: &'static str) -> Error {
    Error::new(OPERATION, ErrorKind::Name { name: name.into(), reason })
}
