//! Checks against backends, the darker the nearer to the tolerance.

use std::fmt::{self, Write};

use super::super::Column;
use super::super::share::Share;
use super::{Escaped, label};

pub(super) fn write(out: &mut String, columns: &[Column]) -> fmt::Result {
    let Some(first) = columns.first() else { return Ok(()) };
    out.write_str("<section><h2>Worst error as a share of its tolerance</h2><p class=\"scale\">")?;
    for share in [0.0, 0.001, 0.01, 0.1, 0.3, 0.6, 1.0] {
        let share = Share::Passed(share);
        write!(out, "<span {}>{}</span>", paint(share), label(share))?;
    }
    for share in [Share::Failed, Share::Skipped] {
        write!(out, "<span {}>{}</span>", paint(share), label(share))?;
    }
    out.write_str("</p><div class=\"scroll\"><table class=\"heat\"><thead><tr><td></td>")?;
    for backend in columns.chunk_by(|a, b| a.backend == b.backend) {
        let (span, name) = (backend.len(), Escaped(&backend[0].backend));
        write!(out, "<th colspan=\"{span}\" scope=\"colgroup\">{name}</th>")?;
    }
    out.write_str("</tr><tr><td></td>")?;
    for column in columns {
        write!(out, "<th scope=\"col\">{}</th>", column.element)?;
    }
    out.write_str("</tr></thead>\n")?;
    let entries = &first.report.entries;
    let mut index = 0;
    for group in entries.chunk_by(|a, b| a.group == b.group) {
        let name = group[0].group;
        write!(out, "<tbody><tr class=\"group\"><th scope=\"rowgroup\">{name}</th>")?;
        for column in columns {
            let range = &column.report.entries[index..index + group.len()];
            write!(out, "<td>{}</td>", label(Share::worst(range)))?;
        }
        out.write_str("</tr>")?;
        for entry in group {
            write!(out, "<tr><th scope=\"row\"><a href=\"#{0}\">{0}</a></th>", entry.name)?;
            for column in columns {
                let share = Share::of(&column.report.entries[index]);
                write!(out, "<td {}>{}</td>", paint(share), label(share))?;
            }
            out.write_str("</tr>\n")?;
            index += 1;
        }
        out.write_str("</tbody>")?;
    }
    out.write_str("</table></div></section>\n")
}

/// The attributes that colour a cell. The root spreads small shares out.
fn paint(share: Share) -> String {
    match share {
        Share::Passed(0.0) => "class=\"exact\"".to_owned(),
        Share::Passed(share) => {
            let depth = 100.0 * share.sqrt();
            let class = if depth > 75.0 { "share deep" } else { "share" };
            format!("class=\"{class}\" style=\"--depth:{depth:.0}%\"")
        }
        Share::Failed => "class=\"failed\"".to_owned(),
        Share::Skipped => "class=\"skipped\"".to_owned(),
    }
}
