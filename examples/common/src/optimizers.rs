//! Which optimizers are compared, and at which learning rates.

use crate::Failure;
use crate::numbers::positive;

/// An optimizer the examples know, and the learning rate the sweep found for the default sizes.
pub struct Known {
    /// Preset name.
    pub name: &'static str,
    /// Its learning rate unless --lr says otherwise.
    pub learning_rate: f64,
}

/// The optimizers the examples know.
pub const KNOWN: &[Known] = &[Known { name: "adamw", learning_rate: 2e-3 }];

/// An optimizer to train with.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Preset name.
    pub name: String,
    /// Peak learning rate.
    pub learning_rate: f64,
}

/// Joins the values of --optimizer and --lr.
pub fn choose(names: &[String], rates: &[String]) -> Result<Vec<Choice>, Failure> {
    let mut choices: Vec<Choice> = Vec::new();
    for name in names {
        let known = find(name)?;
        if choices.iter().any(|choice| choice.name == *name) {
            return Err(Failure::input(format!("--optimizer {name} is given twice; name each once")));
        }
        choices.push(Choice { name: name.clone(), learning_rate: known.learning_rate });
    }
    for rate in rates {
        let (name, number) =
            rate.split_once('=').map_or((None, rate.as_str()), |(name, number)| (Some(name), number));
        let learning_rate =
            positive(number).map_err(|problem| Failure::input(format!("--lr {rate}: {problem}")))?;
        let mut meant =
            choices.iter_mut().filter(|choice| name.is_none_or(|name| choice.name == name)).peekable();
        if meant.peek().is_none() {
            return Err(Failure::input(format!(
                "--lr {rate}: no such --optimizer in this run; it has {}",
                names.join(", ")
            )));
        }
        meant.for_each(|choice| choice.learning_rate = learning_rate);
    }
    Ok(choices)
}

fn find(name: &str) -> Result<&'static Known, Failure> {
    KNOWN.iter().find(|known| known.name == name).ok_or_else(|| {
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        Failure::input(format!("unknown optimizer {name:?}; the known ones are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], rates: &[&str]) -> Result<Vec<Choice>, Failure> {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        choose(&owned(names), &owned(rates))
    }

    #[test]
    fn a_named_rate_beats_the_default() {
        assert_eq!(chosen(&["adamw"], &["adamw=0.5"]).map(|c| c[0].learning_rate), Ok(0.5));
        assert_eq!(chosen(&["adamw"], &["0.25"]).map(|c| c[0].learning_rate), Ok(0.25));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(chosen(&["adam"], &[]).is_err());
        assert!(chosen(&["adamw", "adamw"], &[]).is_err());
        for rate in ["-1", "nan", "0", "inf", "x=1", "adamw=", "adamw=-1"] {
            assert!(chosen(&["adamw"], &[rate]).is_err(), "{rate}");
        }
    }
}
