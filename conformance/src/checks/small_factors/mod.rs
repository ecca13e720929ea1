//! Factorisations of k x k Gram matrices, and of thin matrices, on the device or through the host.

mod range;
mod symmetric;

pub use range::small_factor_range;
use spectra_core::backend::{Backend, Fused};
use spectra_core::linalg::{Scratch, SmallFactor, SmallInfo, uniform};
pub use symmetric::{eigenvectors, sorter};

use crate::distance::{relative_distance, relative_error, same_bits};
use crate::inputs::{Family, gaussian, generator, with_spectrum};
use crate::oracle::{column_condition, orthonormal_basis, product, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, Precision, tolerance};

const ORDERS: [usize; 10] = [1, 2, 3, 5, 8, 13, 17, 33, 61, 67];

/// Singular values of the columns whose Gram matrix is factored: from 1 down to this.
const SMALLEST: f64 = 0.25;

/// Well-conditioned columns of very different lengths, and their Gram matrix rounded to the backend's precision.
fn columns_and_gram<B: Backend>(subject: &Subject<B>, k: usize) -> (HostMatrix, HostMatrix) {
    let last = (k.max(2) - 1) as f64;
    let sigma = |index: usize| SMALLEST.powf(index as f64 / last);
    let columns = with_spectrum("columns", Family::Flat, (2 * k + 3, k), sigma).matrix;
    let lengths: Vec<f64> = (0..k).map(|col| [1.0, 64.0, 1.0 / 1024.0][col % 3]).collect();
    let columns = columns.scaled_columns(&lengths).rounded(subject.precision());
    let gram = product_tn(&columns, &columns).rounded(subject.precision());
    (columns, gram)
}

fn factor<B: Backend>(
    subject: &Subject<B>,
    factor: SmallFactor,
    gram: &HostMatrix,
) -> Result<(HostMatrix, Option<SmallInfo>), Failure> {
    let (device_gram, k) = (subject.upload(gram)?, gram.rows);
    let mut out = subject.unreadable(k, k)?;
    let info = out.small_factor(factor, &device_gram, &mut Scratch::new())?;
    Ok((subject.download(&out)?, info))
}

/// Compares the backend's factor with that of its default form, relative to each column's length.
fn compare_with_default<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    kind: SmallFactor,
    gram: &HostMatrix,
    tolerance: f64,
) -> Result<(HostMatrix, Option<SmallInfo>), Failure> {
    let (own, info) = factor(subject, kind, gram)?;
    let (default, default_info) = factor(&subject.required_only(), kind, gram)?;
    let difference = relative_error(&own, &default);
    judge.compare(format_args!("{kind:?}, k = {}, as its default", gram.rows), difference, tolerance)?;
    if let (Some(own), Some(default)) = (info, default_info) {
        let rule =
            format_args!("{kind:?}, k = {}: {} dead columns, not {}", gram.rows, default.dead, own.dead);
        judge.require(own.dead == default.dead, rule)?;
    }
    Ok((own, info))
}

/// `R^-1` of the Cholesky factor: upper triangular, and `R^-T C R^-1 = I`.
///
/// Finds: the transposed or lower factor, R in place of its inverse, columns that were scaled and not scaled back.
pub fn cholesky_inverse<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for k in ORDERS {
        judge.at(k, k);
        let (_, gram) = columns_and_gram(subject, k);
        // The Gram matrix's rounding counts with the condition of the columns squared.
        let tolerance = tolerance::orthonormality(subject.precision(), (k, k)) / (SMALLEST * SMALLEST);
        let (inverse, info) =
            compare_with_default(&mut judge, subject, SmallFactor::CholeskyInverse, &gram, tolerance)?;
        let lower_is_zero = (0..k).all(|row| (0..row).all(|col| inverse.at(row, col) == 0.0));
        judge.require(lower_is_zero, format_args!("CholeskyInverse, k = {k}: upper triangular"))?;
        let positive = (0..k).all(|index| inverse.at(index, index) > 0.0);
        judge.require(positive, format_args!("CholeskyInverse, k = {k}: positive diagonal"))?;
        let identity = product_tn(&inverse, &product(&gram, &inverse));
        let error = relative_distance(&identity, &HostMatrix::identity(k), 1.0);
        judge.compare(format_args!("CholeskyInverse, k = {k}: R^-T C R^-1 = I"), error, tolerance)?;
        let alive = info.is_none_or(|info| info.dead == 0 && info.condition >= 1.0);
        judge.require(alive, format_args!("CholeskyInverse, k = {k}: {info:?}"))?;
    }
    judge.finish()
}

