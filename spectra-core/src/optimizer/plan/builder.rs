//! From names and shapes to a plan.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::defaults::{default_rule, matrix_view};
use super::entry::{Entry, Reason, Rule};
use super::last_fc::name_last_fc;
use super::pattern::matches;
use super::split::{Fused, of_fused};
use super::{Block, Group, Plan, Split};
use crate::backend::{Error, ErrorKind, Result};
use crate::rules::Weights;

const OPERATION: &str = "plan";

/// A stack of more is not split by itself.
const MOST_EXPERTS: usize = 4096;

/// Which parameters a group is about.
#[derive(Clone, Debug)]
enum Matcher {
    Pattern(Box<str>),
    Predicate(Box<str>, fn(&str, &[usize]) -> bool),
}

impl Matcher {
    /// The pattern, or the name of a predicate.
    fn name(&self) -> &str {
        match self {
            Self::Pattern(name) | Self::Predicate(name, _) => name,
        }
    }

    fn matches(&self, name: &str, shape: &[usize]) -> bool {
        match self {
            Self::Pattern(pattern) => matches(pattern, name),
            Self::Predicate(_, predicate) => predicate(name, shape),
        }
    }
}

/// Collects a user's rules; [`build`](Self::build) applies them to a model.
#[derive(Clone, Debug)]
pub struct PlanBuilder {
    groups: Vec<(Matcher, Group)>,
    splits: Vec<(Box<str>, Split)>,
    whole: bool,
    convolutions: Rule,
    strict: bool,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            splits: Vec::new(),
            whole: false,
            convolutions: Rule::Spectral,
            strict: false,
        }
    }
}

impl PlanBuilder {
    /// Every parameter whose whole name matches `pattern` gets `rule`, unless a later rule says otherwise.
    ///
    /// In a pattern, `*` stands for any characters, dots included, and `?` for one character.
    #[must_use]
    pub fn rule(self, pattern: &str, rule: Rule) -> Self {
        self.group(pattern, |group| group.rule(rule))
    }

    /// Every parameter whose whole name matches `pattern`, as in [`rule`](Self::rule), gets what `set` sets; for each setting the last
    /// group that makes it counts.
    ///
    /// ```
    /// use spectra_core::optimizer::plan::Plan;
    ///
    /// let builder = Plan::builder()
    ///     .group("backbone.*", |g| g.lr(0.1))
    ///     .group("*.bias", |g| g.weight_decay(0.1))
    ///     .group_of("vectors", |_, shape| shape.len() == 1, |g| g.lr(2.0));
    /// let plan = builder.build([("backbone.fc1.bias", &[8][..]), ("head.weight", &[4, 8])])?;
    /// let bias = plan.entries()[0].group();
    /// assert_eq!((bias.lr_factor(), bias.decay()), (2.0, Some(0.1)));
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    #[must_use]
    pub fn group(mut self, pattern: &str, set: impl FnOnce(Group) -> Group) -> Self {
        let group = set(Group::default()).of_name(pattern);
        self.groups.push((Matcher::Pattern(pattern.into()), group));
        self
    }

    /// As [`group`](Self::group) for the parameters whose name and shape `predicate` picks; `name` says what they are.
    #[must_use]
    pub fn group_of(
        mut self,
        name: &str,
        predicate: fn(&str, &[usize]) -> bool,
        set: impl FnOnce(Group) -> Group,
    ) -> Self {
        let group = set(Group::default()).of_name(name);
        self.groups.push((Matcher::Predicate(name.into(), predicate), group));
        self
    }

    /// Every parameter whose whole name matches `pattern` is cut as `split` says; the last split that matches counts.
    #[must_use]
    pub fn split(mut self, pattern: &str, split: Split) -> Self {
        self.splits.push((pattern.into(), split));
        self
    }

    /// Splits nothing by itself, as release 0.1: stacked experts are elementwise then, and fused matrices one.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// The default rule of convolutions that are not depthwise; spectral, as `out x (the rest)`, unless set.
    #[must_use]
    pub fn convolutions(mut self, rule: Rule) -> Self {
        self.convolutions = rule;
        self
    }

    /// Refuses a parameter that takes the elementwise rule only because nothing tells what it is, [`Reason::Unknown`], or
    /// because it holds many matrices that cannot be told apart, [`Reason::Experts`]: each needs a [rule](Self::rule) or a
    /// [split](Self::split) then.
    ///
    /// ```
    /// use spectra_core::optimizer::plan::{Plan, Rule};
    ///
    /// let parameters = [("mlp.mixed.w1", [8, 64, 256])];
    /// assert_eq!(Plan::builder().build(parameters)?.entries()[0].rule(), Rule::Elementwise);
    /// assert!(Plan::builder().strict().build(parameters).is_err());
    /// Plan::builder().strict().rule("*.mixed.*", Rule::Elementwise).build(parameters)?;
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
    /// * a group's learning rate or decay that is negative or not finite;
    /// * under [`strict`](Self::strict), a parameter that no rule of yours and no default fits;
    /// * a shape with more than `isize::MAX` elements.
    pub fn build<N, S>(&self, parameters: impl IntoIterator<Item = (N, S)>) -> Result<Plan>
    where
        N: AsRef<str>,
        S: AsRef<[usize]>,
    {
        if self.groups.iter().any(|(matcher, _)| matcher.name().is_empty()) {
            return Err(refuse("", "is an empty pattern and matches no name"));
        }
        self.groups.iter().try_for_each(|(_, group)| group.validate())?;
        let mut used = Vec::new();
        used.resize(self.groups.len(), false);
        let mut cut = Vec::new();
        cut.resize(self.splits.len(), false);
        let mut entries = Vec::new();
        for (name, shape) in parameters {
            let entry = self.entry(name.as_ref(), shape.as_ref(), &mut used, &mut cut);
            entries.push(entry.map_err(|error| error.for_parameter(name.as_ref()))?);
        }
        if let Some(((matcher, _), _)) = self.groups.iter().zip(used).find(|(_, used)| !used) {
            return Err(refuse(matcher.name(), "matches no parameter's name"));
        }
        if let Some(((pattern, _), _)) = self.splits.iter().zip(cut).find(|(_, used)| !used) {
            return Err(refuse(pattern, "is the pattern of a split and matches no parameter's name"));
        }
        name_last_fc(&mut entries);
        let mut names = BTreeSet::new();
        match entries.iter().find(|entry| !names.insert(entry.name())) {
            Some(twice) => Err(refuse(twice.name(), "is the name of two parameters")),
            None => Ok(Plan { entries }),
        }
    }

