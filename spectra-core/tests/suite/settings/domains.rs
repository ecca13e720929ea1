//! The domain of each setting, and numbers inside and outside of it.

use proptest::prelude::*;
use proptest::sample::select;
use spectra_core::linalg::{Normalization, Polar, Schedule, Steps};
use spectra_core::maps::{AlphaBound, Guard, HardClip, SecondMoment, SoftClipMethod, SpectralMap};
use spectra_core::optimizer::{Config, PreClip, Recipe};

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    /// [0, 1), also when rounded.
    Memory,
    /// Positive; its square and the square's inverse are normal numbers.
    Size,
    /// From 0 to the fourth root of the largest number.
    Rate,
    /// The same but for small ones, whose inverse is beyond that root.
    Factor,
    /// From the first to the second.
    Closed(f64, f64),
    /// (0, 1)
    Open,
    /// (0, 1]
    Share,
    /// Whole numbers from the first to the second.
    Count(u64, u64),
}

/// Ten to a power between these.
fn power(low: f64, high: f64) -> BoxedStrategy<f64> {
    (low..high).prop_map(|exponent| 10f64.powf(exponent)).boxed()
}

const NONSENSE: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -1e-3];

impl Domain {
    /// The exponents of the square root of the least normal number, and of the fourth root of the largest.
    fn exponents(single: bool) -> (f64, f64) {
        if single { (18.9, 9.6) } else { (153.8, 77.0) }
    }

    pub(crate) fn inside(self, single: bool) -> BoxedStrategy<f64> {
        let (size, rate) = Self::exponents(single);
        match self {
            Self::Memory => {
                let finest = if single { -7.0 } else { -15.0 };
                prop_oneof![Just(0.0), 0.0..1.0f64, power(finest, 0.0).prop_map(|x| 1.0 - x)].boxed()
            }
            Self::Size => prop_oneof![power(-size, size), power(-3.0, 3.0)].boxed(),
            Self::Rate => prop_oneof![Just(0.0), power(-30.0, rate), power(-3.0, 3.0)].boxed(),
            Self::Factor => prop_oneof![power(-rate, rate), power(-3.0, 3.0)].boxed(),
            Self::Closed(low, high) => prop_oneof![select(vec![low, high]), low..high].boxed(),
            Self::Open => prop_oneof![power(-300.0, 0.0), 0.001..0.999f64].boxed(),
            Self::Share => prop_oneof![Just(1.0), power(-300.0, 0.0), 0.001..1.0f64].boxed(),
            Self::Count(low, high) => (low..=high.min(1000)).prop_map(|count| count as f64).boxed(),
        }
    }

    pub(crate) fn outside(self, single: bool) -> BoxedStrategy<f64> {
        let (size, rate) = Self::exponents(single);
        let (size, rate) = (size + 0.2, rate + 0.2);
        let nonsense = select(NONSENSE.to_vec());
        match self {
            Self::Memory => {
                let finest = if single { -8.0 } else { -16.5 };
                prop_oneof![nonsense, power(0.0, 300.0), power(-17.0, finest).prop_map(|x| 1.0 - x)].boxed()
            }
            Self::Size => prop_oneof![nonsense, Just(0.0), power(-307.0, -size), power(size, 308.0)].boxed(),
            Self::Rate => prop_oneof![nonsense, power(rate, 308.0)].boxed(),
            Self::Factor => {
                prop_oneof![nonsense, Just(0.0), power(-307.0, -rate), power(rate, 308.0)].boxed()
            }
            Self::Closed(low, high) => {
                let beyond = (1e-9..10.0f64).prop_flat_map(move |by| select(vec![low - by, high + by]));
                prop_oneof![nonsense, beyond, power(high.log10() + 0.01, 308.0)].boxed()
            }
            Self::Open => prop_oneof![nonsense, select(vec![0.0, 1.0]), power(0.0, 308.0)].boxed(),
            Self::Share => prop_oneof![nonsense, Just(0.0), power(1e-9, 308.0)].boxed(),
            Self::Count(low, high) => {
                let (few, many) = (low.saturating_sub(1), high.saturating_add(1));
                let wrong: Vec<f64> = [few, many, 10_000_000, u64::MAX]
                    .into_iter()
                    .filter(|count| !(low..=high).contains(count))
                    .map(|count| count as f64)
                    .collect();
                select(wrong).boxed()
            }
        }
    }
}

/// One setting: its name in an error, a preset that has it, how it is set where it exists, and its domain.
pub(crate) type Setting = (&'static str, &'static str, fn(&mut Config, f64) -> bool, Domain);

/// By a builder method.
fn built(config: &mut Config, build: impl Fn(Config) -> Config) -> bool {
    let set = build(*config);
    let fits = set.validate::<f64>().err().is_none_or(|error| !error.to_string().contains("no rule"));
    if fits {
        *config = set;
    }
    fits
}

