//! The look that all pictures share, and the way from a drawing to the bytes of a PNG file.

use std::sync::OnceLock;

use epaint_default_fonts::UBUNTU_LIGHT;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{RGBAColor, register_font};

use crate::Failure;

/// A drawing area of the picture.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The only typeface: it is compiled in, so that pictures do not depend on what a machine has installed.
pub(super) const FONT: &str = "sans-serif";

/// Colours that stay apart for colour-blind readers (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(86, 86, 86),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// The colour of the curve with this number.
pub(super) fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// The same colour for what stays in the background.
pub(super) fn faint(number: usize) -> RGBAColor {
    colour(number).mix(0.4)
}

/// Draws a picture of `width` x `height` pixels and returns the PNG file.
pub(super) fn png(
    width: u32,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT).is_ok()) {
        return Err(Failure::run("the built-in font cannot be read"));
    }
    // The encoder takes its format from the name of a file.
    let file = tempfile::Builder::new().suffix(".png").tempfile().map_err(Failure::run)?;
    {
        let area = BitMapBackend::new(file.path(), (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    std::fs::read(file.path()).map_err(Failure::run)
}

/// Any fault of drawing.
pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::run(format!("a picture cannot be drawn: {error}"))
}
