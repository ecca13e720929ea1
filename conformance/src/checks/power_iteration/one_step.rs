//! What one call must leave.

use spectra_core::backend::{Backend, Gradient};
use spectra_core::linalg::SubspaceForm;

use super::support::{
    Difficulty, Iterated, compare_left_basis, compare_projection, compare_triangle, difficulty, inputs_for,
    ranks, start,
};
use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance, scalar_distance};
use crate::inputs::Family;
use crate::oracle::{
    Svd, column_condition, orthonormal_basis, polar_values, product, product_nt, product_tn,
};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// One iteration in the paper's form: U is the QR factor of `M V`, `W = M^T U`, V has W's columns at unit length.
/// Together they determine the result.
///
/// Finds: columns normalised before they are orthogonal, `M^T V` in place of `M^T U`, V left as it was, singular values
/// that are squares.
pub fn power_iteration_paper<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, Difficulty::Moderate, &[SubspaceForm::ColumnNorms])
}

/// One iteration in the exact form: U still spans `M V`, the columns of `W = M^T U` are orthogonal and decreasing, and
/// `U V^T` is the polar factor of `U U^T M`.
///
/// Finds: a rotation of U or of W only, column norms where an inverse square root is due.
pub fn power_iteration_exact<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, Difficulty::Moderate, &[SubspaceForm::Exact])
}

/// Both forms where the columns of `M V` are so nearly dependent that their Gram matrix has no accurate Cholesky factor.
///
/// Finds: lost orthogonality, lost directions, a W that is no longer `M^T U`.
pub fn power_iteration_ill_conditioned<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, Difficulty::IllConditioned, &[SubspaceForm::ColumnNorms, SubspaceForm::Exact])
}

/// Both forms at the ends of the range; see [`Subject::extreme_inputs`].
///
/// Finds: norms that overflow or vanish, a scale that is not taken back.
pub fn power_iteration_extreme<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, Difficulty::Extreme, &[SubspaceForm::ColumnNorms, SubspaceForm::Exact])
}

/// One iteration in the paper's form with the paper's k of 61, and with 67, on large matrices.
///
/// Finds: rows, columns or directions left out of a fused iteration in a last tile, block or thread.
pub fn power_iteration_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols, k) in [(300, 1100, 61), (1100, 300, 67), (5003, 67, 5)] {
        judge.at(rows, cols);
        let m = subject.random("large", rows, cols);
        let v0 = start(subject, &m, k);
        let condition = column_condition(&product(&m, &v0))?;
        let what = format!("power iteration on {rows} x {cols}, k = {k}");
        let iterated = Iterated::run(subject, &m, &v0, 1, SubspaceForm::ColumnNorms)?;
        compare_left_basis(&mut judge, subject, &what, &m, &v0, &iterated.u)?;
        compare_projection(&mut judge, subject, &what, &m, condition, &iterated)?;
        compare_triangle(&mut judge, subject, &what, &m, &v0, &iterated.u)?;
    }
    judge.finish()
}

/// The backend's iteration against the default one on its required methods: the same projection and the same norm.
///
/// Finds: a fused iteration that differs from the one every other backend runs.
pub fn power_iteration_as_its_default<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let precision = subject.precision();
    for input in inputs_for(subject, Difficulty::Moderate)? {
        judge.on(input);
        let m = &input.matrix;
        for k in ranks(m.min_extent()) {
            let v0 = start(subject, m, k);
            let (difficulty, condition) = difficulty(subject, input, &v0)?;
            for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
                if difficulty != Difficulty::Moderate {
                    continue;
                }
                let what = format!("power iteration on {}, k = {k}, {form:?}, as its default", input.name);
                let own = Iterated::run(subject, m, &v0, 1, form)?;
                let default = Iterated::run(&subject.required_only(), m, &v0, 1, form)?;
                // Each may turn the subspace, and round W, by its tolerance; the default's W carries the condition.
                let (norm, shape) = (m.frobenius_norm(), m.shape());
                let angle = tolerance::subspace_angle(precision, shape, k, condition);
                let tolerance = 2.0 * (angle + condition * tolerance::projection(precision, shape));
                let (own_spike, default_spike) =
                    (product_nt(&own.u, &own.w), product_nt(&default.u, &default.w));
                let error = relative_distance(&own_spike, &default_spike, norm);
                judge.compare(format_args!("{what}: U W^T"), error, tolerance)?;
                let (own, default) = (own.norm_squared, default.norm_squared);
                let overflowed = own == f64::INFINITY && default == f64::INFINITY;
                if !overflowed {
                    let error = scalar_distance(own, default, default);
                    let tolerance = 2.0 * tolerance::reduction(precision, m.data.len());
                    judge.compare(format_args!("{what}: ||M||^2"), error, tolerance)?;
                }
            }
        }
    }
    judge.finish()
}

