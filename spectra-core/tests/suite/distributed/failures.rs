//! Errors on one rank are errors on all, before anything has changed; a rank that is lost ends the group.

use super::model::{self, SHAPES, Weights, bits, gradients, pairs, start};
use super::on_ranks;
use spectra_core::backend::{Backend, Error, ErrorKind, Gradient, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{
    Communicator, DistributedOptimizer, Lost, Mode, Placing, Threads, Transport,
};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::optimizer::{Config, plan::Plan};
use spectra_core::rules::{Rules, Sharding, StepInfo, StepRates, UpdateRule};
use spectra_core::state::{BufferSpec, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SIZE: usize = 3;
const DIVIDED: [&str; 3] = ["tall", "wide", "embedding"];

fn config() -> Config {
    Config::preset("spectra").unwrap().lr(0.02).clip_norm(1.0)
}

/// The errors of a second step in which rank 1 does as `fault` says with weights and gradients; then a third step succeeds.
fn refused(
    config: Config,
    fault: impl Fn(&mut Threaded, &mut Weights<f64>, &mut Weights<f64>) + Sync,
) -> Vec<Error> {
    refused_by(config, &model::placing(&DIVIDED), fault)
}

type Threaded = DistributedOptimizer<Dense<f64>, Communicator<Threads>>;

pub(crate) fn refused_by(
    config: Config,
    placing: &Placing,
    fault: impl Fn(&mut Threaded, &mut Weights<f64>, &mut Weights<f64>) + Sync,
) -> Vec<Error> {
    on_ranks(SIZE, |rank, group| {
        let mut optimizer = model::placed(group, &config, placing).unwrap();
        let mut weights = start::<f64>();
        let given = gradients(&weights, 0, rank, SIZE);
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        let state = optimizer.snapshot(0).unwrap();
        let (mut of_step, mut given) = (weights.clone(), given);
        let rates = optimizer.optimizer().learning_rate();
        if rank == 1 {
            fault(&mut optimizer, &mut of_step, &mut given);
        }
        let before = bits(&of_step);
        let error = optimizer.step(&mut pairs(&mut of_step, &given)).unwrap_err();
        assert!(bits(&of_step) == before, "weights have changed");
        assert_eq!(optimizer.snapshot(0).unwrap(), state, "the state has changed");
        optimizer.optimizer_mut().set_learning_rate(rates).unwrap();
        let given = gradients(&weights, 1, rank, SIZE);
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        error
    })
}

#[test]
fn a_nan_on_one_rank_is_named_on_all() {
    for (index, (name, (rows, cols), _)) in SHAPES.iter().enumerate().filter(|(_, shape)| shape.0 != "frozen")
    {
        for bad in [f64::NAN, f64::INFINITY] {
            let errors = refused(config(), |_, _, gradients| {
                let at = rows * cols - 1;
                gradients[index] =
                    DenseMatrix::from_fn(*rows, *cols, |i, j| if i * cols + j == at { bad } else { 0.1 });
            });
            for error in errors {
                assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
                assert_eq!(error.parameter(), Some(*name), "{error}");
            }
        }
    }
}

#[test]
fn gradients_too_large_together_are_refused_by_all() {
    // Finite on each rank; their squares, or sums, are not.
    for (index, name) in [(2, "square"), (0, "tall")] {
        let mut plain = config();
        plain.clip_norm = None;
        let errors = refused(plain, |_, _, gradients| {
            let (rows, cols) = gradients[index].shape();
            gradients[index] = DenseMatrix::from_fn(rows, cols, |_, _| 1e308);
        });
        for error in errors {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn wrong_shapes_on_one_rank_are_refused_by_all() {
    let errors = refused(config(), |_, _, gradients| gradients[1] = DenseMatrix::from_fn(2, 2, |_, _| 0.0));
    assert!(errors.iter().all(|error| error.to_string().contains("`wide`")), "{errors:?}");
    assert!(matches!(errors[1].kind(), ErrorKind::Shape { .. }));
    assert!(matches!(errors[0].kind(), ErrorKind::Elsewhere { rank: 1, .. }));
    let errors = refused(config(), |_, weights, gradients| {
        weights.pop();
        gradients.pop();
    });
    assert!(errors.iter().all(|error| error.to_string().contains("number of parameters")), "{errors:?}");
}

/// A rank that has no gradients at all says so in the place of its step.
#[test]
fn a_missing_gradient_on_one_rank_is_an_error_on_all() {
    let results = on_ranks(SIZE, |rank, group| {
        let mut optimizer = model::optimizer(group, &config(), &DIVIDED);
        let mut weights = start::<f64>();
        let given = gradients(&weights, 0, rank, SIZE);
        let before = bits(&weights);
        let mut some = pairs(&mut weights, &given);
        // That of a frozen parameter is not missed.
        some[5].1 = None;
        if rank == 1 {
            some[3].1 = None;
        }
        let one = optimizer.step(&mut some).unwrap_err().to_string();
        let all = match rank {
            2 => optimizer.refuse(Error::device("backward", "no graph")),
            _ => optimizer.step(&mut pairs(&mut weights, &given)).unwrap_err(),
        };
        assert!(bits(&weights) == before);
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        (one, all.to_string())
    });
    for (one, all) in results {
        assert!(one.contains("`few`") && one.contains("no gradient"), "{one}");
        assert!(all.contains("no graph"), "{all}");
    }
}

#[test]
fn another_rate_on_one_rank_is_named_on_all() {
    let errors =
        refused(config(), |optimizer, _, _| optimizer.optimizer_mut().set_learning_rate(0.5).unwrap());
    for error in errors {
        assert_eq!(error.to_string(), "step: rank 1 has another learning rate than rank 0");
    }
}

#[test]
fn other_settings_or_plans_are_refused_by_all() {
    let other: [(&str, Config, usize); 3] = [
        ("setting spectral.weight_decay: 0.5", config().weight_decay(0.5), 0),
        ("setting check_finite: false", config().check_finite(false), 0),
        ("parameter 0: `wide`", config(), 1),
    ];
    for (word, config_of_one, swapped) in other {
        let errors = on_ranks(SIZE, |rank, group| {
            let mut specs = model::specs();
            let (config, swapped) = if rank == 1 { (config_of_one, swapped) } else { (config(), 0) };
            specs.swap(0, swapped);
            let placing = model::placing(&DIVIDED);
            let made = DistributedOptimizer::with_rules(
                Dense::<f64>::new(),
                group,
                config,
                specs,
                Rules::new(),
                &placing,
            );
            made.unwrap_err().to_string()
        });
        assert!(errors.iter().all(|error| error.contains("rank 1") && error.contains(word)), "{errors:?}");
    }
    // One that cannot be made at all.
    let errors = on_ranks(SIZE, |rank, group| {
        let config = if rank == 1 { config().lr(f64::NAN) } else { config() };
        DistributedOptimizer::new(Dense::<f64>::new(), group, config, model::specs()).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("lr")), "{errors:?}");
}

/// A rank that does what it must until a call.
#[derive(Debug)]
struct Failing {
    threads: Threads,
    calls: Arc<AtomicU64>,
    last: u64,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Never,
    Panics,
    Stalls,
}

/// The bound within which the others must learn of it.
const BOUND: Duration = Duration::from_millis(300);

impl Transport for Failing {
    fn rank(&self) -> usize {
        self.threads.rank()
    }
    fn size(&self) -> usize {
        self.threads.size()
    }
    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.how {
            How::Panics if call == self.last => panic!("on purpose"),
            How::Stalls if call == self.last => std::thread::sleep(4 * BOUND),
            _ => {}
        }
        self.threads.exchange(out, into)
    }
    fn split(&mut self, _: u64) -> Result<Self, Lost> {
        Err(Lost::DEADLINE)
    }
}

/// The outcome of a step, whether the weights are as before, and the calls until then; or a panic.
type Outcome = std::thread::Result<(Result<(), Error>, bool, u64)>;

/// The second step and what follows, with rank 1 failing at its `last` exchange of all.
fn lost_at(last: u64, how: How, (config, placing): &(Config, Placing)) -> Vec<Outcome> {
    let deadline = if how == How::Never { super::DEADLINE } else { BOUND };
    let calls: Vec<_> = (0..SIZE).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let run = |rank: usize, threads: Threads| {
        let calls = calls[rank].clone();
        let how = if rank == 1 { how } else { How::Never };
        let group = Communicator::new(Failing { threads, calls: calls.clone(), last, how });
        let mut optimizer = model::placed::<f64, _>(group, config, placing).unwrap();
        let mut weights = start::<f64>();
        let given = gradients(&weights, 0, rank, SIZE);
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        let begun = calls.load(Ordering::Relaxed);
        let before = bits(&weights);
        let given = gradients(&weights, 1, rank, SIZE);
        let outcome = optimizer.step(&mut pairs(&mut weights, &given));
        if outcome.is_err() {
            // The group is at its end, and so is the optimizer.
            assert!(optimizer.step(&mut pairs(&mut weights, &given)).is_err());
            assert!(optimizer.snapshot(0).is_err());
        }
        (outcome, bits(&weights) == before, begun)
    };
    let run = &run;
    std::thread::scope(|scope| {
        let group = Threads::group(SIZE, deadline).into_iter().enumerate();
        let ranks: Vec<_> = group.map(|(rank, threads)| scope.spawn(move || run(rank, threads))).collect();
        ranks.into_iter().map(|rank| rank.join()).collect()
    })
}

#[test]
fn a_rank_lost_at_any_call_of_a_step_is_an_error_on_the_others() {
    // Gradients, norm, two sums (large ones have two rounds), weights.
    lost_at_any_of(5, &(config(), model::placing(&DIVIDED)));
}

/// So many calls of a step.
pub(crate) fn lost_at_any_of(count: u64, run: &(Config, Placing)) {
    let whole: Vec<_> = lost_at(u64::MAX, How::Never, run).into_iter().map(Result::unwrap).collect();
    assert!(whole.iter().all(|(outcome, same, _)| outcome.is_ok() && !same));
    let first = whole[1].2;
    for how in [How::Panics, How::Stalls] {
        for call in 0..count {
            let results = lost_at(first + call, how, run);
            for (rank, result) in results.into_iter().enumerate() {
                match result {
                    Ok((outcome, same, _)) => {
                        let error = outcome.expect_err("no rank succeeds");
                        assert!(
                            matches!(error.kind(), ErrorKind::Lost(_)),
                            "{how:?} {call} rank {rank}: {error}"
                        );
                        assert!(same, "{how:?} {call} rank {rank}: weights have changed");
                    }
                    Err(_) => assert_eq!((rank, how), (1, How::Panics)),
                }
            }
        }
    }
}

#[test]
fn a_pattern_that_divides_what_cannot_be_is_refused() {
    let errors = on_ranks(2, |_, group| {
        let placing = Placing::AUTO.matching("tall", Mode::Divided);
        let config = Config::preset("muon").unwrap();
        let specs = model::specs();
        DistributedOptimizer::with_rules(Dense::<f32>::new(), group, config, specs, Rules::new(), &placing)
            .unwrap_err()
            .to_string()
    });
    assert!(errors.iter().all(|error| error.contains("`tall`")), "{errors:?}");
}

/// A rule that fails on one rank in its second step.
#[derive(Debug, Clone)]
struct Fails {
    here: bool,
    sharding: Option<Sharding>,
}

impl<B: Backend> UpdateRule<B> for Fails {
    fn signature(&self) -> String {
        "fails".into()
    }
    fn buffers(&self, _: (usize, usize)) -> Vec<BufferSpec> {
        Vec::new()
    }
    fn sharding(&self, _: (usize, usize)) -> Option<Sharding> {
        self.sharding
    }
    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        _: &mut State<B::Matrix>,
        rates: &StepRates,
        _: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>, Error> {
        if self.here && rates.step == 1 {
            return Err(Error::device("step", "on purpose"));
        }
        weights.scale_add(1.0.into(), (-rates.lr).into(), gradient.values)?;
        Ok(StepInfo::default())
    }
}

/// A device's error in the middle of a step: that of an owner is voted, and the group goes on; one before a sum ends
/// the group, at once.
#[test]
fn errors_of_a_device_within_a_step() {
    for sharding in [None, Some(Sharding::Entrywise)] {
        let mode = if sharding.is_some() { Mode::Divided } else { Mode::Owners };
        let plan = Plan::builder().group("bad.*", |group| group.named("fails"));
        let plan =
            plan.build([("bad.weight", [9, 6]), ("a.weight", [12, 8]), ("b.weight", [12, 8])]).unwrap();
        let found = on_ranks(SIZE, |rank, group| {
            let begun = std::time::Instant::now();
            // The costliest are those of ranks 0 and 1.
            let rules = Rules::new().with("fails", Fails { here: rank == 2, sharding });
            let placing = Placing::new(mode);
            let (backend, specs) = (Dense::<f64>::new(), plan.parameters());
            let made = DistributedOptimizer::with_rules(backend, group, config(), specs, rules, &placing);
            let mut optimizer = made.unwrap();
            let matrix = |m, n| DenseMatrix::<f64>::from_fn(m, n, |i, j| uniform(rank as u64, i, j));
            let mut weights = vec![matrix(9, 6), matrix(12, 8), matrix(12, 8)];
            let given = weights.clone();
            optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
            let before = bits(&weights);
            let error = optimizer.step(&mut pairs(&mut weights, &given)).unwrap_err();
            assert!(bits(&weights) == before);
            let again = optimizer.step(&mut pairs(&mut weights, &given)).unwrap_err();
            let group_is_over = matches!(again.kind(), ErrorKind::Lost(_));
            let goes_on = !group_is_over && optimizer.agree_on(Ok(())).is_ok();
            (error, goes_on, begun.elapsed())
        });
        for (rank, (error, goes_on, time)) in found.iter().enumerate() {
            assert!(*time < super::DEADLINE / 2, "not at the deadline");
            let text = error.to_string();
            match sharding {
                None => assert!(text.contains("on purpose") && *goes_on, "{rank}: {text}"),
                Some(_) if rank == 2 => assert!(text.contains("on purpose") && !goes_on, "{text}"),
                Some(_) => assert!(matches!(error.kind(), ErrorKind::Lost(_)) && !goes_on, "{rank}: {text}"),
            }
        }
    }
}
