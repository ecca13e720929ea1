//! The tables printed at the end.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::{Record, Settings};

/// The comparison: one line for each optimizer.
pub fn comparison(runs: &[(Settings, Record)]) -> Table {
    let baseline = runs.iter().find(|(settings, _)| settings.optimizer == "adamw").or_else(|| runs.first());
    let Some((base, base_record)) = baseline else { return Table::new() };
    let goal = base_record.final_loss().unwrap_or(f64::NAN);
    let mut table = with_header(&[
        "optimizer",
        "learning rate",
        "validation loss\n(nats per byte)",
        &format!("steps to reach\n{}'s {goal:.4}", base.optimizer),
        "seconds to\nreach it",
        "seconds\nin all",
        "optimizer\n(ms per step)",
        "state\n(bytes)",
        "largest update\nover its bound",
    ]);
    for (settings, record) in runs {
        let reached = record.reached(goal);
        table.add_row(numbers(&[
            settings.optimizer.clone(),
            settings.lr.to_string(),
            record.final_loss().map_or("-".into(), |loss| format!("{loss:.4}")),
            reached.map_or("not reached".into(), |(step, _)| step.to_string()),
            reached.map_or("-".into(), |(_, seconds)| format!("{seconds:.1}")),
            format!("{:.1}", record.seconds()),
            format!("{:.2}", record.optimizer_ms()),
            record.state_bytes.to_string(),
            record.update_of_bound().map_or_else(|| "-".into(), |share| format!("{share:.4}")),
        ]));
    }
    table
}

/// The table, broken in its cells if the terminal it is printed to is narrower.
pub(crate) fn on_screen(table: &Table) -> Table {
    let mut table = table.clone();
    if let Some((_, columns)) = console::Term::stdout().size_checked() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    table
}

/// An empty table.
pub(crate) fn with_header(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(titles.iter().map(Cell::new));
    table
}

/// A line whose first cell is a name and whose others are numbers.
pub(crate) fn numbers(texts: &[String]) -> Vec<Cell> {
    let align = |column| if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
    texts.iter().enumerate().map(|(column, text)| Cell::new(text).set_alignment(align(column))).collect()
}
