//! The optimizer of a whole model: checks, norm clip, and one state per parameter.

use super::parameter::BlockState;
use super::plan::{Group, Own, Rule, StateCost};
use super::progress::Progress;
use super::{Config, Rates};
use crate::backend::{Backend, Error, ErrorKind, Result, require};
use crate::linalg::Workspace;
use crate::rules::{Master, Rules, UpdateRule};
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
    /// Whether its state keeps a [master](crate::rules::Master) of the weights.
    pub master: bool,
}

impl ParameterSpec {
    /// A matrix with the model's settings.
    pub fn new(name: impl Into<Box<str>>, (rows, cols): (usize, usize), rule: Rule) -> Self {
        Self { name: name.into(), rows, cols, rule, group: Group::default(), master: false }
    }
}

/// A matrix, which rule it has, and its state.
#[derive(Debug)]
pub(super) struct Member<B: Backend> {
    pub(super) spec: ParameterSpec,
    /// Its place in the optimizer's rules.
    pub(super) rule: usize,
    pub(super) block: BlockState<B::Matrix>,
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

/// Runs `f` on a matrix's rule, with a master if its state keeps one.
pub(super) fn with_rule<B: Backend, R>(
    rule: &dyn UpdateRule<B>,
    spec: &ParameterSpec,
    f: impl FnOnce(&dyn UpdateRule<B>) -> R,
) -> R {
    if spec.master { f(&Master(rule)) } else { f(rule) }
}

/// The optimizer of a model on any backend.
///
/// A framework calls [`prepare`](Self::prepare) with all gradients, then [`update`](Self::update) for each
/// parameter, then [`finish`](Self::finish); [`step`](Self::step) does the three.
///
/// A step that is refused changes nothing. One that fails after its first update has begun, which takes an error of the device
/// (memory, a driver), cannot be taken back: the optimizer then refuses to step and to be saved, by an error that names the
/// parameter ([`check_whole`](Self::check_whole)), until a state has been [restored](Self::restore).
#[derive(Debug)]
pub struct Optimizer<B: Backend> {
    pub(super) config: Config,
    pub(super) rules: SharedRules<B>,
    /// The names of rules of one's own, and where they are.
    named: Vec<(Box<str>, usize)>,
    pub(super) members: Vec<Member<B>>,
    pub(super) workspace: Workspace<B>,
    pub(super) steps: u64,
    pub(super) progress: Progress,
    pub(super) rates: ModelRates,
    pub(super) pre_clip_factor: f64,
    pub(super) factors_set: FactorsSet,
    /// An empty vector that keeps its capacity between steps.
    pub(super) spare: Vec<(usize, B::Matrix)>,
    /// One for each thread that updates small parameters beside others.
    #[cfg(feature = "faer")]
    pub(super) beside: Vec<Workspace<B>>,
}

/// The rates of a step, by rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelRates {
    pub(super) lr: f64,
    pub(super) elementwise_ratio: f64,
    pub(super) clip_factor: f64,
}

/// Which factors of thresholds somebody has set; a restored state brings the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FactorsSet {
    pub(super) clip: bool,
    pub(super) pre_clip: bool,
}

impl<B: Backend> Optimizer<B> {
    /// An optimizer for these parameters; state is allocated on the first step.
    ///
    /// # Errors
    /// An invalid setting, a name given twice, or no parameter that is not frozen.
    pub fn new(
        backend: B,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
    ) -> Result<Self> {
        Self::with_rules(backend, config, parameters, Rules::new())
    }

