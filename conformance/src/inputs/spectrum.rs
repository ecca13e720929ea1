//! Inputs with a prescribed spectrum and random singular vectors.

use super::{Family, Input, gaussian, generator, orthonormal};
use crate::oracle::Svd;

/// The input with the singular values `sigma(i)`, i = 0 .. min(rows, cols).
#[must_use]
pub fn with_spectrum(
    label: &str,
    family: Family,
    (rows, cols): (usize, usize),
    sigma: impl Fn(usize) -> f64,
) -> Input {
    let count = rows.min(cols);
    let rng = &mut generator(&format!("{label} {rows} x {cols}"));
    let (u, v) = (orthonormal(rows, count, rng), orthonormal(cols, count, rng));
    Input::from_factors(label, family, Svd { u, sigma: (0..count).map(sigma).collect(), v })
}

/// `spikes` singular values from 100 down to 50 over a tail from 1 down to 1/2.
///
/// The ratio at the gap is 1/50: a gradient's spike as the papers show it.
#[must_use]
pub fn spiked(shape: (usize, usize), spikes: usize) -> Input {
    let descent =
        |index: usize, count: usize| 1.0 - 0.5 * index as f64 / count.max(2).saturating_sub(1) as f64;
    let tail = shape.0.min(shape.1).saturating_sub(spikes);
    with_spectrum(&format!("spiked k = {spikes}"), Family::Spiked, shape, |index| {
        if index < spikes { 100.0 * descent(index, spikes) } else { descent(index - spikes, tail) }
    })
}

/// Independent standard normal entries.
#[must_use]
pub fn flat((rows, cols): (usize, usize)) -> Input {
    Input::new("flat", Family::Flat, gaussian(rows, cols, &mut generator(&format!("flat {rows} x {cols}"))))
}

/// Groups of five singular values 1e-6 apart, each group a third of the one before.
#[must_use]
pub fn clustered(shape: (usize, usize)) -> Input {
    with_spectrum("clustered", Family::Clustered, shape, |index| {
        3_f64.powi(-((index / 5) as i32)) * (1.0 - 1e-6 * (index % 5) as f64)
    })
}

/// Singular values from 1 down to 1e-12, equal ratios.
#[must_use]
pub fn graded(shape: (usize, usize)) -> Input {
    let last = shape.0.min(shape.1).max(2) - 1;
    with_spectrum("graded", Family::Graded, shape, |index| 10_f64.powf(-12.0 * index as f64 / last as f64))
}

/// Singular values 1, 1/2, 1/3, ... up to `rank`, then zeros.
#[must_use]
pub fn rank_deficient(shape: (usize, usize), rank: usize) -> Input {
    with_spectrum(&format!("rank {rank}"), Family::RankDeficient, shape, |index| {
        if index < rank { 1.0 / (index + 1) as f64 } else { 0.0 }
    })
}

/// The singular value 10 four times, then 1 for all others.
#[must_use]
pub fn repeated(shape: (usize, usize)) -> Input {
    with_spectrum("repeated", Family::Repeated, shape, |index| if index < 4 { 10.0 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::{clustered, graded, rank_deficient, repeated, spiked};
    use crate::{Precision, tolerance};

    #[test]
    fn planted_singular_values_are_there() {
        for shape in [(24, 40), (41, 23), (32, 32)] {
            for input in
                [spiked(shape, 3), clustered(shape), graded(shape), rank_deficient(shape, 5), repeated(shape)]
            {
                let planted = &input.planted.as_ref().unwrap().sigma;
                let found = &input.svd().unwrap().sigma;
                for (a, b) in planted.iter().zip(found) {
                    let tolerance = tolerance::svd_residual(Precision::F64, shape);
                    assert!((a - b).abs() <= tolerance * planted[0], "{}: {a} {b}", input.name);
                }
            }
        }
    }

    #[test]
    fn condition_figures_are_those_of_the_spectrum() {
        let spiked = spiked((33, 65), 2).condition().unwrap();
        assert!((spiked.number() - 200.0).abs() < 1e-9, "{spiked:?}");
        let deficient = rank_deficient((24, 40), 5).condition().unwrap();
        assert_eq!(deficient.rank, 5);
        assert!((deficient.number() - 5.0).abs() < 1e-9, "{deficient:?}");
        let graded = graded((24, 40)).condition().unwrap();
        assert_eq!(graded.rank, 24);
        assert!((graded.number().log10() - 12.0).abs() < 1e-2, "{graded:?}");
    }

    #[test]
    fn spikes_may_be_all_there_is() {
        assert_eq!(spiked((2, 9), 2).planted.unwrap().sigma, [100.0, 50.0]);
        assert_eq!(spiked((9, 1), 1).planted.unwrap().sigma, [100.0]);
    }
}
