//! Saved states in modules that have changed, and on the way from and to the core.

use crate::common::{Tiny, bits, distance, gradient, gradients, layer, random, values};
use crate::model::{LR, ROUNDING, double, given, matrices, read, upload, weights};
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{DType, Tensor};
use spectra_burn::plan::{Plan, PlanBuilder, Rule, Split};
use spectra_burn::{ErrorKind, Hybrid, Missing, RestoreOptions, SpectralConfig};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::faer::Faer;
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::state::{MOMENTUM, SUBSPACE};
use std::ops::Range;

const FRESH: RestoreOptions<'static> = RestoreOptions { missing: Missing::Fresh, rename: None };
const NAMES: [&str; 5] = ["embedding.weight", "up.weight", "up.bias", "norm.gamma", "down.weight"];

fn config() -> SpectralConfig {
    SpectralConfig::preset("spectra").unwrap()
}

fn train<M: Module>(optimizer: &mut Hybrid, mut module: M, steps: Range<u64>) -> M {
    for at in steps {
        let gradients = gradients(&module, at);
        module = optimizer.step(LR, module, gradients).unwrap();
    }
    module
}

fn names(list: &[Box<str>]) -> String {
    list.join(" ")
}

#[test]
fn an_unfrozen_layer_begins_anew_and_a_frozen_one_is_left_out() {
    let start = Tiny::new(24, 1);
    let frozen = Plan::builder().rule("down.*", Rule::Frozen);
    let (mut less, mut more) =
        (Hybrid::new(&config(), &start, &frozen).unwrap(), config().init_for(&start).unwrap());
    let module = train(&mut less, start.clone(), 0..3);
    train(&mut more, start, 0..3);
    let (of_less, of_more) = (less.to_bytes().unwrap(), more.to_bytes().unwrap());

    let mut now = config().init_for(&module).unwrap();
    let error = now.load_bytes(of_less.clone()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
    assert_eq!(error.parameter(), Some("down.weight"), "{error}");
    let restored = now.load_bytes_with(of_less, &FRESH).unwrap();
    assert_eq!((restored.steps, now.steps()), (3, 3));
    assert_eq!(names(&restored.loaded), NAMES[..4].join(" "));
    assert_eq!((names(&restored.fresh), names(&restored.unused)), (NAMES[4].into(), NAMES[4].into()));
    assert!(now.buffer("down.weight", MOMENTUM).unwrap().is_none());
    train(&mut now, module.clone(), 3..4);

    let mut now = Hybrid::new(&config(), &module, &frozen).unwrap();
    assert_eq!(now.load_bytes(of_more.clone()).unwrap_err().parameter(), Some("down.weight"));
    let restored = now.load_bytes_with(of_more, &FRESH).unwrap();
    assert_eq!((names(&restored.fresh), names(&restored.unused)), (NAMES[4].into(), NAMES[4].into()));
}

#[derive(Module, Debug)]
struct Outer {
    inner: Tiny,
    head: Option<Linear>,
}

#[test]
fn a_renamed_module_is_found_and_a_new_head_begins_anew() {
    let start = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&start).unwrap();
    let module = train(&mut optimizer, start, 0..3);
    let (record, snapshot) = (optimizer.to_bytes().unwrap(), optimizer.snapshot::<f32>().unwrap());
    let outer = Outer { inner: module, head: None };
    let mut again = config().init_for(&outer).unwrap();
    assert!(again.load_bytes(record.clone()).is_err());
    let rename = |name: &str| format!("inner.{name}");
    let options = RestoreOptions { rename: Some(&rename), ..RestoreOptions::default() };
    let of_record = again.load_bytes_with(record.clone(), &options).unwrap();
    let expected = bits(&train(&mut optimizer, outer.inner.clone(), 3..6));
    assert_eq!(bits(&train(&mut again, outer.clone(), 3..6)), expected);
    assert_eq!(again.load_snapshot_with(&snapshot, &options).unwrap(), of_record);
    assert_eq!(bits(&train(&mut again, outer.clone(), 3..6)), expected, "by the host");
    // Two parameters may not become one.
    let rename = |_: &str| "inner.up.weight".to_owned();
    let options = RestoreOptions { missing: Missing::Fresh, rename: Some(&rename) };
    assert!(again.load_bytes_with(record.clone(), &options).is_err());

    let with_head = Outer { head: Some(layer(random([8, 5], 3, DType::F32))), ..outer };
    let mut again = config().init_for(&with_head).unwrap();
    let rename = |name: &str| format!("inner.{name}");
    let options = RestoreOptions { rename: Some(&rename), ..RestoreOptions::default() };
    assert_eq!(again.load_bytes_with(record.clone(), &options).unwrap_err().parameter(), Some("head.weight"));
    let options = RestoreOptions { missing: Missing::Fresh, ..options };
    let restored = again.load_bytes_with(record, &options).unwrap();
    assert_eq!((names(&restored.fresh), names(&restored.unused)), ("head.weight".into(), String::new()));
    train(&mut again, with_head, 3..4);
}

