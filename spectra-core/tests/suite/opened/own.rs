//! A direction, a map and a rule of one's own, on two backends, saved and restored.

use super::random;
use spectra_core::backend::{Backend, Coefficient, Element, Gradient, Matrix, Op, Result, Scalar, ScalarOp};
use spectra_core::dense::Dense;
use spectra_core::directions::{Adam, DirectionRule, Target};
use spectra_core::linalg::Workspace;
use spectra_core::maps::{Clip, HardClip, Identity, MapRule, Moment, SoftClip, TailShrink};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Snapshot};
use spectra_core::rules::{Clipped, Composed, Recipe, Rules, StepInfo, StepRates, UpdateRule};
use spectra_core::scales::StepScale;
use spectra_core::state::{BufferSpec, MOMENTUM, State};

type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// `d = sign(b1 M + (1 - b1) G)`, then `M = b2 M + (1 - b2) G`.
#[derive(Debug, Clone)]
struct Lion {
    betas: (f64, f64),
}

impl<B: Backend> DirectionRule<B> for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }
    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM]
    }
    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        g: &Gradient<'_, B::Matrix>,
        _: u64,
        Target { out, beta, alpha }: Target<'_, B::Matrix>,
        w: &mut Workspace<B>,
    ) -> Result<()> {
        let ((b1, b2), [m]) = (self.betas, state.zeros([MOMENTUM], g.values, w.backend())?);
        let mut blend = w.take_like(m, m.shape().1)?;
        blend.copy_from(m)?;
        blend.scale_add(b1.into(), g.scale.times(1.0 - b1), g.values)?;
        out.sign_add(beta.into(), alpha.into(), &blend)?;
        w.give(blend);
        m.scale_add(b2.into(), g.scale.times(1.0 - b2), g.values)
    }
}

/// `sigma -> sigma^3`.
#[derive(Debug, Clone)]
struct Cube;

impl<B: Backend> MapRule<B> for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }
    fn map(&self, x: &B::Matrix, out: &mut B::Matrix, _: &Moment, w: &mut Workspace<B>) -> Result<()> {
        let m = x.shape().0;
        let mut gram = w.take(m, m)?;
        gram.gemm(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, x, Op::Transposed)?;
        out.gemm(Coefficient::ZERO, Coefficient::ONE, &gram, Op::Plain, x, Op::Plain)?;
        w.give(gram);
        Ok(())
    }
}

/// `L = L + G G^T` (m x m), `X = X - lr L G / ||L||_F`.
#[derive(Debug, Clone)]
struct GramStep;

impl<B: Backend> UpdateRule<B> for GramStep {
    fn signature(&self) -> String {
        "gram step".into()
    }
    fn buffers(&self, (m, _): (usize, usize)) -> Vec<BufferSpec> {
        vec![BufferSpec::zeros("left", (m, m))]
    }
    fn step(
        &self,
        x: &mut B::Matrix,
        g: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        w: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let [left] = state.all_mut(["left"])?;
        left.gemm(Coefficient::ONE, Coefficient::ONE, g.values, Op::Plain, g.values, Op::Transposed)?;
        let norm = left.dot(left)?.sqrt()?;
        let inverse = B::Scalar::combine(ScalarOp::Div, &w.backend().scalar(1.0)?, &norm)?;
        let step = Coefficient::device(-rates.lr, &inverse);
        x.gemm(rates.decay().into(), step, left, Op::Plain, g.values, Op::Plain)?;
        Ok(StepInfo::default())
    }
}

const SHAPE: (usize, usize) = (6, 9);

fn rules<B: Backend>() -> Rules<B> {
    Rules::new()
        .with("lion", Composed::new(Lion { betas: (0.9, 0.99) }, Identity, StepScale::One))
        .with("cube", Composed::new(Adam::PYTORCH, Cube, StepScale::RMS))
        .with("gram", GramStep)
        .with("clipped", Clipped::new(GramStep, Clip::new(HardClip::AUTO, 0.1)))
}

fn values<M: Matrix>(matrix: &M) -> Result<Vec<f64>> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut values)?;
    Ok(values.iter().map(|x| x.widen()).collect())
}

/// Four steps of a rule, saved in the middle and gone on with by another optimizer.
fn stepped<B: Backend<Element = f64>>(backend: &B, rule: &str) -> Result<Vec<f64>> {
    let plan = Plan::builder().group("w", |g| g.named(rule)).build([("w", [SHAPE.0, SHAPE.1])])?;
    let config = Config::preset("spectra")?.lr(0.1);
    let new = || Optimizer::with_rules(backend.clone(), config, plan.parameters(), rules());
    let mut optimizer = new()?;
    let mut weights = backend.upload(SHAPE.0, SHAPE.1, random(1, SHAPE).values())?;
    for t in 0..4 {
        let gradient = backend.upload(SHAPE.0, SHAPE.1, random(10 + t, SHAPE).values())?;
        optimizer.step(&mut [(&mut weights, &gradient)])?;
        if t == 1 {
            let snapshot: Snapshot<f64> = optimizer.snapshot()?;
            optimizer = new()?;
            let restored = optimizer.load_snapshot(&snapshot)?;
            assert_eq!((restored.steps, restored.loaded.len()), (2, 1));
        }
    }
    values(&weights)
}

