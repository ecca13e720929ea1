//! Errors against what could explain them.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::super::Column;
use super::axis::Axis;
use super::{Escaped, Series};
use crate::suite::Point;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 230.0;
/// Left, right, top, bottom of the plot.
const PLOT: (f64, f64, f64, f64) = (46.0, 352.0, 12.0, 178.0);
/// Room left of the first decade and right of the last, for marks and labels.
const ROOM: f64 = 9.0;
/// The most decades of the horizontal and of the vertical axis.
const DECADES: (i32, i32) = (20, 8);
/// Where errors of zero lie, below the axis.
const EXACT: f64 = 192.0;

/// What is on the horizontal axis.
#[derive(Clone, Copy)]
pub(super) enum Against {
    Condition,
    Size,
}

impl Against {
    fn title(self) -> &'static str {
        match self {
            Self::Condition => "condition number of the input",
            Self::Size => "entries of the matrix",
        }
    }

    fn of(self, point: &Point) -> Option<f64> {
        match self {
            Self::Condition => point.condition(),
            Self::Size => Some((point.shape.0 * point.shape.1) as f64),
        }
    }
}

/// A mark: place, error and tolerance in unit roundoffs.
struct Mark {
    x: f64,
    error: f64,
    tolerance: f64,
}

impl Mark {
    /// Also for an error that is no number.
    fn failed(&self) -> bool {
        !(self.error <= self.tolerance)
    }
}

/// Draws the points of one check in all columns. Writes nothing if there are fewer than two.
pub(super) fn write(
    out: &mut String,
    check: usize,
    columns: &[Column],
    series: &[Series],
    against: Against,
) -> fmt::Result {
    let marks: Vec<Vec<Mark>> = columns.iter().map(|column| marks(column, check, against)).collect();
    let all = || marks.iter().flatten();
    let (left, right, top, bottom) = PLOT;
    let x_axis = Axis::over(all().map(|mark| mark.x), DECADES.0, (left + ROOM, right - ROOM));
    let y_axis = Axis::over(all().flat_map(|mark| [mark.error, mark.tolerance]), DECADES.1, (bottom, top));
    let (Some(x_axis), Some(y_axis)) = (x_axis, y_axis) else { return Ok(()) };
    if all().count() < 2 {
        return Ok(());
    }
    write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"error against {}\">",
        against.title()
    )?;
    write_axes(out, &x_axis, &y_axis, against)?;

    let mut ticks = BTreeSet::new();
    for mark in all() {
        ticks.insert(format!(
            "M{:.0} {:.0}h7",
            x_axis.position(mark.x) - 3.5,
            y_axis.position(mark.tolerance)
        ));
    }
    write_path(out, "tolerance", &ticks)?;

    // Columns that agree lie beside each other, not on top.
    let middle = (columns.len() as f64 - 1.0) / 2.0;
    for (index, (marks, series)) in marks.iter().zip(series).enumerate() {
        let shift = 1.6 * (index as f64 - middle);
        let place = |mark: &Mark| {
            let y = if mark.error == 0.0 { EXACT } else { y_axis.position(mark.error) };
            // `position` puts what is no number at the low end; it belongs to the high one.
            (x_axis.position(mark.x) + shift, if mark.error.is_nan() { top } else { y })
        };
        let dots = marks.iter().map(place).map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect();
        write_path(out, &series.class, &dots)?;
        for (x, y) in marks.iter().filter(|mark| mark.failed()).map(place) {
            write!(out, "<circle class=\"failed\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>")?;
        }
    }
    out.write_str("</svg>")
}

fn marks(column: &Column, check: usize, against: Against) -> Vec<Mark> {
    let u = column.element.unit_roundoff();
    let points = column.report.entries[check].status.points();
    let mark = |point: &Point| {
        Some(Mark { x: against.of(point)?, error: point.error / u, tolerance: point.tolerance / u })
    };
    points.iter().filter_map(mark).collect()
}

fn write_axes(out: &mut String, x_axis: &Axis, y_axis: &Axis, against: Against) -> fmt::Result {
    let (left, right, top, bottom) = PLOT;
    for (y, label) in y_axis.ticks() {
        write!(
            out,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
             <text class=\"end\" x=\"{:.0}\" y=\"{:.1}\">{label}</text>",
            left - 6.0,
            y + 3.5
        )?;
    }
    let end = left - 6.0;
    write!(
        out,
        "<path class=\"grid\" d=\"M{left} {EXACT}H{right}\"/>\
         <text class=\"end\" x=\"{end:.0}\" y=\"{:.1}\">exact</text>",
        EXACT + 3.5
    )?;
    for (x, label) in x_axis.ticks() {
        write!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>\
             <text class=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{label}</text>",
            EXACT + 18.0
        )?;
    }
    let middle = (left + right) / 2.0;
    write!(
        out,
        "<text class=\"middle title\" x=\"{middle:.0}\" y=\"{:.0}\">{}</text>",
        HEIGHT - 4.0,
        Escaped(against.title())
    )
}

fn write_path(out: &mut String, class: &str, parts: &BTreeSet<String>) -> fmt::Result {
    if parts.is_empty() {
        return Ok(());
    }
    write!(out, "<path class=\"{class}\" d=\"")?;
    parts.iter().try_for_each(|part| out.write_str(part))?;
    out.write_str("\"/>")
}
