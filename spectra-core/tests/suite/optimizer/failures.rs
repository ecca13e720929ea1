//! A step that fails: it has changed nothing, or the optimizer says so until it is restored.

use super::failing::{Failing, FailingMatrix};
use super::*;
use spectra_core::optimizer::{Method, PreClip};

/// A run on the failing backend.
struct Run {
    backend: Failing,
    optimizer: Optimizer<Failing>,
    weights: [FailingMatrix; 3],
    gradients: [FailingMatrix; 3],
}

/// Weights, buffers and counts.
type Contents = (Vec<M>, Vec<M>, u64);

impl Run {
    /// After so many steps. Two matrices and a vector, and a frozen one would change nothing.
    fn after(config: Config, steps: u64) -> Self {
        let backend = Failing::default();
        let specs = [
            spec("mlp", 4, 6, Rule::Spectral),
            spec("norm", 1, 6, Rule::Elementwise),
            spec("out", 5, 4, Rule::Spectral),
        ];
        let optimizer = Optimizer::new(backend.clone(), config, specs).expect("valid");
        let model =
            |seed| [(4, 6), (1, 6), (5, 4)].map(|(rows, cols)| backend.matrix(random(seed, rows, cols)));
        let mut run = Self { optimizer, weights: model(1), gradients: model(2), backend };
        for _ in 0..steps {
            run.step(false).expect("sound");
        }
        run
    }

    fn step(&mut self, in_parallel: bool) -> Result<(), Error> {
        let [a, b, c] = &mut self.weights;
        let [g, h, k] = &self.gradients;
        let pairs = &mut [(a, g), (b, h), (c, k)];
        #[cfg(feature = "faer")]
        if in_parallel {
            return self.optimizer.par_step(pairs);
        }
        assert!(!in_parallel, "needs the feature `faer`");
        self.optimizer.step(pairs)
    }

    fn contents(&self) -> Contents {
        let buffers = self.optimizer.buffers().map(|(.., matrix)| matrix.0.clone()).collect();
        (self.weights.iter().map(|x| x.0.clone()).collect(), buffers, self.optimizer.steps())
    }
}

/// How many failures left everything as it was, and how many did not.
#[derive(Default)]
struct Counts {
    unchanged: usize,
    broken: usize,
}

/// Lets call `n` of the step fail. `None` if the step has fewer calls.
fn fail_at(
    n: usize,
    late: bool,
    config: Config,
    steps: u64,
    parallel: bool,
    counts: &mut Counts,
) -> Option<()> {
    let mut run = Run::after(config, steps);
    let (before, saved) = (run.contents(), run.optimizer.snapshot().expect("whole"));
    let mut undisturbed = Run::after(config, steps + 1);
    run.backend.0.fail_at(n, late);
    let outcome = run.step(parallel);
    run.backend.0.fail_at(0, false);
    let failed = outcome.err()?;

    if run.optimizer.check_whole("test").is_ok() {
        assert!(run.contents() == before, "call {n} has changed something, and nothing says so: {failed}");
        counts.unchanged += 1;
    } else {
        let name = failed.parameter().expect("the failing parameter").to_owned();
        let again = run.step(parallel).expect_err("a further step");
        let save = run.optimizer.snapshot().map(|_| ()).expect_err("saving");
        let header = run.optimizer.header().map(|_| ()).expect_err("saving by hand");
        for error in [again, save, header] {
            assert!(matches!(error.kind(), ErrorKind::NeedsRestore), "{error}");
            assert_eq!(error.parameter(), Some(&*name), "{error}");
        }
        assert_eq!(run.optimizer.steps(), steps, "the step is not counted");
        run.optimizer.load_snapshot(&saved).expect("restored");
        for (x, value) in run.weights.iter_mut().zip(&before.0) {
            x.0 = value.clone();
        }
        assert!(run.contents() == before, "restored");
        counts.broken += 1;
    }
    run.step(parallel).expect("sound again");
    assert!(run.contents() == undisturbed.contents(), "call {n}: the step after it is another");
    undisturbed.step(parallel).expect("sound");
    Some(())
}

