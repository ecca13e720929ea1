//! Inputs for the maps with a threshold: spectra of every kind, from far below the threshold 1 to far above it.

use std::sync::OnceLock;

use super::{Family, Input, with_spectrum};
use crate::Precision;

/// Singular value `i` of `r`, for the largest one given.
type Spectrum = fn(usize, usize, f64) -> f64;

const SPECTRA: [(&str, Family, Spectrum); 7] = [
    ("three spikes", Family::Spiked, |i, r, top| {
        if i < 3 { top / (1.0 + i as f64) } else { (1.0 - i as f64 / r as f64) * top.min(1.0) }
    }),
    ("equal", Family::Repeated, |_, _, top| top),
    ("linear", Family::Flat, |i, r, top| top * (1.0 - i as f64 / r as f64)),
    ("graded", Family::Graded, |i, r, top| top * 10f64.powf(-6.0 * i as f64 / (r - 1) as f64)),
    ("half large", Family::Repeated, |i, r, top| if i < r / 2 { top } else { top.min(0.6) }),
    ("deficient, equal", Family::RankDeficient, |i, r, top| if i < r / 3 { top } else { 0.0 }),
    ("deficient, graded", Family::RankDeficient, |i, r, top| {
        if i < r / 2 { top * 10f64.powf(-5.0 * i as f64 / r as f64) } else { 0.0 }
    }),
];

/// The largest singular value over the threshold.
const TOPS: [f64; 9] = [1e-3, 0.1, 0.97, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4];

/// Blocks of 8 and of 32 directions fit in, and the short side is neither a multiple of 8 nor always the rows.
const SHAPES: [(usize, usize); 2] = [(36, 60), (45, 33)];

/// All of them, with entries that `precision` represents exactly; the threshold is 1.
#[must_use]
pub fn around_threshold(precision: Precision) -> &'static [Input] {
    static SINGLE: OnceLock<Vec<Input>> = OnceLock::new();
    static DOUBLE: OnceLock<Vec<Input>> = OnceLock::new();
    let inputs = match precision {
        Precision::F32 => &SINGLE,
        Precision::F64 => &DOUBLE,
    };
    inputs.get_or_init(|| {
        let mut inputs = Vec::new();
        for shape in SHAPES {
            let r = shape.0.min(shape.1);
            for (name, family, spectrum) in SPECTRA {
                for top in TOPS {
                    let label = format!("{name}, sigma_1 = {top} c,");
                    let input = with_spectrum(&label, family, shape, |index| spectrum(index, r, top));
                    inputs.push(input.rounded(precision));
                }
            }
        }
        inputs
    })
}

#[cfg(test)]
mod tests {
    use super::{SHAPES, SPECTRA, TOPS, around_threshold};
    use crate::Precision;

    #[test]
    fn the_largest_singular_values_are_as_far_from_the_threshold_as_they_claim() {
        let inputs = around_threshold(Precision::F32);
        assert_eq!(inputs.len(), SHAPES.len() * SPECTRA.len() * TOPS.len());
        for (input, top) in inputs.iter().zip(TOPS.iter().cycle()) {
            let largest = input.svd().unwrap().sigma[0];
            assert!((largest / top - 1.0).abs() < 1e-6, "{}: {largest}", input.name);
        }
    }
}
