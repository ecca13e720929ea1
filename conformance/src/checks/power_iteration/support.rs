//! One run of the iteration, downloaded, and the properties that define it.

use std::sync::{Mutex, PoisonError};

use spectra_core::backend::{Backend, Element, Gradient, Scalar};
use spectra_core::linalg::{PowerIteration, Subspace, SubspaceForm, Workspace};

use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance};
use crate::inputs::{Family, Input};
use crate::oracle::{absolute_product, column_condition, product, product_tn};
use crate::suite::{Failure, Judge, Subject};
use crate::tolerance;

/// What an iteration left, on the host; W without the scale that it may carry on the device.
pub(crate) struct Iterated {
    pub(crate) u: HostMatrix,
    pub(crate) w: HostMatrix,
    pub(crate) v: HostMatrix,
    pub(crate) s: Vec<f64>,
    pub(crate) norm_squared: f64,
    /// Whether the algorithm could branch on what it found.
    pub(crate) host_knows_norms: bool,
}

/// What an iteration has to cope with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Difficulty {
    /// The columns of `M V` can be orthonormalised through their Gram matrix.
    Moderate,
    /// They cannot.
    IllConditioned,
    /// The entries are at the ends of the range.
    Extreme,
}

/// The inputs among which those of a difficulty are.
pub(crate) fn inputs_for<B: Backend>(
    subject: &Subject<B>,
    wanted: Difficulty,
) -> Result<Vec<&'static Input>, Failure> {
    match wanted {
        Difficulty::Extreme => subject.extreme_inputs(),
        Difficulty::Moderate | Difficulty::IllConditioned => Ok(subject.ordinary_inputs().collect()),
    }
}

/// The difficulty of the iteration on `input` from `v0`, and the factor by which the condition of the columns of `M V0`
/// may amplify rounding.
pub(crate) fn difficulty<B: Backend>(
    subject: &Subject<B>,
    input: &'static Input,
    v0: &HostMatrix,
) -> Result<(Difficulty, f64), Failure> {
    let condition = condition(input, v0)?;
    let moderate = condition <= tolerance::moderate_condition(subject.precision(), v0.cols);
    let difficulty = if input.family == Family::Extreme {
        Difficulty::Extreme
    } else if moderate {
        Difficulty::Moderate
    } else {
        Difficulty::IllConditioned
    };
    // Beyond moderate conditions the result must be right all the same.
    Ok((difficulty, if moderate { condition } else { 1.0 }))
}

