//! The rates of a step: settings, schedules, groups, and what is set between steps.

use super::member::{Member, ParameterSpec};
use super::plan::{Group, Rule};
use super::{Checksum, Config, Optimizer, Rates};
use crate::backend::{Backend, Error, ErrorKind, Result, require};

/// The rates of a model in a step, of which each matrix has its own.
#[derive(Debug, Clone, Copy)]
pub struct ModelRates {
    /// Learning rate of the hidden matrices, before the schedule's factor.
    pub lr: f64,
    /// That of everything else over it.
    pub elementwise_ratio: f64,
    /// Factor of the clip threshold beside the schedules'.
    pub clip_factor: f64,
}

/// Which factors of thresholds somebody has set; a restored state brings the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FactorsSet {
    pub(super) clip: bool,
    pub(super) pre_clip: bool,
}

impl<B: Backend> Optimizer<B> {
    /// Current learning rate of the hidden matrices, before the [schedule](Config::lr_schedule)'s factor.
    pub fn learning_rate(&self) -> f64 {
        self.rates.lr
    }

    /// Sets the learning rate of the hidden matrices, and scales that of everything else with it: the ratios of elementwise
    /// parameters and groups stay as configured. A [schedule](Config::lr_schedule) multiplies it.
    ///
    /// # Errors
    /// Outside the domain of [`Rates::lr`], for the hidden matrices or for everything else.
    pub fn set_learning_rate(&mut self, lr: f64) -> Result<()> {
        self.set_rates(ModelRates { lr, ..self.rates })
    }

    /// Sets the factor of the clip threshold, `c_t = c factor`, from its schedule; 1 at first, or where a
    /// [restored](Self::restore) run had left it.
    ///
    /// # Errors
    /// Not positive, or non-finite; a `c_t` outside the threshold's domain.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        self.set_rates(ModelRates { clip_factor: factor, ..self.rates })?;
        self.factors_set.clip = true;
        Ok(())
    }

    fn set_rates(&mut self, rates: ModelRates) -> Result<()> {
        self.check_rates(rates)?;
        self.rates = rates;
        Ok(())
    }

    /// Sets the factor of the learning rate of the parameters that the plan's [`group`](super::plan::PlanBuilder::group) of
    /// this name (its pattern) gave a factor; the next step takes it.
    ///
    /// # Errors
    /// A group that no parameter has its factor from; a learning rate outside its domain.
    pub fn set_group_lr(&mut self, group: &str, factor: f64) -> Result<()> {
        let of_group = |member: &Member<B>| member.spec.group.lr_group() == Some(group);
        if !self.members.iter().any(of_group) {
            let reason = "is a group from which no parameter has the factor of its learning rate";
            return Err(Error::new("set_group_lr", ErrorKind::Name { name: group.into(), reason }));
        }
        for member in self.members.iter().filter(|member| of_group(member)) {
            let mut spec = member.spec.clone();
            spec.group = spec.group.lr(factor);
            let checked = self.rates.of(&self.config, &spec, self.steps).validate(&*self.rules[member.rule]);
            checked.map_err(|error| error.for_parameter(&spec.name))?;
        }
        for member in self.members.iter_mut().filter(|member| of_group(member)) {
            member.spec.group.set_lr(factor);
        }
        Ok(())
    }

    /// Steps and rates as words, by whose equality ranks tell that they do the same.
    pub(crate) fn words_of_rates(&self) -> [u64; 6] {
        let ModelRates { lr, elementwise_ratio, clip_factor } = self.rates;
        let mut groups = Checksum::new();
        self.members.iter().for_each(|member| groups.word(member.spec.group.lr_factor().to_bits()));
        let [lr, ratio, clip, pre_clip] =
            [lr, elementwise_ratio, clip_factor, self.pre_clip_factor].map(f64::to_bits);
        [self.steps, lr, ratio, clip, pre_clip, groups.finish()]
    }

    /// An error unless these rates, and those of every group, are in their domains at the next step.
    pub(super) fn check_rates(&self, rates: ModelRates) -> Result<()> {
        let Config { spectral, elementwise, .. } = &self.config;
        let ModelRates { lr, elementwise_ratio, clip_factor } = rates;
        let plain = |lr| Rates { clip_factor, ..Rates::new(lr) };
        plain(lr).validate::<B>(spectral)?;
        plain(lr * elementwise_ratio).validate::<B>(elementwise)?;
        for Member { spec, rule, .. } in self.members.iter().filter(|member| member.is_live()) {
            let checked = rates.of(&self.config, spec, self.steps).validate(&*self.rules[*rule]);
            checked.map_err(|error| error.for_parameter(&spec.name))?;
        }
        Ok(())
    }

    /// Sets the factor of the pre-clip's threshold from its own schedule; 1 at first, or where a restored run had left it.
    ///
    /// # Errors
    /// Not positive, or non-finite; a threshold outside its domain.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        let operation = "set_pre_clip_factor";
        require(factor > 0.0 && factor.is_finite(), operation, "factor", factor, "positive and finite")?;
        self.config.pre_clip.map_or(Ok(()), |clip| clip.check_factor::<B::Element>(factor))?;
        self.pre_clip_factor = factor;
        self.factors_set.pre_clip = true;
        Ok(())
    }

    /// The factor of the pre-clip's threshold at the next step.
    pub(super) fn pre_clip_factor_now(&self) -> f64 {
        self.pre_clip_factor
            * self.config.pre_clip_schedule.map_or(1.0, |schedule| schedule.factor(self.steps))
    }
}

impl ModelRates {
    /// The rates of a parameter at the model's 0-based `step`.
    pub(super) fn of(&self, config: &Config, spec: &ParameterSpec, step: u64) -> Rates {
        self.of_group(config, (spec.rule, &spec.group), step)
    }

    /// The rates of a matrix under this rule and group at the model's step, from 0: everything by its factor, with the group's
    /// settings in place of the model's.
    pub fn of_group(&self, config: &Config, (rule, group): (Rule, &Group), step: u64) -> Rates {
        let ratio = if rule == Rule::Elementwise { self.elementwise_ratio } else { 1.0 };
        let scheduled = config.lr_schedule.map_or(1.0, |schedule| schedule.factor(step));
        let clip = group.clip_schedule.or(config.clip_schedule);
        Rates {
            lr: self.lr * scheduled * ratio * group.lr_factor(),
            weight_decay: group.decay(),
            clip_factor: self.clip_factor * clip.map_or(1.0, |schedule| schedule.factor(step)),
        }
    }
}
