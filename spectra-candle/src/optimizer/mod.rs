//! The optimizer that replaces `candle_nn::AdamW`.

mod candle;
mod diagnose;
mod distributed;
mod observe;
mod state;
mod typed;
mod variables;

use crate::CandleScalar;
use candle_core::{Tensor, Var, backprop::GradStore};
use candle_nn::VarMap;
pub use distributed::DistributedOptimizer;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::{Plan, PlanBuilder, Rule, StateCost, Table};
use spectra_core::optimizer::{Config, StepReport};
pub use typed::OwnRules;
use typed::{Typed, unknown};
use variables::{Variables, sixteen_bits};

/// A spectral optimizer for the variables of a candle model.
///
/// It implements [`candle_nn::Optimizer`]; see the [crate's front page](crate) for an example and for what is
/// supported. A step changes the variables in place, as `Var::set` does.
///
/// Gradients are checked before anything changes: a NaN or an infinity is an error that names the parameter, and
/// neither weights nor state have moved. [`Config::check_finite`] switches that off: such a step is then taken and
/// counted, with NaN in the weights, and a state that holds a NaN is refused when it is to be saved.
///
/// A variable without a gradient is skipped, as by candle's own optimizers;
/// [`missing_gradients`](Self::missing_gradients) tells, and [`Config::require_gradients`] makes it an error. A step in which no
/// variable has one is always an error.
///
/// A step that is refused changes nothing. One that fails half-way (the memory of a device, a variable that cannot be written)
/// cannot be taken back: the optimizer then refuses to step and to be saved, by an error that names the variable, until a
/// state has been loaded; the weights have to be loaded with it.
#[derive(Debug)]
pub struct Optimizer {
    plan: Plan,
    vars: Vec<(String, Var)>,
    /// Whether the variables' names are the user's, not places in a list.
    named: bool,
    engine: Engine,
    missing: Vec<usize>,
    /// A learning rate that was set and is outside its domain; the next step refuses it.
    refused_lr: Option<f64>,
}

#[derive(Debug)]
enum Engine {
    F32(Typed<f32>),
    F64(Typed<f64>),
}

/// The same expression on the core optimizer of either type.
macro_rules! with_core {
    ($engine:expr, $core:ident => $body:expr) => {
        match $engine {
            $crate::optimizer::Engine::F32($crate::optimizer::typed::Typed($core)) => $body,
            $crate::optimizer::Engine::F64($crate::optimizer::typed::Typed($core)) => $body,
        }
    };
}
use with_core;

/// What to look at when no variable has a gradient.
const NO_GRADIENT: &str = "no variable of this optimizer has one. Is the loss computed from these variables? Is a tensor on the way \
    detached, or made by an operation without a backward pass (ops::rms_norm, ops::layer_norm, ops::softmax_last_dim, \
    rotary_emb::rope; ops::rms_norm_slow, ops::layer_norm_slow, ops::softmax, rotary_emb::rope_slow have one)?";

impl Optimizer {
    /// An optimizer for all float variables of `varmap`, with the default rules for their names and shapes
    /// ([`plan`](spectra_core::optimizer::plan)).
    ///
    /// # Errors
    /// An invalid setting; a variable under two names, on another device than the first, or of an 8-bit type; no variable that is
    /// to be trained.
    pub fn from_varmap(varmap: &VarMap, config: Config) -> Result<Self> {
        Self::with_plan(varmap, config, &Plan::builder())
    }

    /// [`from_varmap`](Self::from_varmap) with rules of your own.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use spectra_candle::plan::{Plan, Rule};
    /// use spectra_candle::{Config, Optimizer};
    ///
    /// let varmap = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu);
    /// candle_nn::linear(8, 4, vb.pp("gate"))?;
    /// candle_nn::linear(8, 4, vb.pp("router"))?;
    /// let rules = Plan::builder().rule("router.*", Rule::Frozen);
    /// let optimizer = Optimizer::with_plan(&varmap, Config::preset("spectra")?, &rules)?;
    /// assert_eq!(optimizer.plan().get("router.weight").map(|entry| entry.rule()), Some(Rule::Frozen));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_varmap`](Self::from_varmap); and those of [`PlanBuilder::build`].
    pub fn with_plan(varmap: &VarMap, config: Config, rules: &PlanBuilder) -> Result<Self> {
        Self::from_named_vars(Variables::of_map(varmap), config, rules)
    }

