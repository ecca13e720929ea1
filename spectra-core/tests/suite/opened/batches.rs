//! Blocks of equal shape and rule are handed to a rule together, if it wants them so.

use super::{M, random};
use spectra_core::backend::{Backend, Coefficient, Error, ErrorKind, Gradient, Matrix, Result};
use spectra_core::dense::Dense;
use spectra_core::linalg::{SixteenBits, Workspace};
use spectra_core::optimizer::plan::{Plan, Split};
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::rules::{
    BatchItem, Batching, Recipe, Rounding, Rules, StepInfo, StepRates, UpdateRule, Weights,
};
use spectra_core::state::{BufferSpec, State};
use std::sync::{Arc, Mutex};

type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// A recipe that notes the names of the blocks that come together, and fails at one of them.
#[derive(Debug, Clone)]
struct Noting {
    recipe: Recipe,
    together: Arc<Mutex<Vec<Vec<String>>>>,
    fails_at: Option<&'static str>,
}

impl Noting {
    fn new(fails_at: Option<&'static str>) -> Result<Self> {
        Ok(Self { recipe: Recipe::preset("spectra")?, together: Arc::default(), fails_at })
    }
}

impl<B: Backend> UpdateRule<B> for Noting {
    fn signature(&self) -> String {
        "noting".into()
    }
    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        UpdateRule::<B>::buffers(&self.recipe, shape)
    }
    fn step(
        &self,
        x: &mut B::Matrix,
        g: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        w: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        self.recipe.step(x, g, state, rates, w)
    }
    fn batching(&self) -> Batching {
        Batching::EqualShapes
    }
    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], w: &mut Workspace<B>) -> Result<()> {
        let names = blocks.iter().map(|block| block.name.to_owned()).collect();
        self.together.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(names);
        for BatchItem { name, weights, gradient, state, rates, info } in blocks {
            if self.fails_at == Some(name) {
                return Err(Error::new("step", ErrorKind::State { reason: "as asked" }));
            }
            *info = Some(UpdateRule::<B>::step(self, weights, gradient, state, rates, w)?);
        }
        Ok(())
    }
}

/// Three equal blocks, one of another shape, one with another rate, one with the model's rule.
fn plan() -> Result<Plan> {
    Plan::builder()
        .split("qkv.weight", Split::rows([4, 4, 4]))
        .group("*", |g| g.named("noting"))
        .group("again.weight", |g| g.lr(0.5))
        .group("plain.weight", |g| g.recipe(Recipe::adamw()))
        .build([
            ("qkv.weight", [12, 6]),
            ("up.weight", [8, 6]),
            ("again.weight", [4, 6]),
            ("plain.weight", [4, 6]),
        ])
}

/// The optimizer, the weights, and whether the last step went well.
type Run = (Optimizer<Dense<f64>>, Vec<M>, Result<()>);

/// After three steps by the rule of that name.
fn run(plan: &Plan, rule: impl UpdateRule<Dense<f64>> + 'static) -> Result<Run> {
    let specs: Vec<_> = plan.parameters().collect();
    let mut weights: Vec<M> =
        specs.iter().enumerate().map(|(i, spec)| random(i as u64, (spec.rows, spec.cols))).collect();
    let rules = Rules::new().with("noting", rule);
    let mut optimizer =
        Optimizer::with_rules(Dense::new(), Config::preset("spectra")?.lr(0.1), specs, rules)?;
    optimizer.keep_reports(true);
    let mut done = Ok(());
    for t in 0..3 {
        let gradients: Vec<M> =
            weights.iter().enumerate().map(|(i, x)| random(100 * (t + 1) + i as u64, x.shape())).collect();
        let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
        done = optimizer.step(&mut pairs);
        if done.is_err() {
            break;
        }
    }
    Ok((optimizer, weights, done))
}

