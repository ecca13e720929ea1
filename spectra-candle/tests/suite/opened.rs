//! Rules of one's own, groups, blocks and masters on candle's variables.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer as _;
use spectra_candle::maps::{Clip, HardClip};
use spectra_candle::plan::{Plan, PlanBuilder, Split};
use spectra_candle::rules::{Clipped, Rounding, StepInfo, StepRates, UpdateRule};
use spectra_candle::state::{BufferSpec, State};
use spectra_candle::{Config, Optimizer, OwnRules, Recipe};
use spectra_core::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result, Scalar, ScalarOp};
use spectra_core::linalg::{Workspace, uniform};

type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn random(seed: u64, (rows, cols): (usize, usize), dtype: DType) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = (0..rows * cols).map(|i| uniform(seed, i / cols, i % cols) as f32).collect();
    Tensor::from_vec(values, (rows, cols), &Device::Cpu)?.to_dtype(dtype)
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The variables after three steps down `sum(G_t o W)`.
fn stepped(
    vars: Vec<(String, Var)>,
    config: Config,
    plan: &PlanBuilder,
    own: OwnRules,
    gradient: impl Fn(u64, usize) -> candle_core::Result<Tensor>,
) -> std::result::Result<Optimizer, Box<dyn std::error::Error>> {
    let mut optimizer = Optimizer::with_rules(vars.clone(), config, plan, own)?;
    for t in 0..3 {
        let mut loss = Tensor::zeros((), vars[0].1.dtype(), &Device::Cpu)?;
        for (i, (_, var)) in vars.iter().enumerate() {
            loss = (loss + (var.as_tensor() * gradient(t, i)?)?.sum_all()?)?;
        }
        optimizer.step(&loss.backward()?)?;
    }
    Ok(optimizer)
}

/// A fused matrix and its parts, in every type that variables have; rows lie next to each other and are used in place, columns
/// and transposes are copied.
#[test]
fn blocks_step_as_separate_variables_do() -> TestResult {
    type Part = (usize, usize, usize);
    let by_rows: [Part; 3] = [(0, 0, 12), (0, 12, 6), (0, 18, 6)];
    let by_columns: [Part; 3] = [(1, 0, 8), (1, 8, 8), (1, 16, 8)];
    let cases = [
        (Split::rows([12, 6, 6]), (24, 10), by_rows, false),
        (Split::columns(3), (10, 24), by_columns, false),
        (Split::columns(3).transposed(), (10, 24), by_columns, true),
    ];
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for preset in ["spectra", "adamw", "spectra-adamw", "muon", "spectra-mars"] {
            for (split, shape, parts, transposed) in &cases {
                let config = Config::preset(preset)?.lr(0.05).apply_to_all();
                let (dim, turned) =
                    (parts[0].0, |t: Tensor| if *transposed { t.t()?.contiguous() } else { t.contiguous() });
                let cut = |t: &Tensor, i: usize| turned(t.narrow(dim, parts[i].1, parts[i].2)?);
                let start = random(1, *shape, dtype)?;
                let gradient = |t: u64| random(10 + t, *shape, dtype);

                let whole = Var::from_tensor(&start)?;
                let plan = Plan::builder().split("w", split.clone());
                let vars = vec![("w".to_owned(), whole.clone())];
                stepped(vars, config, &plan, OwnRules::new(), |t, _| gradient(t))?;

                let apart = (0..3).map(|i| Ok((format!("w{i}"), Var::from_tensor(&cut(&start, i)?)?)));
                let apart: Vec<_> = apart.collect::<candle_core::Result<_>>()?;
                stepped(apart.clone(), config, &Plan::builder(), OwnRules::new(), |t, i| {
                    cut(&gradient(t)?, i)
                })?;
                for (i, (_, var)) in apart.iter().enumerate() {
                    let (block, alone) = (values(&cut(whole.as_tensor(), i)?)?, values(var.as_tensor())?);
                    assert_eq!(block, alone, "{preset}, {dtype:?}, {split:?}, block {i}");
                }
            }
        }
    }
    Ok(())
}

