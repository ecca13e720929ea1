//! metrics.csv: a line for each step of each optimizer.

use std::fmt::Write;

use crate::Record;

/// The whole file.
pub fn csv<'a>(runs: impl IntoIterator<Item = (&'a str, &'a Record)>) -> String {
    let mut text = String::from(
        "optimizer,step,seconds,learning_rate,training_loss,gradient_norm,optimizer_ms,validation_loss\n",
    );
    for (optimizer, record) in runs {
        for row in &record.rows {
            let validation = row.validation_loss.map(|loss| loss.to_string()).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{optimizer},{},{:.3},{},{},{},{:.3},{validation}",
                row.step,
                row.seconds,
                row.learning_rate,
                row.training_loss,
                row.gradient_norm,
                row.optimizer_ms,
            );
        }
    }
    text
}
