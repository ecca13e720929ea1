//! Diagnoses, in burn's tensors. What is found of which figures is tested in the core.

use crate::common::{bits, gradient, gradients, layer, random};
use crate::model::{LR, double, given, matrices, weights};
use burn::tensor::{DType, Tensor};
use spectra_burn::diagnosis::{Diagnoses, FindingKind, Severity};
use spectra_burn::plan::{Plan, Rule, Split};
use spectra_burn::rules::Rounding;
use spectra_burn::{Hybrid, Method, SpectralConfig};
use spectra_core::faer::Faer;
use spectra_core::optimizer::{Config, Optimizer};

fn kinds(seen: &Diagnoses) -> Vec<FindingKind> {
    seen.all().map(|(_, finding)| finding.kind).collect()
}

#[test]
fn a_diagnosed_run_has_the_bits_of_one_that_is_not_and_is_healthy() {
    for (preset, method, _) in Method::presets() {
        let config = SpectralConfig::new(method).with_clip_norm(Some(1.0));
        let ((mut seen, _), (mut alone, _)) = (double(), double());
        // Scion's steps are 50 sqrt(m / n) times a rate that is as much smaller.
        let rate = if preset.starts_with("scion") { LR / 200.0 } else { LR / 4.0 };
        let (mut watched, mut unwatched) =
            (config.init_for(&seen).unwrap(), config.init_for(&alone).unwrap());
        for step in 0..3 {
            let (drawn, same) = (gradients(&seen, step), gradients(&alone, step));
            let found = watched.diagnose(rate, &seen, &drawn).unwrap();
            assert!(found.worst() < Some(Severity::Warning), "{preset}, {step}: {found}");
            assert_eq!((found.steps, found.blocks.len()), (step, 5));
            seen = watched.step(LR, seen, drawn).unwrap();
            alone = unwatched.step(LR, alone, same).unwrap();
        }
        assert_eq!(bits(&seen), bits(&alone), "{preset}");
    }
}

#[test]
fn figures_are_those_of_the_cores_optimizer() {
    let config = Config::preset("spectra").unwrap().lr(LR).elementwise_lr(LR / 4.0).clip_norm(0.5);
    let (mut model, names) = double();
    let mut optimizer = SpectralConfig::try_from(config).unwrap().init_for(&model).unwrap();
    let plan = Plan::builder();
    let plan = plan
        .build([
            ("embedding.weight", &[11, 8][..]),
            ("up.weight", &[24, 8]),
            ("up.bias", &[24]),
            ("norm.gamma", &[24]),
            ("down.weight", &[8, 24]),
        ])
        .unwrap();
    let mut core = Optimizer::new(Faer::<f64>::new(), config, plan.parameters()).unwrap();
    let mut copies = matrices(&model, weights);
    for step in 0..3 {
        let drawn = gradients(&model, step);
        let uploaded = given(&model, &drawn).map(crate::model::upload);
        let found = optimizer.diagnose(LR, &model, &drawn).unwrap();
        let wanted: Vec<_> = copies.iter().enumerate().collect();
        let expected = core.diagnose(&plan, uploaded.iter().enumerate(), &wanted).unwrap();
        assert_eq!(kinds(&found), kinds(&expected));
        for ((a, b), (name, _)) in found.blocks.iter().zip(&expected.blocks).zip(&names) {
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs(),
                (a, b) => a == b,
            };
            assert_eq!((&a.block, &a.block, a.shape), (&b.block, &(*name).to_owned(), b.shape));
            assert_eq!(
                (&a.signature, &a.reason, a.rule, a.steps),
                (&b.signature, &b.reason, b.rule, b.steps)
            );
            assert!(near(a.figures.update_ratio(), b.figures.update_ratio()), "{a:?} {b:?}");
            assert!(near(a.figures.momentum_rms, b.figures.momentum_rms), "{a:?} {b:?}");
            assert_eq!(a.figures.subspace.map(|s| s.rank), b.figures.subspace.map(|s| s.rank));
        }
        core.step(&mut copies.iter_mut().zip(&uploaded).collect::<Vec<_>>()).unwrap();
        model = optimizer.step(LR, model, drawn).unwrap();
    }
}

#[test]
fn what_is_missing_frozen_or_not_finite_is_found_by_its_name() {
    let (model, _) = double();
    let plan = Plan::builder().rule("embedding.weight", Rule::Frozen);
    let config = SpectralConfig::preset("spectra").unwrap().with_require_gradients(Some(true));
    let optimizer = Hybrid::new(&config, &model, &plan).unwrap();
    let one = gradient(&model.up.weight, random([8, 24], 1, DType::F64));
    let seen = optimizer.diagnose(LR, &model, &one).unwrap();
    assert_eq!(kinds(&seen), [FindingKind::MissingGradient; 3]);
    assert!(seen.block("embedding.weight").unwrap().findings.is_empty());
    assert!(seen.block("up.weight").unwrap().figures.update_rms.is_some());

    let nan: Tensor<2> = random::<2>([8, 24], 1, DType::F64) * f64::NAN;
    let seen = optimizer.diagnose(LR, &model, &gradient(&model.up.weight, nan)).unwrap();
    assert_eq!(seen.block("up.weight").unwrap().findings[0].kind, FindingKind::NonFinite);
    assert_eq!(seen.worst(), Some(Severity::Error));

    let error = optimizer.diagnose(-1.0, &model, &one).unwrap_err();
    assert!(error.to_string().contains("lr"), "{error}");
    let stranger = layer(random([8, 24], 7, DType::F64));
    let other = gradient(&stranger.weight, random([8, 24], 1, DType::F64));
    assert!(optimizer.diagnose(LR, &stranger, &other).is_err());
}

#[test]
fn blocks_and_types_are_seen_as_they_are_stepped() {
    let model = layer(random([10, 24], 7, DType::F64));
    let plan = Plan::builder().split("weight", Split::rows([12, 6, 6]).names(["q", "k", "v"]));
    let optimizer = Hybrid::new(&SpectralConfig::preset("muon").unwrap(), &model, &plan).unwrap();
    // Burn stores `in x out`: columns 12 to 18 are block k.
    let whole = random::<2>([10, 24], 8, DType::F64);
    let zeros = Tensor::<2>::zeros([10, 6], &whole.device()).cast(DType::F64);
    let drawn = gradient(&model.weight, whole.slice_assign([0..10, 12..18], zeros));
    let seen = optimizer.diagnose(LR, &model, &drawn).unwrap();
    assert_eq!(kinds(&seen), [FindingKind::ZeroGradient], "{seen}");
    assert_eq!(seen.block("weight[k]").unwrap().shape, (6, 10));
    assert_eq!(seen.block("weight[k]").unwrap().findings.len(), 1);

    for (rounding, stagnates) in [(Rounding::Nearest, true), (Rounding::Master, false)] {
        let model = layer(random([40, 24], 7, DType::BF16));
        let config = SpectralConfig::preset("spectra").unwrap().with_rounding(Some(rounding));
        let optimizer = config.init_for(&model).unwrap();
        let drawn = gradient(&model.weight, random([40, 24], 100, DType::BF16));
        let seen = optimizer.diagnose(1e-4, &model, &drawn).unwrap();
        assert_eq!(kinds(&seen).contains(&FindingKind::Stagnation), stagnates, "{rounding:?}: {seen}");
    }
}
