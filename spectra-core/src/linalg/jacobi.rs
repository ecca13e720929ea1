//! Eigenvectors of a Gram matrix by rotations that keep the relative accuracy of small eigenvalues.

/// Quadratic convergence needs about log2(log2(1 / eps)) = 6 sweeps after the first few; 30 is never reached.
const SWEEPS: usize = 30;

/// `out` becomes the orthogonal B that makes `A^T A` diagonal and decreasing, for the k x k upper triangular `a` whose
/// columns come in the order `order`: its column j belongs to row `order[j]` of B. `values` becomes the square roots of the
/// diagonal. `a` is overwritten.
///
/// One-sided Jacobi (Hestenes 1958) on the rows of A instead of its columns: when they are orthogonal, A is
/// `diag(sigma) V^T`, and nothing has to be accumulated. Rows that decrease like the columns' lengths keep the relative
/// accuracy and converge in fewer sweeps (Drmač and Veselić 2008). Rows lie together in memory.
pub(super) fn diagonalize(k: usize, a: &mut [f64], order: &[f64], out: &mut [f64], values: &mut [f64]) {
    orthogonalize_rows(k, a);
    for (value, row) in values.iter_mut().zip(a.chunks_exact(k)) {
        *value = libm::sqrt(dot(row, row));
    }
    sort_rows(k, a, values, |x, y| x > y);
    for (value, row) in values.iter().zip(a.chunks_exact_mut(k)) {
        row.iter_mut().for_each(|x| *x = if *value == 0.0 { 0.0 } else { *x / value });
    }
    complete(k, a, values);
    for (i, row) in a.chunks_exact(k).enumerate() {
        for (x, to) in row.iter().zip(order) {
            out[*to as usize * k + i] = *x;
        }
    }
}

/// Sorts values with their rows, so that none is `before` the one before it.
pub(super) fn sort_rows(k: usize, rows: &mut [f64], values: &mut [f64], before: impl Fn(f64, f64) -> bool) {
    for i in 0..k {
        let first = (i..k).fold(i, |best, j| if before(values[j], values[best]) { j } else { best });
        values.swap(i, first);
        let (row, other) = two_rows(k, rows, i, first);
        if let Some(other) = other {
            row.swap_with_slice(other);
        }
    }
}

/// Rotates rows until no cosine between two exceeds the rounding error of a product of k terms, `sqrt(k) eps`.
fn orthogonalize_rows(k: usize, a: &mut [f64]) {
    let noise = f64::EPSILON * libm::sqrt(k as f64);
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..k {
            for q in p + 1..k {
                let (x, Some(y)) = two_rows(k, a, p, q) else { continue };
                let [pp, qq, pq] = products(x, y);
                // Roots apart: the square of pq vanishes for rows below 1e-81.
                if pq.abs() <= noise * libm::sqrt(pp) * libm::sqrt(qq) || pq.is_nan() {
                    continue;
                }
                rotated = true;
                let zeta = (qq - pp) / (2.0 * pq);
                let sign = if zeta < 0.0 { -1.0 } else { 1.0 };
                let t = sign / (sign * zeta + libm::sqrt(1.0 + zeta * zeta));
                let cos = 1.0 / libm::sqrt(1.0 + t * t);
                let sin = cos * t;
                for (x, y) in x.iter_mut().zip(y) {
                    (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
}

/// Rows i and j; only row i if they are the same.
fn two_rows(k: usize, a: &mut [f64], i: usize, j: usize) -> (&mut [f64], Option<&mut [f64]>) {
    let (before, rest) = a.split_at_mut(i.max(j) * k);
    match (i, j) {
        _ if i < j => (&mut before[i * k..][..k], Some(&mut rest[..k])),
        _ if i > j => (&mut rest[..k], Some(&mut before[j * k..][..k])),
        _ => (&mut rest[..k], None),
    }
}

/// The indices of `length` in the order in which it decreases.
pub(crate) fn sort(length: &[f64], order: &mut [f64]) {
    order.iter_mut().enumerate().for_each(|(i, order)| *order = i as f64);
    order.sort_unstable_by(|i, j| length[*j as usize].total_cmp(&length[*i as usize]).then(i.total_cmp(j)));
}

/// `<x, x>`, `<y, y>` and `<x, y>`, in lanes that the compiler vectorises.
fn products(x: &[f64], y: &[f64]) -> [f64; 3] {
    const LANES: usize = 8;
    let mut sums = [[0.0; LANES]; 3];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            sums[0][i] += x[i] * x[i];
            sums[1][i] += y[i] * y[i];
            sums[2][i] += x[i] * y[i];
        }
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        sums[0][0] += x * x;
        sums[1][0] += y * y;
        sums[2][0] += x * y;
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// `<x, y>`, in lanes.
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f64>()
}

/// Unit vectors made orthogonal to the other rows, twice, in the place of rows without a value.
pub(super) fn complete(k: usize, rows: &mut [f64], values: &[f64]) {
    let mut unit = 0;
    for i in (0..k).filter(|i| values[*i] == 0.0) {
        // Of k unit vectors one at least has 1 / sqrt(k) of its length outside the span of fewer than k rows.
        while unit < k {
            let (done, row) = rows.split_at_mut(i * k);
            let row = &mut row[..k];
            row.fill(0.0);
            row[unit] = 1.0;
            unit += 1;
            for _ in 0..2 {
                for done in done.chunks_exact(k) {
                    let along = dot(done, row);
                    row.iter_mut().zip(done).for_each(|(x, d)| *x -= along * d);
                }
            }
            let left = dot(row, row);
            if left > 0.25 / k as f64 {
                row.iter_mut().for_each(|x| *x /= libm::sqrt(left));
                break;
            }
        }
    }
}
