//! The optimizer of variables that several ranks train.

use super::state::snapshot_of;
use super::typed::{Gradients, unknown};
use super::variables::{Variables, sixteen_bits};
use crate::backend::{CandleBackend, CandleElement, CandleMatrix};
use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_nn::VarMap;
use spectra_core::backend::{Backend as _, Error, ErrorKind, Matrix as _, Result};
use spectra_core::distributed::{Collectives, DistributedOptimizer as Core, Placing};
use spectra_core::optimizer::plan::{Block, Entry, Plan, PlanBuilder, Rule};
use spectra_core::optimizer::{Config, Restored, StateDescription};
use spectra_core::rules::Rules;
use std::collections::HashMap;

/// An optimizer for the variables of a model that several ranks train, each on data of its own: threads of one process, or processes.
/// Every rank has all variables, with the values of rank 0 from the beginning, takes gradients of its share, and has the same variables after a
/// step; of the state each keeps its part. What a step does, and what becomes of errors: [`spectra_core::distributed::DistributedOptimizer`].
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::{Module, VarBuilder, VarMap};
/// use spectra_candle::distributed::{Communicator, Threads};
/// use spectra_candle::{Config, DistributedOptimizer};
/// use std::time::Duration;
///
/// fn train(threads: Threads) -> Result<f32, candle_core::Error> {
///     let (varmap, device) = (VarMap::new(), Device::Cpu);
///     let vb = VarBuilder::from_varmap(&varmap, DType::F32, &device);
///     vb.get_with_hints((4, 8), "up.weight", candle_nn::Init::Const(0.1))?;
///     let model = candle_nn::linear_no_bias(8, 4, vb.pp("up"))?;
///     let config = Config::preset("spectra").map_err(candle_core::Error::wrap)?;
///     let group = Communicator::new(threads);
///     let mut optimizer = DistributedOptimizer::from_varmap(&varmap, config, group).map_err(candle_core::Error::wrap)?;
///     // The data of this rank.
///     let x = candle_core::Tensor::arange(0f32, 16., &device)?.reshape((2, 8))?;
///     let x = (x + optimizer.rank() as f64)?;
///     let loss = model.forward(&x)?.sqr()?.mean_all()?;
///     optimizer.backward_step(&loss)?;
///     model.forward(&x.ones_like()?)?.sum_all()?.to_scalar()
/// }
///
/// let group = Threads::group(2, Duration::from_secs(60));
/// let ranks: Vec<_> = group.into_iter().map(|threads| std::thread::spawn(move || train(threads))).collect();
/// let sums: Vec<f32> = ranks.into_iter().map(|rank| rank.join().unwrap().unwrap()).collect();
/// assert_eq!(sums[0], sums[1]);
/// ```
#[derive(Debug)]
pub struct DistributedOptimizer<C, E = f32>
where
    E: CandleElement,
    C: Collectives<CandleBackend<E>>,
{
    plan: Plan,
    vars: Vec<(String, Var)>,
    core: Core<CandleBackend<E>, C>,
    refused_lr: Option<f64>,
}

impl<C: Collectives<CandleBackend<f32>>> DistributedOptimizer<C> {
    /// An optimizer for all float variables of `varmap`; all ranks must call it with equal names, shapes and settings. The variables' values become
    /// those of rank 0.
    ///
    /// # Errors
    /// As [`Optimizer::from_varmap`](super::Optimizer::from_varmap); a variable of f64 (for which there is [`with_plan`](Self::with_plan) of `DistributedOptimizer::<_, f64>`); on all ranks, if one has
    /// others than the rest.
    pub fn from_varmap(varmap: &VarMap, config: Config, group: C) -> Result<Self> {
        Self::with_plan(Variables::of_map(varmap), config, &Plan::builder(), group, &Placing::AUTO)
    }
}

