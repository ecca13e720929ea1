//! The rules that work entry by entry.

use spectra_core::backend::{Backend, Entrywise, Gradient};

use super::wide_range_inputs;
use crate::HostMatrix;
use crate::distance::entrywise_distance;
use crate::inputs::Input;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// Each kind of rule, and the memories of zero that promise that a state is not read.
const RULES: [Entrywise; 8] = [
    Entrywise::Momentum { mu: 0.875, weight: 1.0, nesterov: false, sign: false },
    Entrywise::Momentum { mu: 0.875, weight: 0.125, nesterov: true, sign: false },
    Entrywise::Momentum { mu: 0.95, weight: 1.0, nesterov: false, sign: true },
    Entrywise::Momentum { mu: 0.95, weight: 1.0, nesterov: true, sign: true },
    Entrywise::Momentum { mu: 0.0, weight: 1.0, nesterov: true, sign: false },
    Entrywise::Adam { betas: (0.9, 0.999), eps: 1e-8, slow: None },
    Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-3, slow: Some((0.999, 8.0)) },
    Entrywise::Adam { betas: (0.0, 0.0), eps: 1e-8, slow: Some((0.0, 0.5)) },
];

/// `beta`, `alpha`, the gradient's factor: weights that are not to be read, that stay, and neither.
const WEIGHTS: [(f64, f64, f64); 3] = [(0.0, 1.0, 0.375), (1.0, -0.5, 1.0), (-1.5, 0.75, 0.375)];

/// A step of every entrywise rule: all state and the weights.
///
/// Finds: states exchanged, a look-ahead from the old momentum or left out, the sign of the momentum in place of the
/// look-ahead's, a slow part with another memory or share, a factor of the gradient left out or not squared, weights
/// updated with the old state, a state or weights read that are promised not to be.
pub fn entrywise_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    // The longest chain, that of the weights with a slow part: three moments (4 each), share, sum, root, eps, quotient, alpha,
    // beta, sum.
    let tolerance = tolerance::elementwise(subject.precision(), 20);
    for input in wide_range_inputs(subject) {
        judge.on(input);
        for rule in RULES {
            for weights in WEIGHTS {
                let exact = exact(subject, input, rule, weights, tolerance);
                let computed = step(subject, input, rule, weights)?;
                let default = step(&subject.required_only(), input, rule, weights)?;
                for (((name, exact, scale), computed), default) in exact.iter().zip(&computed).zip(&default) {
                    let what = format!("{rule:?} with {weights:?} on {}: {name}", input.name);
                    let error = entrywise_distance(computed, exact, scale);
                    judge.compare(format_args!("{what}"), error, tolerance)?;
                    let difference = entrywise_distance(computed, default, scale);
                    judge.compare(format_args!("{what}, as its default"), difference, 2.0 * tolerance)?;
                }
            }
        }
    }
    judge.finish()
}

/// `X`, `M`, `V`, `S` before the step.
fn before<B: Backend>(subject: &Subject<B>, (rows, cols): (usize, usize)) -> [HostMatrix; 4] {
    let [x, m, v, s] = ["weights", "first", "second", "slow"].map(|label| subject.random(label, rows, cols));
    [x, m, v.map(|entry| entry * entry).rounded(subject.precision()), s]
}

/// The factors of the old `X`, `M`, `V`, `S`; of those that the rule has.
fn memories(rule: Entrywise, beta: f64) -> Vec<f64> {
    match rule {
        Entrywise::Momentum { mu, .. } => vec![beta, mu],
        Entrywise::Adam { betas: (b1, b2), slow, .. } => {
            [beta, b1, b2].into_iter().chain(slow.map(|(b3, _)| b3)).collect()
        }
    }
}

