//! What a plan's groups set: rate, decay, recipe, clip schedule, frozen; and one rule for all.

use crate::common::{Tiny, bits, distance, gradients, values};
use crate::learner;
use crate::model::{LR, ROUNDING, double, given, matrices, read, upload, weights};
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrSchedulerConfig;
use burn::module::ParamGroup;
use spectra_burn::plan::{Plan, PlanBuilder, Rule};
use spectra_burn::{Hybrid, Recipe, Settings, SpectralConfig};
use spectra_core::faer::Faer;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::Optimizer;
use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};
use spectra_core::state::MOMENTUM;

const NAMES: [&str; 5] = ["embedding.weight", "up.weight", "up.bias", "norm.gamma", "down.weight"];

fn config() -> SpectralConfig {
    SpectralConfig::preset("spectra").unwrap()
}

fn decayed() -> SpectralConfig {
    config().with_elementwise(Some(Recipe::adamw().into())).with_weight_decay(5.0)
}

/// All parameters, in the order of [`NAMES`], after four steps, which are the same under a learner.
fn trained(config: &SpectralConfig, builder: &PlanBuilder, lr: f64) -> [Vec<f64>; 5] {
    let start = Tiny::new(24, 1);
    let mut optimizer = Hybrid::new(config, &start, builder).unwrap();
    let (mut module, mut learners, mut by_learner) =
        (start.clone(), optimizer.optimizer().unwrap(), start.clone());
    for at in 0..4 {
        let drawn = gradients(&module, at);
        module = optimizer.step(lr, module, drawn).unwrap();
        let drawn = gradients(&by_learner, at);
        by_learner = learner::step(&mut learners, lr, by_learner, drawn).unwrap();
    }
    assert_eq!(bits(&module), bits(&by_learner), "under a learner");
    assert_ne!(bits(&module), bits(&start));
    all(&module)
}

fn all(module: &Tiny) -> [Vec<f64>; 5] {
    [
        values(module.embedding.weight.val()),
        values(module.up.weight.val()),
        values(module.up.bias.as_ref().unwrap().val()),
        values(module.norm.gamma.val()),
        values(module.down.weight.val()),
    ]
}

/// Of each parameter, whether the two runs have the same bits.
fn same(a: &[Vec<f64>; 5], b: &[Vec<f64>; 5]) -> [bool; 5] {
    std::array::from_fn(|at| a[at] == b[at])
}

#[test]
fn a_tenth_of_the_rate_is_a_step_at_a_tenth() {
    let grouped = trained(&config(), &Plan::builder().group("up.*", |g| g.lr(0.1)), LR);
    let (whole, tenth) =
        (trained(&config(), &Plan::builder(), LR), trained(&config(), &Plan::builder(), LR * 0.1));
    assert_eq!(same(&grouped, &tenth), [false, true, true, false, false], "{NAMES:?}");
    assert_eq!(same(&grouped, &whole), [true, false, false, true, true], "{NAMES:?}");
}

#[test]
fn burns_schedulers_by_module_multiply_it() {
    let start = Tiny::new(24, 1);
    let linear = |from: f64| LinearLrSchedulerConfig::new(from, from / 10.0, 4);
    let mut scheduler = ModuleLrSchedulerConfig::new(linear(LR).into())
        .with_group(ParamGroup::from_path("up.weight"), linear(LR / 4.0))
        .init()
        .unwrap();
    let builder = Plan::builder().group("up.*", |g| g.lr(0.5));
    let mut optimizer = Hybrid::new(&config(), &start, &builder).unwrap();
    let mut by_hand = config().init_for(&start).unwrap();
    let (mut module, mut expected) = (start.clone(), start);
    for at in 0..4 {
        let rates = scheduler.step();
        let base = rates.base();
        let drawn = gradients(&module, at);
        module = optimizer.step(rates.clone(), module, drawn).unwrap();
        // `up.weight` at a quarter of a half, `up.bias` at a half.
        let mut by_parameter = ModuleLrSchedulerConfig::new(linear(base).into())
            .with_group(
                ParamGroup::from_path("up.weight"),
                linear(rates.lr_from_param(expected.up.weight.id, Some("up.weight")) * 0.5),
            )
            .with_group(ParamGroup::from_path("up.bias"), linear(base * 0.5))
            .init()
            .unwrap();
        // A scheduler's first value is where it begins.
        let drawn = gradients(&expected, at);
        expected = by_hand.step(by_parameter.step(), expected, drawn).unwrap();
    }
    assert_eq!(bits(&module), bits(&expected));
}

