use plotters::prelude::*;

use super::canvas::{FONT, colour, failed, png};
use super::curves::Curve;
use crate::Failure;

/// Dots of several groups, a panel each, four in a row, all with the same axes, of which the horizontal one is logarithmic.
pub fn scatter(across: &str, up: &str, groups: &[Curve]) -> Result<Vec<u8>, Failure> {
    let is_visible = |(x, y): &&(f64, f64)| *x > 0.0 && x.is_finite() && y.is_finite();
    let all = || groups.iter().flat_map(|(_, points)| points.iter().filter(is_visible));
    let ends = |values: &dyn Fn() -> Vec<f64>| {
        let values = values();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        if low.is_finite() { (low, values.iter().copied().fold(low, f64::max)) } else { (1.0, 2.0) }
    };
    let (left, right) = ends(&|| all().map(|point| point.0).collect());
    let (low, high) = ends(&|| all().map(|point| point.1).collect());
    let room = 0.05 * (high - low).max(1e-3 * high.abs());
    let columns = groups.len().clamp(1, 4);
    let rows = groups.len().div_ceil(columns).max(1);
    png(330 * columns as u32, 290 * rows as u32, |area| {
        for (number, (area, (name, points))) in
            area.split_evenly((rows, columns)).iter().zip(groups).enumerate()
        {
            let mut chart = ChartBuilder::on(area)
                .caption(name, (FONT, 20))
                .margin(8)
                .x_label_area_size(40)
                .y_label_area_size(58)
                .build_cartesian_2d((left / 1.2..right * 1.2).log_scale(), low - room..high + room)
                .map_err(failed)?;
            chart
                .configure_mesh()
                .x_desc(across)
                .y_desc(up)
                .x_labels(4)
                .y_labels(5)
                .x_label_formatter(&|x| format!("{x:.0e}"))
                .y_label_formatter(&|y| format!("{y:.2}"))
                .label_style((FONT, 15))
                .axis_desc_style((FONT, 16))
                .light_line_style(TRANSPARENT)
                .bold_line_style(BLACK.mix(0.1))
                .draw()
                .map_err(failed)?;
            let dots = points.iter().filter(is_visible);
            chart
                .draw_series(dots.map(|point| Circle::new(*point, 4, colour(1 + number % 6).filled())))
                .map_err(failed)?;
        }
        Ok(())
    })
}
