//! A step of every preset on one matrix.

use std::time::Instant;

use spectra_core::backend::Result;
use spectra_core::faer::FaerElement;
use spectra_core::optimizer::{Config, Method};
use spectra_examples::steps::Steps;

use crate::measure::{Report, least};

/// SOAP and Shampoo renew bases and roots every so many steps: their time is the mean of as many.
const PERIOD: usize = 10;
/// A preset that takes longer than this at the first shape, in seconds, is left out at larger ones.
const LONGEST: f64 = 1.0;

/// Measures and prints every preset, or those of `only`, at each shape, beside AdamW.
pub(crate) fn table<E: FaerElement>(
    report: &mut Report,
    shapes: &[(usize, usize)],
    only: &[String],
) -> Result<()> {
    let mut too_long = Vec::new();
    for (at, &(m, n)) in shapes.iter().enumerate() {
        report.say(&format!("a step of every preset, {m} x {n}; soap and shampoo: mean of {PERIOD} steps"));
        report.say(&format!("{:20}{:>12}{:>10}{:>16}", "preset", "ms", "/ adamw", "state bytes"));
        let mut adamw = Steps::<E>::new(Config::preset("adamw")?, &[(m, n)])?;
        let adamw = least(|| adamw.step())?;
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        for (name, ..) in Method::presets().filter(|(name, ..)| wanted(name)) {
            if at > 0 && too_long.contains(&name) {
                report.say(&format!("{name:20}{:>12}", "left out"));
                continue;
            }
            let mut steps = Steps::<E>::new(Config::preset(name)?, &[(m, n)])?;
            let seconds = match name {
                "soap" | "shampoo" => {
                    let start = Instant::now();
                    (0..PERIOD).try_for_each(|_| steps.step())?;
                    start.elapsed().as_secs_f64() / PERIOD as f64
                }
                _ => least(|| steps.step())?,
            };
            if at == 0 && seconds > LONGEST {
                too_long.push(name);
            }
            let state = steps.state_bytes();
            report.say(&format!("{name:20}{:12.2}{:10.1}{state:16}", seconds * 1e3, seconds / adamw));
            report.keep::<E>((m, n, 0), &format!("preset {name}"), seconds);
        }
        report.say("");
    }
    Ok(())
}
