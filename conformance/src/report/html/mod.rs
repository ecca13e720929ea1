//! The page: one file that needs no other, and no network.

mod axis;
mod cards;
mod chart;
mod heat_map;

use std::fmt::{self, Display, Write};

use super::share::Share;
use super::{Column, verdict};
use crate::Precision;
use crate::suite::Status;

/// The whole page.
pub(super) fn page(columns: &[Column]) -> String {
    let series = Series::of(columns);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, columns, &series);
    out
}

fn write_page(out: &mut String, columns: &[Column], series: &[Series]) -> fmt::Result {
    let mut backends: Vec<&str> = columns.iter().map(|column| column.backend.as_str()).collect();
    backends.dedup();
    let title = format!("Conformance of {}", backends.join(", "));
    let checks = columns.first().map_or(0, |column| column.report.entries.len());
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{style}</style></head><body><main>\n\
         <header><h1>{title}</h1>\
         <p>{checks} checks of spectra-conformance {version} on {os} {architecture}. Every result is compared with the \
         exact one in double precision; how far it may be away follows from the analysis of rounding errors. A \
         number is the worst error of a check as a share of its tolerance: 100&nbsp;% would just pass.</p>\
         </header>\n",
        title = Escaped(&title),
        style = include_str!("style.css"),
        version = env!("CARGO_PKG_VERSION"),
        os = std::env::consts::OS,
        architecture = std::env::consts::ARCH,
    )?;
    write_summary(out, columns)?;
    write_failures(out, columns)?;
    heat_map::write(out, columns)?;
    cards::write(out, columns, series)?;
    out.write_str("</main></body></html>\n")
}

/// A tile for each column.
fn write_summary(out: &mut String, columns: &[Column]) -> fmt::Result {
    out.write_str("<section class=\"tiles\">")?;
    for column in columns {
        let verdict = verdict(column);
        let counts = verdict.split_once(": ").map_or(verdict.as_str(), |(_, counts)| counts);
        let (state, mark) =
            if column.report.passed() { ("passed", "\u{2713}") } else { ("failed", "\u{2717}") };
        let worst = column.report.entries.iter().filter_map(|entry| match &entry.status {
            Status::Passed(measured) => Some((measured.fraction(), entry.name)),
            Status::Failed(_) | Status::Skipped => None,
        });
        let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0));
        write!(
            out,
            "<div class=\"tile {state}\"><h2><span class=\"mark\">{mark}</span> {}</h2><p>{}</p>",
            Escaped(&column.name()),
            Escaped(counts)
        )?;
        if let Some((fraction, check)) = worst {
            let share = label(Share::Passed(fraction));
            write!(out, "<p>nearest to its tolerance: <a href=\"#{check}\">{check}</a>, {share}</p>")?;
        }
        out.write_str("</div>")?;
    }
    out.write_str("</section>\n")
}

/// The messages of all failures, if there are any.
fn write_failures(out: &mut String, columns: &[Column]) -> fmt::Result {
    if columns.iter().all(|column| column.report.failures().next().is_none()) {
        return Ok(());
    }
    out.write_str("<section><h2>Failures</h2><ul class=\"failures\">")?;
    for column in columns {
        for (check, failure) in column.report.failures() {
            let (name, failure) = (column.name(), failure.to_string());
            write!(
                out,
                "<li><b>{}</b> <a href=\"#{check}\">{check}</a>: {}</li>",
                Escaped(&name),
                Escaped(&failure)
            )?;
        }
    }
    out.write_str("</ul></section>\n")
}

/// How a column is drawn: a colour for each backend, a shape for each precision.
struct Series {
    class: String,
}

impl Series {
    /// How many colours the style sheet has.
    const COLOURS: usize = 8;

    fn of(columns: &[Column]) -> Vec<Self> {
        let mut backends: Vec<&str> = Vec::new();
        let mut series = Vec::with_capacity(columns.len());
        for column in columns {
            let known = backends.iter().position(|backend| *backend == column.backend);
            let colour = known.unwrap_or(backends.len());
            if known.is_none() {
                backends.push(&column.backend);
            }
            let shape = match column.element {
                Precision::F32 => "round",
                Precision::F64 => "square",
            };
            series.push(Self { class: format!("c{} {shape}", colour % Self::COLOURS) });
        }
        series
    }
}

/// A share whose unit stays with its number.
fn label(share: Share) -> String {
    Escaped(&share.text().replace(' ', "\u{a0}")).to_string()
}

/// Text that means itself in HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