#[test]
fn another_rank_goes_on_from_the_saved_subspace() {
    let of_ratio = |ratio: f64| config().with_settings(|settings| settings.rank_ratio(ratio)).unwrap();
    for (then, now) in [(0.5, 0.25), (0.25, 0.5)] {
        let start = Tiny::new(24, 1);
        let mut optimizer = of_ratio(then).init_for(&start).unwrap();
        let module = train(&mut optimizer, start, 0..3);
        let mut by_record = of_ratio(now).init_for(&module).unwrap();
        by_record.load_bytes(optimizer.to_bytes().unwrap()).unwrap();
        let mut by_host = of_ratio(now).init_for(&module).unwrap();
        by_host.load_snapshot(&optimizer.snapshot::<f32>().unwrap()).unwrap();
        for again in [&mut by_record, &mut by_host] {
            let buffer = |optimizer: &Hybrid, name: &str| {
                let tensor = optimizer.buffer("up.weight", name).unwrap().unwrap();
                (tensor.dims()[1], values(tensor))
            };
            assert_eq!(buffer(again, MOMENTUM), buffer(&optimizer, MOMENTUM));
            let ((old_cols, old), (new_cols, new)) = (buffer(&optimizer, SUBSPACE), buffer(again, SUBSPACE));
            let kept = old_cols.min(new_cols);
            assert_eq!((old_cols, new_cols), (if then > now { (4, 2) } else { (2, 4) }));
            let row = |of: &[f64], cols: usize, i: usize| of[i * cols..i * cols + kept].to_vec();
            assert!((0..8).all(|i| row(&old, old_cols, i) == row(&new, new_cols, i)), "{then} to {now}");
            train(again, module.clone(), 3..5);
        }
    }
}

#[test]
fn the_state_of_f32_goes_on_in_f64_and_not_the_other_way() {
    let start = Tiny::new(24, 1);
    let mut single = config().init_for(&start).unwrap();
    train(&mut single, start.clone(), 0..2);
    let (wide, _) = double();
    let mut of_record = config().init_for(&wide).unwrap();
    of_record.load_bytes(single.to_bytes().unwrap()).unwrap();
    let mut of_host = config().init_for(&wide).unwrap();
    of_host.load_snapshot(&single.snapshot::<f32>().unwrap()).unwrap();
    for mut double in [of_record, of_host] {
        let buffer = |optimizer: &Hybrid, name: &str| optimizer.buffer("up.weight", name).unwrap().unwrap();
        assert_eq!(buffer(&double, MOMENTUM).dtype(), DType::F64);
        for name in [MOMENTUM, SUBSPACE] {
            assert_eq!(values(buffer(&double, name)), values(buffer(&single, name)));
        }
        train(&mut double, wide.clone(), 2..3);
        let mut again = config().init_for(&start).unwrap();
        let error = again.load_bytes(double.to_bytes().unwrap()).unwrap_err();
        assert!(error.to_string().contains("another type"), "{error}");
        let error = again.load_snapshot(&double.snapshot::<f64>().unwrap()).unwrap_err();
        assert!(error.to_string().contains("another type"), "{error}");
        let error = double.snapshot::<f32>().unwrap_err();
        assert_eq!(error.parameter(), Some("embedding.weight"), "{error}");
    }
}

#[test]
fn another_rule_is_refused_also_with_fresh() {
    let start = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&start).unwrap();
    let module = train(&mut optimizer, start, 0..1);
    let mut adamw = SpectralConfig::preset("adamw").unwrap().init_for(&module).unwrap();
    let by_record = adamw.load_bytes_with(optimizer.to_bytes().unwrap(), &FRESH).unwrap_err();
    let by_host = adamw.load_snapshot_with(&optimizer.snapshot::<f32>().unwrap(), &FRESH).unwrap_err();
    for error in [by_record, by_host] {
        assert!(error.to_string().contains("another rule"), "{error}");
        assert_eq!(error.parameter(), Some("up.weight"));
    }
}

/// On the core's CPU backend.
fn core() -> Optimizer<Faer<f64>> {
    let shapes = [&[11, 8][..], &[24, 8], &[24], &[24], &[8, 24]];
    let plan = Plan::builder().build(NAMES.into_iter().zip(shapes)).unwrap();
    Optimizer::new(Faer::new(), Config::preset("spectra").unwrap().lr(LR), plan.parameters()).unwrap()
}

