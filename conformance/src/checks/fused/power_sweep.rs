//! The sweep of the power iteration.

use spectra_core::backend::{Backend, Fused, Scalar};

use super::{Factor, wide_range_inputs};
use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance, scalar_distance};
use crate::inputs::Input;
use crate::oracle::{absolute_product, dot, product, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// The sweep of the power iteration: momentum update, `P`, its Gram matrix, `Z` and the norm.
///
/// Finds: products with the momentum before its update, the scale applied once too often or too rarely, a gradient factor
/// left out, a sweep over blocks that loses its last block or keeps an old sum, the norm in place of its square, a momentum
/// that is read though its memory is zero, a coefficient of half the width.
pub fn power_sweep<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        for rank in [1, 3, 8] {
            for update in Update::ALL {
                for alpha in [1.0, 0.3] {
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Update {
    None,
    Plain,
    Scaled,
    /// With a memory of zero: the old momentum is not to be read.
    Replace,
}

impl Update {
    pub(super) const ALL: [Self; 4] = [Self::None, Self::Plain, Self::Scaled, Self::Replace];

    /// mu and the gradient's factor.
    pub(super) fn numbers(self) -> (f64, f64) {
        match self {
            Self::None => (1.0, 0.0),
            Self::Plain => (0.9, 1.0),
            Self::Scaled => (0.9, 0.3),
            Self::Replace => (0.0, 0.3),
        }
    }
}

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
    let device_v = subject.upload(&v)?;
    let mut m = match update {
        Update::Replace => subject.unreadable(rows, cols)?,
        _ => subject.upload(&input.matrix)?,
    };
    let (mut p, mut gram) = (subject.unreadable(rows, rank)?, subject.unreadable(rank, rank)?);
    let mut z = subject.unreadable(cols, rank)?;

    let (mu, factor) = update.numbers();
    let (g, scale) = (subject.upload(&gradient_values)?, Factor::new(subject, factor)?);
    let gradient = scale.gradient(&g);
    let step = (update != Update::None).then_some((mu, &gradient));
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
        let coefficients = tolerance::coefficients(precision);
        let allowed = tolerance::elementwise(precision, 3) + coefficients;
        judge.compare(format_args!("{what}: momentum"), error, allowed)?;

        let p = product(&self.m, &self.v).map(|entry| self.alpha * entry);
        let p_scale = self.alpha * absolute_product(&self.m, &self.v).frobenius_norm();
        let error = relative_distance(&self.p, &p, p_scale);
        judge.compare(
            format_args!("{what}: P"),
            error,
            tolerance::product(precision, cols) + coefficients,
        )?;

        // P may be rounded to its storage type after the sums over its unrounded entries: two more roundings.
        let over_rows = tolerance::product(precision, rows) + tolerance::elementwise(precision, 2);
        let gram_scale = absolute_product(&self.p.transposed(), &self.p).frobenius_norm();
        let error = relative_distance(&self.gram, &product_tn(&self.p, &self.p), gram_scale);
        judge.compare(format_args!("{what}: P^T P"), error, over_rows)?;

        let z = product_tn(&self.m, &self.p).map(|entry| self.alpha * entry);
        let z_scale = self.alpha * absolute_product(&self.m.transposed(), &self.p).frobenius_norm();
        let error = relative_distance(&self.z, &z, z_scale);
        judge.compare(format_args!("{what}: Z"), error, over_rows + coefficients)?;

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
            + 3.0 * tolerance::coefficients(precision)
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
