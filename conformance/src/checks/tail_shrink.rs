//! The tail shrink of [`spectra_core::maps::tail_shrink`] on the backend.

use spectra_core::backend::{Backend, Gradient, Scalar};
use spectra_core::linalg::{PowerIteration, SubspaceForm};
use spectra_core::maps::{TailShrink, tail_shrink};

use super::power_iteration::{Difficulty, compare_left_basis, difficulty, inputs_for, ranks};
use crate::HostMatrix;
use crate::distance::{relative_distance, scalar_distance};
use crate::inputs::{Family, Input};
use crate::oracle::{self, Svd, column_condition, product, product_nt, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// The setting that makes k the rank for an input.
pub(super) fn options(m: &HostMatrix, k: usize, form: SubspaceForm) -> TailShrink {
    let power = PowerIteration { form, ..PowerIteration::default() };
    TailShrink { rank_ratio: k as f64 / m.min_extent() as f64, power, ..TailShrink::PAPER }
}

/// A tail shrink, downloaded.
pub(super) struct Shrunk {
    /// The matrix after its update.
    pub(super) m: HostMatrix,
    /// `M - left right^T`.
    pub(super) shaped: HostMatrix,
    pub(super) left: Option<HostMatrix>,
    pub(super) norm_squared: f64,
    pub(super) sigma_tail: f64,
    pub(super) host_knows_norms: bool,
    /// V after the call.
    pub(super) cache: Option<HostMatrix>,
}

pub(super) fn shrink<B: Backend>(
    subject: &Subject<B>,
    options: &TailShrink,
    m: &HostMatrix,
    update: Option<(f64, &HostMatrix)>,
    cache: Option<&HostMatrix>,
    step: u64,
) -> Result<Shrunk, Failure> {
    let workspace = &mut subject.workspace();
    let mut device_m = subject.upload(m)?;
    let mut device_cache = cache.map(|v| subject.upload(v)).transpose()?;
    let gradient_values = update.map(|(_, g)| subject.upload(g)).transpose()?;
    let gradient = gradient_values.as_ref().map(Gradient::new);
    let update = update.map(|(mu, _)| mu).zip(gradient.as_ref());
    let shaped = tail_shrink(options, &mut device_m, update, &mut device_cache, step, workspace)?;

    let m = subject.download(&device_m)?;
    let factors = match &shaped.correction {
        Some((left, right)) => Some((subject.download(left)?, subject.download(right)?)),
        None => None,
    };
    let low_rank = factors.as_ref().map(|(left, right)| product_nt(left, right));
    Ok(Shrunk {
        shaped: low_rank.map_or_else(|| m.clone(), |low_rank| m.zip(&low_rank, |m, spike| m - spike)),
        left: factors.map(|(left, _)| left),
        norm_squared: shaped.norm_squared.read()?,
        sigma_tail: shaped.sigma_tail.read()?,
        host_knows_norms: shaped.norm_squared.known().is_some(),
        cache: device_cache.as_ref().map(|v| subject.download(v)).transpose()?,
        m,
    })
}

/// Holds a result against the exact shrink with the same factors.
fn compare_shrunk<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    shrunk: &Shrunk,
    condition: f64,
    exact: &oracle::TailShrink,
) -> Result<(), Failure> {
    let norm = shrunk.m.frobenius_norm();
    let tail = exact.tail.frobenius_norm() / norm;
    let projection = projection(subject, shrunk, condition);
    let (entries, known) = (shrunk.m.data.len(), shrunk.host_knows_norms);
    let tail_tolerance = tolerance::tail_norm(subject.precision(), projection, entries, tail, known);
    let error = scalar_distance(shrunk.sigma_tail, exact.sigma_tail, exact.sigma_tail);
    judge.compare(format_args!("{what}: sigma_tail"), error, tail_tolerance)?;

    // O = tail + sigma_tail U V^T: the tail's rounding counts by the size of M, sigma_tail's by its own.
    let shaped = exact.shaped.frobenius_norm();
    let tolerance = projection * norm / shaped + tail_tolerance;
    let error = relative_distance(&shrunk.shaped, &exact.shaped, shaped);
    judge.compare(format_args!("{what}: O"), error, tolerance)?;
    let error = scalar_distance(shrunk.norm_squared, shaped * shaped, shaped * shaped);
    judge.compare(format_args!("{what}: ||O||^2"), error, 2.0 * tolerance)
}

