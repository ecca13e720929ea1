//! The regularised problems over the spectral-norm ball, on singular values.

use spectra_core::frank_wolfe::Regularizer;

use super::{bang_bang, elastic, frobenius, schatten};

/// `psi` of a matrix with these singular values.
#[must_use]
pub fn regularizer_value(psi: &Regularizer, sigma: &[f64]) -> f64 {
    let sum = |f: &dyn Fn(f64) -> f64| sigma.iter().map(|sigma| f(*sigma)).sum();
    match *psi {
        Regularizer::None => 0.0,
        Regularizer::Frobenius { b } => sum(&|s| b / 2.0 * s * s),
        Regularizer::Nuclear { t } => sum(&|s| t * s),
        Regularizer::Elastic { t, b } => sum(&|s| t * s + b / 2.0 * s * s),
        Regularizer::SchattenP { p, b } => sum(&|s| b * s.powf(p)),
    }
}

/// The singular values of `argmin_{||V||_2 <= D} <G, V> + psi(V)`, without the minus sign, for those of G.
#[must_use]
pub fn frank_wolfe_vertex(psi: &Regularizer, sigma: &[f64], d: f64) -> Vec<f64> {
    match *psi {
        Regularizer::None => vec![d; sigma.len()],
        Regularizer::Frobenius { b } => frobenius(sigma, b, d),
        Regularizer::Nuclear { t } => bang_bang(sigma, t, d),
        Regularizer::Elastic { t, b } => elastic(sigma, t, b, d),
        Regularizer::SchattenP { p, b } => schatten(sigma, b, p, d),
    }
}

/// `min_{||V||_2 <= D} <G, V> + psi(V)`
#[must_use]
pub fn linear_minimum(psi: &Regularizer, sigma: &[f64], d: f64) -> f64 {
    let vertex = frank_wolfe_vertex(psi, sigma, d);
    let inner: f64 = sigma.iter().zip(&vertex).map(|(sigma, v)| sigma * v).sum();
    regularizer_value(psi, &vertex) - inner
}

/// `min_{||X||_2 <= D} ||X - T||_F^2 / 2 + psi(X)` for T with the singular values `tau`: with T's singular vectors, each value
/// solves `min_{0 <= x <= D} (x - tau)^2 / 2 + psi(x)`, by bisection of the increasing derivative.
#[must_use]
pub fn projection_minimum(psi: &Regularizer, tau: &[f64], d: f64) -> f64 {
    let slope = |x: f64| match *psi {
        Regularizer::None => 0.0,
        Regularizer::Frobenius { b } => b * x,
        Regularizer::Nuclear { t } => t,
        Regularizer::Elastic { t, b } => t + b * x,
        Regularizer::SchattenP { p, b } => b * p * x.powf(p - 1.0),
    };
    let best = |tau: f64| {
        let (mut low, mut high) = (0.0, d);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if middle - tau + slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    };
    let values: Vec<f64> = tau.iter().map(|tau| best(*tau)).collect();
    let distance: f64 = tau.iter().zip(&values).map(|(tau, x)| (x - tau) * (x - tau) / 2.0).sum();
    distance + regularizer_value(psi, &values)
}

#[cfg(test)]
mod tests {
    use spectra_core::frank_wolfe::Regularizer;

    use super::{linear_minimum, projection_minimum};

    /// The five, p on both sides of 2.
    const ALL: [Regularizer; 6] = [
        Regularizer::None,
        Regularizer::Frobenius { b: 0.5 },
        Regularizer::Nuclear { t: 0.7 },
        Regularizer::Elastic { t: 0.7, b: 0.5 },
        Regularizer::SchattenP { p: 1.5, b: 0.3 },
        Regularizer::SchattenP { p: 3.0, b: 0.3 },
    ];

    #[test]
    fn minima_are_those_of_a_grid() {
        let d = 1.5;
        for psi in ALL {
            for sigma in [0.0, 0.2, 0.9, 4.0] {
                let grid = |f: &dyn Fn(f64) -> f64| {
                    (0..=20_000).map(|i| f(d * f64::from(i) / 20_000.0)).fold(f64::INFINITY, f64::min)
                };
                let at = |x: f64| super::regularizer_value(&psi, &[x]);
                let linear = grid(&|x| at(x) - sigma * x);
                assert!((linear_minimum(&psi, &[sigma], d) - linear).abs() < 1e-7, "{psi:?} {sigma}");
                let projection = grid(&|x| at(x) + (x - sigma).powi(2) / 2.0);
                assert!((projection_minimum(&psi, &[sigma], d) - projection).abs() < 1e-7, "{psi:?} {sigma}");
            }
        }
    }
}