#[test]
fn norms_and_biases_are_not_decayed_unless_a_group_says_so() {
    let (none, default) =
        (trained(&config(), &Plan::builder(), LR), trained(&decayed(), &Plan::builder(), LR));
    assert_eq!(same(&default, &none), [false, false, true, true, false], "{NAMES:?}");
    let norms = trained(&decayed(), &Plan::builder().group("norm.*", |g| g.weight_decay(5.0)), LR);
    assert_eq!(same(&norms, &default), [true, true, true, false, true], "{NAMES:?}");
    // By a group or by the recipe, the decay is the same.
    let everywhere = trained(&config(), &Plan::builder().group("*", |g| g.weight_decay(5.0)), LR);
    assert_eq!(same(&everywhere, &norms), [true, true, false, true, true], "{NAMES:?}");
    let off = trained(&decayed(), &Plan::builder().group("*", |g| g.weight_decay(0.0)), LR);
    assert_eq!(same(&off, &none), [true; 5]);
}

#[test]
fn another_recipe_and_frozen() {
    let adamw = Recipe::adamw().with_weight_decay(0.0);
    let frozen = Plan::builder().group("down.*", |g| g.recipe(adamw)).group("down.*", |g| g.frozen());
    let adamw = Plan::builder().group("down.*", |g| g.recipe(adamw));
    let elementwise = Plan::builder().rule("down.*", Rule::Elementwise);
    let (by_recipe, by_rule) = (trained(&config(), &adamw, LR), trained(&config(), &elementwise, LR));
    assert_eq!(same(&by_recipe, &by_rule), [true; 5]);
    let start = Tiny::new(24, 1);
    let [by_recipe, by_rule, spectral] = [&adamw, &elementwise, &Plan::builder()].map(|builder| {
        let optimizer = Hybrid::new(&config(), &start, builder).unwrap();
        assert_eq!(optimizer.plan().state(&optimizer).bytes, optimizer.state_bytes() as u64);
        optimizer.state_bytes()
    });
    assert_eq!(by_recipe, by_rule);
    assert_ne!(by_recipe, spectral);

    // The state is that of the group's recipe.
    let mut optimizer = Hybrid::new(&config(), &start, &adamw).unwrap();
    let drawn = gradients(&start, 0);
    let module = optimizer.step(LR, start.clone(), drawn).unwrap();
    let saved = optimizer.to_bytes().unwrap();
    let error = config().init_for(&module).unwrap().load_bytes(saved.clone()).unwrap_err();
    assert_eq!(error.parameter(), Some("down.weight"), "{error}");
    Hybrid::new(&config(), &module, &elementwise).unwrap().load_bytes(saved).unwrap();

    let frozen = trained(&config(), &frozen, LR);
    assert_eq!(frozen[4], all(&start)[4]);
    let mut optimizer =
        Hybrid::new(&config(), &start, &Plan::builder().group("down.*", |g| g.frozen())).unwrap();
    let drawn = gradients(&start, 0);
    let module = optimizer.step(LR, start, drawn).unwrap();
    assert!(optimizer.buffer("down.weight", MOMENTUM).unwrap().is_none());
    assert!(optimizer.buffer("up.weight", MOMENTUM).unwrap().is_some());
    assert_eq!(optimizer.missing_gradients().len(), 0);
    let _ = module;
}