#[test]
fn blocks_of_equal_shape_and_rule_come_together() -> TestResult {
    for rounding in [None, Some(Rounding::Master), Some(Rounding::Stochastic { seed: 3 })] {
        let plan = match rounding {
            Some(rounding) => plan()?.with_rounding(rounding, |_| Some(SixteenBits::Bf16)),
            None => plan()?,
        };
        let noting = Noting::new(None)?;
        let (optimizer, weights, done) = run(&plan, noting.clone())?;
        done?;
        let together = noting.together.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let equal = ["qkv.weight[0]", "qkv.weight[1]", "qkv.weight[2]", "again.weight"];
        assert_eq!(together, [&equal[..], &["up.weight"]].repeat(3));
        // The same bits as one after the other, buffers and reports too.
        let (one_by_one, expected, done) = run(&plan, Recipe::preset("spectra")?)?;
        done?;
        for (at, (x, y)) in weights.iter().zip(&expected).enumerate() {
            assert_eq!(x.values(), y.values(), "{rounding:?}");
            let (report, other) = (optimizer.report(at), one_by_one.report(at));
            let rms =
                |r: Option<&spectra_core::optimizer::StepReport<f64>>| r.map(|r| r.update_rms()).transpose();
            assert_eq!(rms(report)?, rms(other)?);
            let (state, other) = (optimizer.state(at), one_by_one.state(at));
            assert_eq!(state.map(|s| s.steps), other.map(|s| s.steps));
            let buffers = |s: Option<&spectra_core::optimizer::BlockState<M>>| {
                s.map(|s| s.state.iter().map(|(name, m)| (name, m.values().to_vec())).collect::<Vec<_>>())
            };
            assert_eq!(buffers(state), buffers(other));
        }
    }
    Ok(())
}

#[test]
fn the_block_at_which_a_batch_fails_is_named_and_the_optimizer_refuses() -> TestResult {
    let (mut optimizer, _, done) = run(&plan()?, Noting::new(Some("qkv.weight[1]"))?)?;
    assert_eq!(
        done.err().and_then(|error| error.parameter().map(str::to_owned)),
        Some("qkv.weight[1]".to_owned())
    );
    let gradient = random(1, (4, 6));
    let again = optimizer.prepare([(0, &gradient)].into_iter());
    assert!(again.is_err_and(|error| matches!(error.kind(), ErrorKind::NeedsRestore)));
    Ok(())
}

/// Whoever leaves a block out is told, and one that is given twice is refused.
#[test]
fn a_block_is_stepped_once() -> TestResult {
    #[derive(Debug, Clone)]
    struct Lazy;
    impl<B: Backend> UpdateRule<B> for Lazy {
        fn signature(&self) -> String {
            "lazy".into()
        }
        fn buffers(&self, _: (usize, usize)) -> Vec<BufferSpec> {
            Vec::new()
        }
        fn step(
            &self,
            x: &mut B::Matrix,
            g: &Gradient<'_, B::Matrix>,
            _: &mut State<B::Matrix>,
            rates: &StepRates,
            _: &mut Workspace<B>,
        ) -> Result<StepInfo<B::Scalar>> {
            x.scale_add(Coefficient::ONE, g.scale.times(-rates.lr), g.values)?;
            Ok(StepInfo::default())
        }
        fn batching(&self) -> Batching {
            Batching::EqualShapes
        }
        fn step_batch(&self, _: &mut [BatchItem<'_, B>], _: &mut Workspace<B>) -> Result<()> {
            Ok(())
        }
    }
    let (.., done) = run(&plan()?, Lazy)?;
    let error = done.err().ok_or("a block was left out")?;
    assert!(error.parameter().is_some() && error.to_string().contains("left out"), "{error}");

    let specs: Vec<_> = plan()?.parameters().collect();
    assert_eq!(specs[0].weights, Weights::Plain);
    let rules = Rules::new().with("noting", Noting::new(None)?);
    let mut optimizer = Optimizer::with_rules(Dense::<f64>::new(), Config::preset("spectra")?, specs, rules)?;
    let (mut x, mut y, g) = (random(1, (4, 6)), random(2, (4, 6)), random(3, (4, 6)));
    let prepared = optimizer.prepare([(0, &g)].into_iter())?;
    assert!(optimizer.update_all(&mut [(0, &mut x, &g), (0, &mut y, &g)], &prepared).is_err());
    Ok(())
}
