use plotters::prelude::*;

use super::canvas::{FONT, colour, failed, png};
use crate::Failure;

/// A bar of several parts.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Beside the bar.
    pub name: String,
    /// Lengths, in the order of the kinds.
    pub parts: Vec<f64>,
}

/// Horizontal bars, one below the other, each of parts of the kinds.
pub fn bars(title: &str, kinds: &[&str], bars: &[Bar]) -> Result<Vec<u8>, Failure> {
    let longest = bars.iter().map(|bar| bar.parts.iter().sum()).fold(0.0, f64::max);
    let height = 150 + 44 * bars.len() as u32;
    png(1000, height, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 24))
            .margin(14)
            .x_label_area_size(30)
            .margin_left(230)
            .margin_right(40)
            .margin_bottom(44)
            .build_cartesian_2d(0.0..longest.max(f64::MIN_POSITIVE), 0.0..bars.len().max(1) as f64)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style((FONT, 17))
            .draw()
            .map_err(failed)?;
        for (number, bar) in bars.iter().enumerate() {
            let bottom = (bars.len() - number) as f64 - 0.85;
            let mut left = 0.0;
            for (kind, length) in bar.parts.iter().enumerate() {
                let corners = [(left, bottom), (left + length, bottom + 0.7)];
                let rectangle = Rectangle::new(corners, colour(kind).filled());
                chart.draw_series([rectangle]).map_err(failed)?;
                left += length;
            }
            let (_, middle) = chart.backend_coord(&(0.0, bottom + 0.35));
            area.draw(&Text::new(bar.name.clone(), (14, middle - 9), (FONT, 18))).map_err(failed)?;
        }
        for (kind, name) in kinds.iter().enumerate() {
            let (x, y) = (232 + 150 * kind as i32, height as i32 - 34);
            let square = Rectangle::new([(x, y), (x + 16, y + 16)], colour(kind).filled());
            area.draw(&square).map_err(failed)?;
            area.draw(&Text::new((*name).to_string(), (x + 24, y - 2), (FONT, 18))).map_err(failed)?;
        }
        Ok(())
    })
}