/// Each group of a convolution, and the map of a transposed one, as a matrix variable by itself.
#[test]
fn convolutions_step_as_their_groups_do() -> TestResult {
    // Shape of the kernel, its split, and the groups: rows of the kernel each, whether they are turned.
    let cases: [(&[usize], Split, usize, bool); 5] = [
        (&[12, 3, 3, 3], Split::groups(4), 3, false),
        (&[12, 5, 4], Split::groups(3), 4, false),
        (&[12, 1, 3, 3], Split::groups(6), 2, false), // depthwise, two outputs a channel
        (&[6, 4, 2, 2], Split::whole().transposed(), 6, true),
        (&[6, 4, 2, 2], Split::groups(2).transposed(), 3, true),
    ];
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for preset in ["spectra", "muon", "spectra-adamw"] {
            for (shape, split, rows, is_turned) in &cases {
                let config = Config::preset(preset)?.lr(0.05);
                let kernel = |seed| {
                    random(seed, (shape[0], shape[1..].iter().product()), dtype)?.reshape(shape.to_vec())
                };
                let group = |t: &Tensor, i: usize| {
                    let matrix = t.narrow(0, i * rows, *rows)?.reshape((*rows, ()))?;
                    if *is_turned { matrix.t()?.contiguous() } else { Ok(matrix) }
                };
                let whole = Var::from_tensor(&kernel(1)?)?;
                let plan = Plan::builder().split("conv.weight", split.clone());
                let vars = vec![("conv.weight".to_owned(), whole.clone())];
                let optimizer = stepped(vars, config, &plan, OwnRules::new(), |t, _| kernel(10 + t))?;
                let groups = shape[0] / rows;
                assert_eq!(optimizer.plan().blocks().count(), groups, "{split:?}");

                let start = kernel(1)?;
                let apart =
                    (0..groups).map(|i| Ok((format!("group{i}"), Var::from_tensor(&group(&start, i)?)?)));
                let apart: Vec<_> = apart.collect::<candle_core::Result<_>>()?;
                stepped(apart.clone(), config, &Plan::builder(), OwnRules::new(), |t, i| {
                    group(&kernel(10 + t)?, i)
                })?;
                for (i, (_, var)) in apart.iter().enumerate() {
                    let (block, alone) = (values(&group(whole.as_tensor(), i)?)?, values(var.as_tensor())?);
                    assert_eq!(block, alone, "{preset}, {dtype:?}, {split:?}, group {i}");
                }
            }
        }
    }
    Ok(())
}

/// `L = L + G G^T`, `X = X - lr L G / ||L||_F`.
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
        x.gemm(
            rates.decay().into(),
            Coefficient::device(-rates.lr, &inverse),
            left,
            Op::Plain,
            g.values,
            Op::Plain,
        )?;
        Ok(StepInfo::default())
    }
}

#[test]
fn own_rules_are_planned_stepped_and_saved() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state.safetensors");
    let clipped = || Clipped::new(GramStep, Clip::new(HardClip::AUTO, 0.1));
    let own = || OwnRules::new().with("gram", GramStep).with("clipped", clipped());
    for dtype in [DType::F32, DType::F64] {
        for name in ["gram", "clipped"] {
            let plan = Plan::builder().group("w", |g| g.named(name));
            let var = Var::from_tensor(&random(1, (6, 9), dtype)?)?;
            let vars = || vec![("w".to_owned(), var.clone())];
            let gradient = |t: u64, _| random(10 + t, (6, 9), dtype);
            let optimizer = stepped(vars(), Config::preset("spectra")?.lr(0.1), &plan, own(), gradient)?;
            assert!(optimizer.plan_table().to_string().contains(&format!("rule `{name}`")));
            assert_eq!(optimizer.state_bytes(), 36 * dtype.size_in_bytes());
            let left = optimizer.state_tensor("w", "left")?.ok_or("no state")?;
            optimizer.save(&path)?;
            let mut again = Optimizer::with_rules(vars(), Config::preset("spectra")?, &plan, own())?;
            again.load(&path)?;
            assert_eq!(values(&again.state_tensor("w", "left")?.ok_or("no state")?)?, values(&left)?);
        }
    }
    Ok(())
}

