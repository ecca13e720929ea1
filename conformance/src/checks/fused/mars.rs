//! MARS's step, whose gradient is clipped by a norm.

use spectra_core::backend::{Backend, Entrywise};

use super::Factor;
use super::rule::{Numbers, advance, allowed, entrywise};
use crate::HostMatrix;
use crate::distance::scalar_distance;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// Numbers that are small enough not to be clipped and such that are, large matrices that no block divides among them.
///
/// Finds: a correction with the wrong sign or of the wrong weight, no clip, a clip by the square of the norm or by that of a part, a last gradient that
/// is not kept, or kept without its factor, moments of the gradient before its clip.
pub fn mars_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in [(1, 1), (7, 65), (300, 257), (5003, 61)] {
        judge.at(rows, cols);
        for (size, weight) in [(1e-4, 0.475), (10.0, 0.475), (10.0, 0.0)] {
            for numbers in [(0.0, -1.0 / 3.0, 0.3), (0.7, 1.1, 1.0)] {
                let case = Case::new(subject, (rows, cols), size, weight);
                let what = format!("MARS on {rows} x {cols} of size {size}, w {weight}, {numbers:?}");
                let computed = case.step(subject, numbers)?;
                let default = case.step(&subject.required_only(), numbers)?;
                case.compare(&mut judge, subject, numbers, &what, (&computed, &default))?;
            }
        }
    }
    judge.finish()
}

const BETAS: (f64, f64) = (0.95, 0.99);
const EPS: f64 = 1e-8;

/// The gradient is positive and the last one negative: nothing cancels in C.
struct Case {
    weight: f64,
    x: HostMatrix,
    m: HostMatrix,
    v: HostMatrix,
    last: HostMatrix,
    gradient: HostMatrix,
}

impl Case {
    fn new<B: Backend>(subject: &Subject<B>, (rows, cols): (usize, usize), size: f64, weight: f64) -> Self {
        let random = |label| subject.random(label, rows, cols);
        let of_size =
            |label, sign: f64| random(label).map(|x| sign * size * (2.0 + x)).rounded(subject.precision());
        Self {
            weight,
            x: random("weights"),
            m: random("first"),
            v: random("second").map(|x| x * x).rounded(subject.precision()),
            last: of_size("last", -1.0),
            gradient: of_size("gradient", 1.0),
        }
    }

    fn rule(&self) -> Entrywise {
        Entrywise::Mars { betas: BETAS, eps: EPS, weight: self.weight }
    }

    fn step<B: Backend>(
        &self,
        subject: &Subject<B>,
        (beta, alpha, factor): Numbers,
    ) -> Result<Vec<HostMatrix>, Failure> {
        let (rows, cols) = self.x.shape();
        let place =
            |x: &HostMatrix, read| if read { subject.upload(x) } else { subject.unreadable(rows, cols) };
        let mut matrices = vec![
            place(&self.x, beta != 0.0)?,
            place(&self.m, true)?,
            place(&self.v, true)?,
            place(&self.last, self.weight != 0.0)?,
        ];
        let (values, factor) = (subject.upload(&self.gradient)?, Factor::new(subject, factor)?);
        entrywise(subject, &mut matrices, (beta, alpha), self.rule(), &values, &factor)?;
        matrices.iter().map(|matrix| subject.download(matrix)).collect()
    }

    fn compare<B: Backend>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        (beta, alpha, factor): Numbers,
        what: &str,
        (computed, default): (&[HostMatrix], &[HostMatrix]),
    ) -> Result<(), Failure> {
        let g = self.gradient.map(|g| factor * g);
        let c = g.zip(&self.last, |g, last| (1.0 + self.weight) * g - self.weight * last);
        let clip = (1.0 / c.frobenius_norm()).min(1.0);
        let adam = Entrywise::Adam { betas: BETAS, eps: EPS, slow: None };
        // Three roundings of C and two of its clip; V has its square.
        let of_norm = tolerance::reduction(subject.precision(), c.data.len()) / 2.0
            + tolerance::elementwise(subject.precision(), 6)
            + tolerance::coefficients(subject.precision());
        let tolerance = allowed(subject) + 2.0 * of_norm;
        let (mut errors, mut differences) = ([0.0f64; 4], [0.0f64; 4]);
        for (index, c) in c.data.iter().enumerate() {
            let old = [self.x.data[index], self.m.data[index], self.v.data[index], 0.0];
            let exact = advance(adam, (beta, alpha, clip), old, *c, tolerance);
            for which in 0..4 {
                let value = computed[which].data[index];
                let (right, size) = match which {
                    3 => (g.data[index], g.data[index].abs()),
                    _ => (exact[which].value, exact[which].size),
                };
                let error = scalar_distance(value, right, size);
                let difference = scalar_distance(value, default[which].data[index], size);
                for (worst, new) in [(&mut errors, error), (&mut differences, difference)] {
                    worst[which] = if new.is_nan() { f64::INFINITY } else { worst[which].max(new) };
                }
            }
        }
        for (which, name) in
            ["weights", "first moment", "second moment", "last gradient"].into_iter().enumerate()
        {
            judge.compare(format_args!("{what}: {name}"), errors[which], tolerance)?;
            judge.compare(
                format_args!("{what}: {name}, as its default"),
                differences[which],
                2.0 * tolerance,
            )?;
        }
        Ok(())
    }
}
