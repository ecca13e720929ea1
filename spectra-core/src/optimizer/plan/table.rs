//! A plan as a table.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::Plan;
use super::cost::{StateCost, StateTotals, block_cost};
use super::entry::Rule;
use super::layers::{group_text, layers};

/// Prints a plan: see [`Plan::table`].
///
/// One line for each block, or for each group of blocks whose names differ in indices only, with their state
/// together; then the totals and the saving against AdamW for every parameter that is not frozen.
#[derive(Clone, Debug)]
pub struct Table<'a, C> {
    plan: &'a Plan,
    cost: C,
}

/// The columns, and whether each is aligned to the right.
const COLUMNS: [(&str, bool); 8] = [
    ("parameter", false),
    ("count", true),
    ("shape", false),
    ("rule", false),
    ("group", false),
    ("state numbers", true),
    ("state bytes", true),
    ("because", false),
];

impl<'a, C: StateCost> Table<'a, C> {
    pub(super) fn new(plan: &'a Plan, cost: C) -> Self {
        Self { plan, cost }
    }

    fn lines(&self) -> Vec<[String; 8]> {
        let line = |group: super::layers::Layers<'_>| {
            let count = group.count as u64;
            let (numbers, bytes) = block_cost(group.first, group.block, &self.cost);
            let (numbers, bytes) = (numbers.saturating_mul(count), bytes.saturating_mul(count));
            [
                group.name(),
                format!("{count} x"),
                match group.first.blocks() {
                    [block] if !block.place().transposed => shape_text(group.first.shape()),
                    _ => shape_text(&[group.block.shape().0, group.block.shape().1]),
                },
                group.first.rule().to_string(),
                group_text(group.first),
                thousands(numbers),
                bytes_text(bytes),
                group.first.reason().to_string(),
            ]
        };
        layers(self.plan.entries()).into_iter().map(line).collect()
    }
}

impl<C: StateCost> fmt::Display for Table<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, COLUMNS, self.lines())?;
        self.write_totals(f)
    }
}

impl<C: StateCost> Table<'_, C> {
    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = StateTotals::of(self.plan.entries(), &self.cost);
        let count = |rule| self.plan.entries().iter().filter(|entry| entry.rule() == rule).count();
        writeln!(
            f,
            "{} parameters of {} numbers: {} spectral, {} elementwise, {} frozen",
            self.plan.entries().len(),
            thousands(totals.elements),
            count(Rule::Spectral),
            count(Rule::Elementwise),
            count(Rule::Frozen),
        )?;
        let percent = 100.0 * totals.saving();
        writeln!(f, "state: {} numbers, {}", thousands(totals.numbers), bytes_text(totals.bytes))?;
        write!(
            f,
            "AdamW for all: {} numbers, {}; saved: {percent:.2} %",
            thousands(totals.adamw_numbers),
            bytes_text(totals.adamw_bytes),
        )
    }
}

/// Titles and lines in columns of equal width, each with whether it is aligned to the right.
pub(crate) fn write_lines<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    columns: [(&str, bool); N],
    mut lines: Vec<[String; N]>,
) -> fmt::Result {
    lines.insert(0, columns.map(|(title, _)| title.to_string()));
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        for (i, (cell, (width, (_, right)))) in line.iter().zip(widths.iter().zip(columns)).enumerate() {
            match (i + 1 == N, right) {
                (true, true) => writeln!(f, "{cell:>width$}")?,
                (true, false) => writeln!(f, "{cell}")?,
                (false, true) => write!(f, "{cell:>width$}  ")?,
                (false, false) => write!(f, "{cell:<width$}  ")?,
            }
        }
    }
    Ok(())
}

/// `64 x 3 x 3`; a scalar is `()`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    if dims.is_empty() { "()".into() } else { dims.join(" x ") }
}

/// `1,050,673,152`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `512 B`, `1.5 KiB`, `34.1 GiB`.
fn bytes_text(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return format!("{size:.1} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_050_673_152].map(thousands), ["0", "999", "1,000", "1,050,673,152"]);
        let bytes = [0, 1023, 1536, 3 << 20, 34 << 30, 5 << 40].map(bytes_text);
        assert_eq!(bytes, ["0 B", "1023 B", "1.5 KiB", "3.0 MiB", "34.0 GiB", "5.0 TiB"]);
        assert_eq!(shape_text(&[]), "()");
        assert_eq!(shape_text(&[64, 3, 3]), "64 x 3 x 3");
    }
}