fn polar(config: &mut Config, set: impl Fn(&mut Polar)) -> bool {
    let Some(Recipe { map: SpectralMap::Orthogonalize(polar), .. }) = config.spectral.recipe_mut() else {
        return false;
    };
    set(polar);
    true
}

fn soft_clip(config: &mut Config, set: impl Fn(&mut SoftClipMethod)) -> bool {
    let Some(Recipe { map: SpectralMap::SoftClip { clip, .. }, .. }) = config.spectral.recipe_mut() else {
        return false;
    };
    set(&mut clip.method);
    true
}

fn hard_clip(config: &mut Config, set: impl Fn(&mut HardClip)) -> bool {
    let Some(Recipe { map: SpectralMap::HardClip { clip, .. }, .. }) = config.spectral.recipe_mut() else {
        return false;
    };
    set(clip);
    true
}

fn second_moment(config: &mut Config, set: impl Fn(&mut SecondMoment)) -> bool {
    let Some(Recipe { map: SpectralMap::Normalized { moment, .. }, .. }) = config.spectral.recipe_mut()
    else {
        return false;
    };
    set(moment);
    true
}

/// The fixed method with these; the authors' otherwise.
fn fixed(method: &mut SoftClipMethod, set: impl Fn(&mut Schedule, &mut usize, &mut f64)) {
    if !matches!(method, SoftClipMethod::Fixed { .. }) {
        let bound = AlphaBound::Frobenius;
        *method = SoftClipMethod::Fixed { schedule: Schedule::Cubic, steps: 10, lower: 0.1, bound };
    }
    if let SoftClipMethod::Fixed { schedule, steps, lower, .. } = method {
        set(schedule, steps, lower);
    }
}

fn guarded(schedule: &mut Schedule, set: impl Fn(&mut f64, &mut f64)) {
    if !matches!(schedule, Schedule::Guarded { .. }) {
        *schedule = Schedule::POLAR_EXPRESS;
    }
    if let Schedule::Guarded { safety, cushion } = schedule {
        set(safety, cushion);
    }
}

fn added(polar: &mut Polar, set: impl Fn(&mut f64, &mut f64)) {
    if !matches!(polar.normalization, Normalization::Added { .. }) {
        polar.normalization = Normalization::Added { factor: 1.0, eps: 1e-7 };
    }
    if let Normalization::Added { factor, eps } = &mut polar.normalization {
        set(factor, eps);
    }
}

