//! The schedules of the clips' thresholds, at the step of the whole model.

use crate::common::{distance, random, values};
use crate::learner::step;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device};
use spectra_burn::{PreClip, Settings, SpectralConfig};
use spectra_core::backend::ErrorKind;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Method, Recipe};
use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};

pub(crate) const LR: f64 = 0.02;
pub(crate) const STEPS: u64 = 12;

/// `late` stands first and has its first gradient at step 5; `rare` stands last and has one at every third step.
#[derive(Module, Debug)]
pub(crate) struct Model {
    late: Linear,
    pub(crate) always: Linear,
    rare: Linear,
}

impl Model {
    pub(crate) fn new() -> Self {
        let device = Device::flex().autodiff();
        let layer = |seed| {
            let layer = LinearConfig::new(8, 12).with_bias(false).init(&device);
            Linear {
                weight: layer.weight.map(|_| random([8, 12], seed, DType::F32).autodiff().require_grad()),
                bias: None,
            }
        };
        Self { late: layer(1), always: layer(2), rare: layer(3) }
    }

    fn layers(&self) -> [&Linear; 3] {
        [&self.late, &self.always, &self.rare]
    }

    pub(crate) fn gradients(&self, step: u64) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        for (place, layer) in self.layers().into_iter().enumerate() {
            if takes_part(place, step) {
                gradients.register(layer.weight.id, random([8, 12], 10 * step + place as u64, DType::F32));
            }
        }
        gradients
    }

    pub(crate) fn values(&self) -> [Vec<f64>; 3] {
        self.layers().map(|layer| values(layer.weight.val()))
    }
}

fn takes_part(place: usize, step: u64) -> bool {
    [step >= 5, true, step.is_multiple_of(3)][place]
}

/// From 4 at the first step to 1 at the fifth, and from the ninth on down to a third.
fn schedule() -> ClipSchedule {
    let rate = LearningRateSchedule::wsd(STEPS, FinalDecay::default()).unwrap();
    let rate = rate.with_warmup(Span::Steps(4), 0.25).unwrap();
    ClipSchedule::new(rate).with_decay(FinalDecay::default()).unwrap()
}

fn recipe(c: f64) -> Recipe {
    let recipe = Recipe::preset("spectra-signum").unwrap();
    let SpectralMap::SoftClip { clip, .. } = recipe.map else { panic!("it clips softly") };
    recipe.with_map(SpectralMap::SoftClip { clip, threshold: c })
}

pub(crate) fn config(c: f64) -> SpectralConfig {
    SpectralConfig::new(recipe(c).into()).with_clip_schedule(Some(schedule()))
}

/// Every model after each step, where the factor is set by hand.
pub(crate) fn expected(c: f64) -> Vec<[Vec<f64>; 3]> {
    let mut model = Model::new();
    let mut by_hand = SpectralConfig::new(recipe(c).into()).init_for(&model).unwrap();
    (0..STEPS)
        .map(|step| {
            by_hand.set_clip_factor(schedule().factor(step)).unwrap();
            let gradients = model.gradients(step);
            model = by_hand.step(LR, model.clone(), gradients).unwrap();
            model.values()
        })
        .collect()
}

#[test]
fn every_parameter_is_clipped_at_the_models_step() {
    for c in [0.25, 1000.0] {
        let mut model = Model::new();
        let mut optimizer = config(c).init_for(&model).unwrap();
        for (step, expected) in expected(c).into_iter().enumerate() {
            let gradients = model.gradients(step as u64);
            model = optimizer.step(LR, model, gradients).unwrap();
            assert_eq!(model.values(), expected, "threshold {c}, step {step}");
        }
        assert_eq!(optimizer.steps(), STEPS);
    }
    // The schedule shows in the weights.
    assert!(distance(&expected(0.25)[0][1], &expected(1000.0)[0][1]) > 0.0);
}

#[test]
fn under_a_learner_too_and_through_a_record() {
    for resumed_at in [None, Some(4), Some(5), Some(7)] {
        let mut model = Model::new();
        let new = |model: &Model| config(0.25).init_for(model).unwrap().optimizer().unwrap();
        let mut optimizer = new(&model);
        for (at, expected) in expected(0.25).into_iter().enumerate() {
            if Some(at) == resumed_at {
                let record = optimizer.to_record();
                optimizer = new(&model).load_record(record);
            }
            let gradients = model.gradients(at as u64);
            model = step(&mut optimizer, LR, model, gradients).unwrap();
            assert_eq!(model.values(), expected, "step {at}, resumed at {resumed_at:?}");
        }
    }
}