/// `diag(1 / sqrt(C_jj))`.
///
/// Finds: a missing root, entries off the diagonal, 1 / 0.
pub fn column_normalizer<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let tolerance = tolerance::elementwise(subject.precision(), 2);
    for k in ORDERS {
        judge.at(k, k);
        let (_, mut gram) = columns_and_gram(subject, k);
        if k > 2 {
            for index in 0..k {
                gram.data[k + index] = 0.0;
                gram.data[index * k + 1] = 0.0;
            }
        }
        let (normalizer, _) =
            compare_with_default(&mut judge, subject, SmallFactor::ColumnNormalizer, &gram, tolerance)?;
        for row in 0..k {
            for col in 0..k {
                let square = gram.at(row, col);
                let exact = if row == col && square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
                let error = crate::distance::scalar_distance(normalizer.at(row, col), exact, exact);
                judge.compare(
                    format_args!("ColumnNormalizer, k = {k}, entry {row}, {col}"),
                    error,
                    tolerance,
                )?;
            }
        }
    }
    judge.finish()
}

/// The orthogonal B that makes `B^T C B` diagonal with decreasing entries.
///
/// Finds: increasing order, the transposed B, rotations that stop too early.
pub fn diagonalizer<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for k in ORDERS {
        judge.at(k, k);
        let (_, gram) = columns_and_gram(subject, k);
        let tolerance = tolerance::orthonormality(subject.precision(), (k, k));
        let (b, _) = factor(subject, SmallFactor::Diagonalizer, &gram)?;
        let defect = relative_distance(&product_tn(&b, &b), &HostMatrix::identity(k), 1.0);
        judge.compare(format_args!("Diagonalizer, k = {k}: orthogonal"), defect, tolerance)?;
        let rotated = product_tn(&b, &product(&gram, &b));
        let diagonal: Vec<f64> = (0..k).map(|index| rotated.at(index, index)).collect();
        let only_diagonal = HostMatrix::identity(k).scaled_columns(&diagonal);
        let error = relative_distance(&rotated, &only_diagonal, gram.frobenius_norm());
        judge.compare(format_args!("Diagonalizer, k = {k}: diagonal"), error, tolerance)?;
        let slack = tolerance * gram.frobenius_norm();
        let decreasing = diagonal.windows(2).all(|pair| pair[1] <= pair[0] + slack);
        judge.require(decreasing, format_args!("Diagonalizer, k = {k}: decreasing"))?;
    }
    judge.finish()
}

