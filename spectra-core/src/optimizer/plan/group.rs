//! Groups: settings of some parameters that are not the model's.

use super::entry::Rule;
use crate::backend::{Result, require};
use crate::rules::{Method, Rounding};
use crate::schedules::ClipSchedule;
use alloc::boxed::Box;
use core::fmt;

/// What a [`PlanBuilder::group`](super::PlanBuilder::group) sets for its parameters; what it does not set stays the model's.
///
/// ```
/// use spectra_core::optimizer::plan::{Plan, Rule};
///
/// let plan = Plan::builder()
///     .group("backbone.*", |g| g.lr(0.1))
///     .group("backbone.embed.*", |g| g.frozen())
///     .group("head.*", |g| g.weight_decay(0.0))
///     .build([("backbone.embed.weight", [100, 8]), ("backbone.up.weight", [16, 8]), ("head.weight", [4, 8])])?;
/// assert_eq!(plan.get("backbone.up.weight").map(|entry| entry.group().lr_factor()), Some(0.1));
/// assert!(plan.table(spectra_core::optimizer::Config::preset("spectra")?).to_string().contains("lr x 0.1"));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    pub(crate) rule: Option<Rule>,
    pub(crate) own: Option<Own>,
    pub(crate) lr: Option<f64>,
    /// The group that set it last.
    lr_group: Option<Box<str>>,
    pub(crate) weight_decay: Option<f64>,
    pub(crate) clip_schedule: Option<ClipSchedule>,
    rounding: Option<Rounding>,
}

/// A rule that is not the model's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Own {
    Method(Box<Method>),
    Named(Box<str>),
}

impl Group {
    /// Multiplies the learning rate.
    #[must_use]
    pub fn lr(mut self, factor: f64) -> Self {
        self.lr = Some(factor);
        self
    }

    /// Sets the decoupled weight decay.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// Sets the schedule of the clip threshold, in place of the model's.
    #[must_use]
    pub fn clip_schedule(mut self, schedule: ClipSchedule) -> Self {
        self.clip_schedule = Some(schedule);
        self
    }

    /// How weights of 16 bits take an update, where it is not as the model's.
    #[must_use]
    pub fn round(mut self, rounding: Rounding) -> Self {
        self.rounding = Some(rounding);
        self
    }

    /// What [`round`](Self::round) has set.
    #[must_use]
    pub fn rounding(&self) -> Option<Rounding> {
        self.rounding
    }

    /// The model's spectral or elementwise rule, or none.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self.own = None;
        self
    }

    /// Not updated; it has no state.
    #[must_use]
    pub fn frozen(self) -> Self {
        self.rule(Rule::Frozen)
    }

    /// Another recipe, or a whole rule of this library. The learning rate stays that of the model's rule for such a parameter, times [`lr`](Self::lr).
    #[must_use]
    pub fn recipe(mut self, method: impl Into<Method>) -> Self {
        self.own = Some(Own::Method(Box::new(method.into())));
        self
    }

    /// A rule of one's own, by its name in the optimizer's [`Rules`](crate::rules::Rules).
    #[must_use]
    pub fn named(mut self, rule: &str) -> Self {
        self.own = Some(Own::Named(rule.into()));
        self
    }

    /// The factor of the learning rate.
    #[must_use]
    pub fn lr_factor(&self) -> f64 {
        self.lr.unwrap_or(1.0)
    }

    /// The weight decay, if it is not the rule's own.
    #[must_use]
    pub fn decay(&self) -> Option<f64> {
        self.weight_decay
    }

    /// The schedule of the clip threshold, if it is not the model's.
    #[must_use]
    pub fn own_clip_schedule(&self) -> Option<ClipSchedule> {
        self.clip_schedule
    }

    /// The recipe or whole rule, if it is not the model's.
    #[must_use]
    pub fn own_method(&self) -> Option<&Method> {
        match &self.own {
            Some(Own::Method(method)) => Some(method),
            _ => None,
        }
    }

    /// The name of a rule of one's own.
    #[must_use]
    pub fn rule_name(&self) -> Option<&str> {
        match &self.own {
            Some(Own::Named(name)) => Some(name),
            _ => None,
        }
    }

    /// The name of the group from which the factor of the learning rate is.
    #[must_use]
    pub fn lr_group(&self) -> Option<&str> {
        self.lr_group.as_deref()
    }

    pub(crate) fn set_lr(&mut self, factor: f64) {
        self.lr = Some(factor);
    }

    /// The same group under its name.
    pub(super) fn of_name(mut self, name: &str) -> Self {
        self.lr_group = self.lr.map(|_| name.into());
        self
    }

    /// An error if a setting is no number that can be; optimizers check it in their own arithmetic type.
    pub(super) fn validate(&self) -> Result<()> {
        let lr = self.lr.unwrap_or(1.0);
        require(lr >= 0.0 && lr.is_finite(), "group", "lr", lr, "non-negative and finite")?;
        let decay = self.weight_decay.unwrap_or(0.0);
        require(decay >= 0.0 && decay.is_finite(), "group", "weight_decay", decay, "non-negative and finite")
    }

    /// What `later` sets, else what this one does.
    pub(super) fn and(self, later: &Self) -> Self {
        let later = later.clone();
        let (rule, own) = match (&later.rule, &later.own) {
            // Spectral, elementwise or frozen again takes an own rule back.
            (Some(_), None) => (later.rule, None),
            _ => (later.rule.or(self.rule), later.own.or(self.own)),
        };
        Self {
            rule,
            own,
            lr: later.lr.or(self.lr),
            lr_group: later.lr_group.or(self.lr_group),
            weight_decay: later.weight_decay.or(self.weight_decay),
            clip_schedule: later.clip_schedule.or(self.clip_schedule),
            rounding: later.rounding.or(self.rounding),
        }
    }
}

/// `lr x 0.1, decay 0, clip schedule`; empty where all is the model's.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut item = |text: fmt::Arguments<'_>, f: &mut fmt::Formatter<'_>| {
            let comma = if core::mem::take(&mut first) { "" } else { ", " };
            write!(f, "{comma}{text}")
        };
        match &self.own {
            Some(Own::Method(method)) => item(format_args!("{}", method.signature()), f)?,
            Some(Own::Named(name)) => item(format_args!("rule `{name}`"), f)?,
            None => {}
        }
        if let Some(lr) = self.lr {
            item(format_args!("lr x {lr}"), f)?;
        }
        if let Some(decay) = self.weight_decay {
            item(format_args!("decay {decay}"), f)?;
        }
        if self.clip_schedule.is_some() {
            item(format_args!("clip schedule"), f)?;
        }
        Ok(())
    }
}
