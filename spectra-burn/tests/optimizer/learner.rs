//! Burn's own type as a learner uses it: records of module and optimizer, in either order, and what must stop.

use crate::common::{Tiny, bits, gradients, random, values};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, DType, Device, Tensor};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::optimizer::plan::{Plan, Rule};
use std::panic::{AssertUnwindSafe, catch_unwind};

const LR: f64 = 0.01;

/// A step of burn's own type; the text of its panic.
pub(crate) fn step<M: Module>(
    optimizer: &mut ModuleOptimizer,
    lr: f64,
    module: M,
    gradients: GradientsParams,
) -> Result<M, String> {
    catch_unwind(AssertUnwindSafe(|| optimizer.step(lr, module, gradients)))
        .map_err(|panic| *panic.downcast::<String>().expect("a panic with a text"))
}

/// The embedding by AdamW, two matrices spectral, one weight frozen.
fn hybrid(module: &Tiny) -> Hybrid {
    let config = SpectralConfig::preset("spectra").unwrap().with_weight_decay(0.1);
    Hybrid::new(&config, module, &Plan::builder().rule("down.weight", Rule::Frozen)).unwrap()
}

fn train(optimizer: &mut ModuleOptimizer, mut module: Tiny, steps: std::ops::Range<u64>) -> Tiny {
    for at in steps {
        let gradients = gradients(&module, at);
        module = step(optimizer, LR, module, gradients).unwrap();
    }
    module
}

/// A module after `steps` steps of [`Hybrid::step`].
fn expected(mut module: Tiny, steps: std::ops::Range<u64>) -> Tiny {
    let mut optimizer = hybrid(&module);
    for at in steps {
        let gradients = gradients(&module, at);
        module = optimizer.step(LR, module, gradients).unwrap();
    }
    module
}

#[test]
fn records_are_loaded_before_or_after_the_optimizer_is_made() {
    let start = Tiny::new(24, 1);
    let expected = expected(start.clone(), 0..6);
    assert_eq!(values(expected.down.weight.val()), values(start.down.weight.val()), "frozen");

    let mut optimizer = hybrid(&start).optimizer().unwrap();
    let saved = train(&mut optimizer, start, 0..3);
    let (state, module) = (optimizer.into_bytes().unwrap(), saved.clone().into_record());
    let module = module.into_bytes().unwrap();
    let load = |to: Tiny| to.load_record(burn::store::ModuleRecord::from_bytes(module.clone()).unwrap());
    let resume = |optimizer: ModuleOptimizer| optimizer.from_bytes(state.clone()).unwrap();

    // As a learner: the optimizer is made for a module whose parameters get other ids by its record.
    let fresh = Tiny::new(24, 9);
    let optimizer = hybrid(&fresh).optimizer().unwrap();
    let loaded = load(fresh.clone());
    assert_ne!(loaded.up.weight.id, fresh.up.weight.id);
    let trained = train(&mut resume(optimizer), loaded, 3..6);
    assert_eq!(bits(&trained), bits(&expected), "made before");

    // The record of the optimizer first.
    let optimizer = resume(hybrid(&fresh).optimizer().unwrap());
    let trained = train(&mut { optimizer }, load(fresh.clone()), 3..6);
    assert_eq!(bits(&trained), bits(&expected), "loaded before the module");

    let loaded = load(fresh);
    let optimizer = hybrid(&loaded).optimizer().unwrap();
    let trained = train(&mut resume(optimizer), loaded, 3..6);
    assert_eq!(bits(&trained), bits(&expected), "made after");
}

#[test]
fn a_module_record_alone_changes_no_rule() {
    let start = Tiny::new(24, 1);
    let expected = expected(start.clone(), 0..3);
    let fresh = Tiny::new(24, 9);
    let mut optimizer = hybrid(&fresh).optimizer().unwrap();
    let trained = train(&mut optimizer, fresh.load_record(start.into_record()), 0..3);
    assert_eq!(bits(&trained), bits(&expected));
}

#[test]
fn a_state_goes_with_the_optimizer_and_back() {
    let start = Tiny::new(24, 1);
    let expected = expected(start.clone(), 0..6);
    let mut first = hybrid(&start);
    let mut module = start;
    for at in 0..2 {
        let gradients = gradients(&module, at);
        module = first.step(LR, module, gradients).unwrap();
    }
    let mut optimizer = first.optimizer().unwrap();
    module = train(&mut optimizer, module, 2..4);
    assert_eq!(first.steps(), 2, "the two have nothing in common");
    let mut again = hybrid(&module);
    assert_eq!(again.load_bytes(optimizer.into_bytes().unwrap()).unwrap().steps, 4);
    for at in 4..6 {
        let gradients = gradients(&module, at);
        module = again.step(LR, module, gradients).unwrap();
    }
    assert_eq!(bits(&module), bits(&expected));
}

