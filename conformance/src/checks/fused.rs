//! Fused operations: provided methods that a backend may override for speed.
//!
//! Each is held against the exact result, and against its own default form on the same device.

use spectra_core::backend::{Backend, Gradient, Matrix, Scalar};

use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance, scalar_distance};
use crate::inputs::{Family, Input};
use crate::oracle::{absolute_product, dot, product, product_nt, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

/// The AdamW pass: both moments and the weights, with and without a device factor on the gradient.
///
/// Finds: moments exchanged, a factor of the gradient that is not squared, `1 - beta` taken of the other beta or
/// computed in low precision, eps inside the root, the weights updated with the old moments.
pub fn adam_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        let cases = adam_cases(subject, input)?;
        let defaults = adam_cases(&subject.required_only(), input)?;
        for (case, default) in cases.iter().zip(&defaults) {
            for ((what, computed, exact, scale), (_, default, ..)) in case.iter().zip(default) {
                // The longest chain, that of the weights: both moments (4 each), root, eps, quotient, alpha, beta, sum.
                let tolerance = tolerance::elementwise(subject.precision(), 14);
                let error = entrywise_distance(computed, exact, scale);
                judge.compare(format_args!("adam_add on {}: {what}", input.name), error, tolerance)?;
                let difference = entrywise_distance(computed, default, scale);
                judge.compare(
                    format_args!("adam_add on {}: {what}, as its default", input.name),
                    difference,
                    tolerance,
                )?;
            }
        }
    }
    judge.finish()
}

/// What, computed, exact, scale of each entry's rounding error.
type Compared = (String, HostMatrix, HostMatrix, HostMatrix);

fn adam_cases<B: Backend>(subject: &Subject<B>, input: &Input) -> Result<Vec<Vec<Compared>>, Failure> {
    let (b1, b2, eps) = (0.9, 0.999, 1e-8);
    let precision = subject.precision();
    let (rows, cols) = input.matrix.shape();
    let random = |label| subject.random(label, rows, cols);
    let (old, first, root) = (random("weights"), random("first moment"), random("second moment"));
    let second = root.map(|entry| entry * entry).rounded(precision);
    let (factor, square) = (0.375, 0.140_625);
    let (device_factor, device_square) = (subject.scalar(factor)?, subject.scalar(square)?);

    let mut cases = Vec::new();
    for weights in Weights::all(subject)? {
        for scaled in [false, true] {
            let (mut x, mut m, mut v) =
                (subject.upload(&old)?, subject.upload(&first)?, subject.upload(&second)?);
            let g = subject.upload(&input.matrix)?;
            let gradient =
                if scaled { Gradient::scaled(&g, &device_factor, &device_square) } else { Gradient::new(&g) };
            x.adam_add(weights.beta(), weights.alpha(), &mut m, &mut v, &gradient, (b1, b2), eps)?;

            let factor = if scaled { factor } else { 1.0 };
            let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
            let first_exact = first.zip(&input.matrix, |m, g| b1 * m + (1.0 - b1) * factor * g);
            let first_scale =
                first.zip(&input.matrix, |m, g| (b1 * m).abs() + ((1.0 - b1) * factor * g).abs());
            let second_exact = second.zip(&input.matrix, |v, g| b2 * v + (1.0 - b2) * (factor * g).powi(2));
            let updated = |old: &HostMatrix, first: &HostMatrix, alpha: f64, beta: f64| {
                let step = first.zip(&second_exact, |m, v| alpha * m / (v.sqrt() + eps));
                old.zip(&step, |old, step| beta * old + step)
            };
            let weights_exact = updated(&old, &first_exact, alpha, beta);
            let weights_scale = updated(&old.map(f64::abs), &first_scale, alpha.abs(), beta.abs());
            let name = |what| format!("{what}, {weights}, factor {factor}");
            cases.push(vec![
                (name("first moment"), subject.download(&m)?, first_exact, first_scale),
                (name("second moment"), subject.download(&v)?, second_exact.clone(), second_exact.clone()),
                (name("weights"), subject.download(&x)?, weights_exact, weights_scale),
            ]);
        }
    }
    Ok(cases)
}

