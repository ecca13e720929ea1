//! metrics.csv: a line for each step of each optimizer.

use std::fmt::Write;

use crate::Record;

/// The whole file.
pub fn csv<'a>(runs: impl IntoIterator<Item = (&'a str, &'a Record)>) -> String {
    let mut text = String::from(
        "optimizer,step,seconds,learning_rate,training_loss,gradient_norm,optimizer_ms,validation_loss,\
         update_norm,update_over_bound,bound_tolerance,weights_frobenius,weights_spectral\n",
    );
    for (optimizer, record) in runs {
        for row in &record.rows {
            let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let (updates, weights) = (row.updates.as_ref(), row.weights.as_ref());
            let measured = [
                row.validation_loss,
                updates.map(|updates| updates.largest),
                updates.and_then(|updates| updates.of_bound),
                updates.and_then(|updates| updates.tolerance),
                weights.map(|weights| weights.frobenius),
                weights.map(|weights| weights.spectral),
            ];
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{optimizer},{},{:.3},{},{},{},{:.3},{}",
                row.step,
                row.seconds,
                row.learning_rate,
                row.training_loss,
                row.gradient_norm,
                row.optimizer_ms,
                measured.map(cell).join(","),
            );
        }
    }
    text
}
