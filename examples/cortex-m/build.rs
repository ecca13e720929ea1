//! Writes the data as Rust, and says where the linker finds the device's memory.

use flate2::read::GzDecoder;
use std::error::Error;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

const DIGITS: &str = "../../laboratory/data/digits.csv.gz";
const PIXELS: usize = 64;
const CLASSES: usize = 10;
/// Images of the last writers, which the device sees: the file is in the order of its writers.
const LAST: usize = 200;
/// They are trained on and held back by turns of so many.
const TURN: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::var("OUT_DIR")?;
    let out = Path::new(&out);
    println!("cargo:rerun-if-changed={DIGITS}");
    println!("cargo:rerun-if-changed=memory.x");
    fs::write(out.join("digits.rs"), digits()?)?;
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bin=device=-Tlink.x");
    Ok(())
}

/// The mean image of each class over all writers but the last, in 4096ths, and the images of the last.
fn digits() -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    GzDecoder::new(File::open(DIGITS)?).read_to_string(&mut text)?;
    let mut images = Vec::new();
    for line in text.lines() {
        let numbers = line.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        let (class, pixels) = numbers.split_last().ok_or("an empty line")?;
        images.push((*class as usize, <[u32; PIXELS]>::try_from(pixels)?));
    }
    let (first, last) = images.split_at(images.len() - LAST);

    let (mut sums, mut counts) = ([[0; PIXELS]; CLASSES], [0; CLASSES]);
    for (class, pixels) in first {
        counts[*class] += 1;
        sums[*class].iter_mut().zip(pixels).for_each(|(sum, pixel)| *sum += pixel);
    }
    let means: Vec<_> = sums
        .iter()
        .zip(counts)
        .map(|(sums, count)| sums.map(|sum| (sum * 256 + count / 2) / count))
        .collect();

    let mut source = String::new();
    writeln!(source, "/// The mean images of ten classes: a 4096th of each number.")?;
    writeln!(source, "pub(crate) static MEANS: [[u16; {PIXELS}]; {CLASSES}] = {means:?};")?;
    for (name, held_back) in [("TRAINING", false), ("HELD_BACK", true)] {
        let turn = |(at, image)| ((at / TURN % 2 == 1) == held_back).then_some(image);
        let images: Vec<_> = last.iter().enumerate().filter_map(turn).collect();
        writeln!(source, "/// Images of the last writers: classes, and pixels from 0 to 16.")?;
        writeln!(source, "pub(crate) static {name}: [(u8, [u8; {PIXELS}]); {}] = {images:?};", images.len())?;
    }
    Ok(source)
}
