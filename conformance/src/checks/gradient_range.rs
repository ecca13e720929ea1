//! Gradients of any size: squares and norms that leave the range of the elements.

use spectra_core::backend::{Backend, Element, Entrywise, ErrorKind, Gradient, Matrix, Scalar};
use spectra_core::dense::Dense;
use spectra_core::optimizer::{Config, Optimizer, Recipe, plan::Rule};
use spectra_core::rules::{Dots, UpdateRule};

use super::presets::{MODEL, gradients, initial, specs, take_step, upload_all};
use crate::distance::{entrywise_distance, max_error, same_bits, scalar_distance};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, Precision, tolerance};

/// Sizes from end to end of the normal range.
fn sizes<B: Backend>(subject: &Subject<B>) -> &'static [f64] {
    match subject.precision() {
        Precision::F32 => &[2e-38, 1e-30, 1e-22, 1e-10, 1.0, 1e10, 1e20, 1e22, 1e30, 3e38],
        Precision::F64 => &[3e-308, 1e-200, 1e-160, 1e-30, 1.0, 1e30, 1e150, 1e160, 1e250, 1e308],
    }
}

/// The smallest normal and the largest number.
fn range<B: Backend>(subject: &Subject<B>) -> (f64, f64) {
    match subject.precision() {
        Precision::F32 => (f32::MIN_POSITIVE.into(), f32::MAX.into()),
        Precision::F64 => (f64::MIN_POSITIVE, f64::MAX),
    }
}

/// `<X, X>` of entries of every size: right where the backend says that its sums are in double and the elements are not; else
/// right, or infinite above the range and anything from zero up to the sum below it.
///
/// Finds: sums in the element type that are said to be in double, a sum that wraps or is NaN, a square that is not zero where
/// it should vanish.
pub fn dot_range<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let largest = range(subject).1;
    for size in sizes(subject) {
        let x = HostMatrix::from_fn(9, 65, |row, col| if (row + col) % 2 == 0 { *size } else { -*size });
        let x = x.rounded(subject.precision());
        let device_x = subject.upload(&x)?;
        let (computed, exact) = (device_x.dot(&device_x)?.read()?, 585.0 * x.data[0] * x.data[0]);
        let close = scalar_distance(computed, exact, exact) <= tolerance::reduction(subject.precision(), 585);
        let is_wide = device_x.has_wide_dot() && subject.precision() == Precision::F32;
        let may_overflow = !is_wide && exact > largest / 2.0;
        // Products below the normal range lose up to all of it.
        let lost = 585.0 * range(subject).0;
        let may_vanish = !is_wide && exact < lost / B::Element::EPSILON;
        let holds = close
            || (may_overflow && computed == f64::INFINITY)
            || (may_vanish && computed >= 0.0 && computed <= exact + lost);
        judge.require(holds, format_args!("dot of entries of {size:e} with themselves is {computed:e}"))?;
    }
    judge.finish()
}

/// `max |x|` of entries of every size, up to the largest number: exact.
///
/// Finds: a maximum by squares, or by numbers of less range.
pub fn max_abs_range<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let largest = range(subject).1;
    for size in sizes(subject).iter().chain([&largest]) {
        let at = |row, col| if (row, col) == (4, 33) { -*size } else { *size / 4.0 };
        let x = HostMatrix::from_fn(9, 65, at).rounded(subject.precision());
        let computed = subject.upload(&x)?.max_abs()?.read()?;
        let holds = computed == x.max_abs();
        judge.require(holds, format_args!("max_abs of {size:e} and smaller entries is {computed:e}"))?;
    }
    judge.finish()
}

/// Rules with squares, and one without.
const RULES: [Entrywise; 3] = [
    Entrywise::Momentum { mu: 0.9, weight: 0.7, nesterov: true, sign: false },
    Entrywise::Adam { betas: (0.9, 0.99), eps: 1e-3, slow: None },
    Entrywise::Adam { betas: (0.8, 0.95), eps: 1e-3, slow: Some((0.99, 3.0)) },
];