/// Every call of a step, of which some presets make thousands: all of the first 150, then every 23rd.
fn fail_everywhere(config: Config, steps: u64, parallel: bool) -> Counts {
    let mut counts = Counts::default();
    for late in [false, true] {
        let calls = (1..150).chain((150..).step_by(23));
        calls.map_while(|n| fail_at(n, late, config, steps, parallel, &mut counts)).for_each(|()| {});
    }
    counts
}

#[test]
fn a_call_that_fails_anywhere_in_a_step_changes_nothing_or_is_remembered() {
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).clip_norm(1.0);
        for (steps, config) in [(0, config.pre_clip(PreClip::new(0.5))), (2, config)] {
            let Counts { unchanged, broken } = fail_everywhere(config, steps, false);
            assert!(unchanged > 10 && broken > 10, "{name}: {unchanged} and {broken}");
        }
    }
}

#[cfg(feature = "faer")]
#[test]
fn a_call_that_fails_in_a_step_side_by_side_changes_nothing_or_is_remembered() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
    for name in ["spectra", "adamw"] {
        let config = Config::preset(name).expect("preset").clip_norm(1.0);
        let Counts { unchanged, broken } = pool.install(|| fail_everywhere(config, 2, true));
        assert!(unchanged > 10 && broken > 10, "{name}: {unchanged} and {broken}");
    }
}

/// Buffers are made for all parameters before the first is updated: the first step's lack of memory changes nothing.
#[test]
fn memory_for_the_state_is_had_before_anything_changes() {
    let mut optimizer = optimizer(Config::preset("adamw").expect("preset"));
    let g = gradients(0);
    drop(optimizer.prepare(g.iter().enumerate()).expect("finite"));
    for index in [0, 1] {
        let state = &optimizer.state(index).expect("a parameter").state;
        assert!(state.get("momentum").is_some() && state.get("second_moment").is_some(), "{index}");
    }
    // No state all the same: nothing has been stepped.
    assert_eq!(optimizer.buffers().count(), 0);
    let empty = optimizer.snapshot().expect("whole");
    optimizer.load_snapshot(&empty).expect("a state before the first step");
}

#[test]
fn a_step_that_was_begun_and_not_finished_is_remembered() {
    let mut optimizer = optimizer(Config::preset("adamw").expect("preset"));
    let (mut x, g) = (weights(), gradients(0));
    let saved = optimizer.snapshot().expect("whole");
    let prepared = optimizer.prepare(g.iter().enumerate()).expect("finite");
    optimizer.update(1, &mut x[1], &g[1], &prepared).expect("sound");
    // Only the caller can know what came between, for example that the weights could not be written back.
    drop(prepared);
    let error = optimizer.prepare(g.iter().enumerate()).map(|_| ()).expect_err("half a step");
    assert!(matches!(error.kind(), ErrorKind::NeedsRestore), "{error}");
    assert_eq!(error.parameter(), Some("norm"), "{error}");
    assert!(optimizer.snapshot().is_err());
    optimizer.load_snapshot(&saved).expect("restored");
    step(&mut optimizer, &mut x, &g).expect("sound");
    assert_eq!(optimizer.steps(), 1);
}

#[test]
fn wrong_shapes_and_indices_are_refused_with_nothing_changed() {
    let mut optimizer = optimizer(Config::preset("adamw").expect("preset"));
    let (mut x, g) = (weights(), gradients(0));
    let prepared = optimizer.prepare(g.iter().enumerate()).expect("finite");
    let wrong = random(5, 20, 12);
    for (index, weights, gradient) in
        [(0, &mut wrong.clone(), &g[0]), (0, &mut x[0].clone(), &wrong), (7, &mut x[0].clone(), &g[0])]
    {
        let error = optimizer.update(index, weights, gradient, &prepared).expect_err("wrong");
        assert_eq!(error.parameter(), (index == 0).then_some("mlp"), "{error}");
        optimizer.check_whole("test").expect("nothing has changed");
    }
    optimizer.update(0, &mut x[0], &g[0], &prepared).expect("sound");
    optimizer.update(1, &mut x[1], &g[1], &prepared).expect("sound");
    optimizer.finish(prepared);
    assert_eq!(optimizer.steps(), 1);
}
