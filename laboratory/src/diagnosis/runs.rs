//! The runs that the instruments look at, at the default size of `train_lm`.

use super::training::Run;

/// Training steps.
pub(super) const STEPS: usize = 400;

/// Steps taken before each look: of 1, 5, 50 and 99 % of the run, as in 2603.14315's 1, 800, 8000, 15840 of 16000.
pub(super) const STAGES: [usize; 4] = [0, 19, 199, 395];

/// The stages at which widths are compared.
pub(super) const EARLY: [usize; 2] = [STAGES[0], STAGES[1]];

/// Presets whose updates are compared.
pub(super) const PRESETS: [&str; 4] = ["adamw", "signum", "spectra-adamw", "spectra-signum"];

/// First, middle and last block.
pub(super) const LAYERS: [usize; 3] = [0, 2, 3];

/// All seven matrices of some blocks.
pub(super) fn hidden(layers: &[usize]) -> Vec<String> {
    let of = |layer: &usize| {
        let layer = *layer;
        [
            "attention.query",
            "attention.key",
            "attention.value",
            "attention.output",
            "mlp.gate",
            "mlp.up",
            "mlp.down",
        ]
        .into_iter()
        .map(move |name| format!("layers.{layer}.{name}.weight"))
    };
    layers.iter().flat_map(of).collect()
}

/// Those, the embedding and the head.
pub(super) fn all() -> Vec<String> {
    let ends = ["embedding.weight", "head.weight"].map(String::from);
    hidden(&LAYERS).into_iter().chain(ends).collect()
}

/// Those of 2602.11185's figures: deepest MLP, shallowest key and up projection, deepest key.
pub(super) fn of_figures() -> Vec<String> {
    [
        "layers.3.mlp.gate",
        "layers.3.mlp.up",
        "layers.3.mlp.down",
        "layers.0.attention.key",
        "layers.0.mlp.up",
        "layers.3.attention.key",
    ]
    .map(|name| format!("{name}.weight"))
    .to_vec()
}

fn run(name: &str, flags: &[&str]) -> Run {
    let flags = flags.iter().map(ToString::to_string).chain([format!("--steps={STEPS}")]).collect();
    Run { name: name.into(), flags, looks: Vec::new(), parts: &[], keeps: Vec::new(), until: STEPS }
}

/// One of [`PRESETS`], looked at in all stages.
pub(super) fn of_preset(preset: &str) -> Run {
    let looks = STAGES.map(|stage| (stage, all())).to_vec();
    let keeps = STAGES.into_iter().chain([STEPS]).collect();
    Run { looks, keeps, ..run(preset, &[&format!("--optimizer={preset}")]) }
}

/// AdamW's beginning at another width.
pub(super) fn of_width(width: usize) -> Run {
    let hidden = width * 11 / 4;
    let (width_flag, hidden) = (format!("--width={width}"), format!("--hidden={hidden}"));
    let until = STAGES[1] + 1;
    let looks = EARLY.map(|stage| (stage, all())).to_vec();
    let parts = &["gradient"];
    Run {
        looks,
        parts,
        until,
        ..run(&format!("adamw-{width}"), &["--optimizer=adamw", &width_flag, &hidden])
    }
}

/// Steps over which consecutive gradients are compared, from each stage on; the last stage's end with the run.
pub(super) const LAGS: [usize; 5] = [1, 2, 4, 8, 16];

/// Tail shrink at the paper's rank ratio, looked at over windows behind each stage and at steps in between.
pub(super) fn of_tail_shrink() -> Run {
    let (longest, names) = (LAGS[LAGS.len() - 1], of_figures());
    let mut steps: Vec<usize> = windows().into_iter().flat_map(|first| first..=first + longest).collect();
    steps.extend((0..STEPS).step_by(10));
    steps.sort_unstable();
    steps.dedup();
    let looks = steps.into_iter().map(|step| (step, names.clone())).collect();
    let parts = &["gradient", "momentum"];
    Run { looks, parts, ..run("spectra", &["--optimizer=spectra", "--rank-ratio=0.015"]) }
}

/// The first steps of the windows.
pub(super) fn windows() -> [usize; 4] {
    STAGES.map(|stage| stage.min(STEPS - 1 - LAGS[LAGS.len() - 1]))
}

/// Large weight decay, so that `lr wd T` is 1.6 as in 2603.14315's run of 820M; of one seed.
pub(super) fn of_decay(preset: &str, seed: u64) -> Run {
    let seed_flag = format!("--seed={seed}");
    let flags = [&*format!("--optimizer={preset}"), "--lr=3e-3", "--weight-decay=1.33", &seed_flag];
    let keeps = (0..=STEPS).step_by(40).collect();
    Run { keeps, ..run(&format!("decay-{preset}-{seed}"), &flags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_model() {
        let sizes =
            spectra_examples::ModelSizes { layers: 4, width: 128, hidden: 352, heads: 4, context: 128 };
        let known = spectra_examples::model::parameter_shapes(&sizes);
        let is_known = |name: &String| known.iter().any(|(known, _)| known == name);
        assert!(all().iter().chain(&of_figures()).all(is_known));
        assert_eq!(all().len(), 23);
    }

    #[test]
    fn looks_are_within_the_runs() {
        for run in [of_preset("adamw"), of_tail_shrink(), of_width(64), of_decay("adamw", 1)] {
            assert!(run.looks.iter().all(|(step, _)| *step < run.until), "{}", run.name);
            assert!(run.keeps.iter().all(|step| *step <= run.until), "{}", run.name);
        }
    }
}
