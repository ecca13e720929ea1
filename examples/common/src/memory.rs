//! Whether a run fits into the memory of this machine.

use crate::model::VOCABULARY;
use crate::{Failure, Settings};

/// Bytes of a number.
const NUMBER: f64 = 4.0;
/// Bytes that a parameter costs besides its numbers: its name, and what the framework and the optimizer know of it.
const PARAMETER: f64 = 512.0;
/// What stands for the memory of a machine that does not tell it: no machine trains a model of bytes with more.
const UNTOLD: f64 = (1_u64 << 40) as f64;

/// Refuses settings that need more memory than there is, before anything of their size is made.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    let (needed, there) = (at_least(settings), of_this_machine().unwrap_or(UNTOLD));
    if needed <= there {
        return Ok(());
    }
    let Settings { layers, width, hidden, batch, context, .. } = settings;
    Err(Failure::input(format!(
        "--layers {layers} --width {width} --hidden {hidden} --batch {batch} --context {context} need at least \
         {needed:.1e} bytes of memory, and there are {there:.1e}; pass smaller sizes"
    )))
}

/// Bytes that a run cannot do without: weights, gradients and one buffer of state, and what a layer keeps of every byte of a
/// batch for the backward pass (its two inputs, queries, keys and values, and the two halves of the SwiGLU). In `f64`, where
/// nothing overflows.
fn at_least(settings: &Settings) -> f64 {
    let [layers, width, hidden, batch, context] =
        [settings.layers, settings.width, settings.hidden, settings.batch, settings.context]
            .map(|n| n as f64);
    let vocabulary = VOCABULARY as f64;
    let numbers = layers * (4.0 * width * width + 3.0 * width * hidden + 2.0 * width)
        + (2.0 * vocabulary + 1.0) * width;
    let kept = layers * (5.0 * width + 2.0 * hidden) + vocabulary;
    NUMBER * (3.0 * numbers + batch * context * kept) + PARAMETER * (9.0 * layers + 3.0)
}

/// The bytes of memory of this machine, where a file tells them (Linux).
fn of_this_machine() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn what_cannot_fit_is_refused_whatever_overflows() {
        let most = usize::MAX;
        assert!(check(&settings()).is_ok());
        for settings in [
            Settings { layers: most, ..settings() },
            Settings { width: most, ..settings() },
            Settings { hidden: most, ..settings() },
            Settings { batch: most, ..settings() },
            Settings { context: most, ..settings() },
            Settings { layers: most, width: most, hidden: most, batch: most, context: most, ..settings() },
        ] {
            assert!(matches!(check(&settings), Err(Failure::Input(line)) if line.contains("--width")));
        }
    }

    /// The same as the list of parameters, and the batch by hand.
    #[test]
    fn the_least_is_what_the_sizes_say() {
        let numbers = 2.0 * (4.0 * 64.0 + 3.0 * 96.0 + 16.0) + 513.0 * 8.0;
        let kept = 2.0 * (40.0 + 24.0) + 256.0;
        assert_eq!(at_least(&settings()), 4.0 * (3.0 * numbers + 8.0 * kept) + 512.0 * 21.0);
        let shapes = crate::model::parameter_shapes(&settings().sizes());
        assert_eq!(shapes.len(), 21);
        assert_eq!(
            shapes.iter().map(|(_, shape)| shape.iter().product::<usize>() as f64).sum::<f64>(),
            numbers
        );
    }
}
