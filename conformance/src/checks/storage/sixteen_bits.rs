//! Matrices that are kept in 16 bits.

use spectra_core::backend::{Backend, Element, ErrorKind, Fused, Matrix, Scalar};
use spectra_core::linalg::SixteenBits;

use crate::HostMatrix;
use crate::checks::fused::{Factor, RULES, entrywise};
use crate::distance::{entrywise_distance, relative_distance, same_bits, scalar_distance};
use crate::oracle::{absolute_product, dot, product, product_nt, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// Matrices in bf16, as a momentum may be kept: zeros at first, the nearest numbers of the type after a write and after every operation, the numbers
/// that are stored as operands, among them those of the same sweep. A backend that keeps none says so by the setting's name.
///
/// Finds: full width under another name, f16 for bf16, rounding towards zero, products with a momentum that is not yet rounded.
pub fn sixteen_bits<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    match subject.backend().zeros_stored(FORMAT, (3, 2), None) {
        Ok(_) => {}
        Err(error) => {
            let by_name =
                matches!(error.kind(), ErrorKind::Name { name, .. } if &**name == "momentum_format");
            judge.require(by_name, format_args!("16 bits are refused by name, not by: {error}"))?;
            return judge.finish();
        }
    }
    for (rows, cols) in [(1, 1), (7, 65), (300, 257), (30, 2100), (0, 3)] {
        judge.at(rows, cols);
        let case = Case::new(subject, rows, cols)?;
        case.transfers(&mut judge)?;
        if rows == 0 {
            continue;
        }
        case.accumulates(&mut judge)?;
        case.low_rank(&mut judge)?;
        for rank in [3, 33] {
            case.sweep(&mut judge, rank)?;
        }
    }
    for rule in RULES {
        Case::new(subject, 13, 101)?.entrywise(&mut judge, rule)?;
    }
    judge.finish()
}

const FORMAT: SixteenBits = SixteenBits::Bf16;

struct Case<'s, B: Backend> {
    subject: &'s Subject<B>,
    /// Positive numbers of the type, and any.
    m: HostMatrix,
    x: HostMatrix,
}

impl<'s, B: Backend> Case<'s, B> {
    fn new(subject: &'s Subject<B>, rows: usize, cols: usize) -> Result<Self, Failure> {
        let m = nearest(&subject.random("momentum", rows, cols).map(|x| 1.0 + x.abs()));
        Ok(Self { subject, m, x: subject.random("operand", rows, cols) })
    }

    fn narrow(&self, values: &HostMatrix) -> Result<B::Matrix, Failure> {
        let mut matrix = self.subject.backend().zeros_stored(FORMAT, (values.rows, values.cols), None)?;
        matrix.write(&values.data.iter().map(|x| B::Element::narrow(*x)).collect::<Vec<_>>())?;
        Ok(matrix)
    }

    fn transfers(&self, judge: &mut Judge) -> Result<(), Failure> {
        let (rows, cols) = self.x.shape();
        let zeros = self.subject.backend().zeros_stored(FORMAT, (rows, cols), None)?;
        judge.require(
            zeros.shape() == (rows, cols),
            format_args!("{rows} x {cols} in 16 bits has its shape"),
        )?;
        let holds = same_bits(&self.subject.download(&zeros)?, &HostMatrix::zeros(rows, cols));
        judge.require(holds, format_args!("{rows} x {cols} in 16 bits begins as zeros"))?;
        let read = self.subject.download(&self.narrow(&self.x)?)?;
        judge.require(same_bits(&read, &nearest(&self.x)), format_args!("a write rounds to the nearest"))
    }

