//! One backend, used from two threads at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;

use spectra_core::backend::Backend;

use super::bench::{Bench, LARGE, SMALL, calls};
use super::calls::same;
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Calls of each operation on small and on large matrices. A race has to be met: many short ones meet it.
const ROUNDS: [((usize, usize, usize), usize); 2] = [(SMALL, 1500), (LARGE, 3)];

/// Every operation from two threads at once, each with matrices of its own on a handle of its own to the same backend: each call
/// gives what it gives on a single thread. Needs a subject whose backend [can be sent](Subject::on_threads).
///
/// Finds: a temporary, a coefficient or a partial sum in memory that all handles share.
pub fn two_threads<B: Backend>(subject: &Subject<B>) -> Outcome {
    match subject.threads() {
        Some(race) => race(subject),
        None => Err(Failure::Suite {
            reason: "nothing says whether the backend is Send: Subject::on_threads does".to_owned(),
        }),
    }
}

/// [`two_threads`], for backends that are not `Send`.
pub(crate) fn on_one<B: Backend>(_: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    judge.require(true, format_args!("the backend is not Send: the compiler keeps it on one thread"))?;
    judge.finish()
}

/// [`two_threads`], for backends that can be sent.
pub(crate) fn race<B: Backend + Send>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (shape, rounds) in ROUNDS {
        // Two variants for each thread: what they have in common must not hide what they share.
        let variants = [[2u64, 7], [4, 9]];
        let mut expected = Vec::new();
        for (_, call) in calls::<B>() {
            let mut bench = Bench::new(subject.clone(), shape);
            let mut alone = |variant| call(&mut bench, variant);
            let [[a, b], [c, d]] = variants;
            expected.push([[alone(a)?, alone(b)?], [alone(c)?, alone(d)?]]);
        }
        let barrier = Barrier::new(2);
        let run = |which: usize, handle: Subject<B>| {
            let mut bench = Bench::new(handle, shape);
            let mut first: Option<Failure> = None;
            for ((name, call), expected) in calls::<B>().into_iter().zip(&expected) {
                barrier.wait();
                for round in 0..rounds {
                    let turn = round % 2;
                    // Whoever panics must still meet the other at the next operation.
                    let result = catch_unwind(AssertUnwindSafe(|| call(&mut bench, variants[which][turn])));
                    let wrong = match result {
                        Ok(Ok(computed)) if same(&computed, &expected[which][turn]) => continue,
                        Ok(Ok(_)) => Failure::Rule {
                            what: format!(
                                "{name}: call {round} on thread {which} gives what it gives on a single thread"
                            ),
                        },
                        Ok(Err(failure)) => failure,
                        Err(_) => {
                            Failure::Rule { what: format!("{name}: call {round} on thread {which} panicked") }
                        }
                    };
                    first.get_or_insert(wrong);
                }
            }
            first
        };
        let (one, other) = (subject.clone(), subject.clone());
        let failures = thread::scope(|scope| {
            let run = &run;
            let threads = [scope.spawn(move || run(0, one)), scope.spawn(move || run(1, other))];
            threads.map(|thread| thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
        });
        if let Some(failure) = failures.into_iter().flatten().next() {
            return Err(failure);
        }
        let holds =
            format_args!("all operations on {} x {}, k = {}, from two threads", shape.0, shape.1, shape.2);
        judge.require(true, holds)?;
    }
    judge.finish()
}
