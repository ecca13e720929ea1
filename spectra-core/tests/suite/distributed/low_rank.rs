//! Dion with a momentum on every rank, of which only low-rank products are summed.

use super::failures::{lost_at_any_of, refused_by};
use super::model::{self, SHAPES, Weights, alone, bits, difference, gradients, pairs, pairs_alone, start};
use super::on_ranks;
use super::same::compare_placed;
use super::saved::trained;
use spectra_core::backend::{Backend, Coefficient, ErrorKind, Matrix, Op};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{Axis, DistributedOptimizer, Mode, Placing, Sharded, Spread};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::rules::{Dion, DionQr, DionRank, DionSide, Rules, Weights as Rounding};

const SIZE: usize = 3;

fn config() -> Config {
    Config::preset("dion").unwrap().lr(0.02).weight_decay(0.1)
}

fn placing() -> Placing {
    Placing::new(Mode::LowRank).matching("embedding", Mode::Divided)
}

#[test]
fn the_weights_of_one_process_in_f32() {
    compare_placed::<f32>(&config(), &placing(), 1e-4);
}

#[test]
fn the_weights_of_one_process_in_f64() {
    compare_placed::<f64>(&config(), &placing(), 1e-12);
    for (side, qr) in [(DionSide::Left, DionQr::Cholesky), (DionSide::Right, DionQr::GramSchmidt)] {
        let rank = DionRank::Fraction { fraction: 0.25, multiple_of: 1 };
        let rule = Dion { side, qr, rank, seed: 3, ..Dion::SIMPLE };
        compare_placed::<f64>(&Config::new(rule).lr(0.02), &placing(), 1e-12);
    }
}

/// Of weights with a master that is whole on every rank, and of a sum in the place of the mean.
#[test]
fn masters_are_restored_whole() {
    let specs = || model::specs().into_iter().map(|spec| ParameterSpec { weights: Rounding::Master, ..spec });
    let run = |size, state: Option<&_>| {
        on_ranks(size, |rank, group| {
            let backend = Dense::<f64>::new();
            let made =
                DistributedOptimizer::with_rules(backend, group, config(), specs(), Rules::new(), &placing());
            let mut optimizer = made.unwrap();
            if let Some(state) = state {
                optimizer.load_snapshot(state).unwrap();
            }
            let mut weights = start::<f64>();
            let given = gradients(&weights, 0, rank, size);
            optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
            (weights, optimizer.snapshot(0).unwrap())
        })
    };
    let first = run(2, None);
    let state = first[0].1.as_ref().unwrap();
    let mut alone = Optimizer::new(Dense::<f64>::new(), config(), specs()).unwrap();
    alone.load_snapshot(state).unwrap();
    let mut wanted = start::<f64>();
    let given = gradients(&wanted, 0, 0, 1);
    alone.step(&mut pairs_alone(&mut wanted, &given)).unwrap();
    for (weights, _) in run(SIZE, Some(state)) {
        let apart = difference(&weights, &wanted, &start());
        assert!(apart <= 1e-12, "{apart:e}");
    }
}

/// What is saved is the sum, with the bits that one process restores; the momentum of 20 steps is one process's.
#[test]
fn the_momentum_is_the_sum() {
    let (_, state) = trained(&config(), &placing(), 4);
    let mut alone = Optimizer::new(Dense::<f64>::new(), config(), model::specs()).unwrap();
    let mut weights = start::<f64>();
    for step in 0..3 {
        let given = gradients(&weights, step, 0, 1);
        alone.step(&mut pairs_alone(&mut weights, &given)).unwrap();
    }
    let wanted = alone.snapshot().unwrap();
    for ((name, buffer, found), (.., wanted)) in state.buffers().zip(wanted.buffers()) {
        let distance =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let (apart, size) = (distance(found, wanted), distance(wanted, &vec![0.0; wanted.len()]));
        assert!(apart <= 1e-12 * size, "{name} {buffer}: {apart:e} of {size:e}");
    }
}

