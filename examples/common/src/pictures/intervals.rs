use plotters::prelude::*;

use super::canvas::{FONT, colour, failed, png};
use crate::Failure;

/// Values on one line, with their mean and an interval around it.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Beside the line.
    pub name: String,
    /// A dot each.
    pub points: Vec<f64>,
    /// The middle.
    pub mean: f64,
    /// From the middle to either end.
    pub half_width: f64,
}

/// Intervals one below the other over a common axis, on which 0 is marked.
pub fn intervals(title: &str, across: &str, rows: &[Interval]) -> Result<Vec<u8>, Failure> {
    let ends = |row: &Interval| [row.mean - row.half_width, row.mean + row.half_width];
    let all =
        || rows.iter().flat_map(|row| row.points.iter().copied().chain(ends(row))).filter(|x| x.is_finite());
    let (low, high) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    let room = 0.05 * (high - low).max(f64::MIN_POSITIVE);
    png(1000, 130 + 40 * rows.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 24))
            .margin(14)
            .margin_left(230)
            .x_label_area_size(56)
            .build_cartesian_2d(low - room..high + room, 0.0..rows.len().max(1) as f64)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc(across)
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .label_style((FONT, 17))
            .axis_desc_style((FONT, 19))
            .draw()
            .map_err(failed)?;
        let zero = [(0.0, 0.0), (0.0, rows.len().max(1) as f64)];
        chart.draw_series(LineSeries::new(zero, BLACK.mix(0.5))).map_err(failed)?;
        for (number, row) in rows.iter().enumerate() {
            let height = (rows.len() - number) as f64 - 0.5;
            // Statistically told from zero, or not.
            let colour = colour(if row.mean.abs() > row.half_width { 2 } else { 0 });
            let [left, right] = ends(row);
            let line = LineSeries::new([(left, height), (right, height)], colour.stroke_width(3));
            chart.draw_series(line).map_err(failed)?;
            chart.draw_series([Circle::new((row.mean, height), 6, colour.filled())]).map_err(failed)?;
            let dots = row.points.iter().map(|x| Circle::new((*x, height), 3, BLACK.mix(0.35).filled()));
            chart.draw_series(dots).map_err(failed)?;
            let (_, middle) = chart.backend_coord(&(0.0, height));
            area.draw(&Text::new(row.name.clone(), (14, middle - 9), (FONT, 18))).map_err(failed)?;
        }
        Ok(())
    })
}
