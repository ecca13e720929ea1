//! Which optimizers are compared, and with which of the settings that are tuned for each.

use spectra_core::directions::Direction;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Config, Method, PreClip};

use crate::numbers::{below_one, positive, share};
use crate::{CommandLine, Failure, Settings};

/// An optimizer to train with, and the settings a sweep tunes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Preset name.
    pub name: String,
    /// Peak learning rate of the hidden matrices.
    pub lr: f64,
    /// Peak learning rate of embedding, head and norms.
    pub elementwise_lr: f64,
    /// Adam's decay of the squared gradient, wherever Adam is used.
    pub beta2: f64,
    /// Share of the singular directions that tail shrink takes for the spike; `None` for other maps.
    pub rank_ratio: Option<f64>,
    /// Threshold of the spectral clip; `None` for maps that clip nothing.
    pub clip: Option<f64>,
}

/// Preset, lr, elementwise lr, beta2, rank ratio: where `--sweep` came to rest at the default sizes, 400 steps, seed 1, starting
/// from 2e-3, 2e-3, 0.95 for AdamW (1.583 there, 1.539 here) and 3e-3, 3e-3, 0.95, 0.3 for Spectra (1.443, 1.418).
/// For Muon the two learning rates alone, at 200 steps (lr 1e-2, 2e-2, 4e-2: 1.601, 1.568, 1.587; then elementwise 8e-3: 1.557).
/// The presets that clip are not swept: single runs of 200 steps gave 1.732 and 1.731 for spectra-adamw at 2e-3 and 4e-3, 1.637
/// for spectra-signum at 2e-3, 1.846 for spectra-ademamix at 1e-3.
#[rustfmt::skip]
const TUNED: &[(&str, f64, f64, f64, f64)] = &[
    ("adamw", 1e-3, 4e-3, 0.95, 0.0),
    ("spectra", 3e-3, 6e-3, 0.992, 0.6),
    ("muon", 2e-2, 8e-3, 0.95, 0.0),
    ("spectra-adamw", 3e-3, 4e-3, 0.95, 0.0),
    ("spectra-signum", 3e-3, 4e-3, 0.95, 0.0),
    ("spectra-ademamix", 2e-3, 4e-3, 0.95, 0.0),
];

/// The learning rate of hidden matrices that a preset's own paper or program takes; nothing of these is tuned for this model, and the other
/// settings are AdamW's of the table above. `normuon`, `adamuon`, `polargrad`: 0.02 in their authors' programs, `muon-polar-express` and `muon-gram` as Muon;
/// `dion`, `dion2`, `dion3`: 0.01 (microsoft/dion); `soap`: 3e-3 (its paper); `lion`: 1e-4 (google/automl).
#[rustfmt::skip]
const PUBLISHED: &[(&str, f64)] = &[
    ("normuon", 2e-2), ("adamuon", 2e-2), ("polargrad", 2e-2), ("polargrad-first", 2e-2), ("muon-polar-express", 2e-2),
    ("muon-gram", 2e-2),
    ("dion", 1e-2), ("dion2", 1e-2), ("dion3", 1e-2), ("soap", 3e-3), ("lion", 1e-4), ("lion-cautious", 1e-4),
];

/// Elementwise learning rate, beta2 and rank ratio of presets that are not in the first table, and the learning rate of those in neither.
const UNTUNED: (&str, f64, f64, f64, f64) = ("", 1e-3, 4e-3, 0.95, 0.6);

impl Choice {
    /// The preset of this name with the settings of the tables above, or ordinary ones if it is not there.
    pub fn tuned(name: &str) -> Result<Self, Failure> {
        let recipe = Method::preset(name).map_err(Failure::input)?.recipe();
        let mut map = recipe.map_or(SpectralMap::Identity, |recipe| recipe.map);
        let tuned = TUNED.iter().find(|(tuned, ..)| *tuned == name);
        let &(_, lr, elementwise_lr, beta2, ratio) = tuned.unwrap_or(&UNTUNED);
        let lr = PUBLISHED.iter().find(|(published, _)| *published == name).map_or(lr, |(_, lr)| *lr);
        let rank_ratio = map.tail_shrink_mut().map(|_| ratio);
        let clip = match map {
            SpectralMap::SoftClip { threshold, .. } | SpectralMap::HardClip { threshold, .. } => {
                Some(threshold)
            }
            _ => None,
        };
        Ok(Self { name: name.into(), lr, elementwise_lr, beta2, rank_ratio, clip })
    }
}

