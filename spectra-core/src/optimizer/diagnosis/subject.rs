//! What the plan knows of a block, and whether its rule suits it.

use super::findings::Judged;
use super::{Diagnosis, Figures, Finding, FindingKind, Severity, SubspaceFigures};
use crate::backend::Result;
use crate::linalg::SixteenBits;
use crate::maps::SpectralMap;
use crate::optimizer::Config;
use crate::optimizer::plan::{Block, Entry, Plan, Reason, Rule};
use crate::rules::{Method, Weights};
use FindingKind::{NotHidden, Unspectral, Untold, VectorLike};
use Severity::{Note, Warning};
use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};

/// Hidden matrices widen by 3 (fused projections), 4 (feed-forward) or 8 at most. From here on, if the longer side has at least
/// [`LONG`] rows, it counts tokens or classes.
const TABLE_LIKE: f64 = 16.0;

/// Small models have narrow inputs, which make no table.
const LONG: usize = 1024;

/// With so few singular values a spectral map has little to change.
const VECTOR_LIKE: usize = 2;

/// A block, what the plan made of it, and what it would have made of it by name and shape alone.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    entry: &'a Entry,
    block: &'a Block,
    by_default: (Rule, Reason),
    /// What it is stepped by; `None`: frozen, or a rule of one's own.
    method: Option<Method>,
    /// Whether the model's rule of matrices does anything to singular values: otherwise it does not matter who has it.
    is_spectral_model: bool,
    /// Whether a framework has it out of training.
    rests: bool,
}

impl<'a> Subject<'a> {
    /// Every block of a plan, in its order.
    ///
    /// # Errors
    /// None of a plan that could be built.
    pub fn all(plan: &'a Plan, config: &Config) -> Result<Vec<Self>> {
        let parameters = plan.entries().iter().map(|entry| (entry.name(), entry.shape()));
        let by_default = Plan::builder().build(parameters)?;
        let is_spectral_model = is_spectral(&config.spectral);
        let subject = |(at, entry, block): (usize, &'a Entry, &'a Block)| {
            let default = &by_default.entries()[at];
            let method = match (entry.group().own_method(), entry.group().rule_name(), entry.rule()) {
                (Some(method), ..) => Some(*method),
                (None, Some(_), _) | (_, _, Rule::Frozen) => None,
                (None, None, Rule::Spectral) => Some(config.spectral),
                (None, None, Rule::Elementwise) => Some(config.elementwise),
            };
            let by_default = (default.rule(), default.reason().clone());
            Self { entry, block, by_default, method, is_spectral_model, rests: false }
        };
        Ok(plan.blocks().map(subject).collect())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.block.name()
    }

    /// The same, of a parameter that its framework does not train, whatever the plan says: no gradient is missed.
    #[must_use]
    pub fn resting(self) -> Self {
        Self { rests: true, ..self }
    }

    /// Its rule in the plan.
    pub fn rule(&self) -> Rule {
        self.entry.rule()
    }

    /// Its rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.block.shape()
    }

    /// The 16 bits in which its weights take updates by rounding to nearest, if they do.
    pub fn nearest(&self) -> Option<SixteenBits> {
        self.entry.format().filter(|_| self.entry.weights() == Weights::Plain)
    }

    /// What its figures say. `signature`: what it is stepped by; `steps`: its own and the model's.
    pub fn diagnose(&self, signature: String, steps: (u64, u64), mut figures: Figures) -> Diagnosis {
        let is_live = self.entry.rule() != Rule::Frozen && !self.rests;
        if let (Some(subspace), Some(every)) = (&mut figures.subspace, self.refresh_every()) {
            let since = steps.0.checked_sub(1).map(|last| last % every.max(1));
            *subspace = SubspaceFigures { since_refresh: since, ..*subspace };
        }
        let is_table = matches!(self.by_default.1, Reason::Embedding | Reason::Head);
        let shape = self.shape();
        let steps_judged = if is_live { steps } else { (0, 0) };
        let judged = Judged { figures: &figures, shape, steps: steps_judged, is_table, in_run: is_live };
        let mut findings = judged.findings();
        if is_live {
            findings.extend(self.wrong_rule());
        }
        let mut diagnosis = Diagnosis {
            block: self.name().into(),
            shape,
            rule: Some(self.entry.rule()),
            signature,
            reason: self.entry.reason().to_string(),
            steps: steps.0,
            figures,
            findings: Vec::new(),
        };
        findings.into_iter().for_each(|finding| diagnosis.add(finding));
        diagnosis
    }

    fn refresh_every(&self) -> Option<u64> {
        match self.method?.recipe()?.map {
            SpectralMap::TailShrink(shrink) => Some(shrink.refresh_every),
            _ => None,
        }
    }

    fn wrong_rule(&self) -> Option<Finding> {
        let (rows, cols) = self.shape();
        let (short, long) = (rows.min(cols), rows.max(cols));
        let (rule, because) = &self.by_default;
        let reason = self.entry.reason();
        if matches!(reason, Reason::Unknown | Reason::FusedUnknown) {
            let what = format!(
                "{reason}: it is stepped {}",
                if *reason == Reason::Unknown { "number by number" } else { "as one matrix" }
            );
            return Some(Finding::new(Untold, Note, self.entry.shape().len() as f64, what));
        }
        let Some(method) = &self.method else { return None };
        if !is_spectral(method) {
            let rule_counts = self.is_spectral_model && *rule == Rule::Spectral;
            let is_chosen = matches!(reason, Reason::Pattern(_)) && rule_counts;
            let what = format!("{because} by default, but {reason} makes it elementwise");
            return is_chosen.then(|| Finding::new(Unspectral, Note, short as f64, what));
        }
        // `Config::apply_to_all` means it.
        if self.entry.rule() == Rule::Elementwise && self.entry.group().own_method().is_none() {
            return None;
        }
        let aspect = long as f64 / short.max(1) as f64;
        let what = match because {
            Reason::Embedding | Reason::Head | Reason::LowRank | Reason::Recurrence | Reason::Depthwise => {
                format!("{because}, but {reason} makes it spectral")
            }
            Reason::Matrix if short > VECTOR_LIKE && aspect >= TABLE_LIKE && long >= LONG => {
                format!("{rows} x {cols} is the shape of an embedding or a head")
            }
            _ if short <= VECTOR_LIKE => {
                let what = format!("{rows} x {cols} has {short} singular values");
                return Some(Finding::new(VectorLike, Note, short as f64, what));
            }
            _ => return None,
        };
        Some(Finding::new(NotHidden, Warning, aspect, what))
    }
}

/// Whether it does anything to singular values, as far as is known: whole rules are about matrices.
fn is_spectral(method: &Method) -> bool {
    method.recipe().is_none_or(|recipe| recipe.map != SpectralMap::Identity)
}