/// An input, a rank, the start V0, and the factor by which the condition of the columns of `M V0` may amplify rounding.
struct Case {
    input: &'static Input,
    k: usize,
    v0: HostMatrix,
    condition: f64,
}

/// The cases for which the shrink is well defined: after k singular values more than rounding is left.
fn cases<B: Backend>(subject: &Subject<B>, wanted: Difficulty) -> Result<Vec<Case>, Failure> {
    let floor = 64.0 * subject.precision().unit_roundoff().sqrt();
    let mut cases = Vec::new();
    for input in inputs_for(subject, wanted)? {
        let sigma = &input.svd()?.sigma;
        let most = input.matrix.min_extent();
        for k in ranks(most.saturating_sub(1)) {
            let tail = oracle::tail_scale(sigma, k) * ((most - k) as f64).sqrt();
            if tail <= floor * input.matrix.frobenius_norm() {
                continue;
            }
            let v0 = match wanted {
                Difficulty::Moderate | Difficulty::Extreme => subject.random("V0", input.matrix.cols, k),
                Difficulty::IllConditioned => nearly_parallel(subject, input.matrix.cols, k),
            };
            let (difficulty, condition) = difficulty(subject, input, &v0)?;
            if difficulty == wanted {
                cases.push(Case { input, k, v0, condition });
            }
        }
    }
    Ok(cases)
}

/// Columns that differ from their mean by a small multiple of what their Gram matrix can resolve.
fn nearly_parallel<B: Backend>(subject: &Subject<B>, rows: usize, cols: usize) -> HostMatrix {
    let precision = subject.precision();
    let closeness = precision.unit_roundoff().sqrt() / 8.0;
    let (mean, difference) = (subject.random("mean", rows, 1), subject.random("difference", rows, cols));
    let entry = |row, col| mean.at(row, 0) + closeness * difference.at(row, col);
    HostMatrix::from_fn(rows, cols, entry).rounded(precision)
}

/// The paper's form from a given V: with the backend's own U, everything else is determined.
///
/// Finds: the root or the divisor `r - k` of sigma_tail forgotten, a rank off by one, the spike added instead of removed,
/// sigma_tail times `U W^T` in place of `U V^T`, a norm without the shrunk part.
pub fn tail_shrink_paper<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mu = 0.875;
    for case in cases(subject, Difficulty::Moderate)? {
        judge.on(case.input);
        compare_paper(&mut judge, subject, &case, None)?;
        let (rows, cols) = case.input.matrix.shape();
        let size = case.input.matrix.max_abs();
        let gradient = subject.random("gradient", rows, cols).map(|entry| entry * size);
        compare_paper(&mut judge, subject, &case, Some((mu, &gradient.rounded(subject.precision()))))?;
    }
    judge.finish()
}

/// Both forms from a V whose columns are nearly parallel.
///
/// Finds: a projection that is not one, so that the norms of its parts do not add up.
pub fn tail_shrink_ill_conditioned<B: Backend>(subject: &Subject<B>) -> Outcome {
    both_forms(subject, Difficulty::IllConditioned)
}

/// Both forms at the ends of the range; see [`Subject::extreme_inputs`].
///
/// Finds: norms that overflow or vanish, a scale that is not taken back.
pub fn tail_shrink_extreme<B: Backend>(subject: &Subject<B>) -> Outcome {
    both_forms(subject, Difficulty::Extreme)
}

fn both_forms<B: Backend>(subject: &Subject<B>, wanted: Difficulty) -> Outcome {
    let mut judge = Judge::new();
    for case in cases(subject, wanted)? {
        judge.on(case.input);
        compare_paper(&mut judge, subject, &case, None)?;
        compare_exact(&mut judge, subject, &case)?;
    }
    judge.finish()
}