/// [`Backend::entrywise_add`] with gradients of every size and a factor that brings them back to about one: the squares are
/// those of the product.
///
/// Finds: the square of the factor times that of the gradient, which overflows, or vanishes, where the product is one.
pub fn entrywise_factor_range<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (rows, cols) = (9, 65);
    judge.at(rows, cols);
    let (smallest, (beta, alpha)) = (4.0 * range(subject).0, (-1.5, 0.75));
    // Three moments (4 each) and the scaled gradient, share, sum, root, eps, quotient, alpha, beta, sum.
    let tolerance = tolerance::elementwise(subject.precision(), 21);
    for size in sizes(subject) {
        let factor = subject.precision().round((0.375 / size).clamp(smallest, 1.0 / smallest));
        let g = subject.random("gradient", rows, cols).map(|g| g.clamp(-1.0, 1.0) * size);
        let g = g.rounded(subject.precision());
        let old = ["weights", "first", "second", "slow"].map(|label| subject.random(label, rows, cols));
        let [x, m, v, s] = old;
        let v = v.map(|v| v * v).rounded(subject.precision());
        let (values, scale) = (subject.upload(&g)?, subject.scalar(factor)?);
        let gradient = Gradient::scaled(&values, &scale);
        for rule in RULES {
            let mut matrices = upload_all(subject, &[x.clone(), m.clone(), v.clone(), s.clone()])?;
            let (weights, workspace) = ((beta, alpha), &mut subject.workspace());
            let [dx, dm, dv, ds] = matrices.as_mut_slice() else {
                return Err(Failure::Suite { reason: "four matrices are not four".into() });
            };
            match rule.matrices() {
                2 => B::entrywise_add([dx, dm], weights, rule, &gradient, workspace)?,
                3 => B::entrywise_add([dx, dm, dv], weights, rule, &gradient, workspace)?,
                _ => B::entrywise_add([dx, dm, dv, ds], weights, rule, &gradient, workspace)?,
            }
            // Each with the sum of the absolute values that went into it, from the same formulas on absolute values.
            let scaled = g.map(|g| factor * g);
            let exact = stepped(rule, weights, [&x, &m, &v, &s], &scaled);
            let magnitudes = [&x, &m, &s].map(|old| old.map(f64::abs));
            let absolute = [&magnitudes[0], &magnitudes[1], &v, &magnitudes[2]];
            let size_of = stepped(rule, (beta.abs(), alpha.abs()), absolute, &scaled.map(f64::abs));
            for ((name, exact), ((_, size_of), computed)) in exact.iter().zip(size_of.iter().zip(&matrices)) {
                let error = entrywise_distance(&subject.download(computed)?, exact, size_of);
                let what = format!("{rule:?}, entries of {size:e} times {factor:e}: {name}");
                judge.compare(format_args!("{what}"), error, tolerance)?;
            }
        }
    }
    judge.finish()
}

