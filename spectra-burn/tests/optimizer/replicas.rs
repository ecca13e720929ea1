//! Replicas of a model, each with a clone of the optimizer on a thread of its own, as burn's data-parallel learner: equal gradients make
//! equal bits, whoever is ahead, and no replica waits for another.

use crate::clip_schedule::{LR, Model, STEPS, config, expected};
use crate::learner;
use burn::optim::ModuleOptimizer;
use spectra_burn::plan::Plan;
use spectra_burn::rules::{StepInfo, StepRates, UpdateRule};
use spectra_burn::state::{BufferSpec, State};
use spectra_burn::{Error, Hybrid, OwnRules, Result, SpectralConfig};
use spectra_core::backend::{Backend, Coefficient, Gradient, Matrix};
use spectra_core::linalg::Workspace;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

const REPLICAS: usize = 4;

/// Steps from `from` to the end, on a thread that burn's learner would have.
fn train<O: Send + 'static>(
    mut optimizer: O,
    mut model: Model,
    from: u64,
    step: impl Fn(&mut O, Model, u64) -> Model + Send + 'static,
) -> thread::JoinHandle<(O, Model)> {
    thread::spawn(move || {
        for at in from..STEPS {
            model = step(&mut optimizer, model, at);
        }
        (optimizer, model)
    })
}

fn step_hybrid(optimizer: &mut Hybrid, model: Model, at: u64) -> Model {
    let gradients = model.gradients(at);
    optimizer.step(LR, model, gradients).unwrap()
}

fn step_burns(optimizer: &mut ModuleOptimizer, model: Model, at: u64) -> Model {
    let gradients = model.gradients(at);
    optimizer.step(LR, model, gradients)
}

/// A model and its optimizer after some steps; gradients come at every step, from the fifth on, or now and then.
fn begun(steps: u64) -> (Hybrid, Model) {
    let mut model = Model::new();
    let mut optimizer = config(0.25).init_for(&model).unwrap();
    for at in 0..steps {
        model = step_hybrid(&mut optimizer, model, at);
    }
    (optimizer, model)
}

#[test]
fn clones_on_threads_step_as_one_optimizer_with_states_of_their_own() {
    let expected = expected(0.25);
    for from in [0, 3] {
        let (mut optimizer, model) = begun(from);
        let kept = optimizer.snapshot::<f32>().unwrap();
        // All at once, each as fast as it can.
        let replicas: Vec<_> =
            (0..REPLICAS).map(|_| train(optimizer.clone(), model.clone(), from, step_hybrid)).collect();
        let replicas: Vec<_> = replicas.into_iter().map(|replica| replica.join().unwrap()).collect();
        // Theirs moved no state of this one, which then takes the same steps.
        assert!(optimizer.snapshot::<f32>().unwrap() == kept);
        let mut own = model;
        for at in from..STEPS {
            own = step_hybrid(&mut optimizer, own, at);
        }
        assert_eq!(own.values(), expected[STEPS as usize - 1]);
        let state = optimizer.snapshot::<f32>().unwrap();
        for (replica, model) in replicas {
            assert_eq!(model.values(), own.values(), "from step {from}");
            assert_eq!(replica.steps(), STEPS);
            assert!(replica.snapshot::<f32>().unwrap() == state, "from step {from}: the states differ");
        }
    }
}

#[test]
fn burns_own_type_on_threads_counts_each_replica_by_itself() {
    let expected = expected(0.25);
    for from in [0, 3, 5] {
        let (optimizer, model) = begun(from);
        let optimizer = optimizer.optimizer().unwrap();
        let start = |_| train(optimizer.clone(), model.clone(), from, step_burns);
        // One after the other, as far apart as replicas can be, and all at once.
        let after: Vec<_> = (0..2).map(start).map(|replica| replica.join().unwrap()).collect();
        let at_once: Vec<_> = (0..REPLICAS).map(start).collect();
        let at_once = at_once.into_iter().map(|replica| replica.join().unwrap());
        for (replica, (_, model)) in after.into_iter().chain(at_once).enumerate() {
            assert_eq!(model.values(), expected[STEPS as usize - 1], "from step {from}, replica {replica}");
        }
    }
}