fn compare_paper<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    case: &Case,
    update: Option<(f64, &HostMatrix)>,
) -> Result<(), Failure> {
    let &Case { input, k, ref v0, condition } = case;
    let with = if update.is_some() { " after an update" } else { "" };
    let what = format!("tail shrink on {}, k = {k}{with}", input.name);
    let options = options(&input.matrix, k, SubspaceForm::ColumnNorms);
    let shrunk = shrink(subject, &options, &input.matrix, update, Some(v0), 0)?;
    let u = left_factor(&shrunk, &what)?;
    compare_left_basis(judge, subject, &what, &shrunk.m, v0, u)?;
    let w = product_tn(&shrunk.m, u);
    let v = unit_columns(&w);
    let condition = if update.is_some() { column_condition(&product(&shrunk.m, v0))? } else { condition };
    let exact = oracle::TailShrink::from_factors(&shrunk.m, u, &w, &v);
    compare_shrunk(judge, subject, &what, &shrunk, condition, &exact)?;

    let error = match &shrunk.cache {
        Some(cache) => relative_distance(cache, &v, (k as f64).sqrt()),
        None => f64::INFINITY,
    };
    // Short columns of W carry the rounding of long ones.
    let shortest = w.column_norms().into_iter().fold(f64::INFINITY, f64::min);
    let tolerance = projection(subject, &shrunk, condition) * shrunk.m.frobenius_norm() / shortest;
    judge.compare(format_args!("{what}: V"), error, tolerance)
}

/// U, which a shrink with a tail has.
fn left_factor<'a>(shrunk: &'a Shrunk, what: &str) -> Result<&'a HostMatrix, Failure> {
    let rule = || Failure::Rule { what: format!("{what}: there is a tail, and the map is the identity") };
    shrunk.left.as_ref().ok_or_else(rule)
}

/// The tolerance of `W = M^T U`; see [`tolerance::projection`]. A host that does not know the norms cannot recompute W
/// where the condition asks for it.
pub(super) fn projection<B: Backend>(subject: &Subject<B>, shrunk: &Shrunk, condition: f64) -> f64 {
    let amplification = if shrunk.host_knows_norms { 1.0 } else { condition };
    amplification * tolerance::projection(subject.precision(), shrunk.m.shape())
}

fn unit_columns(w: &HostMatrix) -> HostMatrix {
    let inverse: Vec<f64> =
        w.column_norms().iter().map(|norm| if *norm > 0.0 { 1.0 / norm } else { 0.0 }).collect();
    w.scaled_columns(&inverse)
}

/// The exact form from a given V: `sigma_tail` times the polar factor of the projected matrix replaces the spike.
///
/// Finds: column norms in place of the polar factor, a U that was rotated and a W that was not.
pub fn tail_shrink_exact<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for case in cases(subject, Difficulty::Moderate)? {
        judge.on(case.input);
        compare_exact(&mut judge, subject, &case)?;
    }
    judge.finish()
}

fn compare_exact<B: Backend>(judge: &mut Judge, subject: &Subject<B>, case: &Case) -> Result<(), Failure> {
    let &Case { input, k, ref v0, condition } = case;
    let what = format!("exact tail shrink on {}, k = {k}", input.name);
    let options = options(&input.matrix, k, SubspaceForm::Exact);
    let shrunk = shrink(subject, &options, &input.matrix, None, Some(v0), 0)?;
    let u = left_factor(&shrunk, &what)?;
    compare_left_basis(judge, subject, &what, &shrunk.m, v0, u)?;
    let w = product_tn(&shrunk.m, u);
    let svd = Svd::of(&w)?;
    // The polar factor of an ill-conditioned W is not determined by W as rounded.
    let spread = svd.sigma[0] / svd.sigma[k - 1];
    if spread * spread * tolerance::orthonormality(subject.precision(), (w.rows, k)) > 1e-3 {
        return Ok(());
    }
    let exact = oracle::TailShrink::from_factors(&shrunk.m, u, &w, &svd.polar_factor());
    compare_shrunk(judge, subject, &what, &shrunk, condition, &exact)
}

