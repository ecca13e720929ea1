//! From figures to findings: the limits, each with its reason.

use super::{Dead, Figures, Finding, FindingKind, Severity, SubspaceFigures};
use FindingKind::{
    DeadColumns, DeadEntries, DeadRows, MissingGradient, NonFinite, NormClip, SkippedSteps, Stagnation,
    StaleSubspace, UpdateTooLarge, UpdateTooSmall, ZeroGradient, ZeroLearningRate,
};
use Severity::{Error, Note, Warning};
use alloc::{format, string::String, vec::Vec};

/// Trained networks change by about 1e-3 (AdamW) to 3e-2 (matrix rules at the start) of their weights in a step. At a tenth ten steps rewrite
/// the matrix, and what it had learnt is gone before it is used.
const LARGE_UPDATE: f64 = 0.1;

/// The step is as large as the weights.
const WHOLE_UPDATE: f64 = 1.0;

/// A thousandth of the usual: in ten thousand steps, all in one direction, a hundredth of the weights.
const SMALL_UPDATE: f64 = 1e-6;

/// From this share on dead rows, columns or entries cost capacity that is missed; a unit or two die in healthy networks.
const MANY_DEAD: f64 = 0.1;

/// A few entries are exactly zero by chance, or because the gradient is in 16 bits.
const FEW_ENTRIES: f64 = 0.01;

/// Where every second entry that should move does not, the run is another one than in full precision.
const STAGNANT: f64 = 0.5;

/// A block that takes less than half of the steps trains at less than half its rate.
const FEW_STEPS: f64 = 0.5;

/// A basis that is iterated once a step follows the momentum with three quarters or more of what is possible; below half the spike is left in what is taken
/// for the tail.
const STALE: f64 = 0.5;

/// By how much the possible has to exceed what [noise alone](share_of_noise) gives, so that there is a spike to miss; finite matrices vary by a tenth or two.
const SPIKE: f64 = 1.25;

/// A norm a hundred times the clip's is no spike that the clip is there for.
const CLIPPED: f64 = 0.01;

/// The root mean square that an update is measured by at least: what begins at zero (biases, adapters, the last layer of a block) grows to this, and its
/// first steps, large against nothing, are healthy. `1 / sqrt(n)` for a matrix of n inputs, as at initialisation; 1 for a vector, which
/// shifts or scales activations of about 1.
pub(super) fn usual_rms((rows, cols): (usize, usize)) -> f64 {
    if rows <= 1 { 1.0 } else { 1.0 / libm::sqrt(cols.max(1) as f64) }
}

/// What is judged of a block apart from its rule.
pub(super) struct Judged<'a> {
    pub(super) figures: &'a Figures,
    pub(super) shape: (usize, usize),
    /// Of the block and of the model.
    pub(super) steps: (u64, u64),
    /// Whether rows are tokens or classes, of which some may never occur.
    pub(super) is_table: bool,
    /// Whether a gradient is expected.
    pub(super) in_run: bool,
}

