use std::ops::Range;

use plotters::prelude::*;

use super::canvas::{Area, FONT, colour, failed, faint, png};
use crate::{Failure, Record, Row, Settings};

type Runs = [(Settings, Record)];

/// Validation and training loss of every run, over steps and over seconds.
pub fn loss(runs: &Runs) -> Result<Vec<u8>, Failure> {
    png(1500, 640, |area| {
        let (left, right) = area.split_horizontally(760);
        panel(&left, runs, "training steps", |row| row.step as f64)?;
        panel(&right, runs, "seconds of training", |row| row.seconds)
    })
}

fn panel(area: &Area<'_>, runs: &Runs, across: &str, x: impl Fn(&Row) -> f64) -> Result<(), Failure> {
    let end = runs.iter().filter_map(|(_, record)| record.rows.last().map(&x)).fold(0.0, f64::max);
    let heights = visible_losses(runs);
    let top = heights.end;
    let mut chart = ChartBuilder::on(area)
        .margin(20)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..end.max(f64::MIN_POSITIVE), heights)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc(across)
        .y_desc("loss, nats per byte")
        .label_style((FONT, 20))
        .axis_desc_style((FONT, 22))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .draw()
        .map_err(failed)?;
    for (number, (_, record)) in runs.iter().enumerate() {
        let points = record.rows.iter().map(|row| (x(row), row.training_loss)).filter(|point| point.1 <= top);
        chart.draw_series(LineSeries::new(points, faint(number))).map_err(failed)?;
    }
    for (number, (settings, record)) in runs.iter().enumerate() {
        let measured = |row: &Row| Some((x(row), row.validation_loss?));
        let points: Vec<_> = record.rows.iter().filter_map(measured).filter(|point| point.1 <= top).collect();
        let style = colour(number).stroke_width(3);
        chart
            .draw_series(LineSeries::new(points, style.filled()).point_size(4))
            .map_err(failed)?
            .label(label(settings, record))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(16)
        .legend_area_size(36)
        .label_font((FONT, 21))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}

fn label(settings: &Settings, record: &Record) -> String {
    let last = record.final_loss().map(|loss| format!(": {loss:.3}")).unwrap_or_default();
    format!("{} (lr {}){last}", settings.optimizer, settings.lr)
}

/// From just below the best loss to where the curves leave their first steep fall.
fn visible_losses(runs: &Runs) -> Range<f64> {
    let rows = || runs.iter().flat_map(|(_, record)| &record.rows);
    let lowest = rows()
        .flat_map(|row| [Some(row.training_loss), row.validation_loss])
        .flatten()
        .fold(f64::INFINITY, f64::min);
    let after_the_fall = |(_, record): &(Settings, Record)| {
        record.rows.get(record.rows.len() / 12).map(|row| row.training_loss)
    };
    let highest = runs.iter().filter_map(after_the_fall).fold(lowest + 0.1, f64::max);
    let room = 0.05 * (highest - lowest);
    lowest - room..highest + room
}