/// Zero and dependent columns get zero columns in `R^-1` and are counted.
///
/// Finds: an infinity for a zero column, noise taken for a direction, a wrong count.
pub fn small_factor_dead_columns<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let k = 6;
    judge.at(k, k);
    for dead in [vec![0], vec![5], vec![2, 4], vec![0, 1, 2, 3, 4, 5]] {
        let (mut columns, _) = columns_and_gram(subject, k);
        for row in 0..columns.rows {
            for &col in &dead {
                // The last dead column repeats its neighbour four times as long, the others are zero.
                let repeats = col == 4;
                columns.data[row * k + col] =
                    if repeats { 4.0 * columns.data[row * k + col - 1] } else { 0.0 };
            }
        }
        let gram = product_tn(&columns, &columns).rounded(subject.precision());
        let tolerance = tolerance::orthonormality(subject.precision(), (k, k)) / (SMALLEST * SMALLEST);
        let (inverse, info) =
            compare_with_default(&mut judge, subject, SmallFactor::CholeskyInverse, &gram, tolerance)?;
        let zeros = dead.iter().all(|&col| (0..k).all(|row| inverse.at(row, col) == 0.0));
        judge.require(zeros, format_args!("columns {dead:?} of R^-1 are zero"))?;
        let counted = info.is_none_or(|info| info.dead == dead.len());
        judge.require(counted, format_args!("{} dead columns: {info:?}", dead.len()))?;
        let identity = product_tn(&inverse, &product(&gram, &inverse));
        let live =
            HostMatrix::from_fn(k, k, |row, col| if row == col && !dead.contains(&col) { 1.0 } else { 0.0 });
        let error = relative_distance(&identity, &live, 1.0);
        judge.compare(format_args!("R^-1 orthonormalises all columns but {dead:?}"), error, tolerance)?;
    }
    judge.finish()
}

/// Gram-Schmidt: the orthonormal factor of the QR decomposition with `diag(R) >= 0`, also when the Gram matrix would
/// be singular.
///
/// Finds: a single pass that loses orthogonality, a sign convention of another QR.
pub fn gram_schmidt<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let precision = subject.precision();
    for (m, k) in [(1, 1), (9, 1), (13, 13), (129, 8), (65, 61), (1100, 61), (5003, 7)] {
        judge.at(m, k);
        let well_conditioned =
            with_spectrum("thin", Family::Flat, (m, k), |index| 1.0 / (1 + index % 2) as f64);
        let matrix = well_conditioned.matrix.rounded(precision);
        let q = gram_schmidt_of(subject, &matrix)?;
        let tolerance = tolerance::orthonormality(precision, (m, k));
        let error = relative_distance(&q, &orthonormal_basis(&matrix)?, (k as f64).sqrt());
        // Another order of rounding turns the basis by its own error times the condition, here 2.
        judge.compare(format_args!("gram_schmidt {m} x {k}: Q of QR"), error, 2.0 * tolerance)?;
    }
    // Columns that differ by a little more than rounding, and very different lengths.
    let (m, k) = (40, 6);
    judge.at(m, k);
    let rng = &mut generator("nearly parallel");
    let (direction, noise) = (gaussian(m, 1, rng), gaussian(m, k, rng));
    let closeness = precision.unit_roundoff().sqrt() / 4.0;
    let nearly_parallel = HostMatrix::from_fn(m, k, |row, col| {
        (direction.at(row, 0) + closeness * noise.at(row, col)) * [1.0, 1e-12, 1e12][col % 3]
    })
    .rounded(precision);
    let q = gram_schmidt_of(subject, &nearly_parallel)?;
    let defect = relative_distance(&product_tn(&q, &q), &HostMatrix::identity(k), 1.0);
    let tolerance = tolerance::orthonormality(precision, (m, k));
    judge.compare(format_args!("gram_schmidt of nearly parallel columns: orthonormal"), defect, tolerance)?;
    // Lengths whose squares leave the range of the elements: only directions matter.
    let (m, k) = (19, 6);
    judge.at(m, k);
    let columns = gaussian(m, k, rng).rounded(precision);
    let (small, large) = ends_of_range(precision);
    let powers = [1.0, small, large, small, 1.0, large];
    let q = gram_schmidt_of(subject, &columns.scaled_columns(&powers))?;
    let exact = orthonormal_basis(&columns)?;
    let allowed = tolerance::orthonormality(precision, (m, k)) * column_condition(&columns)?;
    let error = relative_distance(&q, &exact, (k as f64).sqrt());
    judge.compare(
        format_args!("gram_schmidt of columns of lengths {small:e} to {large:e}: Q of QR"),
        error,
        allowed,
    )?;
    judge.finish()
}