/// The optimizers of a command line with what its flags say of them.
pub fn choose(line: &CommandLine) -> Result<Vec<Choice>, Failure> {
    let mut choices: Vec<Choice> = Vec::new();
    for name in &line.optimizer {
        if choices.iter().any(|choice| choice.name == *name) {
            return Err(Failure::input(format!("--optimizer {name} is given twice; name each once")));
        }
        choices.push(Choice::tuned(name)?);
    }
    set(&mut choices, "--lr", &line.lr, positive, |choice| Some(&mut choice.lr))?;
    set(&mut choices, "--elementwise-lr", &line.elementwise_lr, positive, |c| Some(&mut c.elementwise_lr))?;
    set(&mut choices, "--beta2", &line.beta2, below_one, |choice| Some(&mut choice.beta2))?;
    set(&mut choices, "--rank-ratio", &line.rank_ratio, share, |choice| choice.rank_ratio.as_mut())?;
    set(&mut choices, "--clip", &line.clip, positive, |choice| choice.clip.as_mut())?;
    let scheduled = [(line.fixed_clip, "--fixed-clip"), (line.clip_decay.is_some(), "--clip-decay")];
    for (_, flag) in scheduled.iter().filter(|(given, _)| *given) {
        if choices.iter().all(|choice| choice.clip.is_none()) {
            return Err(Failure::input(format!(
                "{flag} fits no optimizer of this run; add one that clips or drop the flag"
            )));
        }
    }
    Ok(choices)
}

/// Reads the values of a flag, `0.1` for every optimizer or `name=0.1` for one.
fn set(
    choices: &mut [Choice],
    flag: &str,
    values: &[String],
    read: fn(&str) -> Result<f64, String>,
    field: fn(&mut Choice) -> Option<&mut f64>,
) -> Result<(), Failure> {
    for value in values {
        let (name, number) = value.split_once('=').map_or((None, value.as_str()), |(n, x)| (Some(n), x));
        let number = read(number).map_err(|problem| Failure::input(format!("{flag} {value}: {problem}")))?;
        let mut meant = 0;
        for choice in choices.iter_mut().filter(|choice| name.is_none_or(|name| choice.name == name)) {
            if let Some(field) = field(choice) {
                *field = number;
                meant += 1;
            }
        }
        if meant == 0 {
            let names: Vec<_> = choices.iter().map(|choice| choice.name.as_str()).collect();
            let names = names.join(", ");
            return Err(Failure::input(format!(
                "{flag} {value} fits no optimizer of this run ({names}); add --optimizer or drop the flag"
            )));
        }
    }
    Ok(())
}

/// The configuration the frameworks build their optimizer from.
pub fn config(settings: &Settings) -> Result<Config, Failure> {
    let mut config = Config::preset(&settings.optimizer).map_err(Failure::input)?;
    for recipe in [&mut config.spectral, &mut config.elementwise].into_iter().filter_map(Method::recipe_mut) {
        match &mut recipe.direction {
            Direction::Adam(adam) => adam.beta2 = settings.beta2,
            Direction::AdEmaMix(mix) => {
                mix.adam.beta2 = settings.beta2;
                // The slow momentum comes in over the whole run, as its authors have it.
                (mix.alpha_warmup, mix.beta3_warmup) = (settings.steps as u64, settings.steps as u64);
            }
            _ => {}
        }
        if let (Some(map), Some(ratio)) = (recipe.map.tail_shrink_mut(), settings.rank_ratio) {
            map.rank_ratio = ratio;
        }
        if let (SpectralMap::SoftClip { threshold, .. } | SpectralMap::HardClip { threshold, .. }, Some(c)) =
            (&mut recipe.map, settings.clip)
        {
            *threshold = c;
        }
    }
    config.pre_clip = settings.pre_clip.map(PreClip::new);
    let config = config
        .lr(settings.lr)
        .elementwise_lr(settings.elementwise_lr)
        .weight_decay(settings.weight_decay)
        .clip_norm(settings.clip_norm);
    let config = if settings.apply_to_all { config.apply_to_all() } else { config };
    let config = crate::overrides::apply(config, &settings.set)?;
    config.validate::<f32>().map_err(Failure::input)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(flags: &[&str]) -> Result<Vec<Choice>, Failure> {
        choose(&CommandLine::try_for_tests(flags))
    }

    #[test]
    fn flags_beat_the_defaults() {
        let choices = chosen(&["--lr", "0.5,spectra=0.25", "--rank-ratio", "0.1"]).expect("sound flags");
        assert_eq!((choices[0].lr, choices[1].lr), (0.5, 0.25));
        assert_eq!((choices[0].rank_ratio, choices[1].rank_ratio), (None, Some(0.1)));
    }

    #[test]
    fn the_tables_name_presets_once() {
        let mut names: Vec<_> =
            TUNED.iter().map(|row| row.0).chain(PUBLISHED.iter().map(|row| row.0)).collect();
        assert!(names.iter().all(|name| Method::preset(name).is_ok()), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(Choice::tuned("soap").expect("a preset").lr, 3e-3);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Choice::tuned("adam").is_err());
        assert!(chosen(&["--optimizer", "adamw,adamw"]).is_err());
        assert!(chosen(&["--optimizer", "adamw", "--rank-ratio", "0.1"]).is_err());
        for flags in [["--clip", "1"], ["--clip-decay", "sqrt"]] {
            assert!(chosen(&flags).is_err(), "{flags:?}");
            let clips =
                chosen(&[flags[0], flags[1], "--optimizer", "adamw,spectra-adamw"]).expect("sound flags");
            assert_eq!((clips[0].clip, clips[1].clip.is_some()), (None, true));
        }
        for rate in ["-1", "nan", "0", "inf", "x=1", "adamw=", "adamw=-1"] {
            assert!(chosen(&["--lr", rate]).is_err(), "{rate}");
        }
    }
}