/// Without a cache the shrink starts from its own subspace: where the gap is wide it is the exact shrink of the
/// singular value decomposition, in both forms.
///
/// Finds: a bootstrap that has not converged, a cache that is not kept, the smallest singular values shrunk.
pub fn tail_shrink_bootstrap<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| matches!(input.family, Family::Spiked)) {
        judge.on(input);
        let (m, k) = (&input.matrix, 2);
        if m.min_extent() <= k {
            continue;
        }
        let svd = input.svd()?;
        for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
            let what = format!("bootstrapped tail shrink on {}, {form:?}", input.name);
            let shrunk = shrink(subject, &options(m, k, form), m, None, None, 0)?;
            let exact = svd.tail_shrink(k);
            let condition = svd.sigma[0] / (svd.sigma[k - 1] - svd.sigma[k]);
            let angle = tolerance::subspace_angle(subject.precision(), m.shape(), k, 4.0 * condition);
            let tolerance = angle * m.frobenius_norm() / exact.frobenius_norm();
            let error = relative_distance(&shrunk.shaped, &exact, exact.frobenius_norm());
            judge.compare(format_args!("{what}: O"), error, tolerance)?;
            let scale = oracle::tail_scale(&svd.sigma, k);
            let error = scalar_distance(shrunk.sigma_tail, scale, scale);
            judge.compare(format_args!("{what}: sigma_tail"), error, tolerance)?;
            let kept = shrunk.cache.is_some_and(|cache| cache.shape() == (m.cols, k));
            judge.require(kept, format_args!("{what}: the subspace is kept"))?;
        }
    }
    judge.finish()
}

/// Where there is no tail the map is the identity: k = min(m, n), and zero.
///
/// Finds: 0 / 0, a matrix replaced by zero.
pub fn tail_shrink_without_tail<B: Backend>(subject: &Subject<B>) -> Outcome {
    let cases = [
        ("a row", subject.random("row", 1, 17), 1),
        ("a column", subject.random("column", 17, 1), 1),
        ("one entry", subject.random("entry", 1, 1), 1),
        ("k = min(m, n)", subject.random("full", 9, 5), 5),
        ("zero", HostMatrix::zeros(9, 5), 2),
    ];
    compare_identity(subject, &cases)
}

/// A matrix of exact rank at most k has no tail but rounding errors: the map is the identity.
///
/// Finds: a tail of rounding errors taken for a scale.
pub fn tail_shrink_low_rank<B: Backend>(subject: &Subject<B>) -> Outcome {
    // Small whole numbers: the product is exact in every precision.
    let rank_two = |rows, cols| {
        let left = HostMatrix::from_fn(rows, 2, |i, j| ((3 * i + 5 * j + i * j) % 7) as f64 - 3.0);
        let right = HostMatrix::from_fn(cols, 2, |i, j| ((2 * i + 3 * j + i * j) % 5) as f64 - 2.0);
        product_nt(&left, &right)
    };
    let cases = [
        ("rank 2 with k = 2", rank_two(24, 40), 2),
        ("rank 2 with k = 4", rank_two(41, 23), 4),
        ("rank 2 with k = 3", rank_two(129, 127), 3),
    ];
    compare_identity(subject, &cases)
}

fn compare_identity<B: Backend>(subject: &Subject<B>, cases: &[(&str, HostMatrix, usize)]) -> Outcome {
    let mut judge = Judge::new();
    for &(name, ref m, k) in cases {
        judge.at(m.rows, m.cols);
        for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
            for cached in [false, true] {
                let what = format!("tail shrink of {name}, {form:?}, cached: {cached}");
                let v0 = cached.then(|| subject.random("V0", m.cols, k));
                let shrunk = shrink(subject, &options(m, k, form), m, None, v0.as_ref(), 0)?;
                let error = relative_distance(&shrunk.shaped, m, m.frobenius_norm());
                let tolerance = tolerance::projection(subject.precision(), m.shape());
                judge.compare(format_args!("{what}: is the identity"), error, tolerance)?;
                judge.require(
                    shrunk.sigma_tail == 0.0,
                    format_args!("{what}: sigma_tail is {}", shrunk.sigma_tail),
                )?;
                let square = m.frobenius_norm().powi(2);
                let error = scalar_distance(shrunk.norm_squared, square, square);
                judge.compare(format_args!("{what}: ||O||^2"), error, 2.0 * tolerance)?;
            }
        }
    }
    judge.finish()
}