#[test]
fn the_cores_state_goes_on_here_and_this_one_there() {
    let (mut model, _) = double();
    let (mut core, mut x) = (core(), matrices(&model, weights));
    let step_core = |core: &mut Optimizer<Faer<f64>>, model: &Tiny, x: &mut [_], at: u64| {
        let uploaded = given(model, &gradients(model, at)).map(upload);
        core.step(&mut x.iter_mut().zip(&uploaded).collect::<Vec<_>>()).unwrap();
    };
    for at in 0..3 {
        step_core(&mut core, &model, &mut x, at);
    }
    // From the core: the weights, too.
    set(&mut model, &x);
    let mut hybrid = SpectralConfig::preset("spectra").unwrap().init_for(&model).unwrap();
    let restored = hybrid.load_snapshot(&core.snapshot().unwrap()).unwrap();
    assert_eq!((restored.steps, restored.differences.len()), (3, 0), "{restored}");
    assert_eq!(names(&restored.loaded), NAMES.join(" "));
    assert!(hybrid.buffer("up.weight", MOMENTUM).unwrap().is_some_and(|m| m.dims() == [24, 8]));
    let before: Vec<_> = x.iter().map(read).collect();
    step_core(&mut core, &model, &mut x, 3);
    let mut model = train(&mut hybrid, model, 3..4);
    let check = |model: &Tiny, x: &[_], before: &[Vec<f64>], to: &str| {
        for ((found, expected), (name, before)) in
            matrices(model, weights).iter().zip(x).zip(NAMES.into_iter().zip(before))
        {
            let (found, expected) = (read(found), read(expected));
            let (moved, error) = (distance(&expected, before), distance(&found, &expected));
            assert!(moved > 0.0 && error < ROUNDING * moved, "{to}, {name}: {error:e} of {moved:e}");
        }
    };
    check(&model, &x, &before, "here");

    // And there.
    let mut again = self::core();
    let snapshot = hybrid.snapshot::<f64>().unwrap();
    assert_eq!(snapshot.header().lr, LR);
    again.load_snapshot(&snapshot).unwrap();
    let mut y = matrices(&model, weights);
    let before: Vec<_> = y.iter().map(read).collect();
    step_core(&mut again, &model, &mut y, 4);
    model = train(&mut hybrid, model, 4..5);
    check(&model, &y, &before, "there");
}

/// The module with these matrices, rows = output features.
fn set(model: &mut Tiny, x: &[spectra_core::faer::FaerMatrix<f64>]) {
    let matrix = |at: usize, shape: [usize; 2]| {
        let data = burn::tensor::TensorData::new(read(&x[at]), shape);
        Tensor::<2>::from_data(data, (&burn::tensor::Device::flex(), DType::F64))
    };
    fn put<const D: usize>(param: &mut Param<Tensor<D>>, value: Tensor<D>) {
        *param = Param::initialized(param.id, value.autodiff().require_grad());
    }
    put(&mut model.embedding.weight, matrix(0, [11, 8]));
    put(&mut model.up.weight, matrix(1, [24, 8]).transpose());
    put(model.up.bias.as_mut().unwrap(), matrix(2, [1, 24]).reshape([24]));
    put(&mut model.norm.gamma, matrix(3, [1, 24]).reshape([24]));
    put(&mut model.down.weight, matrix(4, [8, 24]).transpose());
}

#[test]
fn blocks_go_to_the_core_and_back_by_their_names() {
    let builder =
        || -> PlanBuilder { Plan::builder().split("weight", Split::rows([12, 6, 6]).names(["q", "k", "v"])) };
    let start = layer(random([10, 24], 7, DType::F64));
    let mut optimizer = Hybrid::new(&config(), &start, &builder()).unwrap();
    let step = |optimizer: &mut Hybrid, model: Linear, at: u64| {
        let drawn = gradient(&model.weight, random([10, 24], 200 + at, DType::F64));
        optimizer.step(LR, model, drawn).unwrap()
    };
    let mut model = start;
    for at in 0..3 {
        model = step(&mut optimizer, model, at);
    }
    let snapshot = optimizer.snapshot::<f64>().unwrap();
    let named: Vec<_> = snapshot.header().parameters.iter().map(|saved| &*saved.name).collect();
    assert_eq!(named, ["weight[q]", "weight[k]", "weight[v]"]);
    let plan = builder().build([("weight", [24, 10])]).unwrap();
    let config = Config::preset("spectra").unwrap();
    let mut core: Optimizer<Dense<f64>> = Optimizer::new(Dense::new(), config, plan.parameters()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("burn"), folder.path().join("core"));
    optimizer.save_safetensors(&here).unwrap();
    core.load(&here).unwrap();
    let momentum: Option<&DenseMatrix<f64>> = core.state(1).and_then(|block| block.state.get(MOMENTUM));
    assert_eq!(momentum.unwrap().values(), values(optimizer.buffer("weight[k]", MOMENTUM).unwrap().unwrap()));

    let mut again = Hybrid::new(&self::config(), &model, &builder()).unwrap();
    core.save(&there).unwrap();
    again.load_safetensors(&there).unwrap();
    let (one, other) = (step(&mut optimizer, model.clone(), 3), step(&mut again, model, 3));
    assert_eq!(values(one.weight.val()), values(other.weight.val()), "the same bits");
}