    /// `M = beta M + alpha X`, rounded once, and `X = beta X + alpha M`.
    fn accumulates(&self, judge: &mut Judge) -> Result<(), Failure> {
        let (beta, alpha) = (0.7, 1.1);
        let mut m = self.narrow(&self.m)?;
        let mut x = self.subject.upload(&self.x)?;
        m.scale_add(beta.into(), alpha.into(), &x)?;
        let exact = self.m.zip(&self.x, |m, x| beta * m + alpha * x);
        let size = self.m.zip(&self.x, |m, x| beta * m.abs() + alpha * x.abs());
        self.rounded(judge, "scale_add", &m, (&exact, &size))?;
        let stored = self.subject.download(&m)?;
        x.scale_add(beta.into(), alpha.into(), &m)?;
        let exact = self.x.zip(&stored, |x, m| beta * x + alpha * m);
        let allowed = tolerance::elementwise(self.subject.precision(), 3)
            + tolerance::coefficients(self.subject.precision());
        let error = relative_distance(&self.subject.download(&x)?, &exact, size.frobenius_norm() * 2.0);
        judge.compare(format_args!("what is added of a matrix in 16 bits"), error, allowed)
    }

    /// The numbers of the type nearest to `exact`, but for the error of an arithmetic of which `size` are the parts.
    fn rounded(
        &self,
        judge: &mut Judge,
        what: &str,
        computed: &B::Matrix,
        (exact, size): (&HostMatrix, &HostMatrix),
    ) -> Result<(), Failure> {
        let computed = self.subject.download(computed)?;
        judge.require(
            same_bits(&computed, &nearest(&computed)),
            format_args!("{what} leaves numbers of 16 bits"),
        )?;
        let arithmetic = tolerance::elementwise(self.subject.precision(), 3)
            + tolerance::coefficients(self.subject.precision());
        let allowed = exact.zip(size, |x, size| HALF_UNIT * x.abs() + arithmetic * size);
        let error = entrywise_distance(&computed, exact, &allowed);
        judge.compare(format_args!("{what}, in half units of 16 bits"), error, 1.0)
    }

    fn sweep(&self, judge: &mut Judge, rank: usize) -> Result<(), Failure> {
        let (subject, (rows, cols)) = (self.subject, self.m.shape());
        let host_v = subject.random("V", cols, rank);
        let (mu, factor, alpha) = (0.9, 0.3, 0.7);
        for update in [false, true] {
            let (mut m, v) = (self.narrow(&self.m)?, subject.upload(&host_v)?);
            let (mut p, mut gram) = (subject.unreadable(rows, rank)?, subject.unreadable(rank, rank)?);
            let mut z = subject.unreadable(cols, rank)?;
            let (g, scale) = (subject.upload(&self.x)?, Factor::new(subject, factor)?);
            let gradient = scale.gradient(&g);
            let norm =
                m.power_sweep(update.then_some((mu, &gradient)), alpha, &v, &mut p, &mut gram, &mut z)?;
            if update {
                let exact = self.m.zip(&self.x, |m, g| mu * m + factor * g);
                let size = self.m.zip(&self.x, |m, g| mu * m.abs() + factor * g.abs());
                self.rounded(judge, "the momentum of a sweep", &m, (&exact, &size))?;
            }
            let (m, p, z) = (subject.download(&m)?, subject.download(&p)?, subject.download(&z)?);
            let exact = product(&m, &host_v).map(|x| alpha * x);
            let size = alpha * absolute_product(&m, &host_v).frobenius_norm();
            let coefficients = tolerance::coefficients(subject.precision());
            let allowed = tolerance::product(subject.precision(), cols) + coefficients;
            judge.compare(
                format_args!("P of the rounded momentum"),
                relative_distance(&p, &exact, size),
                allowed,
            )?;
            let exact = product_tn(&m, &p).map(|x| alpha * x);
            let size = alpha * absolute_product(&m.transposed(), &p).frobenius_norm();
            // P may be rounded to its storage type after the sums over its unrounded entries.
            let allowed = tolerance::product(subject.precision(), rows)
                + tolerance::elementwise(subject.precision(), 2)
                + coefficients;
            judge.compare(
                format_args!("Z of the rounded momentum"),
                relative_distance(&z, &exact, size),
                allowed,
            )?;
            let exact = dot(m.data.iter().map(|&entry| (entry, entry)));
            let allowed = tolerance::reduction(subject.precision(), rows * cols);
            judge.compare(format_args!("its norm"), scalar_distance(norm.read()?, exact, exact), allowed)?;
        }
        Ok(())
    }

