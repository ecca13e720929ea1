//! The data, compiled in: they stay in flash.

include!(concat!(env!("OUT_DIR"), "/digits.rs"));

/// A class and its pixels, from 0 to 16.
pub(crate) type Image = (u8, [u8; PIXELS]);
/// Of an image.
pub(crate) const PIXELS: usize = 64;
/// Digits.
pub(crate) const CLASSES: usize = 10;
