use super::curves::{Panel, curves};
use crate::{Failure, Record, Settings, WeightNorms};

/// The norms of the hidden matrices over training, summed over the model, of every run.
pub fn weights(runs: &[(Settings, Record)]) -> Result<Vec<u8>, Failure> {
    let panel = |title: &str, norm: fn(&WeightNorms) -> f64| {
        let curve = |(settings, record): &(Settings, Record)| {
            let points =
                record.rows.iter().filter_map(|row| Some((row.step as f64, norm(row.weights.as_ref()?))));
            (format!("{} (lr {})", settings.optimizer, settings.lr), points.collect())
        };
        Panel {
            title: title.into(),
            across: "training steps",
            up: "sum over the hidden matrices",
            logarithmic: false,
            curves: runs.iter().map(curve).collect(),
        }
    };
    curves(
        &[
            panel("Frobenius norms of the weights", |norms| norms.frobenius),
            panel("spectral norms of the weights", |norms| norms.spectral),
        ],
        2,
    )
}
