//! What a difference over a few seeds is worth.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with the interval that holds the true one with 95 %, by Student's t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Of the values.
    pub mean: f64,
    /// Distance from the mean to either end.
    pub half_width: f64,
    /// Probability of a mean as far from zero, or farther, if the true one were zero.
    pub p: f64,
    /// How many values.
    pub count: usize,
}

impl Interval {
    /// Of values drawn independently; none of fewer than two.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        let freedom = (count.checked_sub(1).filter(|rest| *rest > 0)?) as f64;
        let mean = mean(values);
        let error = (variance(values) / count as f64).sqrt();
        let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
        // Equal values leave no doubt.
        let p =
            if error > 0.0 { 2.0 * t.cdf(-(mean / error).abs()) } else { f64::from(u8::from(mean == 0.0)) };
        Some(Self { mean, half_width: t.inverse_cdf(0.975) * error, p, count })
    }
}

/// Arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample: by one less than its number.
pub fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Holm's correction: p-values that may be compared with 0.05 although there are many, in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<_> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, place) in order.into_iter().enumerate() {
        largest = largest.max(p[place] * (p.len() - rank) as f64).min(1.0);
        corrected[place] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R: t.test(c(1, 2, 3, 4)): mean 2.5, interval [0.4457397, 4.5542603], p 0.03047.
    #[test]
    fn the_interval_is_students() {
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0]).expect("four values");
        assert_eq!((interval.mean, interval.count), (2.5, 4));
        // statrs' quantile is found by bisection to 1e-6 or so.
        assert!((interval.half_width - 2.054_260_3).abs() < 1e-5, "{interval:?}");
        assert!((interval.p - 0.030_466).abs() < 1e-5, "{interval:?}");
        assert_eq!(Interval::of(&[1.0]), None);
        assert_eq!(Interval::of(&[2.0; 3]).map(|i| (i.half_width, i.p)), Some((0.0, 0.0)));
    }

    /// R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm"): 0.03 0.06 0.06 0.02.
    #[test]
    fn holm_is_holms() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-15, "{corrected:?}");
        }
    }
}
