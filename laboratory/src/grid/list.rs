//! The ablations: what LAB's questions of the two papers come to as runs.

use super::report::Summary;
use super::{Grid, Task, Variant};
use crate::report::Standing;

/// All ablations. On digits a run takes seconds, on the byte model most of a minute.
pub(crate) const GRIDS: &[Grid] = &[
    Grid { name: "rates", task: Task::Language, ..RATES },
    Grid { name: "rates-digits", ..RATES },
    Grid { name: "rank", task: Task::Language, ..RANK },
    Grid { name: "rank-digits", ..RANK },
    Grid { name: "refresh", task: Task::Language, ..REFRESH },
    Grid { name: "refresh-digits", ..REFRESH },
    Grid { name: "clip", task: Task::Language, ..CLIP },
    Grid { name: "clip-digits", ..CLIP },
    Grid { name: "screen", task: Task::Language, variants: IDEAS, ..SCREEN },
    Grid { name: "screen-digits", ..SCREEN },
];

const fn variant(label: &'static str, lr: f64, flags: &'static [&'static str]) -> Variant {
    Variant { label, flags, lr }
}

/// Powers of two around 1.
const NINE: &[f64] = &[0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
const THREE: &[f64] = &[0.5, 1.0, 2.0];

const RATES: Grid = Grid {
    name: "rates-digits",
    question: "2602.11185, Figure 8: is Spectra less sensitive to the learning rate than AdamW?",
    null: "the same optimizer at other seeds has the same window.",
    task: Task::Digits,
    variants: &[
        variant("adamw", 1e-3, &["--optimizer=adamw"]),
        variant("spectra", 3e-3, &["--optimizer=spectra"]),
        variant("muon", 2e-2, &["--optimizer=muon"]),
        variant("signum", 1e-3, &["--optimizer=signum"]),
        variant("spectra-signum", 3e-3, &["--optimizer=spectra-signum"]),
        variant("spectra-adamw", 3e-3, &["--optimizer=spectra-adamw"]),
    ],
    rates: NINE,
    judge: |all| {
        let [adamw, spectra, ..] = all else { return Standing::Undecided("two are needed".into()) };
        let (theirs, ours) = (adamw.window(0.05), spectra.window(0.05));
        let words =
            format!("Spectra's window has {ours:.0} octaves, AdamW's {theirs:.0}; one more was wanted");
        if ours >= theirs + 1.0 { Standing::Shown(words) } else { Standing::Refuted(words) }
    },
};

const RANK: Grid = Grid {
    name: "rank-digits",
    question: "2602.11185, Table 5: is the loss insensitive to rank ratio r and iterations T?",
    null: "with no effect at all the range over r is that of a few seeds, about two deviations.",
    task: Task::Digits,
    variants: &[
        variant("r 0.015, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.015"]),
        variant("r 0.008, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.008"]),
        variant("r 0.05, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.05"]),
        variant("r 0.1, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.1"]),
        variant("r 0.15, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.15"]),
        variant("r 0.3, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.3"]),
        variant("r 0.6, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.6"]),
        variant("r 0.9, T 1", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.9"]),
        variant("r 0.1, T 2", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.1", ITERATIONS_2]),
        variant("r 0.1, T 4", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.1", ITERATIONS_4]),
        variant("r 0.1, T 8", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.1", ITERATIONS_8]),
    ],
    rates: THREE,
    judge: |all| spread(all, |label| label.ends_with("T 1"), "r"),
};

const ITERATIONS_2: &str = "--set=spectral.map.TailShrink.power.iterations=2";
const ITERATIONS_4: &str = "--set=spectral.map.TailShrink.power.iterations=4";
const ITERATIONS_8: &str = "--set=spectral.map.TailShrink.power.iterations=8";

const REFRESH: Grid = Grid {
    name: "refresh-digits",
    question: "2602.11185, \"intermittently\": may the subspace rest for some steps?",
    null: "a subspace that does not matter at all could rest for ever without a change.",
    task: Task::Digits,
    variants: &[
        variant("every step", 3e-3, &["--optimizer=spectra"]),
        variant("every 2", 3e-3, &["--optimizer=spectra", "--set=spectral.map.TailShrink.refresh_every=2"]),
        variant("every 4", 3e-3, &["--optimizer=spectra", "--set=spectral.map.TailShrink.refresh_every=4"]),
        variant("every 8", 3e-3, &["--optimizer=spectra", "--set=spectral.map.TailShrink.refresh_every=8"]),
        variant("every 16", 3e-3, &["--optimizer=spectra", "--set=spectral.map.TailShrink.refresh_every=16"]),
        variant("every 32", 3e-3, &["--optimizer=spectra", "--set=spectral.map.TailShrink.refresh_every=32"]),
    ],
    rates: THREE,
    judge: |all| {
        let [every, _, four, ..] = all else { return Standing::Undecided("three are needed".into()) };
        let Some(apart) = four.against(every) else {
            return Standing::Undecided("two seeds are needed".into());
        };
        let seeds = deviation(every);
        let words = format!(
            "every 4 steps costs {:+.4} ± {:.4} seed by seed, the deviation over seeds is {seeds:.4}",
            apart.mean, apart.half_width
        );
        // A cost that the same seeds tell from none is one, though other seeds move the loss by more.
        match (apart.mean <= seeds, apart.mean > apart.half_width) {
            (true, false) => Standing::Shown(words),
            (true, true) => Standing::Undecided(words),
            (false, _) => Standing::Refuted(words),
        }
    },
};

const CLIP: Grid = Grid {
    name: "clip-digits",
    question: "2603.14315: does a clipped optimizer have a lower loss than the one that is clipped, at some threshold c?",
    null: "thresholds above every singular value change nothing.",
    task: Task::Digits,
    variants: &[
        variant("adamw", 2e-3, &["--optimizer=adamw"]),
        variant("adamw, c 1", 3e-3, &["--optimizer=spectra-adamw", "--clip=1"]),
        variant("adamw, c 2", 3e-3, &["--optimizer=spectra-adamw", "--clip=2"]),
        variant("adamw, c 4", 3e-3, &["--optimizer=spectra-adamw", "--clip=4"]),
        variant("adamw, c 8", 3e-3, &["--optimizer=spectra-adamw", "--clip=8"]),
        variant("adamw, c 16", 3e-3, &["--optimizer=spectra-adamw", "--clip=16"]),
        variant("adamw, polar", 2e-2, &["--optimizer=adamw-post-orth"]),
        variant("signum", 1e-3, &["--optimizer=signum"]),
        variant("signum, c 1", 3e-3, &["--optimizer=spectra-signum", "--clip=1"]),
        variant("signum, c 2", 3e-3, &["--optimizer=spectra-signum", "--clip=2"]),
        variant("signum, c 4", 3e-3, &["--optimizer=spectra-signum", "--clip=4"]),
        variant("signum, c 8", 3e-3, &["--optimizer=spectra-signum", "--clip=8"]),
        variant("signum, c 16", 3e-3, &["--optimizer=spectra-signum", "--clip=16"]),
    ],
    rates: &[0.25, 0.5, 1.0, 2.0, 4.0],
    judge: |all| {
        let mut words = Vec::new();
        let mut shown = true;
        for base in ["adamw", "signum"] {
            let of = |clipped: bool| {
                move |one: &&Summary| {
                    one.label.split(", c").next() == Some(base) && one.label.contains(", c") == clipped
                }
            };
            let best = all.iter().filter(of(true)).min_by(|a, b| a.loss().total_cmp(&b.loss()));
            let (Some(plain), Some(best)) = (all.iter().find(of(false)), best) else { continue };
            let Some(apart) = best.against(plain) else { continue };
            // Five thresholds are tried, and the best is taken.
            shown &= apart.mean < 0.0 && 5.0 * apart.p <= 0.05;
            words.push(format!("{} {:+.4} ± {:.4} against {base}", best.label, apart.mean, apart.half_width));
        }
        let words = words.join("; ");
        if shown { Standing::Shown(words) } else { Standing::Undecided(words) }
    },
};

/// Ideas for a tail shrink that beats Muon at a third of its cost.
const SCREEN: Grid = Grid {
    name: "screen-digits",
    question: "Does any of these variants of tail shrink beat it, or Muon, at tail shrink's cost?",
    null: "of as many variants without any effect the best of three seeds is some deviations of the mean ahead.",
    task: Task::Digits,
    // The last is of attention.
    variants: IDEAS.split_at(IDEAS.len() - 1).0,
    rates: THREE,
    judge: |all| {
        let [spectra, muon, ideas @ ..] = all else { return Standing::Undecided("two are needed".into()) };
        let apart = |one: &Summary, other: &Summary| one.against(other).map_or(0.0, |interval| interval.mean);
        let promoted: Vec<_> =
            ideas.iter().filter(|one| apart(one, spectra) < -0.005).map(|one| one.label).collect();
        let ahead: Vec<_> = all.iter().filter(|one| apart(one, muon) < -0.005).map(|one| one.label).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".into() } else { names.join(", ") };
        let words = format!(
            "more than 0.005 ahead of plain tail shrink: {}; of Muon: {}; to be confirmed by the protocol of the comparison",
            list(&promoted),
            list(&ahead)
        );
        if promoted.is_empty() && ahead.is_empty() {
            Standing::Refuted(words)
        } else {
            Standing::Undecided(words)
        }
    },
};

/// The ideas; those that cost a flag alone. Rank ratio 0.5 wherever another is not the idea.
const IDEAS: &[Variant] = &[
    variant("spectra", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5"]),
    variant("muon", 2e-2, &["--optimizer=muon"]),
    variant("rank falls", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.9", FALLS]),
    variant("rank rises", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.1", RISES]),
    variant("second moment after", 3e-3, &["--optimizer=spectra-normalized", "--rank-ratio=0.5"]),
    variant("second moment before", 3e-3, &["--optimizer=spectra-normalized", "--rank-ratio=0.5", BEFORE]),
    variant("Nesterov", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5", NESTEROV]),
    variant("cautious decay", 3e-3, &["--optimizer=spectra-cautious", "--rank-ratio=0.5"]),
    variant("sphere", 3e-3, &["--optimizer=spectra-hyperball", "--rank-ratio=0.5"]),
    variant("T 2, every 2 steps", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5", ITERATIONS_2, EVERY_2]),
    variant("exact", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5", EXACT]),
    variant(
        "exact, no tail",
        3e-3,
        &["--optimizer=spectra", "--rank-ratio=0.5", EXACT, "--set=spectral.map.TailShrink.tail=0"],
    ),
    variant(
        "staircase",
        3e-3,
        &["--optimizer=spectra", "--rank-ratio=0.5", EXACT, "--set=spectral.map.TailShrink.upper=0.25"],
    ),
    variant(
        "half the tail",
        3e-3,
        &["--optimizer=spectra", "--rank-ratio=0.5", "--set=spectral.map.TailShrink.tail=0.5"],
    ),
    variant(
        "tail doubled",
        3e-3,
        &["--optimizer=spectra", "--rank-ratio=0.5", "--set=spectral.map.TailShrink.tail=2"],
    ),
    variant(
        "tail tripled",
        3e-3,
        &["--optimizer=spectra", "--rank-ratio=0.5", "--set=spectral.map.TailShrink.tail=3"],
    ),
    variant("averaged", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5", AVERAGED]),
    variant("muon, averaged", 2e-2, &["--optimizer=muon", AVERAGED]),
    variant("by head", 3e-3, &["--optimizer=spectra", "--rank-ratio=0.5", "--by-head"]),
];

/// On the byte model the rank moves over its 400 steps, on digits over the first 400 of 660.
const FALLS: &str = r#"--set=spectral.map.TailShrink.ramp={"to":0.1,"begin":0,"end":400,"levels":8}"#;
const RISES: &str = r#"--set=spectral.map.TailShrink.ramp={"to":0.9,"begin":0,"end":400,"levels":8}"#;
const BEFORE: &str = "--set=spectral.map.NormalizedShrink.of=Direction";
const NESTEROV: &str = "--set=spectral.direction.Momentum.nesterov=true";
const EVERY_2: &str = "--set=spectral.map.TailShrink.refresh_every=2";
/// The share of its steps that the 45th record of modded-nanogpt's third track remembers.
const AVERAGED: &str = "--average=0.055";
const EXACT: &str = "--set=spectral.map.TailShrink.power.form=Exact";

/// The range of the losses of the variants that are meant, against twice the deviation over seeds.
fn spread(all: &[Summary], is_meant: fn(&str) -> bool, of: &str) -> Standing {
    let losses = || all.iter().filter(|one| is_meant(one.label)).map(Summary::loss);
    let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(0.0, f64::max));
    let seeds = all.iter().filter(|one| is_meant(one.label)).map(deviation).fold(0.0, f64::max);
    let best = all.iter().find(|one| one.loss() == low).map_or("", |one| one.label);
    let words = format!(
        "the loss ranges over {:.4} with {of} (lowest: {best}), twice the largest deviation over three seeds is {:.4}, which is all \
         that this compares",
        high - low,
        2.0 * seeds
    );
    if high - low <= 2.0 * seeds { Standing::Shown(words) } else { Standing::Refuted(words) }
}

fn deviation(one: &Summary) -> f64 {
    crate::statistics::variance(one.best().1).sqrt()
}