fn on_inputs<B: Backend>(subject: &Subject<B>, wanted: Difficulty, forms: &[SubspaceForm]) -> Outcome {
    let mut judge = Judge::new();
    for input in inputs_for(subject, wanted)? {
        judge.on(input);
        for k in ranks(input.matrix.min_extent()) {
            let v0 = start(subject, &input.matrix, k);
            let (difficulty, condition) = difficulty(subject, input, &v0)?;
            for form in forms.iter().filter(|_| difficulty == wanted) {
                let what = format!("power iteration on {}, k = {k}, {form:?}", input.name);
                let iterated = Iterated::run(subject, &input.matrix, &v0, 1, *form)?;
                compare_left_basis(&mut judge, subject, &what, &input.matrix, &v0, &iterated.u)?;
                compare_projection(&mut judge, subject, &what, &input.matrix, condition, &iterated)?;
                match form {
                    SubspaceForm::ColumnNorms => {
                        compare_triangle(&mut judge, subject, &what, &input.matrix, &v0, &iterated.u)?;
                    }
                    SubspaceForm::Exact => {
                        compare_exact(&mut judge, subject, &what, &input.matrix, &iterated)?
                    }
                }
            }
        }
    }
    judge.finish()
}

/// The columns of W are orthogonal and decreasing, and `U V^T` is the polar factor of `U U^T M`.
fn compare_exact<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    m: &HostMatrix,
    iterated: &Iterated,
) -> Result<(), Failure> {
    let Iterated { u, w, v, .. } = iterated;
    let k = w.cols;
    let tolerance = tolerance::orthonormality(subject.precision(), (m.cols, k));
    let squares: Vec<f64> = w.column_norms().iter().map(|norm| norm * norm).collect();
    let diagonal = HostMatrix::identity(k).scaled_columns(&squares);
    let largest = squares.iter().copied().fold(0.0, f64::max);
    let error = relative_distance(&product_tn(w, w), &diagonal, largest);
    judge.compare(format_args!("{what}: W has orthogonal columns"), error, tolerance)?;
    let decreasing = squares.windows(2).all(|pair| pair[1] <= pair[0] + tolerance * largest);
    judge.require(decreasing, format_args!("{what}: W's columns decrease"))?;

    // V inherits the error of W's Gram matrix times the condition of W squared.
    let svd = Svd::of(w)?;
    let condition = svd.sigma[0] / svd.sigma[k - 1];
    let tolerance = tolerance * condition * condition;
    if tolerance < 0.1 {
        // U U^T M = Q (R U^T M) with U = Q R: the polar factor is Q times that of a thin matrix.
        let q = orthonormal_basis(u)?;
        let thin = Svd::of(&product(&product_tn(&q, u), &product_tn(u, m)))?;
        let polar = product(&q, &thin.with_values(&polar_values(thin.sigma.len(), k)));
        let error = relative_distance(&product_nt(u, v), &polar, (k as f64).sqrt());
        judge.compare(format_args!("{what}: U V^T is a polar factor"), error, tolerance)?;
    }
    Ok(())
}

