//! A parameter that holds several matrices: each is stepped by itself, saved and restored.

use crate::common::{distance, gradient, layer, random, values};
use crate::learner;
use crate::model::{LR, ROUNDING};
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::plan::{Plan, PlanBuilder, Split};
use spectra_burn::rules::Rounding;
use spectra_burn::{ErrorKind, Hybrid, SpectralConfig};
use spectra_core::maps::SoftClip;
use spectra_core::optimizer::{Method, PreClip};
use std::ops::Range;

/// `in x out`, as burn's `Linear` stores it.
const SHAPE: [usize; 2] = [10, 24];

/// Where the parts of the output features are.
const PARTS: [Range<usize>; 3] = [0..12, 12..18, 18..24];

fn builder() -> PlanBuilder {
    Plan::builder().split("weight", Split::rows([12, 6, 6]).names(["q", "k", "v"]))
}

fn steps(optimizer: &mut Hybrid, mut model: Linear, cut: &Range<usize>, steps: Range<u64>) -> Linear {
    for step in steps {
        let given = random(SHAPE, 200 + step, DType::F64).slice([0..SHAPE[0], cut.clone()]);
        let drawn = gradient(&model.weight, given);
        model = optimizer.step(LR, model, drawn).unwrap();
    }
    model
}

fn weights(model: &Linear) -> Tensor<2> {
    model.weight.val().inner()
}

#[test]
fn they_step_as_separate_layers_do() {
    let clip = PreClip { clip: SoftClip::AUTO, threshold: 0.5, all: false };
    for (preset, method, _) in Method::presets() {
        for pre_clip in [None, Some(clip)] {
            let config = SpectralConfig::new(method).with_pre_clip(pre_clip);
            let start = random(SHAPE, 7, DType::F64);
            let model = layer(start.clone());
            let mut optimizer = Hybrid::new(&config, &model, &builder()).unwrap();
            let whole = weights(&steps(&mut optimizer, model, &(0..24), 0..4));
            for part in PARTS {
                let start = start.clone().slice([0..SHAPE[0], part.clone()]);
                let alone = layer(start.clone());
                let mut optimizer = Hybrid::new(&config, &alone, &Plan::builder()).unwrap();
                let alone = values(weights(&steps(&mut optimizer, alone, &part, 0..4)));
                let block = values(whole.clone().slice([0..SHAPE[0], part.clone()]));
                let moved = distance(&alone, &values(start));
                let error = distance(&block, &alone);
                assert!(
                    moved > 0.0 && error < ROUNDING * moved,
                    "{preset}, {part:?}: {error:e} of {moved:e}"
                );
            }
        }
    }
}

#[test]
fn their_states_are_saved_restored_and_told_apart() {
    let config = SpectralConfig::preset("spectra").unwrap();
    let start = layer(random(SHAPE, 7, DType::F64));
    let mut optimizer = Hybrid::new(&config, &start, &builder()).unwrap();
    assert!(optimizer.plan_table().to_string().contains("weight[k]"));
    let model = steps(&mut optimizer, start, &(0..24), 0..3);
    let dims = |name: &str, buffer: &str| optimizer.buffer(name, buffer).unwrap().map(|x| x.dims());
    assert_eq!(dims("weight[q]", "momentum"), Some([12, 10]));
    assert_eq!(dims("weight[v]", "momentum"), Some([6, 10]));
    assert_eq!(dims("weight[v]", "subspace"), Some([10, 1]));
    // Each has a momentum and one column.
    assert_eq!(optimizer.state_bytes(), 8 * (24 * 10 + 3 * 10));

    let saved = optimizer.to_bytes().unwrap();
    let burns = optimizer.optimizer().unwrap().to_record().into_bytes().unwrap();
    let expected = values(weights(&steps(&mut optimizer, model.clone(), &(0..24), 3..5)));
    for bytes in [saved, burns] {
        let mut again = Hybrid::new(&config, &model, &builder()).unwrap();
        again.load_bytes(bytes.clone()).unwrap();
        assert_eq!(values(weights(&steps(&mut again, model.clone(), &(0..24), 3..5))), expected);

        // Under a learner.
        let again = Hybrid::new(&config, &model, &builder()).unwrap();
        let mut burns = again.optimizer().unwrap().from_bytes(bytes.clone()).unwrap();
        let mut learned = model.clone();
        for step in 3..5 {
            let drawn = gradient(&learned.weight, random(SHAPE, 200 + step, DType::F64));
            learned = learner::step(&mut burns, LR, learned, drawn).unwrap();
        }
        assert_eq!(values(weights(&learned)), expected);

        // One matrix has no use for the states of three.
        let mut whole = Hybrid::new(&config, &model, &Plan::builder()).unwrap();
        assert!(whole.load_bytes(bytes).unwrap_err().to_string().contains("weight"));
    }
}

#[test]
fn a_block_that_leaves_the_range_of_16_bits_is_told_of() {
    for rounding in [Rounding::Nearest, Rounding::Master] {
        let config = SpectralConfig::preset("muon").unwrap().with_rounding(Some(rounding));
        let start = layer(Tensor::full(SHAPE, 64000.0, (&Device::flex(), DType::F16)));
        let mut optimizer = Hybrid::new(&config, &start, &builder()).unwrap();
        // A gradient of rank 1 in the second block only: its polar factor has entries of 1 / sqrt(60).
        let values =
            std::array::from_fn::<_, 240, _>(|at| if PARTS[1].contains(&(at % 24)) { -1.0f32 } else { 0.0 });
        let drawn = Tensor::<1>::from_data(values, (&Device::flex(), DType::F16)).reshape(SHAPE);
        let drawn = gradient(&start.weight, drawn);
        let refused = optimizer.step(20_000.0, start, drawn).unwrap_err();
        assert!(matches!(refused.error.kind(), ErrorKind::NonFinite { .. }), "{}", refused.error);
        assert_eq!(refused.error.parameter(), Some("weight"));
        let infinite = |part: &Range<usize>| {
            let part = weights(&refused.module).slice([0..SHAPE[0], part.clone()]);
            self::values(part).iter().filter(|x| x.is_infinite()).count()
        };
        assert_eq!(PARTS.each_ref().map(infinite), [0, 60, 0], "{rounding:?}");
    }
}