/// The matrices of the rule after a step with this gradient.
fn stepped(
    rule: Entrywise,
    (beta, alpha): (f64, f64),
    [x, m, v, s]: [&HostMatrix; 4],
    g: &HostMatrix,
) -> Vec<(&'static str, HostMatrix)> {
    let average = |old: &HostMatrix, mu: f64, c: f64| old.zip(g, |old, g| mu * old + c * g);
    let weights = |direction: &HostMatrix| x.zip(direction, |x, d| beta * x + alpha * d);
    match rule {
        Entrywise::Momentum { mu, weight, .. } => {
            let m = average(m, mu, weight);
            vec![("weights", weights(&average(&m, mu, weight))), ("momentum", m)]
        }
        Entrywise::Lion { betas: (b1, b2) } => {
            let sign = average(m, b1, 1.0 - b1).map(|x| if x == 0.0 { 0.0 } else { x.signum() });
            vec![("weights", weights(&sign)), ("momentum", average(m, b2, 1.0 - b2))]
        }
        Entrywise::Adam { betas: (b1, b2), eps, slow } => {
            let (m, v) = (average(m, b1, 1.0 - b1), v.zip(g, |v, g| b2 * v + (1.0 - b2) * g * g));
            let s = slow.map(|(b3, a)| (average(s, b3, 1.0 - b3), a));
            let numerator = s.as_ref().map_or(m.clone(), |(s, a)| m.zip(s, |m, s| m + a * s));
            let direction = numerator.zip(&v, |n, v| n / (v.sqrt() + eps));
            let mut all = vec![("weights", weights(&direction)), ("first moment", m), ("second moment", v)];
            all.extend(s.map(|(s, _)| ("slow momentum", s)));
            all
        }
        Entrywise::Mars { .. } => unreachable!("its clip bounds what it is given"),
    }
}

const LR: f64 = 0.02;
const STEPS: usize = 3;

/// Ordinary gradients, but for one entry of the first parameter at the second step.
fn spiked<B: Backend>(subject: &Subject<B>, step: usize, spike: f64) -> Vec<HostMatrix> {
    let mut gradients = gradients(subject, step);
    if step == 2 {
        gradients[0].data[7] = spike;
    }
    gradients
}

/// The factor of a clip to norm 1, for entries of any size.
fn clip_factor(gradients: &[HostMatrix]) -> f64 {
    let live = || MODEL.iter().zip(gradients).filter(|((.., rule), _)| *rule != Rule::Frozen);
    let largest = live().map(|(_, gradient)| gradient.max_abs()).fold(0.0, f64::max);
    let norm = |gradient: &HostMatrix| gradient.map(|g| g / largest).frobenius_norm();
    let squares: f64 = live().map(|(_, gradient)| norm(gradient).powi(2)).sum();
    (1.0 / (largest * squares.sqrt() + 1e-6)).min(1.0)
}

/// Three steps with a norm clip of 1, an entry of any size in the second: those of the gradients scaled beforehand in double
/// precision, and a state that can be saved.
///
/// Finds: a second moment that has become infinite, a norm that overflows or vanishes, a factor with lost digits.
pub fn norm_clip_range<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    // Maps keep their documented accuracy, of updates with entries up to ten rates, and weights of size one are rounded.
    let (accuracy, unit) =
        (tolerance::documented_accuracy(subject.precision()), subject.precision().unit_roundoff());
    let tolerance = STEPS as f64 * (10.0 * LR * 8.0 * accuracy + 8.0 * unit);
    for preset in ["adamw", "ademamix", "mars", "signum", "sgd-m", "muon", "spectra", "spectra-adamw"] {
        for (index, spike) in sizes(subject).iter().enumerate() {
            // Without a look at the norm in every fourth case.
            let config = Config::preset(preset)?.lr(LR).check_finite(index % 4 != 3);
            let mut clipped = Optimizer::new(subject.backend().clone(), config.clip_norm(1.0), specs())?;
            let mut weights = upload_all(subject, &initial(subject))?;
            let exact = Subject::new(Dense::<f64>::new());
            let mut reference = Optimizer::new(Dense::new(), config, specs())?;
            let mut exact_weights = upload_all(&exact, &initial(subject))?;
            for step in 1..=STEPS {
                let gradients: Vec<HostMatrix> =
                    spiked(subject, step, *spike).iter().map(|g| g.rounded(subject.precision())).collect();
                let factor = clip_factor(&gradients);
                let scaled: Vec<HostMatrix> = gradients.iter().map(|g| g.map(|g| factor * g)).collect();
                take_step(&mut clipped, &mut weights, &upload_all(subject, &gradients)?)?;
                take_step(&mut reference, &mut exact_weights, &upload_all(&exact, &scaled)?)?;
                for (index, (name, (rows, cols), _)) in MODEL.into_iter().enumerate() {
                    judge.at(rows, cols);
                    let computed = subject.download(&weights[index])?;
                    let exact = exact.download(&exact_weights[index])?;
                    let error = max_error(&computed.data, &exact.data) * exact.max_abs();
                    let what = format!("{preset}, an entry of {spike:e}, {name} after step {step}");
                    judge.compare(format_args!("{what}"), error, tolerance)?;
                }
            }
            for (name, slot, buffer) in clipped.buffers() {
                let finite = subject.download(buffer)?.data.iter().all(|x| x.is_finite());
                let what = format!("{preset}, an entry of {spike:e}: {} of {name} is finite", slot);
                judge.require(finite, format_args!("{what}"))?;
            }
        }
    }
    judge.finish()
}