    /// An optimizer with rules of one's own, which the parameters' groups [name](Group::named).
    ///
    /// # Errors
    /// As [`new`](Self::new); a group's setting outside its domain, or a rule that `rules` has not, with the parameter's name.
    pub fn with_rules(
        backend: B,
        config: Config,
        parameters: impl IntoIterator<Item = ParameterSpec>,
        rules: Rules<B>,
    ) -> Result<Self> {
        config.validate::<B::Element>()?;
        let mut members = Vec::new();
        let mut assigned = Assigned::new(&config, rules);
        for spec in parameters {
            if members.iter().any(|member: &Member<B>| member.spec.name == spec.name) {
                let kind = ErrorKind::Name { name: spec.name, reason: "names two parameters" };
                return Err(Error::new("optimizer", kind));
            }
            let rule = assigned.rule_of(&spec).map_err(|error| error.for_parameter(&spec.name))?;
            members.push(Member { spec, rule, block: BlockState::default() });
        }
        if !members.iter().any(Member::is_live) {
            let requirement = "at least one that is not frozen: there is nothing to train";
            return Err(Error::argument("optimizer", "parameters", members.len() as f64, requirement));
        }
        let elementwise_ratio = match config.elementwise_lr {
            Some(lr) if config.lr > 0.0 => lr / config.lr,
            Some(_) | None => 1.0,
        };
        let optimizer = Self {
            config,
            rules: assigned.rules,
            named: assigned.named,
            members,
            workspace: Workspace::new(backend),
            steps: 0,
            progress: Progress::Whole,
            rates: ModelRates { lr: config.lr, elementwise_ratio, clip_factor: 1.0 },
            pre_clip_factor: 1.0,
            factors_set: FactorsSet::default(),
            spare: Vec::new(),
            #[cfg(feature = "faer")]
            beside: Vec::new(),
        };
        optimizer.check_rates(optimizer.rates)?;
        Ok(optimizer)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device.
    pub fn backend(&self) -> &B {
        self.workspace.backend()
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The parameters, in the order in which they are numbered.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &ParameterSpec> {
        self.members.iter().map(|member| &member.spec)
    }

    /// The rule of parameter `index`, `None` if frozen or unknown.
    pub fn rule(&self, index: usize) -> Option<&dyn UpdateRule<B>> {
        let member = self.members.get(index).filter(|member| member.is_live())?;
        self.rules.get(member.rule).map(|rule| &**rule)
    }

    /// The state of parameter `index`, for diagnostics (spectra of the momentum and the like).
    pub fn state(&self, index: usize) -> Option<&BlockState<B::Matrix>> {
        self.members.get(index).map(|member| &member.block)
    }

    /// Numbers of state of parameter `index` once it has taken a step; the largest `usize` if there are more.
    pub fn state_numbers(&self, index: usize) -> usize {
        let live = self.members.get(index).filter(|member| member.is_live());
        live.map_or(0, |member| {
            member.with_rule(&self.rules, |rule| rule.state_numbers((member.spec.rows, member.spec.cols)))
        })
    }

    /// Bytes of state once every parameter has taken a step; the largest `usize` if there are more.
    pub fn state_bytes(&self) -> usize {
        let numbers = (0..self.members.len()).map(|index| self.state_numbers(index));
        numbers.fold(0, usize::saturating_add).saturating_mul(core::mem::size_of::<B::Element>())
    }

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

    pub(super) fn spec(&self, index: usize) -> Result<&ParameterSpec> {
        match self.members.get(index) {
            Some(member) => Ok(&member.spec),
            None => {
                Err(Error::argument("optimizer", "index", index as f64, "less than the number of parameters"))
            }
        }
    }
}

impl ModelRates {
    /// The rates of a parameter at the model's 0-based `step`.
    pub(super) fn of(&self, config: &Config, spec: &ParameterSpec, step: u64) -> Rates {
        let ratio = if spec.rule == Rule::Elementwise { self.elementwise_ratio } else { 1.0 };
        let scheduled = config.lr_schedule.map_or(1.0, |schedule| schedule.factor(step));
        let clip = spec.group.clip_schedule.or(config.clip_schedule);
        Rates {
            lr: self.lr * scheduled * ratio * spec.group.lr_factor(),
            weight_decay: spec.group.decay(),
            clip_factor: self.clip_factor * clip.map_or(1.0, |schedule| schedule.factor(step)),
        }
    }
}

/// What a plan costs under the optimizer's settings and rules.
impl<B: Backend> StateCost for &Optimizer<B> {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.config.state_numbers(rule, rows, cols)
    }

    fn named_numbers(&self, rule: &str, rows: usize, cols: usize) -> usize {
        let at = self.named.iter().find(|(name, _)| **name == *rule).map(|(_, at)| *at);
        at.and_then(|at| self.rules.get(at)).map_or(0, |rule| rule.state_numbers((rows, cols)))
    }

    fn bytes_per_number(&self) -> usize {
        core::mem::size_of::<B::Element>()
    }
}

/// The rules of a model: the two of its configuration, those of its own, and the groups' recipes.
struct Assigned<B: Backend> {
    rules: SharedRules<B>,
    names: Rules<B>,
    /// Groups' recipes and where they are.
    recipes: Vec<(crate::rules::Recipe, usize)>,
    named: Vec<(Box<str>, usize)>,
}

impl<B: Backend> Assigned<B> {
    fn new(config: &Config, names: Rules<B>) -> Self {
        let rules: SharedRules<B> = Vec::from([
            Box::new(config.spectral) as Box<dyn UpdateRule<B>>,
            Box::new(config.elementwise) as Box<dyn UpdateRule<B>>,
        ]);
        Self { rules, names, recipes: Vec::new(), named: Vec::new() }
    }

    fn rule_of(&mut self, spec: &ParameterSpec) -> Result<usize> {
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
        added.validate()?;
        let buffers = added.buffers((spec.rows, spec.cols));
        if buffers.iter().enumerate().any(|(i, one)| buffers[..i].iter().any(|other| other.name == one.name))
        {
            let (name, reason) = (added.signature().into(), "keeps two buffers of one name");
            return Err(Error::new("optimizer", ErrorKind::Name { name, reason }));
        }
        self.rules.push(added);
        Ok(self.rules.len() - 1)
    }
}