#[test]
fn another_clip_schedule() {
    let rate = LearningRateSchedule::wsd(4, FinalDecay::default()).unwrap();
    let rate = rate.with_warmup(Span::Steps(2), 0.25).unwrap();
    let recipe = Recipe::preset("spectra-signum").unwrap();
    let SpectralMap::SoftClip { clip, .. } = recipe.map else { panic!("it clips softly") };
    let plain = SpectralConfig::new(recipe.with_map(SpectralMap::SoftClip { clip, threshold: 0.5 }).into());
    let scheduled = plain.clone().with_clip_schedule(Some(ClipSchedule::new(rate)));
    let of_plain = trained(&plain, &Plan::builder(), LR);
    let of_all = trained(&scheduled, &Plan::builder(), LR);
    assert_eq!(same(&of_all, &of_plain), [true, false, true, true, false], "{NAMES:?}");
    let one = Plan::builder().group("up.*", |g| g.clip_schedule(ClipSchedule::new(rate)));
    let of_one = trained(&plain, &one, LR);
    assert_eq!(same(&of_one, &of_plain), [true, false, true, true, true], "{NAMES:?}");
    assert_eq!(of_one[1], of_all[1]);
    let back = Plan::builder().group("up.*", |g| g.clip_schedule(ClipSchedule::constant()));
    let back = trained(&scheduled, &back, LR);
    assert_eq!(same(&back, &of_plain), [true, true, true, true, false], "{NAMES:?}");
}

#[test]
fn settings_of_groups_outside_their_domain_are_refused_by_name() {
    let start = Tiny::new(24, 1);
    for builder in [
        Plan::builder().group("down.*", |g| g.weight_decay(1e300)),
        Plan::builder().group("down.*", |g| g.recipe(Recipe::adamw().with_weight_decay(-1.0))),
    ] {
        let error = Hybrid::new(&config(), &start, &builder).unwrap_err();
        assert_eq!(error.parameter(), Some("down.weight"), "{error}");
    }
    // lr wd <= 1 is known at the step only.
    let builder = Plan::builder().group("down.*", |g| g.weight_decay(200.0));
    let mut optimizer = Hybrid::new(&config(), &start, &builder).unwrap();
    let drawn = gradients(&start, 0);
    let before = bits(&start);
    let refused = optimizer.step(LR, start, drawn).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("down.weight"), "{refused}");
    assert_eq!(bits(&refused.module), before);
}

#[test]
fn the_base_optimizer_drives_everything_when_asked() {
    for preset in ["spectra-adamw", "spectra-signum"] {
        let settings = Settings::preset(preset).unwrap().lr(LR).clip_threshold(0.25).apply_to_all();
        let config = SpectralConfig::try_from(settings).unwrap();
        let (start, _) = double();
        let mut optimizer = config.init_for(&start).unwrap();
        let plan = Plan::builder().build([
            (NAMES[0], &[11, 8][..]),
            (NAMES[1], &[24, 8]),
            (NAMES[2], &[24]),
            (NAMES[3], &[24]),
            (NAMES[4], &[8, 24]),
        ]);
        let mut core = Optimizer::new(Faer::<f64>::new(), settings, plan.unwrap().parameters()).unwrap();
        let mut expected = matrices(&start, weights);
        let before: Vec<_> = expected.iter().map(read).collect();
        let mut module = start;
        for at in 0..3 {
            let drawn = gradients(&module, at);
            let uploaded = given(&module, &drawn).map(upload);
            core.step(&mut expected.iter_mut().zip(&uploaded).collect::<Vec<_>>()).unwrap();
            module = optimizer.step(LR, module, drawn).unwrap();
            if at == 0 {
                // A vector is clipped by its norm: ||O|| = ||d|| / sqrt(1 + ||d||^2 / c^2) < c.
                let moved = distance_of(&read(&matrices(&module, weights)[3]), &before[3]);
                assert!(moved < LR * 0.25 && moved > LR * 0.2, "{preset}: {moved:e}");
            }
        }
        for (at, name) in NAMES.iter().enumerate() {
            let (found, expected) = (read(&matrices(&module, weights)[at]), read(&expected[at]));
            let (moved, error) = (distance(&expected, &before[at]), distance(&found, &expected));
            assert!(moved > 0.0 && error < ROUNDING * moved, "{preset}, {name}: {error:e} of {moved:e}");
        }
        // The embedding takes the step of a hidden matrix.
        let alone = trained(&config, &Plan::builder(), LR);
        let spectral = Settings::preset(preset).unwrap().clip_threshold(0.25);
        let builder = Plan::builder().rule("embedding.*", Rule::Spectral);
        let embedding = trained(&SpectralConfig::try_from(spectral).unwrap(), &builder, LR);
        assert_eq!(same(&alone, &embedding), [true, true, false, false, true], "{preset}");
    }
}

/// `||a - b||`.
fn distance_of(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}
