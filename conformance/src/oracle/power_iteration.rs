//! The warm power iteration (2602.11185, Algorithm 2, lines 8 to 17), as slow and plain as it can be.

use super::{OracleError, Svd, orthonormal_basis, product, product_tn};
use crate::HostMatrix;

/// What T iterations leave.
#[derive(Clone, Debug)]
pub struct PowerIteration {
    /// Orthonormal basis of the left subspace, `m x k`.
    pub u: HostMatrix,
    /// `W = M^T U`, `n x k`, of the last iteration; `U W^T = U U^T M` is an exact projection of M.
    pub w: HostMatrix,
    /// The norms of W's columns: the paper's estimates of the singular values.
    pub s: Vec<f64>,
    /// `W diag(1/s)`: the paper's right factor, unit columns that are not orthogonal. A zero column stays zero.
    pub v: HostMatrix,
}

/// T iterations `P = M V; U = thinQR(P); W = M^T U; s_i = ||w_i||; V = W diag(1/s)` from the start `v0`.
///
/// # Errors
/// [`OracleError`] if a number is not finite.
///
/// # Panics
/// If `iterations` is 0, or `v0` is not `n x k` with `k <= min(m, n)`.
pub fn power_iteration(
    m: &HostMatrix,
    v0: &HostMatrix,
    iterations: usize,
) -> Result<PowerIteration, OracleError> {
    assert!(iterations > 0, "a power iteration needs an iteration");
    assert!(v0.rows == m.cols && v0.cols <= m.min_extent(), "start {v0:?} for {m:?}");
    let mut state = iterate(m, v0)?;
    for _ in 1..iterations {
        state = iterate(m, &state.v)?;
    }
    Ok(state)
}

fn iterate(m: &HostMatrix, v: &HostMatrix) -> Result<PowerIteration, OracleError> {
    let p = product(m, v);
    let u = orthonormal_basis(&p)?;
    let w = product_tn(m, &u);
    let s = w.column_norms();
    let v = w
        .scaled_columns(&s.iter().map(|&norm| if norm > 0.0 { 1.0 / norm } else { 0.0 }).collect::<Vec<_>>());
    Ok(PowerIteration { u, w, s, v })
}

impl PowerIteration {
    /// The `exact` variant's right factor `W (W^T W)^{-1/2}`: the polar factor of W, so that `U V^T` is that of the
    /// projected matrix.
    ///
    /// # Errors
    /// [`OracleError`] if W cannot be decomposed.
    pub fn exact_v(&self) -> Result<HostMatrix, OracleError> {
        Ok(Svd::of(&self.w)?.polar_factor())
    }
}

#[cfg(test)]
mod tests {
    use super::power_iteration;
    use crate::distance::max_error;
    use crate::golden::{Golden, names};
    use crate::oracle::{Svd, product, product_nt, product_tn};

    #[test]
    fn golden_cases_are_reproduced() {
        let names = names("spectra_power_iteration_").unwrap();
        assert!(!names.is_empty());
        for name in names {
            let case = Golden::load(&name).unwrap();
            let (g, v0) = (case.inputs().matrix("G").unwrap(), case.inputs().matrix("V0").unwrap());
            for iterations in case.hyper_counts("T").unwrap() {
                let result = power_iteration(&g, &v0, iterations).unwrap();
                let low_rank = product_nt(&result.u, &result.w);
                for (output, computed) in [
                    ("s", &result.s),
                    ("U", &result.u.data),
                    ("V", &result.v.data),
                    ("lowrank", &low_rank.data),
                ] {
                    let output = format!("{output}_T{iterations}");
                    let golden = case.outputs().array(&output).unwrap().to_f64().unwrap();
                    let error = max_error(computed, &golden);
                    assert!(error <= case.tolerance_of(&output).unwrap(), "{name} {output}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn exact_v_makes_the_polar_factor_of_the_projection() {
        let case = Golden::load("spectra_power_iteration_flat_wide").unwrap();
        let (g, v0) = (case.inputs().matrix("G").unwrap(), case.inputs().matrix("V0").unwrap());
        let result = power_iteration(&g, &v0, 1).unwrap();
        let projected = product(&result.u, &product_tn(&result.u, &g));
        let polar = Svd::of(&projected).unwrap().polar_factor();
        let exact = product_nt(&result.u, &result.exact_v().unwrap());
        assert!(crate::distance::relative_error(&exact, &polar) < 1e-13);
        let paper = product_nt(&result.u, &result.v);
        assert!(crate::distance::relative_error(&paper, &polar) > 1e-3, "column norms would do as well");
    }
}
