//! The diagnosis of a saved state, as far as a state alone can tell.

use super::dead::Alive;
use super::findings::Judged;
use super::subspace::subspace_figures;
use super::{Diagnoses, Diagnosis, Figures, Finding, FindingKind, Origin, Severity};
use crate::backend::{Backend, Element, Error, ErrorKind, Result};
use crate::dense::Dense;
use crate::linalg::Workspace;
use crate::optimizer::plan::{Plan, Reason};
use crate::optimizer::{SavedParameter, Snapshot, StateHeader};
use crate::state::{MASTER, MOMENTUM, SUBSPACE};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// A buffer's numbers, or why they cannot be had.
pub(crate) type Loaded = Result<Vec<f64>>;

impl Diagnoses {
    /// Of a saved state: norms, dead rows, stale subspaces, steps that were skipped. It has neither weights (but for a
    /// [master](crate::rules::Rounding)) nor gradients nor a plan.
    ///
    /// # Errors
    /// A header that speaks of matrices that cannot be.
    pub fn of_snapshot<E: Element>(snapshot: &Snapshot<E>) -> Result<Self> {
        Self::of_state(snapshot.header(), |saved| {
            let own = snapshot.buffers().filter(|(parameter, ..)| **parameter == *saved.name);
            own.map(|(_, buffer, values)| (buffer.into(), Ok(values.iter().map(|x| x.widen()).collect())))
                .collect()
        })
    }

    /// Of a header, and of what `load` gives of each parameter: its buffers by name.
    pub(crate) fn of_state(
        header: &StateHeader,
        mut load: impl FnMut(&SavedParameter) -> Vec<(String, Loaded)>,
    ) -> Result<Self> {
        let mut workspace = Workspace::new(Dense::<f64>::new());
        let mut blocks = Vec::with_capacity(header.parameters.len());
        for saved in &header.parameters {
            let buffers = load(saved);
            let block = of_parameter(saved, header.steps, buffers, &mut workspace);
            blocks.push(block.map_err(|error| error.for_parameter(&saved.name))?);
        }
        let (steps, clip_factor) = (header.steps, None);
        Ok(Self { origin: Origin::SavedState, steps, clip_factor, findings: Vec::new(), blocks })
    }
}

fn of_parameter(
    saved: &SavedParameter,
    steps: u64,
    buffers: Vec<(String, Loaded)>,
    workspace: &mut Workspace<Dense<f64>>,
) -> Result<Diagnosis> {
    let shape = (saved.rows, saved.cols);
    let mut figures = Figures::default();
    let (mut momentum, mut basis, mut corrupt) = (None, None, Vec::new());
    for (name, loaded) in buffers {
        let values = match loaded {
            Ok(values) => values,
            Err(error) => {
                corrupt.push((name, error));
                continue;
            }
        };
        let rms = figures.finite_rms(&name, &values);
        match name.as_str() {
            MOMENTUM if values.len() == saved.rows.saturating_mul(saved.cols) => {
                figures.momentum_rms = rms;
                let mut alive = Alive::new(shape);
                alive.see(&values);
                figures.dead = Some(alive.dead());
                momentum = rms.map(|_| values);
            }
            MASTER => figures.weight_rms = rms,
            SUBSPACE if saved.cols > 0 => basis = rms.map(|_| values),
            _ => {}
        }
    }
    if let (Some(momentum), Some(basis)) = (momentum, basis) {
        let backend = workspace.backend().clone();
        let momentum = backend.upload(saved.rows, saved.cols, &momentum)?;
        let basis = backend.upload(saved.cols, basis.len() / saved.cols, &basis)?;
        figures.subspace = subspace_figures(&momentum, &basis, workspace)?;
    }
    let by_name = Plan::builder().build([(&*saved.name, [saved.rows, saved.cols])])?;
    let is_table = by_name.entries().iter().any(|e| matches!(e.reason(), Reason::Embedding | Reason::Head));
    let is_frozen = saved.rule == "frozen";
    let steps_judged = if is_frozen { (0, 0) } else { (saved.steps, steps) };
    let judged = Judged { figures: &figures, shape, steps: steps_judged, is_table, in_run: false };
    let findings = judged.findings();
    let mut diagnosis = Diagnosis {
        block: saved.name.to_string(),
        shape,
        rule: None,
        signature: saved.rule.clone(),
        reason: "".into(),
        steps: saved.steps,
        figures,
        findings: Vec::new(),
    };
    findings.into_iter().for_each(|finding| diagnosis.add(finding));
    let many = corrupt.len() as f64;
    for (name, error) in corrupt {
        diagnosis.add(Finding::new(FindingKind::Corrupt, Severity::Error, many, told(&name, &error)));
    }
    Ok(diagnosis)
}

/// What is wrong with a buffer; the parameter's name stands before it.
fn told(name: &str, error: &Error) -> String {
    match error.kind() {
        ErrorKind::State { reason } => format!("{name}: {reason}"),
        _ => format!("{name}: {error}"),
    }
}