/// The sweep of the power iteration: momentum update, `P`, its Gram matrix, `Z` and the norm.
///
/// Finds: products with the momentum before its update, the scale applied once too often or too rarely, a gradient factor
/// left out, a sweep over blocks that loses its last block or keeps an old sum, the norm in place of its square.
pub fn power_sweep<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        for rank in [1, 3, 8] {
            for update in [Update::None, Update::Plain, Update::Scaled] {
                for alpha in [1.0, 0.25] {
                    let what =
                        format!("power_sweep on {}, k = {rank}, {update:?}, alpha = {alpha}", input.name);
                    let sweep = sweep(subject, input, rank, update, alpha)?;
                    sweep.compare_with_exact(&mut judge, subject, &what)?;
                    let default = sweep_of_default(subject, input, rank, update, alpha)?;
                    sweep.compare_with_default(&mut judge, subject, &what, &default)?;
                }
            }
        }
    }
    judge.finish()
}

#[derive(Clone, Copy, Debug)]
enum Update {
    None,
    Plain,
    Scaled,
}

const MU: f64 = 0.875;
const GRADIENT_FACTOR: f64 = 0.375;

struct Sweep {
    alpha: f64,
    v: HostMatrix,
    m: HostMatrix,
    exact_m: HostMatrix,
    scale_m: HostMatrix,
    p: HostMatrix,
    gram: HostMatrix,
    z: HostMatrix,
    norm_squared: f64,
}

fn sweep_of_default<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rank: usize,
    update: Update,
    alpha: f64,
) -> Result<Sweep, Failure> {
    sweep(&subject.required_only(), input, rank, update, alpha)
}

fn sweep<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rank: usize,
    update: Update,
    alpha: f64,
) -> Result<Sweep, Failure> {
    let (rows, cols) = input.matrix.shape();
    let v = subject.random("V", cols, rank);
    let gradient_values = subject.random("gradient", rows, cols);
    let (mut m, device_v) = (subject.upload(&input.matrix)?, subject.upload(&v)?);
    let (mut p, mut gram) = (subject.unreadable(rows, rank)?, subject.unreadable(rank, rank)?);
    let mut z = subject.unreadable(cols, rank)?;

    let g = subject.upload(&gradient_values)?;
    let (factor, square) =
        (subject.scalar(GRADIENT_FACTOR)?, subject.scalar(GRADIENT_FACTOR * GRADIENT_FACTOR)?);
    let (plain, scaled) = (Gradient::new(&g), Gradient::scaled(&g, &factor, &square));
    let (step, mu, factor) = match update {
        Update::None => (None, 1.0, 0.0),
        Update::Plain => (Some((MU, &plain)), MU, 1.0),
        Update::Scaled => (Some((MU, &scaled)), MU, GRADIENT_FACTOR),
    };
    let norm_squared = m.power_sweep(step, alpha, &device_v, &mut p, &mut gram, &mut z)?.read()?;
    Ok(Sweep {
        alpha,
        v,
        m: subject.download(&m)?,
        exact_m: input.matrix.zip(&gradient_values, |m, g| mu * m + factor * g),
        scale_m: input.matrix.zip(&gradient_values, |m, g| mu * m.abs() + factor * g.abs()),
        p: subject.download(&p)?,
        gram: subject.download(&gram)?,
        z: subject.download(&z)?,
        norm_squared,
    })
}