#[test]
fn a_module_around_the_planned_one_keeps_its_rules() {
    #[derive(Module, Debug)]
    struct Outer {
        inner: Tiny,
    }
    let start = Tiny::new(24, 1);
    let expected = expected(start.clone(), 0..2);
    let mut optimizer = hybrid(&start).optimizer().unwrap();
    let mut outer = Outer { inner: start };
    for at in 0..2 {
        let gradients = gradients(&outer.inner, at);
        outer = step(&mut optimizer, LR, outer, gradients).unwrap();
    }
    assert_eq!(bits(&outer), bits(&expected));
}

#[test]
fn a_parameter_that_the_plan_has_not_stops_the_run() {
    #[derive(Module, Debug)]
    struct Other {
        first: Linear,
    }
    let mut optimizer = hybrid(&Tiny::new(24, 1)).optimizer().unwrap();
    let other = Other { first: LinearConfig::new(8, 4).init(&Device::flex().autodiff()) };
    let before = bits(&other);
    let drawn = gradients(&other, 0);
    let panic = step(&mut optimizer, LR, other.clone(), drawn).unwrap_err();
    assert!(panic.contains("a parameter of shape [8, 4]"), "{panic}");
    assert_eq!(bits(&other), before);

    // Another shape under a name that it has.
    let module = Tiny::new(16, 1);
    let drawn = gradients(&module, 0);
    let mut optimizer = hybrid(&Tiny::new(24, 1)).optimizer().unwrap();
    let panic = step(&mut optimizer, LR, module, drawn).unwrap_err();
    assert!(panic.contains("up.weight"), "{panic}");

    // Its state in a record.
    let mut other_optimizer =
        ModuleOptimizer::from(SpectralConfig::preset("spectra").unwrap().build().unwrap());
    let drawn = gradients(&other, 0);
    let _ = step(&mut other_optimizer, LR, other, drawn).unwrap();
    let module = Tiny::new(24, 1);
    let optimizer = hybrid(&module).optimizer().unwrap();
    let mut optimizer = optimizer.load_record(other_optimizer.to_record());
    let drawn = gradients(&module, 0);
    let panic = step(&mut optimizer, LR, module, drawn).unwrap_err();
    assert!(panic.contains("the plan has not"), "{panic}");
}

#[test]
fn a_damaged_state_stops_the_run_by_name() {
    let start = Tiny::new(24, 1);
    let mut optimizer = hybrid(&start).optimizer().unwrap();
    let module = train(&mut optimizer, start, 0..2);
    let mut bytes = optimizer.into_bytes().unwrap().to_vec();
    // A bit in the last number of the last buffer.
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    let damaged = hybrid(&module).optimizer().unwrap().from_bytes(Bytes::from_bytes_vec(bytes)).unwrap();
    let drawn = gradients(&module, 2);
    let panic = step(&mut { damaged }, LR, module, drawn).unwrap_err();
    assert!(panic.contains("checksum") && panic.contains("parameter `"), "{panic}");
}

#[test]
fn a_nan_stops_the_run_until_a_record_is_loaded() {
    let start = Tiny::new(24, 1);
    let mut optimizer = hybrid(&start).optimizer().unwrap();
    let module = train(&mut optimizer, start, 0..2);
    let record = optimizer.to_record();
    let mut bad = gradients(&module, 2);
    bad.register::<1>(module.norm.gamma.id, Tensor::full([24], f32::NAN, (&Device::flex(), DType::F32)));
    let panic = step(&mut optimizer, LR, module.clone(), bad).unwrap_err();
    assert!(panic.contains("norm.gamma") && panic.contains("NaN"), "{panic}");
    let good = gradients(&module, 2);
    assert!(step(&mut optimizer, LR, module.clone(), good).is_err(), "it lost a state");

    optimizer = optimizer.load_record(record);
    let resumed = train(&mut optimizer, module, 2..4);
    assert_eq!(bits(&resumed), bits(&expected(Tiny::new(24, 1), 0..4)));
}

#[test]
fn what_burns_own_type_cannot_do_is_refused() {
    let module = Tiny::new(24, 1);
    let config = SpectralConfig::preset("spectra").unwrap().with_clip_norm(Some(1.0));
    let error = config.init_for(&module).unwrap().optimizer().err().unwrap();
    assert!(error.to_string().contains("clip_norm"), "{error}");
    assert!(config.build().is_err() && config.init().is_err());
    let mut group = ModuleOptimizer::from(SpectralConfig::preset("muon").unwrap().build().unwrap());
    let mut bad = gradients(&module, 0);
    bad.register::<2>(module.up.weight.id, random([8, 24], 1, DType::F32) * f32::INFINITY);
    assert!(step(&mut group, LR, module, bad).unwrap_err().contains("infinity"));
}
