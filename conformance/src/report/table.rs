//! The table of the terminal.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::Column;
use super::share::Share;
use crate::suite::Entry;

/// A line for each check, or for each group, and a column for each backend and precision.
pub(super) fn shares(columns: &[Column], by_group: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let titles = columns.iter().map(|column| Cell::new(format!("{}\n{}", column.backend, column.element)));
    let first = if by_group { "group" } else { "check" };
    table.set_header(core::iter::once(Cell::new(first)).chain(titles));
    let Some(column) = columns.first() else { return String::new() };
    let entries = &column.report.entries;
    let mut start = 0;
    for group in entries.chunk_by(|a, b| a.group == b.group) {
        let range = start..start + group.len();
        start = range.end;
        if by_group {
            let name = format!("{} ({})", group[0].group, group.len());
            table.add_row(row(&name, columns, |entries| Share::worst(&entries[range.clone()])));
        } else {
            for index in range {
                table.add_row(row(entries[index].name, columns, |entries| Share::of(&entries[index])));
            }
        }
    }
    table.to_string()
}

fn row(name: &str, columns: &[Column], share: impl Fn(&[Entry]) -> Share) -> Vec<Cell> {
    let shares = columns.iter().map(|column| share(&column.report.entries).text());
    let shares = shares.map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
    core::iter::once(Cell::new(name)).chain(shares).collect()
}
