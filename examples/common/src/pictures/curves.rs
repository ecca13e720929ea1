use plotters::prelude::*;

use super::canvas::{Area, FONT, colour, failed, png};
use crate::Failure;

/// One curve: its name and its points.
pub type Curve = (String, Vec<(f64, f64)>);

/// A titled panel of curves over iterations, both axes as named, the vertical one logarithmic.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Above the panel.
    pub title: String,
    /// Of the horizontal axis.
    pub across: &'static str,
    /// Of the vertical axis.
    pub up: &'static str,
    /// In the order of their colours.
    pub curves: Vec<Curve>,
}

/// Panels in rows of `columns`.
pub fn curves(panels: &[Panel], columns: usize) -> Result<Vec<u8>, Failure> {
    let columns = columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns).max(1);
    png(620 * columns as u32, 480 * rows as u32, |area| {
        for (area, panel) in area.split_evenly((rows, columns)).iter().zip(panels) {
            draw(area, panel)?;
        }
        Ok(())
    })
}

fn draw(area: &Area<'_>, panel: &Panel) -> Result<(), Failure> {
    let visible = |point: &&(f64, f64)| point.1.is_finite() && point.1 > 0.0;
    let points = || panel.curves.iter().flat_map(|(_, points)| points.iter().filter(visible));
    let end = points().map(|p| p.0).fold(1.0, f64::max);
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min).max(1e-300);
    let high = points().map(|p| p.1).fold(low * 1.01, f64::max);
    let low = if low.is_finite() { low } else { 1.0 };
    let room = (high / low).powf(0.04);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 24))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..end, (low / room..high.max(low * 1.01) * room).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc(panel.across)
        .y_desc(panel.up)
        .x_labels(6)
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 19))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| if (0.01..1e4).contains(y) { format!("{y:.2}") } else { format!("{y:.0e}") })
        .draw()
        .map_err(failed)?;
    for (number, (name, points)) in panel.curves.iter().enumerate() {
        let style = colour(number).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().filter(visible).copied(), style))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(30)
        .label_font((FONT, 17))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}