impl<E: CandleElement, C: Collectives<CandleBackend<E>>> DistributedOptimizer<C, E> {
    /// An optimizer for variables with names, with a plan of your own, placed on the ranks as you say.
    ///
    /// # Errors
    /// As [`Optimizer::with_plan`](super::Optimizer::with_plan) and [`Placing::place`]; a variable whose arithmetic type is not `E`; on all ranks, if one
    /// has others than the rest.
    pub fn with_plan(
        vars: impl IntoIterator<Item = (String, Var)>,
        config: Config,
        plan: &PlanBuilder,
        group: C,
        placing: &Placing,
    ) -> Result<Self> {
        let Variables { named: vars, device, double } = Variables::new(vars)?;
        if double != (E::DTYPE == DType::F64) {
            let what = "a model in another arithmetic type than the optimizer's";
            return Err(Error::new("optimizer", ErrorKind::Unsupported { what }));
        }
        let plan = plan.build(vars.iter().map(|(name, var)| (name, var.dims())))?;
        let format = |at: usize| vars.get(at).and_then(|(_, var)| sixteen_bits(var.dtype()));
        let plan = plan.with_rounding(config.rounding, format);
        let backend = CandleBackend::new(&device);
        let core = Core::with_rules(backend, group, config, plan.parameters(), Rules::new(), placing)?;
        let made = Self { plan, vars, core, refused_lr: None };
        let backend = made.core.optimizer().backend().local().clone();
        let weights = made.weights(&backend, true);
        made.core.agree_on(weights.as_ref().map(|_| ()))?;
        let mut weights = weights?;
        made.core.broadcast(0, &mut weights.iter_mut().collect::<Vec<_>>())?;
        made.write_back(&backend, &weights, true)?;
        Ok(made)
    }

