//! Polar Express in four programs.

use spectra_core::backend::Backend;
use spectra_core::linalg::{Normalization, Polar, Published, Steps};

use crate::distance::max_error;
use crate::golden::{Golden, names};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// The authors' coefficients in five, eight and ten steps, those of microsoft/dion and modded-nanogpt, NVIDIA's in five and eight; and the
/// exact factor.
///
/// Finds: a stretch of the last polynomial, a table that begins again, a norm in place of a guarded one.
pub fn golden_polar_express<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let workspace = &mut subject.workspace();
    for name in names("peer_polar_express_")? {
        let case = &Golden::load(&name)?;
        let safety = case.hyper_number("paper_safety")?;
        check_paper_digits(case, safety)?;
        check_digits(case, "dion_coeffs", Published::PolarExpressShort)?;
        check_digits(case, "nvidia_coeffs", Published::PolarExpressNvidia)?;
        let added = |factor, eps| Normalization::Added { factor, eps };
        let paper = Polar { normalization: added(safety, 1e-7), ..Polar::POLAR_EXPRESS_PAPER };
        let dion = case.hyper_number("dion_safety")?;
        let short = Polar { normalization: added(dion, 1e-6), ..Polar::POLAR_EXPRESS_SHORT };
        let steps = |polar: Polar, steps| Polar { steps: Steps::Fixed(steps), ..polar };
        let x = case.inputs().matrix("X")?;
        judge.at(x.rows, x.cols);
        let (x, mut out) = (subject.upload(&x)?, subject.upload(&x)?);
        for (output, polar) in [
            ("polar_exact", Polar::EXACT),
            ("paper_steps5", steps(paper, 5)),
            ("paper_steps8", steps(paper, 8)),
            ("paper_steps10", steps(paper, 10)),
            ("dion5", short),
            ("modded5", short),
            ("nvidia_steps5", steps(Polar::POLAR_EXPRESS_NVIDIA, 5)),
            ("nvidia_steps8", Polar::POLAR_EXPRESS_NVIDIA),
        ] {
            polar.apply(&x, &mut out, workspace)?;
            let golden = case.outputs().matrix(output)?;
            let tolerance = tolerance::golden(subject.precision(), case.tolerance_of(output)?);
            let error = max_error(&subject.download(&out)?.data, &golden.data);
            judge.compare(format_args!("{} {output}", case.name), error, tolerance)?;
        }
        case.finish()?;
    }
    judge.finish()
}

/// The case has the digits of a published set.
pub(super) fn check_digits(case: &Golden, name: &str, set: Published) -> Result<(), Failure> {
    for (step, row) in case.hyper_rows(name)?.into_iter().enumerate() {
        let p = set.polynomial(step);
        if row != [p.a, p.b, p.c] {
            return Err(Failure::Suite {
                reason: format!("{}: step {step} of {name} is {row:?}", case.name),
            });
        }
    }
    Ok(())
}

/// The paper's are stretched by `safety`, but for the last.
fn check_paper_digits(case: &Golden, safety: f64) -> Result<(), Failure> {
    let rows = case.hyper_rows("paper_coeffs_before_safety")?;
    for (step, row) in rows.iter().enumerate() {
        let p = Published::PolarExpress.polynomial(step);
        let stretch = if step + 1 < rows.len() { safety } else { 1.0 };
        let stretched: Vec<f64> =
            row.iter().zip([1, 3, 5]).map(|(x, power)| x / stretch.powi(power)).collect();
        // Three roundings of the powers.
        let same =
            stretched.iter().zip([p.a, p.b, p.c]).all(|(x, y)| (x - y).abs() <= 4.0 * f64::EPSILON * x.abs());
        if !same {
            let reason = format!("{}: step {step} of the paper's is {row:?}", case.name);
            return Err(Failure::Suite { reason });
        }
    }
    Ok(())
}