/// Powers of two that are numbers of the precision and whose squares are not.
fn ends_of_range(precision: Precision) -> (f64, f64) {
    match precision {
        Precision::F32 => (f64::exp2(-100.0), f64::exp2(100.0)),
        Precision::F64 => (f64::exp2(-700.0), f64::exp2(700.0)),
    }
}

fn gram_schmidt_of<B: Backend>(subject: &Subject<B>, matrix: &HostMatrix) -> Result<HostMatrix, Failure> {
    let mut device = subject.upload(matrix)?;
    device.gram_schmidt(&mut Scratch::new())?;
    subject.download(&device)
}

/// A column that depends on earlier ones becomes zero; the others are orthonormal.
///
/// Finds: a QR that completes the basis with directions of its own, a division by zero.
pub fn gram_schmidt_dependent<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (m, k) = (17, 5);
    judge.at(m, k);
    let mut matrix = subject.random("dependent", m, k);
    for row in 0..m {
        matrix.data[row * k] = 0.0;
        matrix.data[row * k + 3] = -2.0 * matrix.data[row * k + 1];
    }
    let q = gram_schmidt_of(subject, &matrix)?;
    let dead = [0, 3];
    let zeros = dead.iter().all(|&col| (0..m).all(|row| q.at(row, col) == 0.0));
    judge.require(zeros, format_args!("gram_schmidt: zero and dependent columns become zero"))?;
    let live =
        HostMatrix::from_fn(k, k, |row, col| if row == col && !dead.contains(&col) { 1.0 } else { 0.0 });
    let error = relative_distance(&product_tn(&q, &q), &live, 1.0);
    let tolerance = tolerance::orthonormality(subject.precision(), (m, k));
    judge.compare(format_args!("gram_schmidt: the other columns are orthonormal"), error, tolerance)?;
    let zero = gram_schmidt_of(subject, &HostMatrix::zeros(4, 3))?;
    judge.require(zero == HostMatrix::zeros(4, 3), format_args!("gram_schmidt: zero stays zero"))?;
    judge.finish()
}

/// Zero columns get the numbers of the generator, exactly; other columns keep theirs.
///
/// Finds: another generator, a generator that depends on the shape or the column's place among the zero ones; a live column
/// taken for a zero one, because its squares or its sum vanish or its one entry is the last.
pub fn seed_zero_columns<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (small, _) = ends_of_range(subject.precision());
    for (n, k) in [(1, 1), (7, 3), (129, 5), (3, 65), (300, 61), (5003, 13), (65_537, 7)] {
        judge.at(n, k);
        let mut matrix = subject.random("partly zero", n, k);
        let is_zero = |col: usize| col % 3 != 1;
        for (index, entry) in matrix.data.iter_mut().enumerate() {
            let (row, col) = (index / k, index % k);
            *entry = match col {
                _ if is_zero(col) => [0.0, -0.0][index % 2],
                4 => *entry * small,
                // Two entries that cancel, and a single one at the end.
                7 => *[1.5, -1.5].get(row).unwrap_or(&0.0),
                10 if row + 1 < n => 0.0,
                _ => *entry,
            };
        }
        let matrix = matrix.rounded(subject.precision());
        for seed in [0, 2602, u64::MAX] {
            let mut device = subject.upload(&matrix)?;
            device.seed_zero_columns(seed, &mut Scratch::new())?;
            let exact = HostMatrix::from_fn(n, k, |row, col| {
                if is_zero(col) { uniform(seed, row, col) } else { matrix.at(row, col) }
            });
            let holds = same_bits(&subject.download(&device)?, &exact);
            judge.require(holds, format_args!("seed_zero_columns {n} x {k}, seed {seed}"))?;
        }
    }
    judge.finish()
}
