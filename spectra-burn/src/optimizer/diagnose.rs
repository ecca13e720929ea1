//! What ails a run, in burn's tensors.

use super::Hybrid;
use super::blocks::Whole;
use super::layout::{flat, see};
use super::present::{check_fit, place_of};
use super::shared::Arithmetic;
use super::state::Typed;
use super::turn::Prepared;
use crate::BurnMatrix;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Gradient, Matrix, Result, Scalar};
use spectra_core::optimizer::BlockState;
use spectra_core::optimizer::diagnosis::{Diagnoses, Diagnosis, Examination, Figures, Subject};

impl Hybrid {
    /// What ails the module, block by block, and what to do about it: rule and reason, update over weights, dead entries, stagnation in 16 bits, gradients that are
    /// missing, zero or not finite, stale subspaces, wrong rules. It prints as a table within 80 columns; docs/troubleshooting.md goes from symptoms to findings.
    ///
    /// A dry run of a step by these gradients at this learning rate: neither the module nor the state changes, and the run has the same bits. It copies the state, and reads
    /// everything to the host.
    ///
    /// ```
    /// # use burn::nn::LinearConfig;
    /// # use burn::optim::GradientsParams;
    /// # use burn::tensor::{Device, Tensor};
    /// use spectra_burn::SpectralConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let model = LinearConfig::new(4, 8).init(&device);
    /// let optimizer = SpectralConfig::preset("spectra")?.init_for(&model)?;
    ///
    /// let loss = model.forward(Tensor::<2>::ones([2, 4], &device)).sum();
    /// let gradients = GradientsParams::from_grads(loss.backward(), &model);
    /// let seen = optimizer.diagnose(1e-2, &model, &gradients)?;
    /// println!("{seen}");
    /// assert_eq!(seen.worst(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`step`](Self::step) before anything changes, but for gradients that are missing or not finite, which are findings.
    pub fn diagnose<M: Module>(
        &self,
        lr: impl Into<ModuleLearningRate>,
        module: &M,
        gradients: &GradientsParams,
    ) -> Result<Diagnoses> {
        self.check_whole("diagnose")?;
        let lr = lr.into();
        let mut usable =
            Usable { optimizer: self, from: gradients, to: GradientsParams::new(), any: false, error: None };
        module.visit(&mut usable);
        let Usable { to: mut stepped, any, error, .. } = usable;
        error.map_or(Ok(()), Err)?;
        let mut dry = self.clone();
        dry.settings.require_gradients = false;
        // Without one there is nothing to clip.
        let Prepared { scale, clip_factor, .. } =
            if any { dry.prepare(&lr, module, &mut stepped)? } else { Prepared::default() };

        let mut firsts = Vec::with_capacity(self.members.len());
        let mut next = 0;
        for entry in self.plan.entries() {
            firsts.push(next);
            next += entry.blocks().len();
        }
        let mut examiner = Examiner {
            optimizer: self,
            lr: &lr,
            clip_factor: clip_factor.unwrap_or_else(|| self.factors.clip.value()),
            raw: gradients,
            stepped: &stepped,
            scale: scale.as_ref(),
            subjects: Subject::all(&self.plan, &self.settings)?,
            firsts,
            states: self.states("diagnose")?,
            found: Vec::new(),
            error: None,
        };
        module.visit(&mut examiner);
        let Examiner { mut found, error, .. } = examiner;
        error.map_or(Ok(()), Err)?;
        found.sort_by_key(|(at, _)| *at);
        let factor = scale.as_ref().map(Scalar::read).transpose()?;
        Ok(Diagnoses::of_run(self.steps, factor, found.into_iter().map(|(_, diagnosis)| diagnosis).collect()))
    }
}

/// The gradients that a step could take.
struct Usable<'a> {
    optimizer: &'a Hybrid,
    from: &'a GradientsParams,
    to: GradientsParams,
    any: bool,
    error: Option<Error>,
}

impl Usable<'_> {
    fn visit<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let Some(gradient) = self.from.get::<D>(param.id) else { return Ok(()) };
        let Some(place) = place_of(&self.optimizer.members, param.id) else {
            let name = format!("{:?}", param.id).into();
            let reason = "is a parameter that the module did not have when its plan was made";
            return Err(Error::new("diagnose", ErrorKind::Name { name, reason }));
        };
        let member = &self.optimizer.members[place];
        if member.assigned.is_none() {
            return Ok(());
        }
        check_fit(&param.val(), &gradient, member)
            .map_err(|error| error.for_parameter(&member.found.name))?;
        let largest = match member.found.dtype {
            DType::F64 => self.largest::<f64, D>(gradient.clone(), place),
            _ => self.largest::<f32, D>(gradient.clone(), place),
        };
        if largest?.is_finite() {
            self.any = true;
            self.to.register::<D>(param.id, gradient);
        }
        Ok(())
    }

    fn largest<E: Arithmetic, const D: usize>(&self, gradient: Tensor<D>, place: usize) -> Result<f64> {
        let backend = self.optimizer.spectral.backend::<E>(&gradient.device());
        see(&backend, gradient, self.optimizer.members[place].view)?.max_abs()?.read()
    }
}