impl Sweep {
    /// Each output against the exact function of the outputs before it: no error is counted twice, and the
    /// condition of the input does not matter.
    fn compare_with_exact<B: Backend>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        what: &str,
    ) -> Result<(), Failure> {
        let precision = subject.precision();
        let (rows, cols) = self.m.shape();
        let error = entrywise_distance(&self.m, &self.exact_m, &self.scale_m);
        judge.compare(format_args!("{what}: momentum"), error, tolerance::elementwise(precision, 3))?;

        let p = product(&self.m, &self.v).map(|entry| self.alpha * entry);
        let p_scale = self.alpha * absolute_product(&self.m, &self.v).frobenius_norm();
        let error = relative_distance(&self.p, &p, p_scale);
        judge.compare(format_args!("{what}: P"), error, tolerance::product(precision, cols))?;

        // P may be rounded to its storage type after the sums over its unrounded entries: two more roundings.
        let over_rows = tolerance::product(precision, rows) + tolerance::elementwise(precision, 2);
        let gram_scale = absolute_product(&self.p.transposed(), &self.p).frobenius_norm();
        let error = relative_distance(&self.gram, &product_tn(&self.p, &self.p), gram_scale);
        judge.compare(format_args!("{what}: P^T P"), error, over_rows)?;

        let z = product_tn(&self.m, &self.p).map(|entry| self.alpha * entry);
        let z_scale = self.alpha * absolute_product(&self.m.transposed(), &self.p).frobenius_norm();
        let error = relative_distance(&self.z, &z, z_scale);
        judge.compare(format_args!("{what}: Z"), error, over_rows)?;

        let exact = dot(self.m.data.iter().map(|&entry| (entry, entry)));
        let error = scalar_distance(self.norm_squared, exact, exact);
        judge.compare(format_args!("{what}: norm"), error, tolerance::reduction(precision, rows * cols))
    }

    fn compare_with_default<B: Backend>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        what: &str,
        default: &Self,
    ) -> Result<(), Failure> {
        let precision = subject.precision();
        let (rows, cols) = self.m.shape();
        // Both momenta, products over columns, then over rows may differ by their tolerances.
        let chain = tolerance::elementwise(precision, 3)
            + tolerance::product(precision, cols)
            + tolerance::product(precision, rows);
        let size_m = self.scale_m.frobenius_norm();
        let size_p = self.alpha * size_m * self.v.frobenius_norm();
        let outputs = [
            ("momentum", &self.m, &default.m, size_m),
            ("P", &self.p, &default.p, size_p),
            ("P^T P", &self.gram, &default.gram, size_p * size_p),
            ("Z", &self.z, &default.z, self.alpha * size_m * size_p),
        ];
        for (output, own, default, scale) in outputs {
            let difference = relative_distance(own, default, scale);
            judge.compare(format_args!("{what}: {output}, as its default"), difference, 4.0 * chain)?;
        }
        Ok(())
    }
}

/// `self = beta self + alpha (X - L R^T)`.
///
/// Finds: a sum in place of the difference, the right factor not transposed, alpha or beta applied to one part only.
pub fn low_rank_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        for rank in [1, 3] {
            let cases = low_rank_cases(subject, input, rank)?;
            let defaults = low_rank_cases(&subject.required_only(), input, rank)?;
            for ((what, computed, exact, scale), (_, default, ..)) in cases.iter().zip(&defaults) {
                let what = format!("low_rank_add on {}, k = {rank}, {what}", input.name);
                let tolerance = tolerance::product(subject.precision(), rank + 1);
                let error = relative_distance(computed, exact, *scale);
                judge.compare(format_args!("{what}"), error, tolerance)?;
                let difference = relative_distance(computed, default, *scale);
                judge.compare(format_args!("{what}, as its default"), difference, 2.0 * tolerance)?;
            }
        }
    }
    judge.finish()
}

fn low_rank_cases<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rank: usize,
) -> Result<Vec<(String, HostMatrix, HostMatrix, f64)>, Failure> {
    let (rows, cols) = input.matrix.shape();
    let (left, right) = (subject.random("left", rows, rank), subject.random("right", cols, rank));
    let old = subject.random("old", rows, cols);
    let (l, r, x) = (subject.upload(&left)?, subject.upload(&right)?, subject.upload(&input.matrix)?);
    let correction = product_nt(&left, &right);
    let difference = input.matrix.zip(&correction, |x, low_rank| x - low_rank);
    let difference_scale =
        input.matrix.frobenius_norm() + absolute_product(&left, &right.transposed()).frobenius_norm();
    let mut cases = Vec::new();
    for weights in Weights::all(subject)? {
        let mut target = if weights.output_is_unread() {
            subject.unreadable(rows, cols)?
        } else {
            subject.upload(&old)?
        };
        target.low_rank_add(weights.beta(), weights.alpha(), &x, &l, &r)?;
        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let exact = old.zip(&difference, |old, difference| beta * old + alpha * difference);
        let scale = beta.abs() * old.frobenius_norm() + alpha.abs() * difference_scale;
        cases.push((weights.to_string(), subject.download(&target)?, exact, scale));
    }
    Ok(cases)
}

/// The ordinary inputs whose squares every precision can hold.
fn wide_range_inputs<B: Backend>(subject: &Subject<B>) -> impl Iterator<Item = &'static Input> {
    subject.ordinary_inputs().filter(|input| input.family != Family::Extreme)
}
