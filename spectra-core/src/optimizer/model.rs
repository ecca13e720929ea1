//! The optimizer of a whole model: checks, norm clip, and one state per parameter.

use super::plan::Rule;
use super::progress::Progress;
use super::{Config, ParameterState, Rates, Recipe};
use crate::backend::{Backend, Error, ErrorKind, Result, require};
use crate::linalg::Workspace;
use alloc::{boxed::Box, vec::Vec};

/// One parameter as the optimizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Unique name, for errors and saved states.
    pub name: Box<str>,
    /// Rows (output features) of its matrix view.
    pub rows: usize,
    /// Columns of its matrix view.
    pub cols: usize,
    /// Its rule.
    pub rule: Rule,
}

/// A parameter and its state.
#[derive(Debug)]
pub(super) struct Member<B: Backend> {
    pub(super) spec: ParameterSpec,
    pub(super) state: ParameterState<B>,
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
        config.validate::<B::Element>()?;
        let mut members: Vec<Member<B>> = Vec::new();
        for spec in parameters {
            if members.iter().any(|member| member.spec.name == spec.name) {
                let kind = ErrorKind::Name { name: spec.name, reason: "names two parameters" };
                return Err(Error::new("optimizer", kind));
            }
            let recipe = if spec.rule == Rule::Spectral { config.spectral } else { config.elementwise };
            members.push(Member { spec, state: ParameterState::new(recipe)? });
        }
        if members.iter().all(|member| member.spec.rule == Rule::Frozen) {
            let requirement = "at least one that is not frozen: there is nothing to train";
            return Err(Error::argument("optimizer", "parameters", members.len() as f64, requirement));
        }
        let elementwise_ratio = match config.elementwise_lr {
            Some(lr) if config.lr > 0.0 => lr / config.lr,
            Some(_) | None => 1.0,
        };
        let workspace = Workspace::new(backend);
        Ok(Self {
            config,
            members,
            workspace,
            steps: 0,
            progress: Progress::Whole,
            rates: ModelRates { lr: config.lr, elementwise_ratio, clip_factor: 1.0 },
            pre_clip_factor: 1.0,
            factors_set: FactorsSet::default(),
            spare: Vec::new(),
            #[cfg(feature = "faer")]
            beside: Vec::new(),
        })
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

    /// The recipe of parameter `index`, `None` if frozen or unknown.
    pub fn recipe(&self, index: usize) -> Option<&Recipe> {
        let member = self.members.get(index)?;
        (member.spec.rule != Rule::Frozen).then_some(&member.state.recipe)
    }

    /// The state of parameter `index`, for diagnostics (spectra of the momentum and the like).
    pub fn state(&self, index: usize) -> Option<&ParameterState<B>> {
        self.members.get(index).map(|member| &member.state)
    }

    /// Bytes of state once every parameter has taken a step; the largest `usize` if there are more.
    pub fn state_bytes(&self) -> usize {
        let live = self.members.iter().filter(|m| m.spec.rule != Rule::Frozen);
        let numbers = live.map(|m| m.state.recipe.state_numbers(m.spec.rows, m.spec.cols));
        numbers.fold(0, usize::saturating_add).saturating_mul(core::mem::size_of::<B::Element>())
    }

    /// Current learning rate of the hidden matrices.
    pub fn learning_rate(&self) -> f64 {
        self.rates.lr
    }

    /// Sets the learning rate of the hidden matrices, and scales that of everything else with it: their ratio
    /// stays as configured.
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

    /// Takes the rates if those of both rules are in their domains.
    fn set_rates(&mut self, rates: ModelRates) -> Result<()> {
        let ModelRates { lr, elementwise_ratio, clip_factor } = rates;
        let Config { spectral, elementwise, .. } = &self.config;
        Rates { lr, clip_factor }.validate::<B::Element>(spectral)?;
        Rates { lr: lr * elementwise_ratio, clip_factor }.validate::<B::Element>(elementwise)?;
        self.rates = rates;
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

    pub(super) fn spec(&self, index: usize) -> Result<&ParameterSpec> {
        match self.members.get(index) {
            Some(member) => Ok(&member.spec),
            None => {
                Err(Error::argument("optimizer", "index", index as f64, "less than the number of parameters"))
            }
        }
    }
}
