//! Rules that are not the library's: on burn as on the core's CPU backend, saved, restored, printed.

use crate::common::{Tiny, bits, distance, gradients, values};
use crate::learner;
use crate::model::{LR, ROUNDING, double, given, matrices, read, upload, weights};
use burn::tensor::Bytes;
use spectra_burn::plan::{Plan, PlanBuilder};
use spectra_burn::{Hybrid, OwnRules, SpectralConfig};
use spectra_core::backend::{
    Backend, Coefficient, ErrorKind, Gradient, Matrix, Op, Result, Scalar, ScalarOp,
};
use spectra_core::directions::{DirectionRule, Target};
use spectra_core::faer::Faer;
use spectra_core::linalg::Workspace;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::rules::{Composed, Rules, StepInfo, StepRates, UpdateRule};
use spectra_core::scales::StepScale;
use spectra_core::state::{BufferSpec, MOMENTUM, State};

/// `d = sign(b1 M + (1 - b1) G)`, then `M = b2 M + (1 - b2) G` (Chen et al. 2023).
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

/// `L = L + G G^T`, of size m x m, and `X = X - lr L G / ||L||_F`.
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
        let mut scaled = w.take_like(g.values, g.values.shape().1)?;
        scaled.scale_add(Coefficient::ZERO, g.scale, g.values)?;
        left.gemm(Coefficient::ONE, Coefficient::ONE, &scaled, Op::Plain, &scaled, Op::Transposed)?;
        let norm = B::Scalar::combine(ScalarOp::Max, &left.dot(left)?.sqrt()?, &w.backend().scalar(1e-18)?)?;
        let inverse = B::Scalar::combine(ScalarOp::Div, &w.backend().scalar(1.0)?, &norm)?;
        let step = Coefficient::device(-rates.lr, &inverse);
        x.gemm(rates.decay().into(), step, left, Op::Plain, &scaled, Op::Plain)?;
        w.give(scaled);
        Ok(StepInfo::default())
    }
}

type LionRule = Composed<Lion, SpectralMap, StepScale>;

fn lion() -> LionRule {
    Composed::new(Lion { betas: (0.9, 0.99) }, SpectralMap::Identity, StepScale::One).weight_decay(0.1)
}

/// Lion for the embedding, the other for `up`, the rest as ever.
fn builder() -> PlanBuilder {
    Plan::builder().group("embedding.*", |g| g.named("lion")).group("up.weight", |g| g.named("gram"))
}

fn rules() -> OwnRules {
    OwnRules::new().with("lion", lion()).with("gram", GramStep)
}

fn hybrid(module: &Tiny) -> Hybrid {
    let config = SpectralConfig::preset("spectra").unwrap();
    Hybrid::with_rules(&config, module, &builder(), rules()).unwrap()
}

fn train(optimizer: &mut Hybrid, mut module: Tiny, steps: std::ops::Range<u64>) -> Tiny {
    for at in steps {
        let gradients = gradients(&module, at);
        module = optimizer.step(LR, module, gradients).unwrap();
    }
    module
}

#[test]
fn they_step_as_on_the_cores_backend() {
    let config = Config::preset("spectra").unwrap().lr(LR).clip_norm(0.5);
    let (mut model, names) = double();
    let burns = SpectralConfig::try_from(config).unwrap();
    let mut optimizer = Hybrid::with_rules(&burns, &model, &builder(), rules()).unwrap();
    let plan = builder().build([
        ("embedding.weight", &[11, 8][..]),
        ("up.weight", &[24, 8]),
        ("up.bias", &[24]),
        ("norm.gamma", &[24]),
        ("down.weight", &[8, 24]),
    ]);
    let rules = Rules::new().with("lion", lion()).with("gram", GramStep);
    let mut core =
        Optimizer::with_rules(Faer::<f64>::new(), config, plan.unwrap().parameters(), rules).unwrap();
    assert_eq!(optimizer.state_bytes(), core.state_bytes());
    let mut expected = matrices(&model, weights);
    let start: Vec<_> = expected.iter().map(read).collect();
    for step in 0..4 {
        let drawn = gradients(&model, step);
        let uploaded = given(&model, &drawn).map(upload);
        core.step(&mut expected.iter_mut().zip(&uploaded).collect::<Vec<_>>()).unwrap();
        model = optimizer.step(LR, model, drawn).unwrap();
    }
    for (index, (name, _)) in names.iter().enumerate() {
        let (found, expected) = (read(&matrices(&model, weights)[index]), read(&expected[index]));
        let moved = distance(&expected, &start[index]);
        let error = distance(&found, &expected);
        assert!(moved > 0.0 && error < ROUNDING * moved, "{name}: {error:e} of {moved:e}");
    }
    let left = optimizer.buffer("up.weight", "left").unwrap().unwrap();
    assert_eq!(left.dims(), [24, 24]);
    let of_core = core.state(1).and_then(|block| block.state.get("left")).map(read).unwrap();
    assert!(distance(&values(left), &of_core) < ROUNDING * of_core.iter().fold(0.0f64, |m, x| m.max(*x)));
}

