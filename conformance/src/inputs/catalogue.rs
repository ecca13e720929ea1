//! The inputs that every backend is judged on.

use std::sync::OnceLock;

use super::{
    Input, clustered, denormal, flat, graded, hilbert, mixed_magnitude, non_finite, rank_deficient, repeated,
    scaled, single_entry, spiked, zero,
};
use crate::Precision;

/// Extents next to the widths of registers, tiles and blocks.
pub const SIZES_AROUND_BLOCKS: [usize; 8] = [7, 8, 9, 63, 64, 65, 127, 129];

const WIDE: (usize, usize) = (24, 40);
const TALL: (usize, usize) = (41, 23);
const SQUARE: (usize, usize) = (32, 32);

/// All inputs, with entries that `precision` represents exactly.
#[must_use]
pub fn standard(precision: Precision) -> &'static [Input] {
    static SINGLE: OnceLock<Vec<Input>> = OnceLock::new();
    static DOUBLE: OnceLock<Vec<Input>> = OnceLock::new();
    let inputs = match precision {
        Precision::F32 => &SINGLE,
        Precision::F64 => &DOUBLE,
    };
    inputs.get_or_init(|| generate(precision).into_iter().map(|input| input.rounded(precision)).collect())
}

/// Inputs as large and as small as they can be with squares that single precision holds: for a backend whose host does
/// not know the norms and so cannot choose a scale.
#[must_use]
pub fn squares_in_range() -> &'static [Input] {
    static INPUTS: OnceLock<Vec<Input>> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let scales = [1e-12, 1e12].into_iter();
        let scaled = scales.flat_map(|scale| [WIDE, TALL, SQUARE].map(|shape| scaled(shape, scale)));
        scaled.map(|input| input.rounded(Precision::F32)).collect()
    })
}

fn generate(precision: Precision) -> Vec<Input> {
    let mut inputs = Vec::new();
    for size in SIZES_AROUND_BLOCKS {
        for shape in [(size, size), (size, 33), (33, size)] {
            inputs.push(spiked(shape, 2));
        }
    }
    for shape in [(1, 1), (1, 17), (17, 1), (1, 129), (129, 1)] {
        inputs.extend([spiked(shape, 1), flat(shape), zero(shape)]);
    }
    for shape in [WIDE, TALL, SQUARE] {
        inputs.extend([
            flat(shape),
            clustered(shape),
            graded(shape),
            rank_deficient(shape, 5),
            repeated(shape),
            zero(shape),
            single_entry(shape, (0, 0)),
            single_entry(shape, (shape.0 - 1, shape.1 - 1)),
            scaled(shape, 1e-30),
            scaled(shape, 1e30),
            mixed_magnitude(shape),
            denormal(shape, precision),
        ]);
    }
    inputs.extend([hilbert((12, 12)), hilbert(WIDE), hilbert(TALL)]);
    inputs.extend(non_finite((9, 65)));
    inputs
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{SIZES_AROUND_BLOCKS, standard};
    use crate::Precision;
    use crate::inputs::Family;

    const FAMILIES: [Family; 12] = [
        Family::Spiked,
        Family::Flat,
        Family::Clustered,
        Family::Graded,
        Family::Hilbert,
        Family::RankDeficient,
        Family::Repeated,
        Family::Zero,
        Family::SingleEntry,
        Family::Extreme,
        Family::Denormal,
        Family::NonFinite,
    ];

    #[test]
    fn names_are_unique_and_every_family_and_size_occurs() {
        for precision in Precision::ALL {
            let inputs = standard(precision);
            let names: HashSet<_> = inputs.iter().map(|input| &input.name).collect();
            assert_eq!(names.len(), inputs.len());
            for family in FAMILIES {
                assert!(inputs.iter().any(|input| input.family == family), "{family:?}");
            }
            for size in SIZES_AROUND_BLOCKS {
                assert!(inputs.iter().any(|input| input.matrix.rows == size && input.matrix.cols != size));
                assert!(inputs.iter().any(|input| input.matrix.cols == size && input.matrix.rows != size));
            }
        }
    }

    #[test]
    fn entries_are_those_of_the_precision() {
        for precision in Precision::ALL {
            for input in standard(precision) {
                let rounded = input.matrix.rounded(precision);
                assert!(input.matrix.data.iter().zip(&rounded.data).all(|(a, b)| a.to_bits() == b.to_bits()));
                assert_eq!(input.condition().is_ok(), input.family != Family::NonFinite, "{}", input.name);
            }
        }
    }
}
