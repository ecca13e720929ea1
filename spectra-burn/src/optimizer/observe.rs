//! What a step would do, in burn's tensors.

use super::Hybrid;
use super::blocks::Whole;
use super::shared::{Arithmetic, Shared};
use super::state::Buffers;
use super::turn::{Outcome, Prepared, Turn};
use crate::{BurnBackend, BurnMatrix, BurnScalar};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use spectra_core::backend::{Error, ErrorKind, Gradient, Result};
use spectra_core::optimizer::plan::Block;
use spectra_core::optimizer::{BlockState, Observation};
use spectra_core::rules::{Rates, UpdateRule};

impl Hybrid {
    /// What a step by these gradients would make of the parameters, or [blocks](spectra_core::optimizer::plan::Block) of some, with these names,
    /// without taking it: neither the module nor the state nor a [report](Self::report) changes, and the run has the same bits whether it is
    /// observed or not. All gradients are given, as to a step, which clips by the norm over them; matrices have output features as rows,
    /// and are in f32 or f64.
    ///
    /// ```
    /// # use burn::nn::LinearConfig;
    /// # use burn::optim::GradientsParams;
    /// # use burn::tensor::{Device, Tensor};
    /// use spectra_burn::SpectralConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let mut model = LinearConfig::new(4, 8).init(&device);
    /// let mut optimizer = SpectralConfig::preset("muon")?.init_for(&model)?;
    ///
    /// let loss = model.forward(Tensor::<2>::ones([2, 4], &device)).sum();
    /// let gradients = GradientsParams::from_grads(loss.backward(), &model);
    /// let seen = optimizer.observe(1e-2, &model, &gradients, &["weight"])?;
    /// assert_eq!(seen[0].update.dims(), [8, 4]);
    /// model = optimizer.step(1e-2, model, gradients)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`step`](Self::step) before anything changes; a name that no parameter has, or that of one that is frozen or has no
    /// gradient.
    pub fn observe<M: Module>(
        &self,
        lr: impl Into<ModuleLearningRate>,
        module: &M,
        gradients: &GradientsParams,
        names: &[&str],
    ) -> Result<Vec<Observation<Tensor<2>>>> {
        for name in names {
            let refuse =
                |reason| Err(Error::new("observe", ErrorKind::Name { name: (*name).into(), reason }));
            match self.members.iter().find(|member| member.names().any(|known| known == *name)) {
                None => return refuse("is not a parameter"),
                Some(member) if member.assigned.is_none() => return refuse("is frozen: no step changes it"),
                Some(_) => {}
            }
        }
        // A clone has a state of its own, and its turn is over before another of this thread begins.
        let (mut dry, lr) = (self.clone(), lr.into());
        let mut copies = Copies { from: gradients, to: GradientsParams::new() };
        module.visit(&mut copies);
        let mut gradients = copies.to;
        let observes = Some(names.iter().map(|name| Box::from(*name)).collect());
        let prepared = Prepared { observes, lockstep: false, ..dry.prepare(&lr, module, &mut gradients)? };
        let spectral = dry.spectral.clone();
        let turn = Turn::begin(spectral.shared(), prepared);
        dry.optimizer.step(lr, module.clone(), gradients);
        let Outcome { failed, observations, .. } = turn.end();
        if let Some(error) = failed {
            return Err(error);
        }
        let missing = || Error::new("observe", ErrorKind::MissingGradient { hint: "it has none here" });
        let seen = |name: &&str| {
            let found = observations.iter().find(|(known, _)| **known == **name);
            found.map(|(_, seen)| seen.clone()).ok_or_else(|| missing().for_parameter(name))
        };
        names.iter().map(seen).collect()
    }
}

/// Gradients again, as a step takes them and clips replace them.
struct Copies<'a> {
    from: &'a GradientsParams,
    to: GradientsParams,
}

impl ModuleVisitor for Copies<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.get::<D>(param.id) {
            self.to.register::<D>(param.id, gradient);
        }
    }
}

/// What a parameter's matrices are observed with.
pub(super) struct Looker<'a, E: Arithmetic> {
    pub(super) shared: &'a Shared,
    pub(super) backend: &'a BurnBackend<E>,
    pub(super) rule: &'a dyn UpdateRule<BurnBackend<E>>,
    pub(super) rates: Rates,
    /// The factor of the norm clip.
    pub(super) scale: Option<&'a BurnScalar>,
}

impl<E: Arithmetic> Looker<'_, E> {
    /// Keeps the observations of those of a parameter's matrices that have one of the names.
    pub(super) fn look(
        &self,
        names: &[Box<str>],
        (name, blocks): (&str, &[Block]),
        (weights, gradient): (BurnMatrix<E>, BurnMatrix<E>),
        buffers: Option<Buffers<E>>,
    ) -> Result<()> {
        let states = buffers.map(|buffers| buffers.blocks).unwrap_or_default();
        let fresh = BlockState::default();
        let state = |at: usize| states.get(at).unwrap_or(&fresh);
        let wanted = |name: &str| names.iter().any(|wanted| **wanted == *name);
        if blocks.is_empty() {
            return if wanted(name) { self.keep(name, &weights, &gradient, state(0)) } else { Ok(()) };
        }
        let (weights, gradient) = (Whole::new(weights, blocks), Whole::new(gradient, blocks));
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| wanted(block.name())) {
            let (weights, gradient) = (weights.cut(self.backend, block)?, gradient.cut(self.backend, block)?);
            self.keep(block.name(), &weights, &gradient, state(at))?;
        }
        Ok(())
    }

    fn keep(
        &self,
        name: &str,
        weights: &BurnMatrix<E>,
        gradient: &BurnMatrix<E>,
        state: &BlockState<BurnMatrix<E>>,
    ) -> Result<()> {
        let gradient = match self.scale {
            Some(factor) => Gradient::scaled(gradient, factor),
            None => Gradient::new(gradient),
        };
        let observed = self.shared.with_workspace(self.backend, |workspace| {
            state.observe(self.rule, weights, &gradient, self.rates, workspace)
        });
        let seen = observed
            .and_then(|seen| seen.try_map(|matrix| Ok(matrix.into_tensor())))
            .map_err(|error| error.for_parameter(name))?;
        self.shared.with_outcome(|outcome| outcome.observations.push((name.into(), seen)));
        Ok(())
    }
}
