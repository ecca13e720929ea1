//! The images: those of the first writers to learn from, those of the last to be measured on.

use std::io::Read;

use flate2::read::GzDecoder;
use spectra_examples::Failure;

const FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");
/// Pixels of a side.
pub(super) const SIDE: usize = 8;
/// Of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;
/// Digits.
pub(super) const CLASSES: usize = 10;
/// Images at the end of the file that are never trained on: the file is in the order of its writers.
const HELD_BACK: usize = 360;

/// Images and their classes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Images {
    /// An image after the other, each pixel between 0 and 1.
    pub(super) pixels: Vec<f32>,
    /// One of ten for each image.
    pub(super) classes: Vec<u32>,
}

impl Images {
    pub(super) fn count(&self) -> usize {
        self.classes.len()
    }

    /// The images of these numbers.
    pub(super) fn pick(&self, numbers: &[usize]) -> Self {
        let image = |number: &usize| self.pixels[number * PIXELS..(number + 1) * PIXELS].iter().copied();
        let pixels = numbers.iter().flat_map(image).collect();
        Self { pixels, classes: numbers.iter().map(|number| self.classes[*number]).collect() }
    }
}

/// The bytes of the file, unpacked.
pub(super) fn bytes() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    GzDecoder::new(FILE).read_to_end(&mut bytes).map_err(Failure::run)?;
    Ok(bytes)
}

/// Training and validation images.
pub(super) fn images(bytes: &[u8]) -> Result<(Images, Images), Failure> {
    let mut all = Images { pixels: Vec::new(), classes: Vec::new() };
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(bytes).deserialize() {
        let numbers: Vec<u32> = record.map_err(Failure::run)?;
        let (&class, pixels) = numbers.split_last().ok_or_else(|| Failure::run("an empty line of digits"))?;
        if pixels.len() != PIXELS || class as usize >= CLASSES {
            return Err(Failure::run(format!(
                "a line of digits has {} pixels and class {class}",
                pixels.len()
            )));
        }
        all.pixels.extend(pixels.iter().map(|pixel| *pixel as f32 / 16.0));
        all.classes.push(class);
    }
    let train: Vec<_> = (0..all.count() - HELD_BACK).collect();
    let rest: Vec<_> = (all.count() - HELD_BACK..all.count()).collect();
    Ok((all.pick(&train), all.pick(&rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let bytes = bytes().expect("the file");
        let (train, validation) = images(&bytes).expect("images");
        assert_eq!((train.count(), validation.count()), (1437, 360));
        assert_eq!(&train.classes[..5], [0, 1, 2, 3, 4]);
        assert_eq!(&train.pixels[..4], [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0]);
        let seen: Vec<_> =
            (0..10).map(|class| validation.classes.iter().filter(|found| **found == class).count()).collect();
        assert!(seen.iter().all(|count| (30..45).contains(count)), "{seen:?}");
    }
}