/// The rule's matrices after the step.
fn step<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rule: Entrywise,
    (beta, alpha, factor): (f64, f64, f64),
) -> Result<Vec<HostMatrix>, Failure> {
    let shape = input.matrix.shape();
    let place = |(old, memory): (&HostMatrix, f64)| {
        if memory == 0.0 { subject.unreadable(shape.0, shape.1) } else { subject.upload(old) }
    };
    let old = before(subject, shape);
    let memories = memories(rule, beta);
    let mut matrices = old.iter().zip(memories).map(place).collect::<Result<Vec<_>, _>>()?;
    let values = subject.upload(&input.matrix)?;
    let device_factor = subject.scalar(factor)?;
    let gradient =
        if factor == 1.0 { Gradient::new(&values) } else { Gradient::scaled(&values, &device_factor) };
    let (weights, gradient, workspace) = ((beta, alpha), &gradient, &mut subject.workspace());
    match matrices.as_mut_slice() {
        [x, m] => B::entrywise_add([x, m], weights, rule, gradient, workspace)?,
        [x, m, v] => B::entrywise_add([x, m, v], weights, rule, gradient, workspace)?,
        [x, m, v, s] => B::entrywise_add([x, m, v, s], weights, rule, gradient, workspace)?,
        _ => return Err(Failure::Suite { reason: format!("{rule:?} with matrices that it does not have") }),
    }
    matrices.iter().map(|matrix| subject.download(matrix)).collect()
}

/// A matrix, and the sum of the absolute values that went into each entry.
type Sized = (HostMatrix, HostMatrix);

/// `a x + b y`
fn combine(a: f64, x: &Sized, b: f64, y: &Sized) -> Sized {
    let size = |x: f64, y: f64| a.abs() * x + b.abs() * y;
    (x.0.zip(&y.0, |x, y| a * x + b * y), x.1.zip(&y.1, size))
}

/// What, exact, scale of each entry's rounding error: of all matrices after the step.
fn exact<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rule: Entrywise,
    (beta, alpha, factor): (f64, f64, f64),
    tolerance: f64,
) -> Vec<(&'static str, HostMatrix, HostMatrix)> {
    let sized = |value: HostMatrix| (value.clone(), value.map(f64::abs));
    let [x, m, v, s] = before(subject, input.matrix.shape()).map(sized);
    let g = sized(input.matrix.map(|g| factor * g));
    let (states, direction) = match rule {
        Entrywise::Momentum { mu, weight, nesterov, sign } => {
            let m = combine(mu, &m, weight, &g);
            let ahead = if nesterov { combine(mu, &m, weight, &g) } else { m.clone() };
            let direction = if sign { sign_of(&ahead, tolerance) } else { ahead };
            (vec![("momentum", m)], direction)
        }
        Entrywise::Adam { betas: (b1, b2), eps, slow } => {
            let m = combine(b1, &m, 1.0 - b1, &g);
            let v = combine(b2, &v, 1.0 - b2, &sized(g.0.map(|g| g * g)));
            let denominator = v.0.map(|v| v.sqrt() + eps);
            let (mut numerator, mut states) = (m.clone(), vec![("first moment", m), ("second moment", v)]);
            if let Some((b3, a)) = slow {
                let s = combine(b3, &s, 1.0 - b3, &g);
                numerator = combine(1.0, &numerator, a, &s);
                states.push(("slow momentum", s));
            }
            let over = |x: HostMatrix| x.zip(&denominator, |n, d| n / d);
            (states, (over(numerator.0), over(numerator.1)))
        }
    };
    let weights = combine(beta, &x, alpha, &direction);
    let named = [("weights", weights)].into_iter().chain(states);
    named.map(|(name, (exact, scale))| (name, exact, scale)).collect()
}

/// -1, 0 or 1. Where rounding can turn the sign either will do; a sum of zeros is zero.
fn sign_of((value, size): &Sized, tolerance: f64) -> Sized {
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    let scale = |value: f64, size: f64| {
        if value.abs() > tolerance * size || size == 0.0 { sign(value).abs() } else { 2.0 / tolerance }
    };
    (value.map(sign), value.zip(size, scale))
}
