//! Tail shrink (2602.11185, Algorithm 1): the k leading singular values become the tail's scale.

use super::{Svd, product_nt};
use crate::HostMatrix;

/// `sigma_tail`: the root mean square of the singular values after the first k; 0 if there are none.
#[must_use]
pub fn tail_scale(sigma: &[f64], k: usize) -> f64 {
    let tail = &sigma[k.min(sigma.len())..];
    if tail.is_empty() {
        return 0.0;
    }
    HostMatrix::column(tail).frobenius_norm() / (tail.len() as f64).sqrt()
}

/// The singular values after a tail shrink of rank k: `sigma_tail` for the first k, the others unchanged. Without a
/// tail (k is all of them) the map is the identity.
#[must_use]
pub fn tail_shrunk(sigma: &[f64], k: usize) -> Vec<f64> {
    if k >= sigma.len() {
        return sigma.to_vec();
    }
    let scale = tail_scale(sigma, k);
    sigma.iter().enumerate().map(|(index, &value)| if index < k { scale } else { value }).collect()
}

impl Svd {
    /// The tail shrink of rank k with exact singular vectors: what both forms tend to as their subspace converges.
    #[must_use]
    pub fn tail_shrink(&self, k: usize) -> HostMatrix {
        self.with_values(&tail_shrunk(&self.sigma, k))
    }
}

/// A tail shrink computed from a subspace that need not have converged.
#[derive(Clone, Debug)]
pub struct TailShrink {
    /// `M - U W^T`.
    pub tail: HostMatrix,
    /// `||tail||_F / sqrt(min(m, n) - k)`.
    pub sigma_tail: f64,
    /// `tail + sigma_tail U V^T`.
    pub shaped: HostMatrix,
}

impl TailShrink {
    /// From U (`m x k`, orthonormal), `W = M^T U` (`n x k`) and V (`n x k`).
    ///
    /// With V = `W diag(1/s)` this is the paper's form, with the polar factor of W the `exact` one. Without a tail
    /// (k = min(m, n)) the map is the identity.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[must_use]
    pub fn from_factors(m: &HostMatrix, u: &HostMatrix, w: &HostMatrix, v: &HostMatrix) -> Self {
        let dimensions_left = m.min_extent() - u.cols;
        if dimensions_left == 0 {
            return Self { tail: HostMatrix::zeros(m.rows, m.cols), sigma_tail: 0.0, shaped: m.clone() };
        }
        let tail = m.zip(&product_nt(u, w), |entry, spike| entry - spike);
        let sigma_tail = tail.frobenius_norm() / (dimensions_left as f64).sqrt();
        let shaped = tail.zip(&product_nt(u, v), |entry, direction| entry + sigma_tail * direction);
        Self { tail, sigma_tail, shaped }
    }
}

#[cfg(test)]
mod tests {
    use super::{TailShrink, tail_scale, tail_shrunk};
    use crate::HostMatrix;
    use crate::distance::{max_error, relative_error};
    use crate::golden::{Golden, names};
    use crate::oracle::{Svd, power_iteration};

    #[test]
    fn values_by_hand() {
        // Powers of two, so that no way of summing the squares rounds: sqrt(8^2 / 4) = 4.
        assert_eq!(tail_shrunk(&[100.0, 8.0, 0.0, 0.0, 0.0], 1), [4.0, 8.0, 0.0, 0.0, 0.0]);
        assert_eq!(tail_scale(&[100.0, 4.0, 3.0], 3), 0.0);
        assert_eq!(tail_shrunk(&[100.0, 4.0], 2), [100.0, 4.0]);
        assert_eq!(tail_shrunk(&[0.0, 0.0], 1), [0.0, 0.0]);
    }

    #[test]
    fn factors_of_the_exact_decomposition_give_the_exact_shrink() {
        let matrix = HostMatrix::from_fn(9, 6, |row, col| ((7 * row + 4 * col * col) % 13) as f64 - 5.0);
        let svd = Svd::of(&matrix).unwrap();
        let (u, v) = (svd.u.first_columns(2), svd.v.first_columns(2));
        let shrink = TailShrink::from_factors(&matrix, &u, &v.scaled_columns(&svd.sigma[..2]), &v);
        assert!(relative_error(&shrink.shaped, &svd.tail_shrink(2)) < 1e-14);
        assert!((shrink.sigma_tail / tail_scale(&svd.sigma, 2) - 1.0).abs() < 1e-14);
    }

    /// Algorithm 1 with the paper's form, all steps of every golden trajectory.
    #[test]
    fn golden_trajectories_are_reproduced() {
        let names = names("spectra_step_").unwrap();
        assert!(!names.is_empty());
        for name in names {
            let case = Golden::load(&name).unwrap();
            let hyper = |key: &str| case.hyper_number(key).unwrap();
            let (k, iterations) = (case.hyper_count("k").unwrap(), case.hyper_count("T").unwrap());
            let check = |output: &str, computed: &[f64]| {
                let golden = case.outputs().array(output).unwrap().to_f64().unwrap();
                let error = max_error(computed, &golden);
                assert!(error <= case.tolerance_of(output).unwrap(), "{name} {output}: {error:e}");
            };

            let mut weights = case.inputs().matrix("W0").unwrap();
            let mut momentum = HostMatrix::zeros(weights.rows, weights.cols);
            let mut cache: Option<HostMatrix> = None;
            let (mut s, mut sigma_tail, mut rms, mut eta_eff) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for step in 1..=case.hyper_count("steps").unwrap() {
                let gradient = case.inputs().matrix(&format!("G_{step}")).unwrap();
                momentum = momentum.zip(&gradient, |m, g| hyper("mu") * m + g);
                let (u, w, v) = match &cache {
                    None => {
                        let svd = Svd::of(&momentum).unwrap();
                        let v = svd.v.first_columns(k);
                        s.extend_from_slice(&svd.sigma[..k]);
                        (svd.u.first_columns(k), v.scaled_columns(&svd.sigma[..k]), v)
                    }
                    Some(v) => {
                        let result = power_iteration(&momentum, v, iterations).unwrap();
                        s.extend_from_slice(&result.s);
                        (result.u, result.w, result.v)
                    }
                };
                let shrink = TailShrink::from_factors(&momentum, &u, &w, &v);
                cache = Some(v);
                let entries = shrink.shaped.data.len() as f64;
                sigma_tail.push(shrink.sigma_tail);
                rms.push(shrink.shaped.frobenius_norm() / entries.sqrt());
                let rate = hyper("rms_scale") * hyper("eta") / (rms[step - 1] + hyper("eps"));
                eta_eff.push(rate);
                weights = weights.zip(&shrink.shaped, |x, o| x - rate * o);
                if case.outputs().array(&format!("W_{step}")).is_ok() {
                    check(&format!("W_{step}"), &weights.data);
                }
            }
            check("s", &s);
            check("sigma_tail", &sigma_tail);
            check("rms", &rms);
            check("eta_eff", &eta_eff);
        }
    }
}
