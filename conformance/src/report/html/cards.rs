//! A card for each check: its charts, and its worst comparison on every backend.

use std::fmt::{self, Write};

use super::super::Column;
use super::chart::{self, Against};
use super::{Escaped, Series};
use crate::suite::Status;

pub(super) fn write(out: &mut String, columns: &[Column], series: &[Series]) -> fmt::Result {
    let Some(first) = columns.first() else { return Ok(()) };
    out.write_str(
        "<section><h2>Error against condition number and size</h2>\
         <p>A mark is the worst error on one input, in unit roundoffs u (2<sup>-24</sup> for f32, 2<sup>-53</sup> for \
         f64); a dash is what was allowed there. Checks of rules have nothing to draw. Where a check makes a matrix of \
         its own, its condition number is not drawn.</p><p class=\"legend\">",
    )?;
    for (column, series) in columns.iter().zip(series) {
        write!(
            out,
            "<span><svg viewBox=\"0 0 12 12\"><path class=\"{}\" d=\"M6 6h0\"/></svg>{}</span>",
            series.class,
            Escaped(&column.name())
        )?;
    }
    out.write_str(
        "<span><svg viewBox=\"0 0 12 12\"><path class=\"tolerance\" d=\"M1 6h10\"/></svg>tolerance</span></p>\n",
    )?;
    let entries = &first.report.entries;
    let mut index = 0;
    for group in entries.chunk_by(|a, b| a.group == b.group) {
        write!(out, "<h3>{}</h3><div class=\"cards\">", group[0].group)?;
        for entry in group {
            write!(out, "<article id=\"{0}\"><h4>{0}</h4><div class=\"charts\">", entry.name)?;
            for against in [Against::Condition, Against::Size] {
                chart::write(out, index, columns, series, against)?;
            }
            out.write_str("</div>")?;
            write_outcomes(out, columns, index)?;
            out.write_str("</article>\n")?;
            index += 1;
        }
        out.write_str("</div>\n")?;
    }
    out.write_str("</section>\n")
}

/// What every column says about a check; what is the same everywhere is said once.
fn write_outcomes(out: &mut String, columns: &[Column], check: usize) -> fmt::Result {
    let outcomes = columns.iter().map(|column| worst(column, check)).collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = outcomes.first()
        && outcomes.iter().all(|other| other == first)
    {
        return write!(out, "<p>{first}</p>");
    }
    let failed = |column: &Column| matches!(column.report.entries[check].status, Status::Failed(_));
    let open = if columns.iter().any(failed) { " open" } else { "" };
    write!(out, "<details{open}><summary>worst comparison of each</summary><dl>")?;
    for (column, outcome) in columns.iter().zip(&outcomes) {
        write!(out, "<dt>{}</dt><dd>{outcome}</dd>", Escaped(&column.name()))?;
    }
    out.write_str("</dl></details>")
}

/// The worst comparison of a check, or why there is none.
fn worst(column: &Column, check: usize) -> Result<String, fmt::Error> {
    let mut out = String::new();
    match &column.report.entries[check].status {
        Status::Passed(measured) if measured.error == 0.0 => {
            write!(out, "exact in {}", comparisons(measured.comparisons))?;
        }
        Status::Passed(measured) => write!(
            out,
            "{:.2e} of {:.2e}: {} (of {})",
            measured.error,
            measured.tolerance,
            Escaped(&measured.worst),
            comparisons(measured.comparisons)
        )?,
        Status::Failed(failure) => {
            write!(out, "<b class=\"failed\">failed</b> {}", Escaped(&failure.to_string()))?;
        }
        Status::Skipped => out.write_str("skipped")?,
    }
    Ok(out)
}

fn comparisons(count: usize) -> String {
    if count == 1 { "one comparison".to_owned() } else { format!("{count} comparisons") }
}