/// The condition of the columns of `M V0`. Several checks ask for the same.
fn condition(input: &'static Input, v0: &HostMatrix) -> Result<f64, Failure> {
    static KNOWN: Mutex<Vec<(&'static Input, HostMatrix, f64)>> = Mutex::new(Vec::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_same =
        |entry: &&(&'static Input, HostMatrix, f64)| core::ptr::eq(entry.0, input) && entry.1 == *v0;
    if let Some((_, _, condition)) = known().iter().find(is_same) {
        return Ok(*condition);
    }
    let condition = column_condition(&product(&input.matrix, v0))?;
    known().push((input, v0.clone(), condition));
    Ok(condition)
}

impl Iterated {
    /// Runs `iterations` on `m` from `v0`.
    pub(crate) fn run<B: Backend>(
        subject: &Subject<B>,
        m: &HostMatrix,
        v0: &HostMatrix,
        iterations: usize,
        form: SubspaceForm,
    ) -> Result<Self, Failure> {
        let (mut device_m, mut device_v) = (subject.upload(m)?, subject.upload(v0)?);
        Self::advance(subject, &mut device_m, None, &mut device_v, iterations, form, &mut subject.workspace())
    }

    /// Runs `iterations` on matrices of the device.
    pub(crate) fn advance<B: Backend>(
        subject: &Subject<B>,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        v: &mut B::Matrix,
        iterations: usize,
        form: SubspaceForm,
        workspace: &mut Workspace<B>,
    ) -> Result<Self, Failure> {
        let power = PowerIteration { iterations, form, ..PowerIteration::default() };
        let subspace = power.iterate(m, update, v, workspace)?;
        Self::download(subject, subspace, v, workspace)
    }

    /// The host's copy of a subspace; its temporaries go back to the pool.
    pub(crate) fn download<B: Backend>(
        subject: &Subject<B>,
        subspace: Subspace<B>,
        v: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Self, Failure> {
        let scale = subspace.scale;
        let iterated = Self {
            u: subject.download(&subspace.u)?,
            w: subject.download(&subspace.w)?.map(|entry| entry / scale),
            v: subject.download(v)?,
            s: subspace.singular_values(workspace)?,
            norm_squared: subspace.norm_squared.read()?,
            host_knows_norms: subspace.norm_squared.known().is_some(),
        };
        subspace.release(workspace);
        Ok(iterated)
    }
}

/// The ranks that a matrix with `most` singular values is tried with: small ones, and all of them where the exact
/// products stay cheap.
pub(crate) fn ranks(most: usize) -> impl Iterator<Item = usize> {
    let all = if most <= 41 { most } else { 13 };
    [1, 2, 3, 8, all].into_iter().filter(move |k| (1..=most).contains(k))
}

/// A start that no backend made: normal entries.
pub(super) fn start<B: Backend>(subject: &Subject<B>, m: &HostMatrix, k: usize) -> HostMatrix {
    subject.random("V0", m.cols, k)
}

/// U has orthonormal columns (or zero ones), and `M V0` lies in their span.
///
/// Each column counts by the length that rounding sees, that of `|M| |V0|`.
pub(crate) fn compare_left_basis<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    m: &HostMatrix,
    v0: &HostMatrix,
    u: &HostMatrix,
) -> Result<(), Failure> {
    let (precision, k) = (subject.precision(), v0.cols);
    let live: Vec<f64> = u.column_norms().iter().map(|norm| if *norm == 0.0 { 0.0 } else { 1.0 }).collect();
    let defect = relative_distance(&product_tn(u, u), &HostMatrix::identity(k).scaled_columns(&live), 1.0);
    let orthonormal = tolerance::orthonormality(precision, (m.rows, k));
    judge.compare(format_args!("{what}: U is orthonormal"), defect, orthonormal)?;

    let p = product(m, v0);
    let error = entrywise_distance(&product(u, &product_tn(u, &p)), &p, &column_scale(m, v0));
    let span = tolerance::subspace_angle(precision, m.shape(), k, 1.0);
    judge.compare(format_args!("{what}: U spans M V"), error, span)
}

/// `U^T M V0` is upper triangular with a diagonal that is not negative: U is the factor of a QR decomposition.
pub(super) fn compare_triangle<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    m: &HostMatrix,
    v0: &HostMatrix,
    u: &HostMatrix,
) -> Result<(), Failure> {
    let k = v0.cols;
    let span = tolerance::subspace_angle(subject.precision(), m.shape(), k, 1.0);
    let r = product_tn(u, &product(m, v0));
    let scale = column_scale(m, v0);
    let scale = HostMatrix::from_fn(k, k, |_, col| scale.at(0, col));
    let lower = HostMatrix::from_fn(k, k, |row, col| if row > col { r.at(row, col) } else { 0.0 });
    let error = entrywise_distance(&lower, &HostMatrix::zeros(k, k), &scale);
    judge.compare(format_args!("{what}: U^T M V is upper triangular"), error, span)?;
    let right_sign = (0..k).all(|index| r.at(index, index) >= -span * scale.at(0, index));
    judge.require(right_sign, format_args!("{what}: the diagonal of U^T M V is not negative"))
}

/// In every entry of a column, the norm of that column of `|M| |V|`.
fn column_scale(m: &HostMatrix, v: &HostMatrix) -> HostMatrix {
    let lengths = absolute_product(m, v).column_norms();
    HostMatrix::from_fn(m.rows, v.cols, |_, col| lengths[col])
}

/// `W = M^T U`, `V = W diag(1 / ||w_i||)`, `s_i = ||w_i||`, and the norm of M.
///
/// `condition` is that of the columns of `M V0`. A host that knows the norms recomputes W when it is more than 8; where
/// it does not, `W = (M^T P) R^-1` carries the condition of R.
pub(crate) fn compare_projection<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    m: &HostMatrix,
    condition: f64,
    iterated: &Iterated,
) -> Result<(), Failure> {
    let (precision, (rows, cols)) = (subject.precision(), m.shape());
    let Iterated { u, w, v, s, norm_squared, host_knows_norms } = iterated;
    let scale = absolute_product(&m.transposed(), u).frobenius_norm();
    let error = relative_distance(w, &product_tn(m, u), scale);
    let amplification = if *host_knows_norms { 1.0 } else { condition };
    let projection = amplification * tolerance::projection(precision, (rows, cols));
    judge.compare(format_args!("{what}: W = M^T U"), error, projection)?;

    // Norms are taken from a Gram matrix in the element type, then a reciprocal and a product round.
    let lengths = w.column_norms();
    let norm_tolerance = tolerance::product(precision, cols);
    let inverse: Vec<f64> = lengths.iter().map(|norm| if *norm > 0.0 { 1.0 / norm } else { 0.0 }).collect();
    let units = HostMatrix::from_fn(cols, v.cols, |_, _| 1.0);
    let error = entrywise_distance(v, &w.scaled_columns(&inverse), &units);
    judge.compare(format_args!("{what}: V = W diag(1/s)"), error, norm_tolerance)?;
    let largest = lengths.iter().copied().fold(0.0, f64::max);
    let error = relative_distance(&HostMatrix::column(s), &HostMatrix::column(&lengths), largest);
    judge.compare(format_args!("{what}: s"), error, norm_tolerance)?;

    let exact = m.frobenius_norm().powi(2);
    let representable = B::Element::narrow(exact).widen();
    let overflowed = *norm_squared == f64::INFINITY && representable == f64::INFINITY;
    if !overflowed {
        let error = crate::distance::scalar_distance(*norm_squared, exact, exact);
        judge.compare(
            format_args!("{what}: ||M||^2"),
            error,
            tolerance::reduction(precision, rows * cols),
        )?;
    }
    Ok(())
}
