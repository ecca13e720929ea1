//! The tables printed at the end.

use comfy_table::{Cell, CellAlignment, Table, presets};

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

/// The table as it fits a terminal of so many columns: turned on its side if it is wider, a line for each quantity; as it is where that
/// is too wide as well, or nothing is known of the terminal.
pub(crate) fn on_screen(table: &Table, columns: Option<u16>) -> String {
    let fits = |table: &Table| {
        let widest = table.to_string().lines().map(|line| line.chars().count()).max();
        columns.is_none_or(|columns| widest <= Some(columns.into()))
    };
    let turned = turned(table);
    if fits(table) || !fits(&turned) { table.to_string() } else { turned.to_string() }
}

/// The columns of the terminal that is printed to.
pub(crate) fn screen() -> Option<u16> {
    console::Term::stdout().size_checked().map(|(_, columns)| columns)
}

fn turned(table: &Table) -> Table {
    let lines: Vec<_> = table.header().into_iter().chain(table.row_iter()).collect();
    let line = |at: usize| {
        let cells = lines.iter().filter_map(move |line| line.cell_iter().nth(at));
        cells.map(|cell| cell.content().replace('\n', " ")).collect::<Vec<_>>()
    };
    let quantities = lines.first().map_or(0, |header| header.cell_count());
    let mut turned = with_header(&line(0).iter().map(String::as_str).collect::<Vec<_>>());
    (1..quantities).for_each(|at| {
        turned.add_row(numbers(&line(at)));
    });
    turned
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_the_table_on_its_side() {
        let titles = [
            "optimizer",
            "learning rate",
            "validation loss\n(nats per byte)",
            "state\n(bytes)",
            "largest update",
        ];
        let mut table = with_header(&titles);
        let cells = ["adamw", "0.001", "1.5", "6956032", "-"];
        table.add_row(numbers(&cells.map(String::from)));
        let upright = table.to_string();
        assert_eq!(on_screen(&table, None), upright);
        assert_eq!(on_screen(&table, Some(80)), upright);
        assert_eq!(on_screen(&table, Some(10)), upright);
        let narrow = on_screen(&table, Some(60));
        assert_ne!(narrow, upright);
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(
            narrow.lines().any(|line| line.contains("state (bytes)") && line.contains("6956032")),
            "{narrow}"
        );
    }
}
