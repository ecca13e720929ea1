//! The directions of [`spectra_core::directions`] on the backend, against their formulas in double precision.

use spectra_core::backend::{Backend, Gradient};
use spectra_core::directions::{
    AdEmaMix, Adam, Direction, DirectionRule, Lion, Mars, Momentum, Signum, Target,
};
use spectra_core::state::State;

use crate::distance::entrywise_distance;
use crate::oracle::ReferenceDirection;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, tolerance};

const STEPS: usize = 30;
const SHAPES: [(usize, usize); 3] = [(9, 65), (33, 8), (1, 1)];

/// A gradient whose first entry is zero at every step and whose last one changes its size by orders of magnitude.
fn gradient<B: Backend>(subject: &Subject<B>, (rows, cols): (usize, usize), step: usize) -> HostMatrix {
    let mut gradient = subject.random(&format!("gradient {step}"), rows, cols);
    if let [first, .., last] = gradient.data.as_mut_slice() {
        *first = 0.0;
        *last *= 10_f64.powi(step as i32 % 7 - 3);
    }
    gradient.rounded(subject.precision())
}

/// Thirty steps: the direction alone, or added to what is there; every third gradient comes with a factor that the norm
/// clip has left on the device.
fn compare<B: Backend>(judge: &mut Judge, subject: &Subject<B>, rule: Direction) -> Result<(), Failure> {
    DirectionRule::<B>::validate(&rule)?;
    for shape in SHAPES {
        judge.at(shape.0, shape.1);
        let workspace = &mut subject.workspace();
        let mut state = State::default();
        let mut reference = ReferenceDirection::new(rule, subject.precision(), shape);
        let factor = subject.scalar(0.75)?;
        for step in 1..=STEPS {
            let what = format!("{rule:?}, {} x {}, step {step}", shape.0, shape.1);
            let values = gradient(subject, shape, step);
            let device_values = subject.upload(&values)?;
            let (device_gradient, values) = if step % 3 == 0 {
                (Gradient::scaled(&device_values, &factor), values.map(|g| 0.75 * g))
            } else {
                (Gradient::new(&device_values), values)
            };
            let directed = reference.advance(&values, 0.0)?;

            let (beta, alpha) = if step % 2 == 0 { (0.0, 1.0) } else { (-0.5, 2.0) };
            let old = subject.random("weights", shape.0, shape.1);
            let mut out =
                if beta == 0.0 { subject.unreadable(shape.0, shape.1)? } else { subject.upload(&old)? };
            let target = Target { out: &mut out, beta, alpha };
            DirectionRule::<B>::advance(&rule, &mut state, &device_gradient, step as u64, target, workspace)?;

            let exact = directed.value.zip(&old, |direction, old| beta * old + alpha * direction);
            let rounding = tolerance::elementwise(subject.precision(), 4);
            let sum = directed.value.zip(&old, |direction, old| (beta * old).abs() + alpha * direction.abs());
            let bound = directed.error.zip(&sum, |error, sum| alpha * error + rounding * sum);
            // Entries are exact where nothing has been rounded: a sum of zeros.
            let error = entrywise_distance(&subject.download(&out)?, &exact, &bound);
            judge.compare(format_args!("{what}"), error, 1.0)?;
        }
    }
    Ok(())
}

fn compare_all<B: Backend>(subject: &Subject<B>, rules: &[Direction]) -> Outcome {
    let mut judge = Judge::new();
    for rule in rules {
        compare(&mut judge, subject, *rule)?;
    }
    judge.finish()
}

/// Polyak's momentum and Nesterov's, each with the gradient whole and weighed by `1 - mu`, and none at all.
///
/// Finds: an average where there is a sum, a look-ahead from the old momentum, a factor of the gradient left out.
pub fn direction_momentum<B: Backend>(subject: &Subject<B>) -> Outcome {
    let rules = [
        (0.95, false, false),
        (0.9, false, true),
        (0.9, true, false),
        (0.95, true, true),
        (0.0, false, false),
    ];
    let rules =
        rules.map(|(mu, nesterov, averaged)| Direction::Momentum(Momentum { mu, nesterov, averaged }));
    compare_all(subject, &rules)
}

/// The sign of the momentum, of which 0 is one.
///
/// Finds: a sign of zero that is not zero, the sign of the gradient.
pub fn direction_signum<B: Backend>(subject: &Subject<B>) -> Outcome {
    let rules =
        [(0.95, false), (0.95, true)].map(|(mu, nesterov)| Direction::Signum(Signum { mu, nesterov }));
    compare_all(subject, &rules)
}

/// Lion with its authors' betas and with equal ones.
///
/// Finds: the sign of the new momentum, one beta for both blends.
pub fn direction_lion<B: Backend>(subject: &Subject<B>) -> Outcome {
    let rules = [Lion::PAPER, Lion { beta1: 0.95, beta2: 0.95 }, Lion { beta1: 0.0, beta2: 0.9 }];
    compare_all(subject, &rules.map(Direction::Lion))
}

/// Adam with three memories and two sizes of eps.
///
/// Finds: a missing bias correction, eps inside the root or left uncorrected, the factor of the gradient not squared.
pub fn direction_adam<B: Backend>(subject: &Subject<B>) -> Outcome {
    let rules = [
        Adam::PYTORCH,
        Adam { beta1: 0.9, beta2: 0.95, eps: 1e-3 },
        Adam { beta1: 0.0, beta2: 0.99, eps: 1e-8 },
    ];
    compare_all(subject, &rules.map(Direction::Adam))
}

/// AdEMAMix, at once and with both warm-ups.
///
/// Finds: a bias correction of the slow momentum, its weight inside the root, warm-ups that end a step early.
pub fn direction_ademamix<B: Backend>(subject: &Subject<B>) -> Outcome {
    let adam = Adam { eps: 1e-3, ..Adam::PYTORCH };
    let warmed = AdEmaMix { adam, alpha_warmup: 10, beta3_warmup: 20, ..AdEmaMix::PAPER };
    compare_all(subject, &[AdEmaMix::PAPER, warmed].map(Direction::AdEmaMix))
}

/// MARS with the paper's weak and a strong correction.
///
/// Finds: the gradient of two steps ago, the corrected gradient kept in its place, a clip by the entries.
pub fn direction_mars<B: Backend>(subject: &Subject<B>) -> Outcome {
    compare_all(subject, &[Mars::PAPER, Mars { gamma: 0.1, ..Mars::PAPER }].map(Direction::Mars))
}
