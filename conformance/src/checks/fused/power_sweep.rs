//! The sweep of the power iteration.

use spectra_core::backend::{Backend, Gradient, Matrix, Scalar};

use super::wide_range_inputs;
use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance, scalar_distance};
use crate::inputs::Input;
use crate::oracle::{absolute_product, dot, product, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

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
    let factor = subject.scalar(GRADIENT_FACTOR)?;
    let (plain, scaled) = (Gradient::new(&g), Gradient::scaled(&g, &factor));
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
