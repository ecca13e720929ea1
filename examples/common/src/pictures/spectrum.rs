use plotters::prelude::*;

use super::canvas::{Area, FONT, colour, failed, png};
use crate::{Failure, Record, Settings, Spectrum};

/// Values below this share of the root mean square are noise of the arithmetic and would squash the rest.
const LOWEST: f64 = 1e-3;

/// Singular values of the watched matrix: gradient, momentum and update of every run, a panel for each.
pub fn spectrum(runs: &[(Settings, Record)]) -> Result<Vec<u8>, Failure> {
    let spectra: Vec<_> = runs
        .iter()
        .filter_map(|(settings, record)| Some((settings.optimizer.as_str(), record.spectrum.as_ref()?)))
        .collect();
    let values = || spectra.iter().flat_map(|(_, s)| s.gradient.iter().chain(&s.momentum).chain(&s.update));
    let highest = values().copied().fold(1.0, f64::max) * 1.5;
    let lowest = values().copied().filter(|value| *value > LOWEST).fold(1.0, f64::min) / 1.5;
    png((560 * spectra.len() as u32).max(840), 620, |area| {
        let Some((_, first)) = spectra.first() else { return Ok(()) };
        let title = format!("singular values of {}, step {}", first.weight, first.step);
        let area = area.margin(12, 0, 0, 16).titled(&title, (FONT, 26)).map_err(failed)?;
        let panels = area.split_evenly((1, spectra.len()));
        panels
            .iter()
            .zip(&spectra)
            .try_for_each(|(area, (optimizer, spectrum))| panel(area, optimizer, spectrum, lowest, highest))
    })
}

fn panel(
    area: &Area<'_>,
    optimizer: &str,
    spectrum: &Spectrum,
    lowest: f64,
    highest: f64,
) -> Result<(), Failure> {
    let count = spectrum.update.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .caption(optimizer, (FONT, 24))
        .x_label_area_size(52)
        .y_label_area_size(78)
        .build_cartesian_2d((0.9..count * 1.1).log_scale(), (lowest..highest).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc("index, largest first")
        .y_desc("singular value / root mean square")
        .label_style((FONT, 19))
        .axis_desc_style((FONT, 21))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_label_formatter(&|index| format!("{index:.0}"))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()
        .map_err(failed)?;
    let lists =
        [("gradient", &spectrum.gradient), ("momentum", &spectrum.momentum), ("update", &spectrum.update)];
    for (number, (name, values)) in lists.into_iter().enumerate() {
        let visible = values.iter().enumerate().filter(|(_, value)| **value >= lowest);
        let points = visible.map(|(index, value)| ((index + 1) as f64, *value));
        let style = colour(number).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style.filled()).point_size(3))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], style.stroke_width(4)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .margin(16)
        .legend_area_size(36)
        .label_font((FONT, 21))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}
