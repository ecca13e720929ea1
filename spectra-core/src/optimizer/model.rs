//! The optimizer of a whole model: checks, norm clip, and one state per parameter.

use super::Config;
use super::assigned::Assigned;
use super::member::{Member, ParameterSpec, SharedRules, with_rule};
use super::parameter::BlockState;
use super::plan::{Rule, StateCost};
use super::progress::Progress;
use super::rates::{FactorsSet, ModelRates};
use super::stacks::Stacks;
use crate::backend::{Backend, Element, Error, ErrorKind, Result};
use crate::linalg::Workspace;
use crate::rules::{Rules, UpdateRule, Weights};
#[cfg(feature = "serde")]
use crate::state::BufferSpec;
use alloc::{boxed::Box, vec::Vec};

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
    pub(super) keeps_reports: bool,
    /// An empty vector that keeps its capacity between steps.
    pub(super) spare: Vec<(usize, B::Matrix)>,
    pub(super) stacks: Stacks<B>,
    /// One for each thread that updates small parameters beside others.
    #[cfg(feature = "faer")]
    pub(super) beside: Vec<Workspace<B>>,
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

    /// An optimizer with rules of one's own, which the parameters' groups [name](super::plan::Group::named).
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
            members.push(Member { spec, rule, block: BlockState::default(), report: None });
        }
        for member in members.iter().filter(|member| member.is_live()) {
            let shape = (member.spec.rows, member.spec.cols);
            let buffers = with_rule(&*assigned.rules[member.rule], &member.spec, |rule| rule.buffers(shape));
            for format in buffers.iter().filter_map(|buffer| buffer.format) {
                // Whether the backend knows the format.
                let known = backend.zeros_stored(format, (0, 0), None);
                known.map_err(|error| error.for_parameter(&member.spec.name))?;
            }
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
            keeps_reports: false,
            spare: Vec::new(),
            stacks: Stacks::default(),
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

    /// How the weights of parameter `index` take an update from the next step on: for a front-end that learns only then that they have 16
    /// bits. Nothing for one that is frozen or unknown.
    pub fn set_weights(&mut self, index: usize, weights: Weights) {
        if let Some(member) = self.members.get_mut(index).filter(|member| member.is_live()) {
            member.spec.weights = weights;
        }
    }

    /// Numbers of state of parameter `index` once it has taken a step; the largest `usize` if there are more.
    pub fn state_numbers(&self, index: usize) -> usize {
        let live = self.members.get(index).filter(|member| member.is_live());
        live.map_or(0, |member| {
            member.with_rule(&self.rules, |rule| rule.state_numbers((member.spec.rows, member.spec.cols)))
        })
    }

    /// The buffers that parameter `index` keeps, in the order of its rule.
    #[cfg(feature = "serde")]
    pub(crate) fn buffers_of(&self, index: usize) -> Vec<BufferSpec> {
        let live = self.members.get(index).filter(|member| member.is_live());
        live.map_or_else(Vec::new, |member| {
            member.with_rule(&self.rules, |rule| rule.buffers((member.spec.rows, member.spec.cols)))
        })
    }

    /// Bytes of state once every parameter has taken a step; the largest `usize` if there are more.
    pub fn state_bytes(&self) -> usize {
        let live = self.members.iter().filter(|member| member.is_live());
        let bytes = live.map(|member| {
            let (shape, width) = ((member.spec.rows, member.spec.cols), B::Element::BYTES);
            member.with_rule(&self.rules, |rule| rule.state_bytes(shape, width))
        });
        bytes.fold(0, usize::saturating_add)
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

/// What a plan costs under the optimizer's settings and rules.
impl<B: Backend> StateCost for &Optimizer<B> {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.config.state_numbers(rule, rows, cols)
    }

    fn named_numbers(&self, rule: &str, rows: usize, cols: usize) -> usize {
        let at = self.named.iter().find(|(name, _)| **name == *rule).map(|(_, at)| *at);
        at.and_then(|at| self.rules.get(at)).map_or(0, |rule| rule.state_numbers((rows, cols)))
    }

    fn state_bytes(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        self.config.bytes(rule, (rows, cols), B::Element::BYTES)
    }

    fn named_bytes(&self, rule: &str, rows: usize, cols: usize) -> usize {
        let at = self.named.iter().find(|(name, _)| **name == *rule).map(|(_, at)| *at);
        let rule = at.and_then(|at| self.rules.get(at));
        rule.map_or(0, |rule| rule.state_bytes((rows, cols), B::Element::BYTES))
    }

    fn bytes_per_number(&self) -> usize {
        B::Element::BYTES
    }
}