#[test]
fn own_rules_step_alike_on_two_backends_and_are_saved() -> TestResult {
    for rule in ["lion", "cube", "gram", "clipped"] {
        let dense = stepped(&Dense::<f64>::new(), rule)?;
        assert!(dense.iter().zip(random(1, SHAPE).values()).any(|(x, start)| x != start), "{rule}");
        #[cfg(feature = "faer")]
        {
            let faer = stepped(&spectra_core::faer::Faer::<f64>::new(), rule)?;
            // Sums of at most 9 products of numbers up to 10, four steps.
            let bound = 4.0 * 9.0 * 100.0 * f64::EPSILON;
            let error = dense.iter().zip(&faer).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error <= bound, "{rule}: {error}");
        }
    }
    Ok(())
}

#[test]
fn own_rules_are_in_the_plan_with_their_state() -> TestResult {
    let plan = Plan::builder().group("w", |g| g.named("gram")).build([("w", [6, 9])])?;
    let optimizer =
        Optimizer::with_rules(Dense::<f64>::new(), Config::preset("spectra")?, plan.parameters(), rules())?;
    assert_eq!(optimizer.state_bytes(), 8 * 36);
    let table = plan.table(&optimizer).to_string();
    assert!(table.contains("rule `gram`") && table.contains(" 36 "), "{table}");
    Ok(())
}

#[test]
fn a_rule_that_nobody_gave_is_refused_by_the_parameters_name() -> TestResult {
    let plan = Plan::builder().group("w", |g| g.named("lino")).build([("w", [6, 9])])?;
    let made =
        Optimizer::with_rules(Dense::<f64>::new(), Config::preset("spectra")?, plan.parameters(), rules());
    let error = made.err().ok_or("it was taken")?.to_string();
    assert!(error.contains("parameter `w`") && error.contains("`lino`"), "{error}");
    Ok(())
}

/// Two buffers of one name would be one.
#[test]
fn a_rule_that_names_two_buffers_alike_is_refused() -> TestResult {
    let spectra = Clipped::new(Recipe::preset("spectra")?, TailShrink::PAPER);
    let plan = Plan::builder().group("w", |g| g.named("twice")).build([("w", [30, 40])])?;
    let rules = Rules::new().with("twice", spectra);
    let config = Config::preset("spectra")?;
    let made = Optimizer::with_rules(Dense::<f64>::new(), config, plan.parameters(), rules);
    let error = made.err().ok_or("it was taken")?.to_string();
    assert!(error.contains("two buffers"), "{error}");
    Ok(())
}

/// The wrapper around a rule is the composition with the same map, where there is one.
#[test]
fn clipped_adamw_is_the_composition() -> TestResult {
    let clip = Clip::new(SoftClip::AUTO, 0.5);
    let adamw = Recipe { weight_decay: 0.1, ..Recipe::preset("adamw")? };
    let composed = Composed::new(Adam::PYTORCH, clip, StepScale::AspectRatio).weight_decay(0.1);
    let mut results = Vec::new();
    let rules = [
        Rules::<Dense<f64>>::new().with("r", Clipped::new(adamw, clip)),
        Rules::<Dense<f64>>::new().with("r", composed),
    ];
    for rules in rules {
        let plan = Plan::builder().group("w", |g| g.named("r")).build([("w", [9, 6])])?;
        let config = Config::preset("spectra")?.lr(0.01);
        let mut optimizer = Optimizer::with_rules(Dense::new(), config, plan.parameters(), rules)?;
        let mut x = random(1, (9, 6));
        for t in 0..5 {
            optimizer.step(&mut [(&mut x, &random(10 + t, (9, 6)))])?;
        }
        results.push(x);
    }
    let error =
        results[0].values().iter().zip(results[1].values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // The same clip of U and of -U, to its own tolerance of 2e-13, times lr = 0.01 and 5 steps.
    assert!(error <= 5.0 * 0.01 * 2.0 * 2e-13, "{error}");
    Ok(())
}

/// What users who drive blocks themselves see: the specification carries group and rule.
#[test]
fn a_specification_of_ones_own_takes_a_group() -> TestResult {
    let mut spec = ParameterSpec::new("w", SHAPE, Rule::Spectral);
    spec.group = spec.group.named("gram").lr(0.5);
    let config = Config::preset("spectra")?.lr(0.1);
    let mut half = Optimizer::with_rules(Dense::<f64>::new(), config, [spec.clone()], rules())?;
    spec.group = spec.group.lr(1.0);
    let mut whole = Optimizer::with_rules(Dense::<f64>::new(), config.lr(0.05), [spec], rules())?;
    let (mut a, mut b) = (random(1, SHAPE), random(1, SHAPE));
    half.step(&mut [(&mut a, &random(2, SHAPE))])?;
    whole.step(&mut [(&mut b, &random(2, SHAPE))])?;
    assert_eq!(a, b);
    Ok(())
}
