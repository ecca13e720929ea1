//! After the first step a step of any preset allocates nothing: counted by the global allocator.

use spectra_core::backend::Error;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Polar, uniform};
use spectra_core::maps::{MomentOf, RankRamp, SecondMoment, SpectralMap, TailShrink};
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterSpec, Recipe, plan::Rule};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness allocates in its own whenever it likes.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator; the other methods default to these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The calls to the allocator of each of the steps.
fn calls_per_step(config: Config, steps: u64) -> Result<Vec<usize>, Error> {
    let shapes = [
        ("tall", 40, 24, Rule::Spectral),
        ("wide", 24, 40, Rule::Spectral),
        ("norm", 1, 40, Rule::Elementwise),
    ];
    let specs = shapes.map(|(name, rows, cols, rule)| ParameterSpec::new(name, (rows, cols), rule));
    let mut optimizer = Optimizer::new(Dense::<f32>::new(), config, specs)?;
    let random = |seed, rows, cols| DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j) as f32);
    let mut weights = shapes.map(|(_, rows, cols, _)| random(1, rows, cols));
    let mut calls = Vec::new();
    for t in 0..steps {
        let gradients = shapes.map(|(_, rows, cols, _)| random(2 + t, rows, cols));
        let [a, b, c] = &mut weights;
        let [g, h, i] = &gradients;
        let mut parameters = [(a, g), (b, h), (c, i)];
        let before = CALLS.get();
        optimizer.step(&mut parameters)?;
        calls.push(CALLS.get() - before);
    }
    Ok(calls)
}

#[test]
fn every_preset_stops_allocating() {
    for (name, method, _) in Method::presets().chain(Method::experiments()) {
        let calls = calls_per_step(Config::new(method).clip_norm(1.0), 24).expect(name);
        assert!(calls[0] > 0, "{name}: the counter does not count");
        // Their bases and roots are first made anew at the tenth step, or the tenth after the first.
        let warm = if ["soap", "shampoo"].contains(&name) { 11 } else { 1 };
        assert!(calls[warm..].iter().all(|calls| *calls == 0), "{name}: {calls:?}");
    }
}

/// The residual is looked at in matrices of the pool, too.
#[test]
fn a_measured_polar_factor_stops_allocating() {
    let config = Config::preset("muon-gram").map(|config| config.polar(Polar::to(1e-3))).expect("settings");
    let calls = calls_per_step(config, 6).expect("steps");
    assert!(calls[0] > 0, "the counter does not count");
    assert_eq!(calls[1..], [0; 5], "{calls:?}");
}

/// A step between two refreshes of the subspace has temporaries of its own.
#[test]
fn a_subspace_that_rests_stops_allocating_when_it_has_rested() {
    let rests = TailShrink { refresh_every: 2, ..TailShrink::PAPER };
    let recipe = Recipe::preset("spectra").expect("preset").with_map(SpectralMap::TailShrink(rests));
    let calls = calls_per_step(Config::new(recipe).clip_norm(1.0), 6).expect("steps");
    assert!(calls[0] > 0, "the counter does not count");
    assert_eq!(calls[2..], [0; 4], "{calls:?}");
}

/// Another tail, a moment before the map, and a ramp that has come to its end.
#[test]
fn a_tail_shrink_of_another_form_stops_allocating() {
    let spectra = Recipe::preset("spectra").expect("preset");
    let ramp = Some(RankRamp { to: 0.5, begin: 1, end: 3, levels: 2 });
    let moment = SecondMoment::NORMUON;
    for (shrink, warm) in [
        (TailShrink { tail: 0.0, ..TailShrink::PAPER }, 1),
        (TailShrink { rank_ratio: 0.5, upper: 0.5, ..TailShrink::PAPER }, 1),
        (TailShrink { tail: 3.0, ..TailShrink::PAPER }, 1),
        (TailShrink { ramp, ..TailShrink::PAPER }, 4),
    ] {
        for map in [
            SpectralMap::TailShrink(shrink),
            SpectralMap::NormalizedShrink { shrink, moment, of: MomentOf::Direction },
            SpectralMap::NormalizedShrink { shrink, moment, of: MomentOf::Image },
        ] {
            let calls = calls_per_step(Config::new(spectra.with_map(map)).clip_norm(1.0), 8).expect("steps");
            assert!(calls[0] > 0 && calls[warm - 1] > 0, "the counter does not count");
            assert!(calls[warm..].iter().all(|calls| *calls == 0), "{map:?}: {calls:?}");
        }
    }
}
