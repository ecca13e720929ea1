//! What ails a run, block by block, and what to do about it: nothing of the run changes.
//!
//! [`Optimizer::diagnose`](super::Optimizer::diagnose) of the core, of candle, burn and CUDA looks at weights, gradients and state, and takes a step that
//! changes none of them. Each block's [`Figures`] are measured by [`BlockState::examine`](super::BlockState::examine), and judged here, in one place for
//! every front-end: limits in `findings.rs`, each with its reason; words and advice in `advice.rs`. docs/troubleshooting.md goes from symptoms to findings.
//!
//! ```
//! use spectra_core::dense::{Dense, DenseMatrix};
//! use spectra_core::optimizer::diagnosis::FindingKind;
//! use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
//!
//! let plan = Plan::builder().build([("layers.0.mlp.up.weight", [8, 4])])?;
//! let mut optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset("spectra")?, plan.parameters())?;
//! let weights = DenseMatrix::from_fn(8, 4, |i, j| (i + 2 * j) as f32 / 10.0);
//! // The third output feature is dead.
//! let gradient = DenseMatrix::from_fn(8, 4, |i, j| if i == 2 { 0.0 } else { (1 + i * j) as f32 });
//!
//! let seen = optimizer.diagnose(&plan, [(0, &gradient)].into_iter(), &[(0, &weights)])?;
//! assert_eq!(seen.blocks[0].findings[0].kind, FindingKind::DeadRows);
//! println!("{seen}");
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```

mod advice;
mod compared;
mod dead;
mod figures;
mod findings;
mod model;
#[cfg(feature = "serde")]
mod saved;
mod subject;
mod subspace;
mod table;

pub use advice::FindingKind;
pub use dead::Dead;
pub use figures::{Examination, Figures};
pub use subject::Subject;
pub use subspace::SubspaceFigures;

use super::plan::Rule;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Severity {
    /// Worth knowing; may be meant so.
    Note,
    /// Something is likely to be wrong.
    Warning,
    /// The next step is refused, or ruins the run.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// The figure that was judged; [`FindingKind`] says which.
    pub figure: f64,
    /// What was found, with the figure, in words.
    pub what: String,
    /// What to do, in a sentence.
    pub advice: String,
}

impl Finding {
    fn new(kind: FindingKind, severity: Severity, figure: f64, what: String) -> Self {
        Self { kind, severity, figure, what, advice: kind.advice().into() }
    }
}

/// What was found out about one block.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Diagnosis {
    /// Its name.
    pub block: String,
    /// Its rows and columns.
    pub shape: (usize, usize),
    /// Its rule in the plan; a saved state does not tell.
    pub rule: Option<Rule>,
    /// The [signature](crate::rules::UpdateRule::signature) of what it is stepped by, or `frozen`.
    pub signature: String,
    /// Why it has its rule; empty where no plan tells.
    pub reason: String,
    /// Steps it has taken.
    pub steps: u64,
    /// What was measured.
    pub figures: Figures,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// The worst finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        worst(&self.findings)
    }

    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.findings.sort_by_key(|finding| core::cmp::Reverse(finding.severity));
    }
}

fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Origin {
    /// A run: weights, gradients and state.
    Run,
    /// A saved state alone, which has neither weights nor gradients.
    SavedState,
}

/// What was found out about a model; prints as a table and, below it, what was found and what to do, within 80 columns.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Diagnoses {
    /// What was looked at.
    pub origin: Origin,
    /// Steps of the model.
    pub steps: u64,
    /// The factor by which the norm clip multiplies the gradients of this step, if it does.
    pub clip_factor: Option<f64>,
    /// What was found about the model as a whole.
    pub findings: Vec<Finding>,
    /// Its blocks, in the order of the plan.
    pub blocks: Vec<Diagnosis>,
}

impl Diagnoses {
    /// Of a run's blocks at the model's `steps`, with the norm clip's factor.
    pub fn of_run(steps: u64, clip_factor: Option<f64>, blocks: Vec<Diagnosis>) -> Self {
        let findings = clip_factor.and_then(findings::of_clip).into_iter().collect();
        Self { origin: Origin::Run, steps, clip_factor, findings, blocks }
    }

    /// What was found out about the block of this name.
    pub fn block(&self, name: &str) -> Option<&Diagnosis> {
        self.blocks.iter().find(|block| block.block == name)
    }

    /// Every finding, with its block's name; `None`: of the model.
    pub fn all(&self) -> impl Iterator<Item = (Option<&str>, &Finding)> {
        let model = self.findings.iter().map(|finding| (None, finding));
        let named = self.blocks.iter().flat_map(|block| {
            block.findings.iter().map(move |finding| (Some(block.block.as_str()), finding))
        });
        model.chain(named)
    }

    /// The worst finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.all().map(|(_, finding)| finding.severity).max()
    }
}