    /// The backward pass of this rank's loss and a step; the mean of the ranks' gradients is stepped.
    ///
    /// # Errors
    /// Those of the backward pass, which the other ranks are told; of [`try_step`](Self::try_step).
    pub fn backward_step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        match loss.backward() {
            Ok(grads) => self.try_step(&grads).map_err(candle_core::Error::wrap),
            Err(error) => {
                let told = self.core.refuse(Error::device("backward", error.to_string()));
                Err(if matches!(told.kind(), ErrorKind::Device(_)) {
                    error
                } else {
                    candle_core::Error::wrap(told)
                })
            }
        }
    }

    /// One step from this rank's gradients. Every variable that is not frozen must have one.
    ///
    /// # Errors
    /// As [`DistributedOptimizer::step`](spectra_core::distributed::DistributedOptimizer::step): those of what a rank gives are met on all, and nothing
    /// has changed. A finite update that leaves the range of a variable's 16-bit type is said after the step.
    pub fn try_step(&mut self, grads: &GradStore) -> Result<()> {
        if let Some(lr) = self.refused_lr.take()
            && let Err(error) = self.core.optimizer_mut().set_learning_rate(lr)
        {
            self.refused_lr = Some(lr);
            return Err(self.core.refuse(error));
        }
        let backend = self.core.optimizer().backend().local().clone();
        let given = Gradients::new(&backend, &self.plan, &self.vars, grads);
        let given = given.and_then(|given| Ok((given, self.weights(&backend, false)?)));
        let (Gradients { matrices, .. }, mut weights) = match given {
            Ok(given) => given,
            Err(error) => return Err(self.core.refuse(error)),
        };
        let pairs = weights.iter_mut().zip(&matrices).map(|(x, gradient)| (x, gradient.as_ref()));
        self.core.step(&mut pairs.collect::<Vec<_>>())?;
        self.write_back(&backend, &weights, false)
    }

    /// The weights of each block, in the variables' own memory where that can be; of frozen ones nothing unless `all`.
    fn weights(&self, backend: &CandleBackend<E>, all: bool) -> Result<Vec<CandleMatrix<E>>> {
        let weights = |(at, entry, block): (usize, &Entry, &Block)| match self.vars.get(at) {
            Some((name, var)) if all || entry.rule() != Rule::Frozen => {
                backend.variable_block(var, block).map_err(|error| error.for_parameter(name))
            }
            _ => backend.zeros(0, 0, None),
        };
        self.plan.blocks().map(weights).collect()
    }

    fn write_back(&self, backend: &CandleBackend<E>, weights: &[CandleMatrix<E>], all: bool) -> Result<()> {
        let mut overflowed: Vec<&str> = Vec::new();
        for ((at, entry, block), weights) in self.plan.blocks().zip(weights) {
            let live = |_: &_| all || entry.rule() != Rule::Frozen;
            let Some((name, var)) = self.vars.get(at).filter(live) else { continue };
            let named = |error: Error| error.for_parameter(name);
            let in_place = backend.changes_in_place(var) && block.is_contiguous();
            if (in_place && weights.has_overflowed())
                || (!in_place && backend.overflows(weights, var).map_err(named)?)
            {
                overflowed.push(name);
            }
            if !in_place {
                backend.write_block_back(weights, var, block).map_err(named)?;
            }
        }
        overflowed.dedup();
        if overflowed.is_empty() {
            return Ok(());
        }
        let what = "variable, whose type a finite update has no room in,";
        Err(Error::new("step", ErrorKind::NonFinite { what }).for_parameter(&overflowed.join(", ")))
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.core.rank()
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.core.size()
    }

    /// Who gets which rule, and why; who steps what is [`placement`](spectra_core::distributed::DistributedOptimizer::placement) of
    /// [`core`](Self::core).
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The core's optimizer: placement, traffic, reports.
    pub fn core(&self) -> &Core<CandleBackend<E>, C> {
        &self.core
    }

    /// The same, to set rates (on all ranks alike), and for what all ranks do together.
    pub fn core_mut(&mut self) -> &mut Core<CandleBackend<E>, C> {
        &mut self.core
    }

    /// The learning rate of the hidden matrices.
    pub fn learning_rate(&self) -> f64 {
        self.refused_lr.unwrap_or_else(|| self.core.optimizer().learning_rate())
    }

    /// Sets the learning rate of the hidden matrices, and that of everything else in proportion; on all ranks alike. One outside its domain
    /// is refused by the next step.
    pub fn set_learning_rate(&mut self, lr: f64) {
        let set = self.core.optimizer_mut().set_learning_rate(lr);
        self.refused_lr = set.is_err().then_some(lr);
    }

    /// The whole state as tensors, on rank `root`, to be stored with the model's in one file; `None` on the others, which must
    /// call it, too. What [`Optimizer::state_tensors`](super::Optimizer::state_tensors) gives for one process.
    ///
    /// # Errors
    /// As [`snapshot`](spectra_core::distributed::DistributedOptimizer::snapshot).
    pub fn state_tensors(&mut self, root: usize) -> Result<Option<HashMap<String, Tensor>>> {
        let Some(state) = self.core.snapshot(root)? else { return Ok(None) };
        let mut description = StateDescription::new(state.header().clone());
        let mut tensors = HashMap::new();
        let device = |error| Error::device("save", error);
        for saved in &state.header().parameters {
            let of_parameter = |(parameter, ..): &(&str, &str, &[E])| *parameter == &*saved.name;
            for ((_, buffer, values), shape) in state.buffers().filter(of_parameter).zip(&saved.buffers) {
                description.add(&saved.name, buffer, values);
                let tensor =
                    Tensor::from_slice(values, (shape.rows, shape.cols), &Device::Cpu).map_err(device)?;
                tensors.insert(StateDescription::key(&saved.name, buffer), tensor);
            }
        }
        let bytes = description.encode()?;
        let tensor = Tensor::from_slice(&bytes, bytes.len(), &Device::Cpu).map_err(device)?;
        tensors.insert(StateDescription::NAME.to_owned(), tensor);
        Ok(Some(tensors))
    }

    /// Restores what any number of ranks, or one process, has saved; every rank is given the same tensors. All or nothing on all ranks.
    ///
    /// # Errors
    /// As [`Optimizer::load_state_tensors`](super::Optimizer::load_state_tensors), on all ranks.
    pub fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> Result<Restored> {
        let state = snapshot_of::<E>(tensors);
        self.core.agree_on(state.as_ref().map(|_| ()))?;
        self.core.load_snapshot(&state?)
    }

    /// A buffer of the state of a parameter, whole, as [`Optimizer::state_tensor`](super::Optimizer::state_tensor); all ranks must ask for it.
    ///
    /// # Errors
    /// For a name that no parameter has; [`ErrorKind::Lost`].
    pub fn state_tensor(&mut self, name: &str, buffer: &str) -> Result<Option<Tensor>> {
        let specs = self.core.optimizer().parameters();
        let found = specs.enumerate().find(|(_, spec)| *spec.name == *name).map(|(at, _)| at);
        let index = found.ok_or_else(|| unknown("state_tensor", name))?;
        let shape =
            self.core.optimizer().state(index).and_then(|block| Some(block.state.get(buffer)?.shape()));
        let (Some(values), Some(shape)) = (self.core.buffer(index, buffer)?, shape) else { return Ok(None) };
        Tensor::from_vec(values, shape, &Device::Cpu)
            .map(Some)
            .map_err(|error| Error::device("state_tensor", error))
    }
}