#[test]
fn a_saved_state_goes_on_at_its_step() {
    let mut model = Model::new();
    let mut optimizer = config(0.25).init_for(&model).unwrap();
    for (at, expected) in expected(0.25).into_iter().enumerate() {
        if at == 5 {
            let saved = optimizer.to_bytes().unwrap();
            optimizer = config(0.25).init_for(&model).unwrap();
            assert_eq!(optimizer.load_bytes(saved).unwrap().steps, 5);
        }
        let gradients = model.gradients(at as u64);
        model = optimizer.step(LR, model, gradients).unwrap();
        assert_eq!(model.values(), expected, "step {at}");
    }
}

#[test]
fn a_group_counts_with_its_most_advanced_parameter() {
    // A group knows no parameter's place, so `late` may be a step behind; the others are right.
    let mut model = Model::new();
    let mut optimizer = ModuleOptimizer::from(config(0.25).build().unwrap());
    let mut found = Vec::new();
    for at in 0..STEPS {
        let gradients = model.gradients(at);
        model = step(&mut optimizer, LR, model, gradients).unwrap();
        found.push(model.values());
    }
    let expected = expected(0.25);
    assert_eq!(found[11][1..], expected[11][1..]);
    assert_ne!(found[11][0], found[4][0]);
}

#[test]
fn a_schedule_beside_recipes_that_do_not_clip_is_refused() {
    for (preset, method, _) in Method::presets() {
        let clips = method.recipe().is_some_and(|recipe| recipe.map.threshold().is_some());
        let config = SpectralConfig::new(method).with_clip_schedule(Some(schedule()));
        let error = config.build().err();
        assert_eq!(error.is_none(), clips, "{preset}: {error:?}");
        if let Some(error) = error {
            assert!(matches!(error.kind(), ErrorKind::Name { .. }), "{error}");
            assert!(error.to_string().contains("clip_schedule"), "{error}");
        }
    }
}

#[test]
fn the_pre_clips_schedule_follows_the_models_step_too() {
    let config = SpectralConfig::preset("muon").unwrap().with_pre_clip(Some(PreClip::new(0.1)));
    let scheduled = config.clone().with_pre_clip_schedule(Some(schedule()));
    let (mut model, mut by_learner, mut by_hand) = (Model::new(), Model::new(), Model::new());
    let mut optimizer = scheduled.init_for(&model).unwrap();
    let mut learners = scheduled.init_for(&by_learner).unwrap().optimizer().unwrap();
    let mut expected = config.init_for(&by_hand).unwrap();
    for at in 0..STEPS {
        let gradients = model.gradients(at);
        model = optimizer.step(LR, model, gradients).unwrap();
        let gradients = by_learner.gradients(at);
        by_learner = step(&mut learners, LR, by_learner, gradients).unwrap();
        expected.set_pre_clip_factor(schedule().factor(at)).unwrap();
        let gradients = by_hand.gradients(at);
        by_hand = expected.step(LR, by_hand, gradients).unwrap();
        assert_eq!(model.values(), by_hand.values(), "step {at}");
        assert_eq!(by_learner.values(), by_hand.values(), "step {at}, learner");
    }
    // Without it the weights are others.
    let mut plain = Model::new();
    let mut optimizer = config.init_for(&plain).unwrap();
    for at in 0..STEPS {
        let gradients = plain.gradients(at);
        plain = optimizer.step(LR, plain, gradients).unwrap();
    }
    assert_ne!(plain.values(), model.values());
}

#[test]
fn schedules_come_with_the_cores_settings_but_the_learning_rates_does_not() {
    let rate = LearningRateSchedule::wsd(STEPS, FinalDecay::default()).unwrap();
    let preset = || SpectralConfig::preset("spectra-signum").unwrap();
    let set = preset().with_settings(|s| {
        s.pre_clip(PreClip::new(0.1)).clip_schedule(schedule()).pre_clip_schedule(schedule())
    });
    let set = set.unwrap();
    assert_eq!((set.clip_schedule, set.pre_clip_schedule), (Some(schedule()), Some(schedule())));
    let again = set.with_settings(|s| s.beta2(0.9)).unwrap();
    assert_eq!((again.clip_schedule, again.pre_clip_schedule), (Some(schedule()), Some(schedule())));

    let settings = Settings::preset("spectra-signum").unwrap().clip_schedule(schedule());
    assert_eq!(SpectralConfig::try_from(settings).unwrap().clip_schedule, Some(schedule()));
    for error in [
        preset().with_settings(|s| s.lr_schedule(rate)).unwrap_err(),
        SpectralConfig::try_from(settings.lr_schedule(rate)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("lr_schedule"), "{error}");
    }
    let error = preset().with_pre_clip_schedule(Some(schedule())).build().unwrap_err();
    assert!(error.to_string().contains("pre_clip_schedule"), "{error}");
}
