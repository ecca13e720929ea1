//! What was found, on a screen.

use std::fmt;

use comfy_table::{Table, presets};

use super::table::{Findings, Measured};
use crate::instruments::median;

/// Medians over the matrices by quantity and stage, beside those of noise; then the verdicts.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["quantity", "settings", "steps before: median over matrices (of noise)"]);
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for row in &self.rows {
            let key = (&*row.quantity, &*row.settings);
            if seen.contains(&key) || row.quantity.starts_with("histogram") {
                continue;
            }
            seen.push(key);
            let rows: Vec<_> =
                self.rows.iter().filter(|row| (&*row.quantity, &*row.settings) == key).collect();
            table.add_row([row.quantity.clone(), row.settings.clone(), by_stage(&rows)]);
        }
        writeln!(f, "{table}\n")?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["", "claim", "criterion", "found", "needed", "of noise", "verdict"]);
        for verdict in &self.verdicts {
            let number = |x: f64| format!("{x:.3}");
            table.add_row([
                verdict.experiment.into(),
                verdict.claim.into(),
                verdict.criterion.into(),
                number(verdict.value),
                number(verdict.threshold),
                verdict.null.map_or_else(String::new, number),
                verdict.verdict.into(),
            ]);
        }
        write!(f, "{table}")
    }
}

fn by_stage(rows: &[&Measured]) -> String {
    let mut stages: Vec<_> = rows.iter().map(|row| row.stage).collect();
    stages.dedup();
    stages.sort_unstable();
    stages.dedup();
    // Of many stages first, middle and last.
    if stages.len() > 5 {
        stages = vec![stages[0], stages[stages.len() / 2], stages[stages.len() - 1]];
    }
    let one = |stage: &usize| {
        let there = || rows.iter().filter(|row| row.stage == *stage);
        let middle = median(&there().map(|row| row.value).collect::<Vec<_>>());
        let nulls: Vec<_> = there().filter_map(|row| row.null).collect();
        let null = if nulls.is_empty() { String::new() } else { format!(" ({:.3})", median(&nulls)) };
        format!("{stage}: {middle:.3}{null}")
    };
    stages.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_beside_those_of_noise() {
        let mut findings = Findings::default();
        for (matrix, value) in [("a", 1.0), ("b", 2.0), ("c", 4.0)] {
            findings.add(("A1", 20, matrix), "k_gap", (value, Some(0.0)), "adamw");
        }
        assert!(findings.to_string().contains("20: 2.000 (0.000)"), "{findings}");
    }
}