    /// `X = beta X + alpha (M - L R^T)`
    fn low_rank(&self, judge: &mut Judge) -> Result<(), Failure> {
        let (subject, (rows, cols), rank) = (self.subject, self.m.shape(), 5);
        let (left, right) = (subject.random("left", rows, rank), subject.random("right", cols, rank));
        let (beta, alpha) = (0.9, -0.3);
        let (l, r) = (subject.upload(&left)?, subject.upload(&right)?);
        let mut out = subject.upload(&self.x)?;
        out.low_rank_add(beta.into(), alpha.into(), &self.narrow(&self.m)?, &l, &r)?;
        let difference = self.m.zip(&product_nt(&left, &right), |m, low_rank| m - low_rank);
        let exact = self.x.zip(&difference, |x, difference| beta * x + alpha * difference);
        let size = self.m.frobenius_norm() + absolute_product(&left, &right.transposed()).frobenius_norm();
        let size = beta * self.x.frobenius_norm() + alpha.abs() * size;
        let allowed =
            tolerance::product(subject.precision(), rank + 1) + tolerance::coefficients(subject.precision());
        let error = relative_distance(&subject.download(&out)?, &exact, size);
        judge.compare(format_args!("low_rank_add of a matrix in 16 bits"), error, allowed)
    }

    /// A step with the momentum in 16 bits beside one without: the momentum rounded, and a direction of the momentum before its rounding or
    /// after it. All numbers are positive, so that half a unit of M is half a unit of every part.
    fn entrywise(&self, judge: &mut Judge, rule: spectra_core::backend::Entrywise) -> Result<(), Failure> {
        let (subject, (rows, cols), weights) = (self.subject, self.m.shape(), (0.7, 1.1));
        let positive = self.x.map(|x| 1.0 + x.abs());
        let gradient = subject.upload(&positive)?;
        let factor = Factor::new(subject, 0.3)?;
        let states =
            (2..rule.matrices()).map(|i| subject.random("state", rows, cols).map(|x| i as f64 + x.abs()));
        let states: Vec<_> = states.collect();
        let mut steps = Vec::new();
        for m in [subject.upload(&self.m)?, self.narrow(&self.m)?] {
            let mut matrices = vec![subject.upload(&self.x)?, m];
            for state in &states {
                matrices.push(subject.upload(state)?);
            }
            entrywise(subject, &mut matrices, weights, rule, &gradient, &factor)?;
            steps.push(matrices);
        }
        let [full, narrow] = steps.as_slice() else { unreachable!("two steps") };
        let full = full.iter().map(|x| subject.download(x)).collect::<Result<Vec<_>, _>>()?;
        self.rounded(judge, &format!("{rule:?}"), &narrow[1], (&full[1], &full[1]))?;
        let old = self.x.map(|x| weights.0 * x);
        let x = subject.download(&narrow[0])?;
        let step = full[0].zip(&old, |new, old| (new - old).abs());
        let slack = 8.0 * tolerance::elementwise(subject.precision(), 3);
        let allowed = old.zip(&step, |old, step| slack * (old.abs() + step) + HALF_UNIT * step);
        let error = entrywise_distance(&x, &full[0], &allowed);
        judge.compare(format_args!("the step of {rule:?}, in half units of 16 bits"), error, 1.0)
    }
}

/// bf16 has 8 bits: half a unit in the last place, relative to the number.
const HALF_UNIT: f64 = 1.0 / 256.0;

fn nearest(x: &HostMatrix) -> HostMatrix {
    x.map(|x| FORMAT.from_bits(FORMAT.to_bits(x)))
}