impl Judged<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let Figures { dead, subspace, .. } = self.figures;
        let one = [
            self.non_finite(),
            self.gradient(),
            self.skipped(),
            self.stagnation(),
            self.update(),
            subspace.as_ref().and_then(|subspace| self.stale(subspace)),
        ];
        let dead = dead.filter(|dead| !dead.all).map(|dead| self.dead(dead)).unwrap_or_default();
        one.into_iter().flatten().chain(dead).collect()
    }

    fn non_finite(&self) -> Option<Finding> {
        let found = &self.figures.non_finite;
        if found.is_empty() {
            return None;
        }
        let (list, verb) = (found.join(", "), if found.len() == 1 { "holds" } else { "hold" });
        let what = format!("{list} {verb} a NaN or an infinity");
        Some(Finding::new(NonFinite, Error, found.len() as f64, what))
    }

    fn gradient(&self) -> Option<Finding> {
        if !self.in_run {
            return None;
        }
        if !self.figures.has_gradient {
            return Some(Finding::new(
                MissingGradient,
                Warning,
                0.0,
                "it has no gradient in this step".into(),
            ));
        }
        // Before the first step it may be the zeros with which a layer behind it begins.
        let severity = if self.steps.0 == 0 { Note } else { Warning };
        let what = if self.steps.0 == 0 {
            "the gradient is zero, before the first step"
        } else {
            "the gradient is zero in every entry"
        };
        let is_zero = self.figures.gradient_rms == Some(0.0);
        is_zero.then(|| Finding::new(ZeroGradient, severity, 0.0, what.into()))
    }

    fn skipped(&self) -> Option<Finding> {
        let (own, all) = self.steps;
        if own >= all {
            return None;
        }
        let share = own as f64 / all as f64;
        let severity = if share < FEW_STEPS { Warning } else { Note };
        Some(Finding::new(SkippedSteps, severity, share, format!("it took {own} of {all} steps")))
    }

    fn dead(&self, dead: Dead) -> Vec<Finding> {
        let (rows, cols) = self.shape;
        let since = if self.steps.0 == 0 { "in this step" } else { "so far" };
        let find = |kind, count: usize, of: usize, name: &str| {
            let share = count as f64 / of.max(1) as f64;
            // One gradient alone tells little.
            let harmless = self.steps.0 == 0 || self.is_table || share < MANY_DEAD;
            let severity = if harmless { Note } else { Warning };
            let what = format!("{count} of {of} {name} ({}) have had no gradient {since}", percent(share));
            let by_chance = kind == DeadEntries && share < FEW_ENTRIES;
            (count > 0 && !by_chance).then(|| Finding::new(kind, severity, share, what))
        };
        let found = [
            find(DeadRows, dead.rows, rows, "rows"),
            find(DeadColumns, dead.columns, cols, "columns"),
            find(DeadEntries, dead.entries, rows * cols, "entries"),
        ];
        found.into_iter().flatten().collect()
    }

    fn stagnation(&self) -> Option<Finding> {
        let share = self.figures.stagnant.filter(|share| *share >= STAGNANT)?;
        let what = format!("{} of the entries stand still: rounding undoes their update", percent(share));
        Some(Finding::new(Stagnation, Warning, share, what))
    }

    fn update(&self) -> Option<Finding> {
        let Figures { lr, weight_rms, update_rms, gradient_rms, .. } = *self.figures;
        let (lr, weights, update) = (lr?, weight_rms?, update_rms?);
        if lr == 0.0 {
            let what = "the learning rate of this step is 0";
            return Some(Finding::new(ZeroLearningRate, Note, 0.0, what.into()));
        }
        let ratio = lr * update / weights.max(usual_rms(self.shape));
        if ratio >= LARGE_UPDATE {
            let severity = if ratio >= WHOLE_UPDATE { Error } else { Warning };
            let what = format!("the step changes the weights by {} of their size", percent(ratio));
            return Some(Finding::new(UpdateTooLarge, severity, ratio, what));
        }
        // Of zeros nothing can be made; that is said already. The first step of some rules (SOAP) only measures.
        let (has_gradient, ratio) = (gradient_rms != Some(0.0), lr * update / weights);
        let only_measures = self.steps.0 == 0 && update == 0.0;
        (has_gradient && !only_measures && ratio < SMALL_UPDATE).then(|| {
            let what = format!("the step changes the weights by {ratio:.0e} of their size");
            Finding::new(UpdateTooSmall, Warning, ratio, what)
        })
    }

    fn stale(&self, subspace: &SubspaceFigures) -> Option<Finding> {
        let SubspaceFigures { rank, captured, possible, since_refresh } = *subspace;
        let share = captured / possible;
        if possible < SPIKE * share_of_noise(rank, self.shape) || share >= STALE {
            return None;
        }
        let age = since_refresh.map_or(String::new(), |age| format!(", {age} steps after its last refresh"));
        let what = format!(
            "its {rank} directions hold {} of the momentum's energy where {} is possible{age}",
            percent(captured),
            percent(possible)
        );
        Some(Finding::new(StaleSubspace, Warning, share, what))
    }
}

/// About the share of the energy that the `rank` dominant directions of a matrix of independent entries hold, from above: with r the shorter side and
/// l the longer the largest squared singular value is `(1 + sqrt(r / l))^2` times their mean (Marchenko and Pastur 1967), and all of them hold
/// everything.
fn share_of_noise(rank: usize, (rows, cols): (usize, usize)) -> f64 {
    let (short, long) = (rows.min(cols) as f64, rows.max(cols) as f64);
    let edge = 1.0 + libm::sqrt(short / long);
    1.0 - libm::pow(1.0 - rank as f64 / short, edge * edge)
}

/// Of the norm clip's factor.
pub(super) fn of_clip(factor: f64) -> Option<Finding> {
    let what = format!("the norm clip multiplies the gradients by {factor:.0e}");
    (factor < CLIPPED).then(|| Finding::new(NormClip, Warning, factor, what))
}

/// `42 %`, `0.3 %`, `4e-3 %`.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent >= 1.0 || percent == 0.0 => format!("{percent:.0} %"),
        percent if percent >= 0.1 => format!("{percent:.1} %"),
        percent => format!("{percent:.0e} %"),
    }
}