/// Three iterations in one call are three calls of one iteration.
///
/// Finds: a stale temporary, iterations that start from the old V, an iteration too many or too few.
pub fn power_iteration_composes<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let gapped = |family| matches!(family, Family::Spiked | Family::Flat | Family::Repeated);
    for input in subject.ordinary_inputs().filter(|input| gapped(input.family)) {
        judge.on(input);
        let m = &input.matrix;
        let k = m.min_extent().min(2);
        for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
            let v0 = start(subject, m, k);
            let together = Iterated::run(subject, m, &v0, 3, form)?;
            let first = Iterated::run(subject, m, &v0, 1, form)?;
            let second = Iterated::run(subject, m, &first.v, 1, form)?;
            let third = Iterated::run(subject, m, &second.v, 1, form)?;
            let condition = [&v0, &first.v, &second.v]
                .into_iter()
                .map(|v| column_condition(&product(m, v)))
                .collect::<Result<Vec<_>, _>>()?;
            let angle = tolerance::subspace_angle(subject.precision(), m.shape(), k, condition.iter().sum());
            let what = format!("three iterations on {}, {form:?}", input.name);
            let projector = |u: &HostMatrix| product_nt(u, u);
            let error = relative_distance(&projector(&together.u), &projector(&third.u), 1.0);
            // A projector moves by sqrt(2 k) times the angle.
            judge.compare(format_args!("{what}: U U^T"), error, (2.0 * k as f64).sqrt() * angle)?;
            let low_rank = |iterated: &Iterated| product_nt(&iterated.u, &iterated.w);
            let error = relative_distance(&low_rank(&together), &low_rank(&third), m.frobenius_norm());
            judge.compare(format_args!("{what}: U W^T"), error, (2.0 * k as f64).sqrt() * angle)?;
            let counts = together.v.shape() == (m.cols, k) && together.u.shape() == (m.rows, k);
            judge.require(counts, format_args!("{what}: shapes"))?;
        }
    }
    judge.finish()
}

/// `M = mu M + c G` happens first, in the same pass, and G keeps its values.
///
/// Finds: products with the old momentum, the factor c or mu left out, an update that happens once per iteration.
pub fn power_iteration_update<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (mu, factor) = (0.875, 0.375);
    for input in subject.ordinary_inputs().filter(|input| input.family == Family::Spiked) {
        judge.on(input);
        let (rows, cols) = input.matrix.shape();
        let k = input.matrix.min_extent().min(2);
        let values = subject.random("gradient", rows, cols);
        let scale = subject.scalar(factor)?;
        let v0 = start(subject, &input.matrix, k);
        for iterations in [1, 2] {
            let what = format!("{iterations} iterations after an update on {}", input.name);
            let g = subject.upload(&values)?;
            let gradient = Gradient::scaled(&g, &scale);
            let (mut m, mut v) = (subject.upload(&input.matrix)?, subject.upload(&v0)?);
            let workspace = &mut subject.workspace();
            let form = SubspaceForm::ColumnNorms;
            let update = Some((mu, &gradient));
            let iterated = Iterated::advance(subject, &mut m, update, &mut v, iterations, form, workspace)?;

            let updated = subject.download(&m)?;
            let exact = input.matrix.zip(&values, |m, g| mu * m + factor * g);
            let scale = input.matrix.zip(&values, |m, g| mu * m.abs() + factor * g.abs());
            let error = entrywise_distance(&updated, &exact, &scale);
            judge.compare(
                format_args!("{what}: M"),
                error,
                tolerance::elementwise(subject.precision(), 3),
            )?;
            let condition = column_condition(&product(&updated, &v0))?;
            compare_projection(&mut judge, subject, &what, &updated, condition, &iterated)?;
            let kept = crate::distance::same_bits(&subject.download(&g)?, &values);
            judge.require(kept, format_args!("{what}: the gradient keeps its values"))?;
            if iterations == 1 {
                compare_left_basis(&mut judge, subject, &what, &updated, &v0, &iterated.u)?;
            }
        }
    }
    judge.finish()
}
