//! The optimizer of a whole model: checks, norm clip, and one state per parameter.

use super::plan::Rule;
use super::{Config, ParameterState, Prepared, Rates, Recipe, StepInfo};
use crate::backend::{Backend, Error, ErrorKind, Gradient, Matrix, Result, check_shape, require};
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
#[derive(Debug)]
pub struct Optimizer<B: Backend> {
    pub(super) config: Config,
    pub(super) members: Vec<Member<B>>,
    pub(super) workspace: Workspace<B>,
    pub(super) steps: u64,
    rates: ModelRates,
    pub(super) pre_clip_factor: f64,
    /// An empty vector that keeps its capacity between steps.
    pub(super) spare: Vec<(usize, B::Matrix)>,
    /// One for each thread that updates small parameters beside others.
    #[cfg(feature = "faer")]
    pub(super) beside: Vec<Workspace<B>>,
}

/// The rates of a step, by rule.
#[derive(Debug, Clone, Copy)]
struct ModelRates {
    lr: f64,
    elementwise_ratio: f64,
    clip_factor: f64,
}

impl<B: Backend> Optimizer<B> {
    /// An optimizer for these parameters; state is allocated on the first step.
    ///
    /// # Errors
    /// An invalid setting, or a name given twice.
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
            rates: ModelRates { lr: config.lr, elementwise_ratio, clip_factor: 1.0 },
            pre_clip_factor: 1.0,
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

    /// Sets the factor of the clip threshold, `c_t = c factor`, from its schedule; 1 at first.
    ///
    /// # Errors
    /// Not positive, or non-finite; a `c_t` outside the threshold's domain.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        self.set_rates(ModelRates { clip_factor: factor, ..self.rates })
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

    /// Sets the factor of the pre-clip's threshold from its own schedule; 1 at first.
    ///
    /// # Errors
    /// Not positive, or non-finite; a threshold outside its domain.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        let operation = "set_pre_clip_factor";
        require(factor > 0.0 && factor.is_finite(), operation, "factor", factor, "positive and finite")?;
        self.config.pre_clip.map_or(Ok(()), |clip| clip.check_factor::<B::Element>(factor))?;
        self.pre_clip_factor = factor;
        Ok(())
    }

    /// One step of parameter `index`; `X <- (1 - lr wd) X - lr scale map(direction(G))`. Frozen: nothing.
    ///
    /// # Errors
    /// Shapes, an unknown index, and those of the device; each names the parameter.
    pub fn update(
        &mut self,
        index: usize,
        weights: &mut B::Matrix,
        gradient: &B::Matrix,
        prepared: &Prepared<B>,
    ) -> Result<StepInfo> {
        self.spec(index)?;
        let update = Update { rates: self.rates, prepared };
        update.apply(index, &mut self.members[index], weights, gradient, &mut self.workspace)
    }

    /// Counts the step; call it after the last [`update`](Self::update).
    pub fn finish(&mut self, mut prepared: Prepared<B>) {
        for (_, matrix) in prepared.clipped.drain(..) {
            self.workspace.give(matrix);
        }
        self.spare = prepared.clipped;
        self.steps += 1;
    }

    /// A whole step over `(X, G)` of every parameter in order.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), with nothing changed; then as [`update`](Self::update).
    pub fn step(&mut self, parameters: &mut [(&mut B::Matrix, &B::Matrix)]) -> Result<()> {
        let prepared = self.prepare_all(parameters)?;
        for (index, (weights, gradient)) in parameters.iter_mut().enumerate() {
            self.update(index, weights, gradient, &prepared)?;
        }
        self.finish(prepared);
        Ok(())
    }

    /// Checks the weights' shapes, then as [`prepare`](Self::prepare).
    pub(super) fn prepare_all(&mut self, parameters: &[(&mut B::Matrix, &B::Matrix)]) -> Result<Prepared<B>> {
        if parameters.len() != self.members.len() {
            let (given, wanted) = (parameters.len(), self.members.len());
            return Err(Error::shape("step (number of parameters)", (wanted, 1), (given, 1)));
        }
        for ((weights, _), Member { spec, .. }) in parameters.iter().zip(&self.members) {
            check_shape("step", (spec.rows, spec.cols), weights.shape())
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        self.prepare(parameters.iter().map(|(_, gradient)| *gradient).enumerate())
    }

    /// What the members of a step have in common, and what it changes.
    #[cfg(feature = "faer")]
    pub(super) fn parts<'a>(&'a mut self, prepared: &'a Prepared<B>) -> Parts<'a, B> {
        let update = Update { rates: self.rates, prepared };
        Parts { update, members: &mut self.members, workspace: &mut self.workspace, beside: &mut self.beside }
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

/// A step's part that is the same for all members.
#[derive(Debug)]
pub(super) struct Update<'a, B: Backend> {
    rates: ModelRates,
    prepared: &'a Prepared<B>,
}

/// An optimizer taken apart.
#[cfg(feature = "faer")]
pub(super) struct Parts<'a, B: Backend> {
    pub(super) update: Update<'a, B>,
    pub(super) members: &'a mut [Member<B>],
    pub(super) workspace: &'a mut Workspace<B>,
    pub(super) beside: &'a mut Vec<Workspace<B>>,
}

impl<B: Backend> Update<'_, B> {
    /// The step of one member, number `index`.
    pub(super) fn apply(
        &self,
        index: usize,
        Member { spec, state }: &mut Member<B>,
        weights: &mut B::Matrix,
        gradient: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo> {
        let ModelRates { lr, elementwise_ratio, clip_factor } = self.rates;
        let lr = match spec.rule {
            Rule::Spectral => lr,
            Rule::Elementwise => lr * elementwise_ratio,
            Rule::Frozen => return Ok(StepInfo::default()),
        };
        let gradient = self.prepared.clipped(index).unwrap_or(gradient);
        let gradient = match &self.prepared.scale {
            Some((factor, squared)) => Gradient::scaled(gradient, factor, squared),
            None => Gradient::new(gradient),
        };
        check_shape("update", (spec.rows, spec.cols), weights.shape())
            .and_then(|()| state.step(weights, &gradient, Rates { lr, clip_factor }, workspace))
            .map_err(|error| error.for_parameter(&spec.name))
    }
}