#[test]
fn the_norm_and_the_gradient_can_be_asked_for() {
    let wanted = gradients(&start::<f64>(), 0, 0, 1);
    let live = || wanted.iter().zip(SHAPES).filter(|(_, shape)| shape.2 != Rule::Frozen);
    let norm = live().flat_map(|(gradient, _)| gradient.values()).map(|x| x * x).sum::<f64>().sqrt();
    let found = on_ranks(SIZE, |rank, group| {
        let mut optimizer = model::placed(group, &config(), &placing()).unwrap();
        let mut weights = start::<f64>();
        let given = gradients(&weights, 0, rank, SIZE);
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        (optimizer.gradient_norm().unwrap(), optimizer.gradient(0).unwrap().unwrap())
    });
    for (found, first) in found {
        assert!((found - norm).abs() <= 1e-13 * norm, "{found} {norm}");
        assert!(first.iter().zip(wanted[0].values()).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}

#[test]
fn a_norm_clip_is_refused_by_name() {
    let errors = on_ranks(2, |_, group| {
        model::placed::<f64, _>(group, &config().clip_norm(1.0), &placing()).unwrap_err()
    });
    for error in errors {
        assert!(error.to_string().contains("clip_norm"), "{error}");
        assert_eq!(error.parameter(), Some("tall"));
    }
}

#[test]
fn ranks_that_place_otherwise_are_told() {
    let errors = on_ranks(SIZE, |rank, group| {
        let placing = if rank == 2 { Placing::AUTO } else { placing() };
        model::placed::<f64, _>(group, &config(), &placing).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("rank 2") && error.contains("`tall`")), "{errors:?}");
}

#[test]
fn what_one_rank_gives_is_an_error_on_all() {
    for (index, (name, (rows, cols), _)) in SHAPES.iter().enumerate().filter(|(_, shape)| shape.0 != "frozen")
    {
        let errors = refused_by(config(), &placing(), |_, _, gradients| {
            gradients[index] = DenseMatrix::from_fn(*rows, *cols, |_, _| f64::NAN);
        });
        for error in errors {
            assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
            assert_eq!(error.parameter(), Some(*name));
        }
    }
    // Finite, and too large for the state; so large that squares are not; of a wrong shape; another rate.
    for value in [1e150, 1e200, 1e308] {
        let errors = refused_by(config(), &placing(), |_, _, gradients| {
            gradients[0] = DenseMatrix::from_fn(24, 10, |_, _| value);
        });
        assert!(errors.iter().all(|error| error.to_string().contains("tall")), "{errors:?}");
    }
    let errors = refused_by(config(), &placing(), |_, _, gradients| {
        gradients[0] = DenseMatrix::from_fn(2, 2, |_, _| 0.0)
    });
    assert!(errors.iter().all(|error| error.to_string().contains("`tall`")), "{errors:?}");
    let errors = refused_by(config(), &placing(), |optimizer, _, _| {
        optimizer.optimizer_mut().set_learning_rate(0.5).unwrap()
    });
    assert!(
        errors.iter().all(|error| matches!(error.kind(), ErrorKind::Disagree { rank: 1, .. })),
        "{errors:?}"
    );
}

/// Without the check it becomes everyone's, as in one process.
#[test]
fn a_nan_that_nobody_looks_for_is_everywhere() {
    let found = on_ranks(SIZE, |rank, group| {
        let mut optimizer = model::placed(group, &config().check_finite(false), &placing()).unwrap();
        let mut weights = start::<f64>();
        let mut given = gradients(&weights, 0, rank, SIZE);
        if rank == 1 {
            given[0] = DenseMatrix::from_fn(24, 10, |_, _| f64::NAN);
        }
        optimizer.step(&mut pairs(&mut weights, &given)).unwrap();
        weights
    });
    for weights in &found {
        assert!(weights[0].values().iter().all(|x| x.is_nan()));
        assert!(weights[1].values().iter().all(|x| x.is_finite()));
        assert!(bits::<f64>(weights) == bits(&found[0]));
    }
}

#[test]
fn a_rank_lost_at_any_call_is_an_error_on_the_others() {
    // Gradients of what has owners or parts, P, R, weights.
    lost_at_any_of(4, &(config(), placing()));
}

/// Sums of matrices that nobody has whole: what is linear is local, the rest is refused.
#[test]
fn summands() {
    let random = |seed, rows, cols| DenseMatrix::<f64>::from_fn(rows, cols, |i, j| uniform(seed, i, j));
    let sum = |rows, cols| {
        let entry = |i, j| (0..SIZE).map(|rank| uniform(rank as u64, i, j)).sum();
        DenseMatrix::<f64>::from_fn(rows, cols, entry)
    };
    on_ranks(SIZE, |rank, group| {
        let backend = Sharded::new(Dense::<f64>::new(), group);
        let of = || backend.summand(random(rank as u64, 5, 4));
        let (mut m, factor) = (of(), backend.whole(random(9, 4, 2)));
        let read = |matrix: &dyn Fn(&mut [f64])| {
            let mut values = vec![0.0; 10];
            matrix(&mut values);
            values
        };
        // M F, summed with that of the transpose in one call.
        let mut product = backend.zeros(5, 2, None).unwrap();
        product.gemm(Coefficient::ZERO, Coefficient::ONE, &m, Op::Plain, &factor, Op::Plain).unwrap();
        let tall = backend.whole(random(10, 5, 2));
        let mut across = backend.zeros(4, 2, None).unwrap();
        across.gemm(Coefficient::ZERO, Coefficient::ONE, &m, Op::Transposed, &tall, Op::Plain).unwrap();
        assert_eq!((product.spread(), across.spread()), (Some(Spread::Summands), Some(Spread::Summands)));
        let calls = backend.with_group(|group| Ok(group.traffic().calls)).unwrap();
        Sharded::sum_over_ranks(&mut [&mut product, &mut across]).unwrap();
        assert_eq!(backend.with_group(|group| Ok(group.traffic().calls)).unwrap(), calls + 1);
        assert_eq!((product.spread(), across.spread()), (None, None));
        let mut wanted = DenseMatrix::<f64>::from_fn(5, 2, |_, _| 0.0);
        wanted
            .gemm(Coefficient::ZERO, Coefficient::ONE, &sum(5, 4), Op::Plain, factor.local(), Op::Plain)
            .unwrap();
        let found = read(&|values| product.read(values).unwrap());
        assert!(found.iter().zip(wanted.values()).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        // Reading sums; what is written is the first rank's.
        let mut values = vec![0.0; 20];
        m.read(&mut values).unwrap();
        assert_eq!(values, sum(5, 4).values());
        values[0] = -0.0;
        m.write(&values).unwrap();
        let mut again = vec![1.0; 20];
        m.read(&mut again).unwrap();
        assert!(values.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()));
        // Neither a norm nor anything that is not linear, nor what is whole.
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let (x, mut whole) = (of(), backend.zeros(5, 4, None).unwrap());
        let mut square = backend.zeros(5, 5, None).unwrap();
        for outcome in [
            m.dot(&x).map(drop),
            m.max_abs().map(drop),
            m.sign_add(zero, one, &x),
            m.product_add(zero, one, &x, &x),
            m.quotient_add(zero, one, &x, &x, 1.0),
            whole.scale_add(zero, one, &x),
            square.gemm(zero, one, &x, Op::Plain, &x, Op::Transposed),
            // It would be lost whose this is.
            product.gemm(one, one, &x, Op::Plain, &factor, Op::Plain),
        ] {
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("distributed over ranks"), "{error}");
        }
        m.scale_add(one, one, &x).unwrap();
    });
}

/// A temporary that is given back is the next one: also that with the rows of a matrix whose columns are divided, which is whole.
#[test]
fn temporaries_are_reused() {
    on_ranks(2, |_, group| {
        let backend = Sharded::new(Dense::<f64>::new(), group);
        let zeros = |rows, cols| DenseMatrix::from_fn(rows, cols, |_, _| 0.0);
        let divided = |shape, axis, part| backend.divided(shape, axis, part).unwrap();
        let all = [
            divided((4, 6), Axis::Rows, zeros(2, 6)),
            divided((4, 6), Axis::Cols, zeros(4, 3)),
            backend.summand(zeros(4, 6)),
        ];
        let mut workspace = Workspace::new(backend.clone());
        for like in &all {
            for cols in [2, 6] {
                let first = workspace.take_like(like, cols).unwrap();
                let (place, spread) = (first.local().values().as_ptr(), first.spread());
                workspace.give(first);
                let again = workspace.take_like(like, cols).unwrap();
                assert_eq!(
                    (again.local().values().as_ptr(), again.spread()),
                    (place, spread),
                    "{like:?} {cols}"
                );
            }
        }
    });
}

/// Twenty steps of one process against itself: what the comparisons above are made with does move.
#[test]
fn the_steps_are_steps() {
    let (weights, before): (Weights<f64>, _) = (alone(&config(), 20), start());
    let moved = |(a, b): (&DenseMatrix<f64>, &DenseMatrix<f64>)| a.values() != b.values();
    let frozen = SHAPES.iter().map(|shape| shape.2 == Rule::Frozen);
    assert!(weights.iter().zip(&before).map(moved).zip(frozen).all(|(moved, frozen)| moved != frozen));
}