#[test]
fn they_are_restored_to_the_same_bits_also_under_a_learner() {
    let start = Tiny::new(24, 1);
    let mut optimizer = hybrid(&start);
    let module = train(&mut optimizer, start, 0..3);
    let saved = optimizer.to_bytes().unwrap();
    let burns = optimizer.optimizer().unwrap().to_record().into_bytes().unwrap();
    let buffers = |optimizer: &Hybrid| {
        [("up.weight", "left"), ("embedding.weight", MOMENTUM)]
            .map(|(parameter, name)| values(optimizer.buffer(parameter, name).unwrap().unwrap()))
    };
    let before = buffers(&optimizer);
    let expected = bits(&train(&mut optimizer, module.clone(), 3..6));
    for bytes in [saved, burns] {
        let mut again = hybrid(&module);
        assert_eq!(again.load_bytes(bytes.clone()).unwrap().steps, 3);
        assert_eq!(buffers(&again), before);
        assert_eq!(bits(&train(&mut again, module.clone(), 3..6)), expected);

        let mut learners = hybrid(&module).optimizer().unwrap().from_bytes(bytes).unwrap();
        let mut module = module.clone();
        for at in 3..6 {
            let gradients = gradients(&module, at);
            module = learner::step(&mut learners, LR, module, gradients).unwrap();
        }
        assert_eq!(bits(&module), expected, "burn's own type");
    }
}

#[test]
fn the_state_of_another_rule_is_refused_by_name() {
    let start = Tiny::new(24, 1);
    let mut optimizer = hybrid(&start);
    let module = train(&mut optimizer, start, 0..2);
    let (config, builder) = (SpectralConfig::preset("spectra").unwrap(), builder());
    let exchanged = OwnRules::new().with("lion", lion()).with("gram", lion());
    let mut other = Hybrid::with_rules(&config, &module, &builder, exchanged.clone()).unwrap();
    let error = other.load_bytes(optimizer.to_bytes().unwrap()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
    assert_eq!(error.parameter(), Some("up.weight"));

    let record = Bytes::from_bytes_vec(optimizer.to_bytes().unwrap().to_vec());
    let other = Hybrid::with_rules(&config, &module, &builder, exchanged).unwrap();
    let mut learners = other.optimizer().unwrap().from_bytes(record).unwrap();
    let drawn = gradients(&module, 2);
    let panic = learner::step(&mut learners, LR, module, drawn).unwrap_err();
    assert!(panic.contains("up.weight") && panic.contains("another rule"), "{panic}");
}

#[test]
fn the_plan_prints_them_and_what_they_cost() {
    let optimizer = hybrid(&Tiny::new(24, 1));
    let table = optimizer.plan_table().to_string();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("up.weight").contains("rule `gram`") && line("up.weight").contains(" 576 "), "{table}");
    assert!(line("embedding.weight").contains("rule `lion`"), "{table}");
    assert!(line("embedding.weight").contains(" 88 "), "{table}");
    let totals = optimizer.plan().state(&optimizer);
    assert_eq!(totals.bytes, optimizer.state_bytes() as u64);
}

#[test]
fn an_unknown_name_and_a_buffer_twice_are_refused_by_the_parameters_name() {
    /// Two buffers of one name.
    #[derive(Debug)]
    struct Twice;

    impl<B: Backend> UpdateRule<B> for Twice {
        fn signature(&self) -> String {
            "twice".into()
        }

        fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
            vec![BufferSpec::zeros("left", shape); 2]
        }

        fn step(
            &self,
            _: &mut B::Matrix,
            _: &Gradient<'_, B::Matrix>,
            _: &mut State<B::Matrix>,
            _: &StepRates,
            _: &mut Workspace<B>,
        ) -> Result<StepInfo<B::Scalar>> {
            Ok(StepInfo::default())
        }
    }
    let (module, config) = (Tiny::new(24, 1), SpectralConfig::preset("spectra").unwrap());
    for rules in [
        OwnRules::new().with("lion", lion()),
        rules().with("gram", Twice),
        rules().with("gram", lion().weight_decay(-1.0)),
    ] {
        let error = Hybrid::with_rules(&config, &module, &builder(), rules).unwrap_err();
        assert_eq!(error.parameter(), Some("up.weight"), "{error}");
    }
}