impl ModuleVisitor for Usable<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none() {
            self.error = self.visit(param).err();
        }
    }
}

/// Looks at every parameter.
struct Examiner<'a> {
    optimizer: &'a Hybrid,
    lr: &'a ModuleLearningRate,
    clip_factor: f64,
    /// As they came.
    raw: &'a GradientsParams,
    /// As a step would take them.
    stepped: &'a GradientsParams,
    scale: Option<&'a crate::BurnScalar>,
    subjects: Vec<Subject<'a>>,
    /// The number of each parameter's first block.
    firsts: Vec<usize>,
    states: Vec<Option<Typed>>,
    found: Vec<(usize, Diagnosis)>,
    error: Option<Error>,
}

impl Examiner<'_> {
    fn examine<E: Arithmetic, const D: usize>(
        &mut self,
        param: &Param<Tensor<D>>,
        place: usize,
    ) -> Result<()> {
        let Hybrid { members, spectral, settings, steps, .. } = self.optimizer;
        let member = &members[place];
        let value = param.val();
        if value.dims() != *member.found.shape {
            return Err(Error::shape("diagnose", flat(&member.found.shape), flat(&value.dims())));
        }
        let trains = param.is_require_grad();
        let backend = spectral.backend::<E>(&value.device());
        let seen = |tensor: Tensor<D>| -> Result<Vec<BurnMatrix<E>>> {
            let whole = see(&backend, tensor, member.view)?;
            if member.blocks.is_empty() {
                return Ok(vec![whole]);
            }
            let whole = Whole::new(whole, &member.blocks);
            member.blocks.iter().map(|block| whole.cut(&backend, block)).collect()
        };
        let weights = seen(if value.is_autodiff() { value.inner() } else { value })?;
        let all = |of: &GradientsParams| of.get::<D>(param.id).map(seen).transpose();
        let (raw, stepped) = (all(self.raw)?, all(self.stepped)?);
        let Some(assigned) = &member.assigned else { return self.keep_frozen(place, &weights) };
        let state = self.states[place].take().and_then(E::own).map(|state| state.on(&backend));
        let states = state.map(|state| state.blocks).unwrap_or_default();
        let lr = self.lr.lr_from_param(member.found.id, Some(&member.found.name));
        let rates = assigned.rates(settings, &spectral.model_rates(lr, Some(self.clip_factor)), steps + 1);
        let (rule, fresh) = (assigned.rule::<E>(), BlockState::default());
        for (at, weights) in weights.iter().enumerate() {
            let number = self.firsts[place] + at;
            let subject = &self.subjects[number];
            let gradient = raw.as_ref().and_then(|raw| raw.get(at));
            let taken = stepped.as_ref().and_then(|stepped| stepped.get(at));
            let examination = Examination {
                weights,
                gradient,
                stepped: taken.map(|taken| match self.scale {
                    Some(factor) => Gradient::scaled(taken, factor),
                    None => Gradient::new(taken),
                }),
                rates,
                nearest: subject.nearest(),
            };
            let state = states.get(at).unwrap_or(&fresh);
            let figures = spectral
                .shared()
                .with_workspace(&backend, |workspace| state.examine(rule, examination, workspace))
                .map_err(|error| error.for_parameter(subject.name()))?;
            let subject = if trains { subject.clone() } else { subject.clone().resting() };
            self.found.push((number, subject.diagnose(rule.signature(), (state.steps, *steps), figures)));
        }
        Ok(())
    }

    fn keep_frozen<E: Arithmetic>(&mut self, place: usize, weights: &[BurnMatrix<E>]) -> Result<()> {
        for (at, weights) in weights.iter().enumerate() {
            let number = self.firsts[place] + at;
            let figures = Figures::of_frozen(weights)?;
            let diagnosis =
                self.subjects[number].diagnose("frozen".into(), (0, self.optimizer.steps), figures);
            self.found.push((number, diagnosis));
        }
        Ok(())
    }
}

impl ModuleVisitor for Examiner<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(place) = place_of(&self.optimizer.members, param.id).filter(|_| self.error.is_none()) else {
            return;
        };
        let found = &self.optimizer.members[place].found;
        let seen = match found.dtype {
            DType::F64 => self.examine::<f64, D>(param, place),
            _ => self.examine::<f32, D>(param, place),
        };
        self.error = seen.err().map(|error| error.for_parameter(&found.name));
    }
}
