//! 1797 handwritten digits of 8 x 8 pixels, from the laboratory's folder.

use std::io::Read;

use flate2::read::GzDecoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spectra_examples::Failure;

const FILE: &[u8] = include_bytes!("../../../laboratory/data/digits.csv.gz");
/// Those of the last writers are never trained on.
const HELD_BACK: usize = 360;

/// Pixels of a side.
pub const SIDE: usize = 8;
/// Pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// The digits.
pub const CLASSES: usize = 10;

/// An image, its pixels between 0 and 1 row by row, and its digit.
#[derive(Debug, Clone, PartialEq)]
pub struct Digit {
    /// Row by row.
    pub pixels: [f32; PIXELS],
    /// 0 to 9.
    pub class: u8,
}

impl Digit {
    /// The image turned by a quarter.
    #[must_use]
    pub fn turned(&self) -> Self {
        let mut pixels = [0.0; PIXELS];
        for (at, pixel) in pixels.iter_mut().enumerate() {
            *pixel = self.pixels[(SIDE - 1 - at % SIDE) * SIDE + at / SIDE];
        }
        Self { pixels, ..*self }
    }
}

/// The images to learn from, and those to be measured on.
///
/// # Errors
/// A file that is damaged.
pub fn digits() -> Result<(Vec<Digit>, Vec<Digit>), Failure> {
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text).map_err(Failure::run)?;
    let mut train = text.lines().map(digit).collect::<Result<Vec<_>, _>>()?;
    let validation = train.split_off(train.len().saturating_sub(HELD_BACK));
    Ok((train, validation))
}

fn digit(line: &str) -> Result<Digit, Failure> {
    let numbers: Vec<u8> = line.split(',').map(str::parse).collect::<Result<_, _>>().map_err(Failure::run)?;
    let [pixels @ .., class] = &numbers[..] else { return Err(Failure::run("an empty line of digits")) };
    let pixels: Vec<_> = pixels.iter().map(|pixel| f32::from(*pixel) / 16.0).collect();
    let pixels = pixels.try_into().map_err(|_| Failure::run("a line of digits is not 64 pixels"))?;
    Ok(Digit { pixels, class: *class })
}

/// The batch of a step, which depends on nothing else: a run that goes on needs to know the step only.
pub fn batch(from: &[Digit], size: usize, step: usize) -> Vec<Digit> {
    let mut draws = StdRng::seed_from_u64(step as u64);
    (0..size).map(|_| from[draws.random_range(0..from.len())].clone()).collect()
}

/// Pixels and classes, one image after the other.
pub fn columns(digits: &[Digit]) -> (Vec<f32>, Vec<u32>) {
    let pixels = digits.iter().flat_map(|digit| digit.pixels).collect();
    (pixels, digits.iter().map(|digit| u32::from(digit.class)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let (train, validation) = digits().expect("the file");
        assert_eq!((train.len(), validation.len()), (1437, 360));
        let classes: Vec<_> = train[..5].iter().map(|digit| digit.class).collect();
        assert_eq!(classes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn four_quarters_are_a_whole_turn() {
        let (train, _) = digits().expect("the file");
        let once = train[0].turned();
        assert_ne!(once, train[0]);
        assert_eq!(once.turned().turned().turned(), train[0]);
        // The upper left corner goes to the upper right one.
        let mut corner = Digit { pixels: [0.0; PIXELS], class: 0 };
        corner.pixels[0] = 1.0;
        assert_eq!(corner.turned().pixels[SIDE - 1], 1.0);
    }

    #[test]
    fn a_batch_depends_on_its_step() {
        let (train, _) = digits().expect("the file");
        assert_eq!(batch(&train, 8, 3), batch(&train, 8, 3));
        assert_ne!(batch(&train, 8, 3), batch(&train, 8, 4));
    }
}
