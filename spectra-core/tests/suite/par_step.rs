//! A step with small parameters side by side gives the bits of one in order.
use spectra_core::backend::{Error, ErrorKind};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};

/// Vectors, small matrices, a frozen one, and one that takes its turn on all threads.
const SHAPES: [(usize, usize, Rule); 8] = [
    (1, 64, Rule::Elementwise),
    (64, 48, Rule::Spectral),
    (48, 160, Rule::Spectral),
    (30, 30, Rule::Frozen),
    (1030, 1024, Rule::Spectral),
    (160, 48, Rule::Spectral),
    (300, 64, Rule::Elementwise),
    (48, 48, Rule::Spectral),
];

fn optimizer(preset: &str) -> Result<Optimizer<Faer<f32>>, Error> {
    let specs = SHAPES.iter().enumerate();
    let specs = specs.map(|(i, &(rows, cols, rule))| ParameterSpec::new(format!("p{i}"), (rows, cols), rule));
    Optimizer::new(Faer::new(), Config::preset(preset)?.lr(0.01).clip_norm(1.0), specs)
}

fn random(seed: u64) -> Vec<FaerMatrix<f32>> {
    let shapes = SHAPES.iter().zip(seed..);
    shapes
        .map(|(&(rows, cols, _), seed)| FaerMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j) as f32))
        .collect()
}

/// The weights after some steps, small parameters side by side or not.
fn train(preset: &str, parallel: bool) -> Result<Vec<FaerMatrix<f32>>, Error> {
    let (mut optimizer, mut weights) = (optimizer(preset)?, random(1));
    for t in 0..3 {
        let gradients = random(100 * (t + 1));
        let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
        if parallel { optimizer.par_step(&mut pairs)? } else { optimizer.step(&mut pairs)? }
    }
    assert_eq!(optimizer.steps(), 3);
    Ok(weights)
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for preset in ["spectra", "adamw", "muon"] {
        let in_order = train(preset, false).expect(preset);
        assert_ne!(in_order[1], random(1)[1], "{preset}: the weights move");
        assert_eq!(in_order[3], random(1)[3], "{preset}: a frozen parameter does not");
        for threads in [1, 2, 3, 16] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let parallel = pool.install(|| train(preset, true)).expect(preset);
            assert!(parallel == in_order, "{preset}, {threads} threads");
        }
    }
}

#[test]
fn a_bad_gradient_changes_nothing_and_is_named() {
    let mut optimizer = optimizer("spectra").expect("preset");
    let (mut weights, mut gradients) = (random(1), random(2));
    gradients[5].values_mut()[7] = f32::NAN;
    let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
    let error = optimizer.par_step(&mut pairs).expect_err("a NaN");
    assert!(error.to_string().contains("p5"), "{error}");
    assert_eq!(weights, random(1));
    assert_eq!(optimizer.steps(), 0);
}

#[test]
fn left_out_parameters_stay_and_a_wrong_number_is_refused() {
    let mut optimizer = optimizer("spectra").expect("preset");
    let (mut weights, gradients) = (random(1), random(2));
    let prepared = optimizer.prepare(gradients.iter().enumerate()).expect("finite");
    let refused = optimizer.par_update(&mut weights[1..], |_| None, &prepared).expect_err("one is missing");
    assert!(matches!(refused.kind(), ErrorKind::Shape { .. }), "{refused}");

    let mut items: Vec<_> = weights.iter_mut().zip(&gradients).enumerate().collect();
    optimizer
        .par_update(&mut items, |(i, (x, g))| (*i != 2).then_some((&mut **x, *g)), &prepared)
        .expect("step");
    optimizer.finish(prepared);
    let before = random(1);
    let moved: Vec<bool> = weights.iter().zip(&before).map(|(a, b)| a != b).collect();
    assert_eq!(moved, [true, true, false, false, true, true, true, true]);
}