/// Every setting that is a number.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    ("lr", "spectra", |c, x| { c.lr = x; true }, Domain::Rate),
    ("elementwise_lr", "spectra", |c, x| { c.elementwise_lr = Some(x); true }, Domain::Rate),
    ("weight_decay", "spectra", |c, x| { c.spectral = c.spectral.with_weight_decay(x); true }, Domain::Rate),
    ("weight_decay", "spectra", |c, x| { c.elementwise = c.elementwise.with_weight_decay(x); true }, Domain::Rate),
    ("clip_norm", "spectra", |c, x| { c.clip_norm = Some(x); true }, Domain::Size),
    ("threshold", "spectra", |c, x| { c.pre_clip = Some(PreClip { all: true, ..PreClip::new(x) }); true }, Domain::Size),
    ("mu", "sgd-m", |c, x| built(c, |c| c.momentum(x)), Domain::Memory),
    ("mu", "signum", |c, x| built(c, |c| c.momentum(x)), Domain::Memory),
    ("beta1", "adamw", |c, x| built(c, |c| c.beta1(x)), Domain::Memory),
    ("beta2", "adamw", |c, x| built(c, |c| c.beta2(x)), Domain::Memory),
    ("eps", "adamw", |c, x| built(c, |c| c.eps(x)), Domain::Size),
    ("beta3", "ademamix", |c, x| built(c, |c| c.beta3(x)), Domain::Memory),
    ("alpha", "ademamix", |c, x| built(c, |c| c.alpha(x)), Domain::Rate),
    ("gamma", "mars", |c, x| built(c, |c| c.gamma(x)), Domain::Rate),
    ("rank_ratio", "spectra", |c, x| built(c, |c| c.rank_ratio(x)), Domain::Share),
    ("refresh_every", "spectra", |c, x| built(c, |c| c.refresh_every(x as u64)), Domain::Count(1, u64::MAX)),
    ("iterations", "spectra", |c, x| built(c, |c| c.power_iterations(x as usize)), Domain::Count(1, 100)),
    ("rms", "spectra", |c, x| built(c, |c| c.rms(x)), Domain::Factor),
    ("eps", "spectra", |c, x| built(c, |c| c.rms_eps(x)), Domain::Size),
    ("factor", "d-muon", |c, x| built(c, |c| c.scale_factor(x)), Domain::Factor),
    ("threshold", "spectra-adamw", |c, x| built(c, |c| c.clip_threshold(x)), Domain::Size),
    ("threshold", "frank-wolfe", |c, x| built(c, |c| c.clip_threshold(x)), Domain::Size),
    ("tolerance", "spectra-adamw", |c, x| soft_clip(c, |m| *m = SoftClipMethod::Auto { tolerance: Some(x) }), Domain::Open),
    ("steps", "spectra-adamw", |c, x| soft_clip(c, |m| fixed(m, |_, steps, _| *steps = x as usize)), Domain::Count(1, 100)),
    ("lower", "spectra-adamw", |c, x| soft_clip(c, |m| fixed(m, |_, _, lower| *lower = x)), Domain::Share),
    ("safety", "spectra-adamw", |c, x| soft_clip(c, |m| fixed(m, |s, _, _| guarded(s, |safety, _| *safety = x))), Domain::Closed(1.001, 1.5)),
    ("cushion", "spectra-adamw", |c, x| soft_clip(c, |m| fixed(m, |s, _, _| guarded(s, |_, cushion| *cushion = x))), Domain::Closed(0.0, 1.0)),
    ("tolerance", "frank-wolfe", |c, x| hard_clip(c, |clip| clip.tolerance = Some(x)), Domain::Open),
    ("slack", "frank-wolfe", |c, x| hard_clip(c, |clip| clip.slack = x), Domain::Share),
    ("mu", "polargrad-first", |c, x| built(c, |c| c.momentum(x)), Domain::Memory),
    ("beta1", "lion", |c, x| built(c, |c| c.beta1(x)), Domain::Memory),
    ("beta2", "lion-cautious", |c, x| built(c, |c| c.beta2(x)), Domain::Memory),
    ("radius", "scion", |c, x| built(c, |c| c.radius(x)), Domain::Factor),
    ("rms", "adamuon", |c, x| built(c, |c| c.rms(x)), Domain::Factor),
    ("eps", "adamuon", |c, x| built(c, |c| c.rms_eps(x)), Domain::Size),
    ("beta2", "normuon", |c, x| second_moment(c, |m| m.beta2 = x), Domain::Memory),
    ("guard", "normuon", |c, x| second_moment(c, |m| m.guard = Guard::Added { eps: x }), Domain::Size),
    ("guard", "adamuon", |c, x| second_moment(c, |m| m.guard = Guard::Clamped { eps: x }), Domain::Size),
    ("norm", "normuon", |c, x| second_moment(c, |m| m.norm = Some(Guard::Clamped { eps: x })), Domain::Size),
    ("lower", "muon", |c, x| polar(c, |p| p.lower = x), Domain::Share),
    ("steps", "muon", |c, x| polar(c, |p| p.steps = Steps::Fixed(x as usize)), Domain::Count(0, 100)),
    ("tolerance", "muon", |c, x| polar(c, |p| p.steps = Steps::Auto { tolerance: x }), Domain::Open),
    ("factor", "muon", |c, x| polar(c, |p| added(p, |factor, _| *factor = x)), Domain::Closed(1.0, 1000.0)),
    ("eps", "muon", |c, x| polar(c, |p| added(p, |_, eps| *eps = x)), Domain::Closed(0.0, 1.0)),
    ("eps", "muon", |c, x| polar(c, |p| p.normalization = Normalization::Clamped { eps: x }), Domain::Closed(0.0, 1.0)),
    ("safety", "muon", |c, x| polar(c, |p| guarded(&mut p.schedule, |safety, _| *safety = x)), Domain::Closed(1.001, 1.5)),
    ("cushion", "muon", |c, x| polar(c, |p| guarded(&mut p.schedule, |_, cushion| *cushion = x)), Domain::Closed(0.0, 1.0)),
    // The last: all other settings of a polar factor are those of this one then.
    ("tolerance", "muon-gram", |c, x| polar(c, |p| *p = Polar::to(x)), Domain::Open),
];

/// Brings settings that depend on each other together: `lr wd <= 1`, `factor lower <= 1`.
pub(crate) fn reconciled(mut config: Config) -> Config {
    let elementwise_lr = config.elementwise_lr.unwrap_or(config.lr);
    if config.lr == 0.0 || !(elementwise_lr / config.lr).is_finite() {
        config.elementwise_lr = None;
    }
    let elementwise_lr = config.elementwise_lr.unwrap_or(config.lr);
    for (method, lr) in [(&mut config.spectral, config.lr), (&mut config.elementwise, elementwise_lr)] {
        if lr * method.weight_decay() > 1.0 {
            *method = method.with_weight_decay(0.5 / lr);
        }
    }
    polar(&mut config, |polar| {
        if let Normalization::Added { factor, .. } = &mut polar.normalization {
            *factor = factor.min(1.0 / polar.lower);
        }
    });
    config
}