    /// An optimizer for variables with names; a saved state belongs to these names in this order.
    ///
    /// # Errors
    /// As [`with_plan`](Self::with_plan).
    pub fn from_named_vars(
        vars: impl IntoIterator<Item = (String, Var)>,
        config: Config,
        plan: &PlanBuilder,
    ) -> Result<Self> {
        Self::with_rules(vars, config, plan, OwnRules::new())
    }

    /// An optimizer for variables with names, and rules of one's own, which the plan's
    /// [groups](spectra_core::optimizer::plan::Group::named) name.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor, Var};
    /// use spectra_candle::maps::{Clip, SoftClip};
    /// use spectra_candle::plan::Plan;
    /// use spectra_candle::rules::Clipped;
    /// use spectra_candle::{Config, Optimizer, OwnRules, Recipe};
    ///
    /// let w = Var::ones((4, 3), DType::F32, &Device::Cpu)?;
    /// let plan = Plan::builder().group("w", |g| g.named("clipped"));
    /// let rules = OwnRules::new().with("clipped", Clipped::new(Recipe::preset("mars")?, Clip::new(SoftClip::AUTO, 1.0)));
    /// let optimizer = Optimizer::with_rules([("w".to_owned(), w)], Config::preset("spectra")?, &plan, rules)?;
    /// assert!(optimizer.plan_table().to_string().contains("rule `clipped`"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`with_plan`](Self::with_plan); a rule that `rules` has not, with the variable's name.
    pub fn with_rules(
        vars: impl IntoIterator<Item = (String, Var)>,
        config: Config,
        plan: &PlanBuilder,
        rules: OwnRules,
    ) -> Result<Self> {
        let Variables { named: vars, device, double } = Variables::new(vars)?;
        let plan = plan.build(vars.iter().map(|(name, var)| (name, var.dims())))?;
        let format = |at: usize| vars.get(at).and_then(|(_, var)| sixteen_bits(var.dtype()));
        let plan = plan.with_rounding(config.rounding, format);
        let engine = if double {
            Engine::F64(Typed::new(&device, config, &plan, rules.double)?)
        } else {
            Engine::F32(Typed::new(&device, config, &plan, rules.single)?)
        };
        Ok(Self { plan, vars, named: true, engine, missing: Vec::new(), refused_lr: None })
    }

    /// One step from the gradients of `loss.backward()`, with this library's error type; what
    /// [`candle_nn::Optimizer::step`] does. Returns how many variables had no gradient.
    ///
    /// # Errors
    /// A NaN or an infinity in a gradient, a gradient of another shape or type, none at all, a learning rate that is none,
    /// an earlier step that failed half-way: nothing has changed. Any other error (the device's, in the middle of the step) leaves
    /// some variables updated, and every later step is refused until a state has been loaded.
    ///
    /// A finite update that leaves the range of a variable's 16-bit type (beyond 65504 in f16) is said
    /// once, with the variables' names, *after* the step, which has been taken and counted: these variables now hold
    /// infinities. With a [master](spectra_core::rules::Rounding), which is finite, it is said at every step until that has come back. On CUDA and Metal this is not noticed, because the host would have to wait.
    pub fn try_step(&mut self, grads: &GradStore) -> Result<usize> {
        if let Some(lr) = self.refused_lr {
            // The same error as when it was set.
            with_core!(&mut self.engine, core => core.set_learning_rate(lr))?;
            self.refused_lr = None;
        }
        let stepped = match &mut self.engine {
            Engine::F32(engine) => engine.step(&self.plan, &self.vars, grads),
            Engine::F64(engine) => engine.step(&self.plan, &self.vars, grads),
        };
        self.missing = stepped.map_err(explain_missing)?;
        Ok(self.missing.len())
    }