/// Without a clip, gradients at half of the recipe's limit give finite weights and state; above it they are refused by the
/// parameter's name, and nothing has changed.
///
/// Finds: a maximum that does not reach so far, a state that was updated before the check.
pub fn gradient_too_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let one = subject.upload(&HostMatrix::identity(1))?;
    let dots = Dots { known: one.dot(&one)?.known().is_some(), wide: one.has_wide_dot() };
    for preset in ["adamw", "ademamix", "mars", "signum", "sgd-m", "muon", "spectra", "spectra-adamw"] {
        let recipe = Recipe::preset(preset)?;
        let (name, shape, _) = MODEL[0];
        judge.at(shape.0, shape.1);
        let limits = UpdateRule::<B>::gradient_limits(&recipe, shape, dots);
        for (share, taken) in [(0.5, true), (1.5, false)] {
            let config = Config::new(recipe).lr(1e-3);
            let mut optimizer = Optimizer::new(subject.backend().clone(), config, specs())?;
            let mut weights = upload_all(subject, &initial(subject))?;
            for step in 1..=4 {
                let mut gradients = gradients(subject, step);
                if step > 1 {
                    let (largest, norm) = (gradients[0].max_abs(), gradients[0].frobenius_norm());
                    let size = share * (limits.entry / largest).min(limits.norm / norm);
                    gradients[0] = gradients[0].map(|g| size * g).rounded(subject.precision());
                }
                let before = contents(subject, &optimizer, &weights)?;
                let what = format!("{preset}, step {step}, gradients at {share} of the limit");
                match take_step(&mut optimizer, &mut weights, &upload_all(subject, &gradients)?) {
                    Ok(()) => judge.require(taken || step == 1, format_args!("{what}: refused"))?,
                    Err(error) => {
                        let about_range = matches!(error.kind(), ErrorKind::Range { .. });
                        let named = about_range && error.parameter() == Some(name);
                        judge.require(!taken && step == 2 && named, format_args!("{what}: {error}"))?;
                        let after = contents(subject, &optimizer, &weights)?;
                        let same = before.iter().zip(&after).all(|(a, b)| same_bits(a, b));
                        let same = same && before.len() == after.len() && optimizer.steps() == 1;
                        judge.require(same, format_args!("{what}: nothing has changed"))?;
                        break;
                    }
                }
                let contents = contents(subject, &optimizer, &weights)?;
                let finite = contents.iter().all(|matrix| matrix.data.iter().all(|x| x.is_finite()));
                judge.require(finite, format_args!("{what}: weights and state are finite"))?;
            }
        }
    }
    judge.finish()
}

/// Weights and state.
fn contents<B: Backend>(
    subject: &Subject<B>,
    optimizer: &Optimizer<B>,
    weights: &[B::Matrix],
) -> Result<Vec<HostMatrix>, Failure> {
    let buffers = optimizer.buffers().map(|(_, _, matrix)| matrix);
    weights.iter().chain(buffers).map(|matrix| subject.download(matrix)).collect()
}
