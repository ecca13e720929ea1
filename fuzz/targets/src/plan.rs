//! Parameter plans: names, shapes and patterns.

use spectra_core::optimizer::Config;
use spectra_core::optimizer::plan::{Entry, Plan, Reason, Rule};

/// A text of lines: `= PATTERN RULE`, or `NAME DIMENSION DIMENSION ...`; other lines count for nothing.
pub fn plan(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut builder = Plan::builder();
    let mut parameters: Vec<(&str, Vec<usize>)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("=") => {
                let (Some(pattern), Some(rule)) = (words.next(), words.next()) else { continue };
                let rule = match rule {
                    "spectral" => Rule::Spectral,
                    "elementwise" => Rule::Elementwise,
                    "frozen" => Rule::Frozen,
                    _ => continue,
                };
                builder = builder.rule(pattern, rule);
            }
            Some(name) => parameters.push((name, words.filter_map(|word| word.parse().ok()).collect())),
            None => {}
        }
    }
    let plan = match builder.build(parameters.iter().map(|(name, shape)| (name, shape))) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(plan.entries().len(), parameters.len());
    let told = |entry: &Entry| match entry.reason() {
        Reason::Unknown => false,
        Reason::Experts => entry.rule() == Rule::Spectral,
        _ => true,
    };
    let strict = builder.clone().strict().build(parameters.iter().map(|(name, shape)| (name, shape)));
    let all_told = plan.entries().iter().all(told);
    assert_eq!(
        strict.ok().as_ref(),
        all_told.then_some(&plan),
        "strict refuses what is not told and nothing else"
    );
    for (entry, (name, shape)) in plan.entries().iter().zip(&parameters) {
        assert_eq!((entry.name(), entry.shape()), (*name, shape.as_slice()));
        let elements = if shape.contains(&0) { 0 } else { shape.iter().product() };
        assert_eq!(entry.elements(), elements);
        assert!(entry.rule() != Rule::Spectral || entry.view().0.min(entry.view().1) > 1, "{entry:?}");
        assert_eq!(plan.get(name), Some(entry));
        let blocks: usize = entry.blocks().iter().map(|block| block.shape().0 * block.shape().1).sum();
        assert_eq!(blocks, elements, "{entry:?}");
    }
    for preset in ["spectra", "adamw", "spectra-ademamix"] {
        let config = Config::preset(preset).expect("a preset");
        let totals = plan.state(config);
        assert!(totals.saving() <= 1.0, "{totals:?}");
        // AdEMAMix keeps three numbers for each of AdamW's two, however many that are.
        assert!(preset != "spectra-ademamix" || totals.numbers >= totals.adamw_numbers, "{totals:?}");
        assert!(plan.table(config).to_string().lines().count() >= 4);
    }
    true
}