    /// The entry of one parameter; marks in `used` the rules whose pattern matches it.
    fn entry(&self, name: &str, shape: &[usize], used: &mut [bool], cut: &mut [bool]) -> Result<Entry> {
        if name.is_empty() {
            return Err(refuse("", "is an empty name: every parameter needs one"));
        }
        let view = matrix_view(shape)?;
        let (mut default, mut known) = default_rule(name, shape, view, self.convolutions);
        let mut split = None;
        for ((pattern, this), used) in self.splits.iter().zip(cut) {
            if matches(pattern, name) {
                *used = true;
                split = Some(this.clone());
            }
        }
        match (&split, &known) {
            // Whoever cuts a parameter says that its blocks are matrices.
            (Some(split), Reason::Experts | Reason::Unknown) if !split.is_plain() => default = Rule::Spectral,
            // A channel with several outputs is a matrix; with one it stays what it is.
            (Some(split), Reason::Depthwise) if split.blocks(name, shape)?.iter().all(Block::is_matrix) => {
                default = if split.is_plain() { default } else { self.convolutions };
            }
            (None, Reason::Experts) if !self.whole => {
                // By default nothing is cut into anything but matrices, nor into more than anybody has experts.
                let fits = matches!(shape, [experts, rows, cols] if *experts <= MOST_EXPERTS && *rows > 1 && *cols > 1);
                if fits {
                    (split, default) = (Some(Split::experts()), Rule::Spectral);
                }
            }
            (None, Reason::Matrix) if !self.whole => match of_fused(&owner(name), shape) {
                Some(Fused::Cut(fused)) => {
                    let blocks = fused.blocks(name, shape)?;
                    if blocks.iter().all(Block::is_matrix) {
                        known = Reason::Fused { parts: blocks.len() };
                        split = Some(fused);
                    }
                }
                Some(Fused::Unknown) => known = Reason::FusedUnknown,
                None => {}
            },
            _ => {}
        }
        let mut group = Group::default();
        if matches!(known, Reason::Norm | Reason::Bias | Reason::Scalar) {
            group = group.weight_decay(0.0);
        }
        let (mut chosen, mut own) = (None, None);
        for ((matcher, settings), used) in self.groups.iter().zip(used) {
            if matcher.matches(name, shape) {
                *used = true;
                if settings.rule.is_some() {
                    (chosen, own) = (settings.rule.map(|rule| (matcher.name(), rule)), None);
                }
                if settings.own.is_some() {
                    own = Some(matcher.name());
                }
                group = group.and(settings);
            }
        }
        let (rule, reason) = match chosen {
            Some((pattern, Rule::Spectral)) if view.0 <= 1 => {
                return Err(refuse(
                    pattern,
                    "makes a parameter spectral that is no matrix (one row or column, or empty)",
                ));
            }
            Some((pattern, rule)) => (rule, Reason::Pattern(pattern.into())),
            None => (default, known),
        };
        // Whoever gives a parameter a rule of its own has said what it is.
        let reason = own.filter(|_| rule != Rule::Frozen).map_or(reason, |name| Reason::Pattern(name.into()));
        match reason {
            Reason::Experts if self.strict && rule != Rule::Spectral => {
                return Err(refuse(name, "is a stack of experts, not one matrix: give it a rule"));
            }
            Reason::Unknown if self.strict => {
                return Err(refuse(name, "is nothing that its name or its shape tells: give it a rule"));
            }
            _ => {}
        }
        // An elementwise rule does not see matrices; what is frozen is not looked at.
        let split = split.filter(|_| rule == Rule::Spectral || group.own.is_some()).unwrap_or(Split::whole());
        let blocks: Box<[Block]> = split.blocks(name, shape)?.into();
        if rule == Rule::Spectral && !blocks.iter().all(Block::is_matrix) {
            return Err(refuse(name, "has a block that is no matrix (one row or column)"));
        }
        Ok(Entry {
            name: name.into(),
            shape: shape.into(),
            rule,
            view,
            reason,
            group,
            blocks,
            weights: Weights::Plain,
            format: None,
        })
    }
}

/// The last segment of a name that is no `weight`, in lower case: which module it is.
fn owner(name: &str) -> alloc::string::String {
    let last = name.rsplit(['.', '/']).find(|segment| !segment.eq_ignore_ascii_case("weight"));
    last.unwrap_or_default().to_ascii_lowercase()
}

fn refuse(name: &str, reason: &'static str) -> Error {
    Error::new(OPERATION, ErrorKind::Name { name: name.into(), reason })
}