/// Steps only if as many threads as there are replicas are in this step at once, as if it added something up over all of them.
#[derive(Debug, Clone)]
struct Together(Arc<(Mutex<usize>, Condvar)>);

impl<B: Backend> UpdateRule<B> for Together {
    fn signature(&self) -> String {
        "together".into()
    }

    fn buffers(&self, _: (usize, usize)) -> Vec<BufferSpec> {
        Vec::new()
    }

    fn step(
        &self,
        x: &mut B::Matrix,
        g: &Gradient<'_, B::Matrix>,
        _: &mut State<B::Matrix>,
        rates: &StepRates,
        _: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let (arrived, changed) = &*self.0;
        let mut arrived = arrived.lock().unwrap();
        *arrived += 1;
        changed.notify_all();
        let waits = |arrived: &mut usize| *arrived < REPLICAS;
        let waited = changed.wait_timeout_while(arrived, Duration::from_secs(60), waits).unwrap();
        if waited.1.timed_out() {
            return Err(Error::device("step", "another replica waits for this one"));
        }
        x.scale_add(Coefficient::ONE, g.scale.times(-rates.lr), g.values)?;
        Ok(StepInfo::default())
    }
}

#[test]
fn no_replica_waits_for_another() {
    let model = Model::new();
    let plan = Plan::builder().group("always.weight", |g| g.named("together"));
    let rules = OwnRules::new().with("together", Together(Arc::default()));
    let config = SpectralConfig::preset("spectra").unwrap();
    let optimizer = Hybrid::with_rules(&config, &model, &plan, rules).unwrap();
    let replica = |_| {
        let (mut optimizer, model) = (optimizer.clone(), model.clone());
        thread::spawn(move || {
            let gradients = model.gradients(0);
            optimizer.step(LR, model, gradients).unwrap().values()
        })
    };
    let replicas: Vec<_> = (0..REPLICAS).map(replica).collect();
    let values: Vec<_> = replicas.into_iter().map(|replica| replica.join().unwrap()).collect();
    assert_ne!(values[0], model.values());
    assert!(values.iter().all(|one| *one == values[0]));
}

#[test]
fn what_stops_a_replica_under_burns_own_type_stops_the_others_by_name() {
    let (optimizer, model) = begun(2);
    let optimizer = optimizer.optimizer().unwrap();
    let mut bad = model.gradients(2);
    bad.register(model.always.weight.id, model.always.weight.val().inner() * f32::NAN);
    let (mut first, second, start) = (optimizer.clone(), optimizer, model.clone());
    let stopped = thread::spawn(move || learner::step(&mut first, LR, start, bad).unwrap_err());
    let text = stopped.join().unwrap();
    assert!(text.contains("always.weight"), "{text}");
    let other = thread::spawn(move || {
        let (mut second, gradients) = (second, model.gradients(2));
        learner::step(&mut second, LR, model, gradients).unwrap_err()
    });
    assert_eq!(other.join().unwrap(), text);
}

#[test]
fn a_replica_that_is_refused_leaves_the_others_alone() {
    let (optimizer, model) = begun(2);
    let (mut refused, mut other) = (optimizer.clone(), optimizer);
    let mut bad = model.gradients(2);
    let values = model.always.weight.val().inner() * f32::NAN;
    bad.register(model.always.weight.id, values);
    let error = refused.step(LR, model.clone(), bad).unwrap_err().error;
    assert_eq!(error.parameter(), Some("always.weight"));
    let mut model = model;
    for at in 2..STEPS {
        model = step_hybrid(&mut other, model, at);
    }
    assert_eq!((refused.steps(), other.steps()), (2, STEPS));
    assert_eq!(model.values(), expected(0.25)[STEPS as usize - 1]);
}
