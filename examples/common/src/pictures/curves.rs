use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::canvas::{Area, FONT, colour, failed, png};
use crate::Failure;

/// Up to so many points are marked: one alone is no line.
const FEW: usize = 12;

/// One curve: its name and its points.
pub type Curve = (String, Vec<(f64, f64)>);

/// A titled panel of curves over iterations, both axes as named.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Above the panel.
    pub title: String,
    /// Of the horizontal axis.
    pub across: &'static str,
    /// Of the vertical axis.
    pub up: &'static str,
    /// Whether the vertical axis is logarithmic; points at 0 and below are left out then.
    pub logarithmic: bool,
    /// In the order of their colours.
    pub curves: Vec<Curve>,
}

impl Panel {
    fn is_visible(&self, point: &(f64, f64)) -> bool {
        point.1.is_finite() && (point.1 > 0.0 || !self.logarithmic)
    }

    /// The upper corner that rising or falling curves leave free.
    fn free_corner(&self) -> SeriesLabelPosition {
        let rise = |(_, points): &Curve| Some(points.last()?.1 - points.first()?.1);
        match self.curves.iter().filter_map(rise).sum::<f64>() > 0.0 {
            true => SeriesLabelPosition::UpperLeft,
            false => SeriesLabelPosition::UpperRight,
        }
    }
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
    let visible = |point: &&(f64, f64)| panel.is_visible(point);
    let points = || panel.curves.iter().flat_map(|(_, points)| points.iter().filter(visible));
    let end = points().map(|p| p.0).fold(1.0, f64::max);
    let first = points().map(|p| p.0).fold(end, f64::min);
    // From 0, unless that would leave much of the panel empty.
    let across = if first <= 0.25 * end || first == end { 0.0..end } else { first..end };
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let low = if low.is_finite() { low } else { 1.0 };
    let high = points().map(|p| p.1).fold(low, f64::max);
    let mut builder = ChartBuilder::on(area);
    builder.caption(&panel.title, (FONT, 24)).margin(14).x_label_area_size(46).y_label_area_size(84);
    if panel.logarithmic {
        let high = high.max(low * 1.01);
        let room = (high / low).powf(0.04);
        let heights = (low / room..high * room).log_scale();
        fill(builder.build_cartesian_2d(across, heights).map_err(failed)?, panel)
    } else {
        let room = 0.04 * (high - low).max(1e-3 * high.abs()).max(f64::MIN_POSITIVE);
        fill(builder.build_cartesian_2d(across, low - room..high + room).map_err(failed)?, panel)
    }
}

/// A chart on a panel of a picture, with a vertical axis of type `Y`.
type Chart<'a, 'b, Y> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

fn fill<'a, 'b: 'a, Y>(mut chart: Chart<'a, 'b, Y>, panel: &Panel) -> Result<(), Failure>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let across = chart.x_range();
    let decimals = if across.end - across.start < 6.0 { 1 } else { 0 };
    chart
        .configure_mesh()
        .x_desc(panel.across)
        .y_desc(panel.up)
        .x_labels(6)
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 19))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_label_formatter(&|x| format!("{x:.decimals$}"))
        .y_label_formatter(&|y| match y {
            0.01..100.0 => format!("{y:.2}"),
            100.0..1e4 => format!("{y:.0}"),
            _ => format!("{y:.0e}"),
        })
        .draw()
        .map_err(failed)?;
    for (number, (name, points)) in panel.curves.iter().enumerate() {
        let style = colour(number).stroke_width(2);
        let visible = || points.iter().filter(|point| panel.is_visible(point)).copied();
        if visible().count() <= FEW {
            let dots = visible().map(|point| Circle::new(point, 4, colour(number).filled()));
            chart.draw_series(dots).map_err(failed)?;
        }
        chart
            .draw_series(LineSeries::new(visible(), style))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(panel.free_corner())
        .legend_area_size(30)
        .label_font((FONT, 17))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}
