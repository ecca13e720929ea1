//! The rules that work entry by entry.

use spectra_core::backend::{Backend, Entrywise};

use super::rule::{Before, Numbers, adam, entrywise};
use super::wide_range_inputs;
use crate::HostMatrix;
use crate::inputs::every_short_row;
use crate::suite::{Judge, Outcome, Subject};

/// Each kind of rule, and each memory of zero, which promises that its state is not read: by itself and with others.
pub(crate) const RULES: [Entrywise; 19] = [
    Entrywise::Momentum { mu: 0.875, weight: 1.0, nesterov: false, sign: false },
    Entrywise::Momentum { mu: 0.9, weight: 0.1, nesterov: true, sign: false },
    Entrywise::Momentum { mu: 0.95, weight: 1.0, nesterov: false, sign: true },
    Entrywise::Momentum { mu: 0.95, weight: 1.0, nesterov: true, sign: true },
    Entrywise::Momentum { mu: 0.0, weight: 0.3, nesterov: false, sign: false },
    Entrywise::Momentum { mu: 0.0, weight: 1.0, nesterov: true, sign: false },
    Entrywise::Momentum { mu: 0.0, weight: 1.0, nesterov: true, sign: true },
    Entrywise::Adam { betas: (0.9, 0.999), eps: 1e-8, slow: None },
    Entrywise::Adam { betas: (0.0, 0.999), eps: 1e-8, slow: None },
    Entrywise::Adam { betas: (0.9, 0.0), eps: 1e-8, slow: None },
    Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-3, slow: Some((0.999, 7.3)) },
    Entrywise::Adam { betas: (0.0, 0.99), eps: 1e-8, slow: Some((0.999, 8.0)) },
    Entrywise::Adam { betas: (0.9, 0.0), eps: 1e-8, slow: Some((0.999, 8.0)) },
    Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-8, slow: Some((0.0, 8.0)) },
    Entrywise::Adam { betas: (0.0, 0.0), eps: 1e-8, slow: Some((0.0, 0.5)) },
    Entrywise::Lion { betas: (0.9, 0.99) },
    Entrywise::Lion { betas: (0.0, 0.99) },
    Entrywise::Lion { betas: (0.9, 0.0) },
    Entrywise::Lion { betas: (0.0, 0.0) },
];

/// Weights that are not to be read, that stay, and neither; most are no short fractions.
const WEIGHTS: [Numbers; 3] = [(0.0, -1.0 / 3.0, 0.3), (1.0, -0.5, 1.0), (0.7, 1.1, 0.3)];

/// A step of every entrywise rule: all state and the weights.
///
/// Finds: states exchanged, a look-ahead from the old momentum or left out, the sign of the momentum in place of the
/// look-ahead's, Lion's of the new momentum, a slow part with another memory or share, a factor of the gradient left out or not squared, weights
/// updated with the old state, a state or weights read that are promised not to be, a coefficient of half the width.
pub fn entrywise_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        let before = Before::with(subject, input.matrix.clone());
        for rule in RULES {
            for numbers in WEIGHTS {
                let computed = before.step(subject, rule, numbers, entrywise)?;
                let default = before.step(&subject.required_only(), rule, numbers, entrywise)?;
                let what = format!("entrywise_add, {rule:?} with {numbers:?} on {}", input.name);
                before.compare(&mut judge, subject, (rule, numbers), &what, &computed, Some(&default))?;
            }
        }
    }
    judge.finish()
}

/// Large matrices that no block, thread or launch divides. At more than a million entries the slow part's rule, with everything
/// that the others have, momentum and Lion stand for all.
const SHAPES: [(usize, usize); 4] = [(300, 1100), (5003, 61), (65_537, 1), (1, 1_048_669)];

/// [`entrywise_add()`] on large matrices and on rows of every short length, with entries whose variance is zero.
///
/// Finds: a last block, row or vector left out of a state, rows or entries beyond what an index or a launch holds.
pub fn entrywise_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (index, shape) in SHAPES.into_iter().chain(every_short_row()).enumerate() {
        judge.at(shape.0, shape.1);
        let before = beside_zeros(subject, shape);
        let rules = match shape.0 * shape.1 {
            1_000_000.. => vec![RULES[1], RULES[3], RULES[7], RULES[10], RULES[15]],
            _ => RULES.to_vec(),
        };
        for (offset, rule) in rules.into_iter().enumerate() {
            let numbers = WEIGHTS[(index + offset) % WEIGHTS.len()];
            let computed = before.step(subject, rule, numbers, entrywise)?;
            let what = format!("entrywise_add, {rule:?} with {numbers:?} on {} x {}", shape.0, shape.1);
            before.compare(&mut judge, subject, (rule, numbers), &what, &computed, None)?;
        }
    }
    judge.finish()
}

/// [`adam_add`](super::adam_add()) on large matrices and on rows of every short length, with entries whose variance is zero.
///
/// Finds: what [`entrywise_add_large`] finds.
pub fn adam_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (index, shape) in SHAPES.into_iter().chain(every_short_row()).enumerate() {
        judge.at(shape.0, shape.1);
        let before = beside_zeros(subject, shape);
        for betas in [(0.9, 0.999), (0.0, 0.99), (0.9, 0.0)] {
            let rule = Entrywise::Adam { betas, eps: 1e-8, slow: None };
            let (beta, alpha, _) = WEIGHTS[index % WEIGHTS.len()];
            let numbers = (beta, alpha, 1.0);
            let computed = before.step(subject, rule, numbers, adam)?;
            let what = format!("adam_add, {betas:?} with {numbers:?} on {} x {}", shape.0, shape.1);
            before.compare(&mut judge, subject, (rule, numbers), &what, &computed, None)?;
        }
    }
    judge.finish()
}

/// A gradient and a state of which every seventh entry is zero.
fn beside_zeros<B: Backend>(subject: &Subject<B>, (rows, cols): (usize, usize)) -> Before {
    let zeros = |matrix: &mut HostMatrix| matrix.data.iter_mut().step_by(7).for_each(|entry| *entry = 0.0);
    let mut gradient = subject.random("gradient", rows, cols);
    zeros(&mut gradient);
    let mut before = Before::with(subject, gradient);
    zeros(&mut before.matrices[2]);
    before
}
