//! Tuning: each optimizer climbs from its settings to better ones, one setting after the other.

use std::fmt::Write;

use comfy_table::Table;

use crate::optimizers::Choice;
use crate::output::Output;
use crate::training::train;
use spectra_core::distributed::{Alone, Communicator};

use crate::{CommandLine, Failure, Learner, Settings, Split, Text, table};

/// A setting that is tuned, and its neighbours.
struct Knob {
    field: fn(&mut Choice) -> Option<&mut f64>,
    up: fn(f64) -> f64,
    down: fn(f64) -> f64,
    allowed: fn(f64) -> bool,
}

/// In the order in which they are turned; the learning rate again at the end, because the others move its best value.
const KNOBS: [Knob; 5] = [
    RATE,
    Knob { field: |choice| choice.rank_ratio.as_mut(), allowed: |x| x <= 1.0, ..RATE },
    Knob { field: |choice| Some(&mut choice.elementwise_lr), ..RATE },
    Knob {
        field: |choice| Some(&mut choice.beta2),
        up: |x| 1.0 - (1.0 - x) / 2.5,
        down: |x| 1.0 - (1.0 - x) * 2.5,
        allowed: |x| x > 0.5,
    },
    RATE,
];

const RATE: Knob =
    Knob { field: |choice| Some(&mut choice.lr), up: |x| x * 2.0, down: |x| x / 2.0, allowed: |_| true };

/// A training run of the sweep and the validation loss it came to, infinite if it diverged.
struct Trial {
    choice: Choice,
    loss: f64,
}

/// Tunes each of `choices` and writes every run to sweep.csv and the best to sweep.txt.
pub(crate) fn sweep<L: Learner>(
    line: &CommandLine,
    choices: &[Choice],
    text: &Text,
    split: Split<'_>,
    output: &Output,
) -> Result<(), Failure> {
    let mut trials = Vec::new();
    let mut best = Vec::new();
    for choice in choices {
        let mut measure = |choice: &Choice| -> Result<f64, Failure> {
            if let Some(known) = trials.iter().find(|trial: &&Trial| trial.choice == *choice) {
                return Ok(known.loss);
            }
            let settings = Settings::new(line, choice, text)?;
            let mut alone = Communicator::new(Alone);
            let loss = match train::<L, _>(&settings, split, None, false, &describe(choice), &mut alone) {
                Ok((_, record)) => record.final_loss().unwrap_or(f64::INFINITY),
                Err(Failure::Diverged(message)) => {
                    eprintln!("{message}");
                    f64::INFINITY
                }
                Err(failure) => return Err(failure),
            };
            trials.push(Trial { choice: choice.clone(), loss });
            output.write("sweep.csv", csv(&trials).as_bytes())?;
            Ok(loss)
        };
        best.push(climb(choice.clone(), &mut measure)?);
    }
    let summary = summary(&best);
    println!("{}", table::on_screen(&summary, table::screen()));
    output.write("sweep.txt", format!("{summary}\n").as_bytes())
}

/// Turns one knob after the other, up or down as long as the loss falls.
fn climb(start: Choice, measure: &mut impl FnMut(&Choice) -> Result<f64, Failure>) -> Result<Trial, Failure> {
    let loss = measure(&start)?;
    let mut best = Trial { choice: start, loss };
    for knob in &KNOBS {
        for turn in [knob.up, knob.down] {
            loop {
                let mut choice = best.choice.clone();
                let Some(field) = (knob.field)(&mut choice) else { break };
                *field = tidy(turn(*field));
                if !(knob.allowed)(*field) {
                    break;
                }
                let loss = measure(&choice)?;
                if loss >= best.loss {
                    break;
                }
                best = Trial { choice, loss };
            }
        }
    }
    Ok(best)
}

/// Six digits, so that up and down again is the same number.
fn tidy(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

fn describe(choice: &Choice) -> String {
    let ratio = choice.rank_ratio.map(|ratio| format!(" ratio {ratio}")).unwrap_or_default();
    format!("{} lr {} / {} beta2 {}{ratio}", choice.name, choice.lr, choice.elementwise_lr, choice.beta2)
}

fn cells(Trial { choice, loss }: &Trial) -> [String; 6] {
    let ratio = choice.rank_ratio.map(|ratio| ratio.to_string()).unwrap_or_default();
    let Choice { name, lr, elementwise_lr, beta2, .. } = choice;
    [name.clone(), lr.to_string(), elementwise_lr.to_string(), beta2.to_string(), ratio, loss.to_string()]
}

fn csv(trials: &[Trial]) -> String {
    let mut text = String::from("optimizer,lr,elementwise_lr,beta2,rank_ratio,validation_loss\n");
    for trial in trials {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells(trial).join(","));
    }
    text
}

fn summary(best: &[Trial]) -> Table {
    let mut table = table::with_header(&[
        "optimizer",
        "learning rate",
        "of embedding,\nhead, norms",
        "beta2",
        "rank ratio",
        "validation loss\n(nats per byte)",
    ]);
    for trial in best {
        table.add_row(table::numbers(&cells(trial)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbing_finds_the_best_of_a_bowl() {
        let mut runs = 0;
        let mut bowl = |choice: &Choice| {
            runs += 1;
            let ratio = choice.rank_ratio.unwrap_or(1.0);
            Ok((choice.lr / 8e-3).ln().abs()
                + (choice.elementwise_lr / 1e-3).ln().abs()
                + (ratio / 0.6).ln().abs())
        };
        let start = Choice {
            name: "spectra".into(),
            lr: 1e-3,
            elementwise_lr: 4e-3,
            beta2: 0.95,
            rank_ratio: Some(0.15),
            clip: None,
        };
        let best = climb(start, &mut bowl).expect("a climb").choice;
        assert_eq!(
            (best.lr, best.elementwise_lr, best.rank_ratio, best.beta2),
            (8e-3, 1e-3, Some(0.6), 0.95)
        );
        assert!(runs < 25, "{runs}");
    }
}