    /// Who gets which rule, and why.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// [`plan`](Self::plan) as a printable table, with the bytes of state.
    pub fn plan_table(&self) -> Table<'_, impl StateCost> {
        self.plan.table(Cost(&self.engine))
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        with_core!(&self.engine, core => core.config())
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        with_core!(&self.engine, core => core.steps())
    }

    /// Bytes of state once every parameter has taken a step.
    pub fn state_bytes(&self) -> usize {
        with_core!(&self.engine, core => core.state_bytes())
    }

    /// The variables that had no gradient in the last step, and were not updated; frozen ones do not count.
    pub fn missing_gradients(&self) -> impl ExactSizeIterator<Item = &str> {
        self.missing.iter().map(|index| self.vars.get(*index).map_or("", |(name, _)| name.as_str()))
    }

    /// From the next step on keeps a [report](Self::report) of each variable's step.
    pub fn keep_reports(&mut self, keep: bool) {
        with_core!(&mut self.engine, core => core.keep_reports(keep));
    }

    /// What the last step of a variable, or of a [block](spectra_core::optimizer::plan::Block) of one, did: update RMS, captured energy, the factor of the
    /// norm clip, whether a tail shrink [fell back](spectra_core::rules::StepInfo::one_sweep) to its stable form. `None` if it took no part in it, or reports are not [kept](Self::keep_reports).
    ///
    /// # Errors
    /// For a name that no parameter, or block of one, has.
    pub fn report(&self, name: &str) -> Result<Option<&StepReport<CandleScalar>>> {
        with_core!(&self.engine, core => {
            let index = core.parameters().position(|spec| *spec.name == *name);
            Ok(core.report(index.ok_or_else(|| unknown("report", name))?))
        })
    }

    /// Sets the factor of the learning rate of a plan's group, by its pattern; the next step takes it.
    ///
    /// # Errors
    /// A group from which no variable has such a factor; a learning rate outside its domain, with the variable's name.
    pub fn set_group_lr(&mut self, group: &str, factor: f64) -> Result<()> {
        with_core!(&mut self.engine, core => core.set_group_lr(group, factor))
    }

    /// Sets the factor of the spectral clip's threshold, from its schedule.
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_clip_factor(&mut self, factor: f64) -> Result<()> {
        with_core!(&mut self.engine, core => core.set_clip_factor(factor))
    }

    /// Sets the factor of the pre-clip's threshold, from a schedule of its own.
    ///
    /// # Errors
    /// Not positive, or non-finite.
    pub fn set_pre_clip_factor(&mut self, factor: f64) -> Result<()> {
        with_core!(&mut self.engine, core => core.set_pre_clip_factor(factor))
    }

    /// One [buffer](spectra_core::state) of a parameter's state, `"momentum"` for example, as it is now (later steps do not change it), `None` before the parameter's first step or if its rule keeps
    /// no such buffer: for diagnostics.
    ///
    /// # Errors
    /// For a name that no parameter, or block of one, has.
    pub fn state_tensor(&self, name: &str, buffer: &str) -> Result<Option<Tensor>> {
        with_core!(&self.engine, core => {
            let index = core.parameters().position(|spec| *spec.name == *name);
            let index = index.ok_or_else(|| unknown("state_tensor", name))?;
            let block = core.state(index).filter(|block| block.steps > 0);
            Ok(block.and_then(|block| block.state.get(buffer)).map(|matrix| matrix.share()))
        })
    }
}

/// An error that no variable has a gradient, with what to look at.
fn explain_missing(error: Error) -> Error {
    match error.kind() {
        ErrorKind::MissingGradient { .. } if error.parameter().is_none() => {
            Error::new("step", ErrorKind::MissingGradient { hint: NO_GRADIENT })
        }
        _ => error,
    }
}

/// The cost of a plan under the engine's rules, in its arithmetic type's bytes.
struct Cost<'a>(&'a Engine);

impl StateCost for Cost<'_> {
    fn state_numbers(&self, rule: Rule, rows: usize, cols: usize) -> usize {
        with_core!(self.0, core => core.config().state_numbers(rule, rows, cols))
    }

    fn named_numbers(&self, rule: &str, rows: usize, cols: usize) -> usize {
        with_core!(self.0, core => (&core).named_numbers(rule, rows, cols))
    }

    fn bytes_per_number(&self) -> usize {
        if matches!(self.0, Engine::F64(_)) { 8 } else { 4 }
    }
}