#[test]
fn groups_have_rates_of_their_own() -> TestResult {
    let var = |name: &str| {
        Ok::<_, candle_core::Error>((name.to_owned(), Var::from_tensor(&random(1, (6, 9), DType::F32)?)?))
    };
    let plan = Plan::builder().group("a.*", |g| g.lr(0.0)).group("b.*", |g| g.recipe(Recipe::adamw()));
    let vars = vec![var("a.weight")?, var("b.weight")?];
    let before = values(vars[0].1.as_tensor())?;
    let gradient = |t: u64, _| random(10 + t, (6, 9), DType::F32);
    let mut optimizer =
        stepped(vars.clone(), Config::preset("spectra")?.lr(0.1), &plan, OwnRules::new(), gradient)?;
    assert_eq!(values(vars[0].1.as_tensor())?, before);
    assert!(optimizer.state_tensor("b.weight", "second_moment")?.is_some());
    optimizer.set_group_lr("a.*", 1.0)?;
    let loss = (vars[0].1.as_tensor() * gradient(9, 0)?)?.sum_all()?;
    optimizer.step(&loss.backward()?)?;
    assert_ne!(values(vars[0].1.as_tensor())?, before);
    assert!(optimizer.set_group_lr("c.*", 1.0).is_err());
    Ok(())
}

/// At random the mean of many weights decays as one with a master does, without a number of state; a seed gives the same bits again.
#[test]
fn a_bf16_weight_decays_by_stochastic_rounding() -> TestResult {
    let decayed = |seed| -> std::result::Result<(Vec<f64>, usize), Box<dyn std::error::Error>> {
        let var = Var::ones((32, 32), DType::BF16, &Device::Cpu)?;
        let config =
            Config::preset("sgd-m")?.lr(1e-3).weight_decay(0.1).rounding(Rounding::Stochastic { seed });
        let mut optimizer =
            Optimizer::from_named_vars([("w".to_owned(), var.clone())], config, &Plan::builder())?;
        assert!(optimizer.plan_table().to_string().contains("stochastic rounding"));
        let gradients = (var.as_tensor() * 1e-9)?.sum_all()?.backward()?;
        for _ in 0..10_000 {
            optimizer.step(&gradients)?;
        }
        Ok((values(var.as_tensor())?, optimizer.state_bytes()))
    };
    let (first, bytes) = decayed(1)?;
    // The variance of a step is below lr wd x unit, of units of at most 2^-8: in all below 2^-8 for a weight, 0.002 for the mean of
    // 1024; three and a half of these are 2 % of 0.368.
    let mean = first.iter().sum::<f64>() / 1024.0;
    assert!((mean / (-1f64).exp() - 1.0).abs() < 0.02, "{mean}");
    assert_eq!(bytes, 4 * 1024);
    assert_eq!(decayed(1)?.0, first);
    assert_ne!(decayed(2)?.0, first);
    Ok(())
}

/// `(1 - 1e-4)^10000 = 0.36786`: each step takes away a fortieth of what bf16 can tell of 1.
#[test]
fn a_bf16_weight_decays_with_a_master_and_not_without() -> TestResult {
    let decayed = |rounding| -> std::result::Result<f64, Box<dyn std::error::Error>> {
        let var = Var::ones((2, 2), DType::BF16, &Device::Cpu)?;
        let config = Config::preset("sgd-m")?.lr(1e-3).weight_decay(0.1).rounding(rounding);
        let mut optimizer =
            Optimizer::from_named_vars([("w".to_owned(), var.clone())], config, &Plan::builder())?;
        let loss = (var.as_tensor() * 1e-9)?.sum_all()?;
        let gradients = loss.backward()?;
        for _ in 0..10_000 {
            optimizer.step(&gradients)?;
        }
        let (steps, master) = (optimizer.steps(), optimizer.state_tensor("w", "master")?);
        assert_eq!((steps, master.is_some()), (10_000, rounding == Rounding::Master));
        assert_eq!(optimizer.state_bytes(), if master.is_some() { 32 } else { 16 });
        Ok(values(var.as_tensor())?[0])
    };
    // Half a unit in the last place of bf16 at 0.37, and 1e4 roundings of f32.
    let master = decayed(Rounding::Master)?;
    assert!((master - (-1f64).exp()).abs() <= 2f64.powi(-10) + 1e4 * f64::from(f32::EPSILON), "{master}");
    assert_eq!(decayed(Rounding::Nearest)?, 1.0);
    Ok(())
}
