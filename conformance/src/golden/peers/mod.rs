//! The golden runs of other authors' rules, on any backend.

mod adamuon;
mod cautious;
mod dion;
mod dion2;
mod hyperball;
mod lion;
mod normuon;
mod polar_express;
mod polargrad;
mod qdwh;
mod scion;
mod shampoo;
mod soap;

pub use adamuon::golden_adamuon;
pub use cautious::golden_cautious;
pub use dion::golden_dion;
pub use dion2::golden_dion2;
pub use hyperball::golden_hyperball;
pub use lion::golden_lion;
pub use normuon::golden_normuon;
pub use polar_express::golden_polar_express;
pub use polargrad::golden_polargrad;
pub use qdwh::golden_qdwh;
pub use scion::golden_scion;
pub use shampoo::golden_shampoo;
pub use soap::golden_soap;

use spectra_core::backend::{Backend, Gradient};
use spectra_core::optimizer::{ParameterState, Rates};
use spectra_core::rules::UpdateRule;
use spectra_core::state::State;

use super::{Golden, GoldenError};
use crate::HostMatrix;
use crate::distance::max_error;
use crate::suite::{Failure, Judge, Subject};
use crate::tolerance;

/// One run: parameters `P{j}_0`, gradients `G{j}_{t}`, weights `P{j}_{t}`.
pub(super) struct Run<'a, B: Backend> {
    pub(super) judge: &'a mut Judge,
    pub(super) subject: &'a Subject<B>,
    pub(super) case: &'a Golden,
    /// The learning rate.
    pub(super) lr: f64,
    /// The prefixes of recorded buffers, `M` for `M{j}_{t}`, with their names.
    pub(super) buffers: &'a [(&'static str, &'static str)],
}

/// A parameter of a run, as a rule for it may depend on it.
pub(super) struct Parameter {
    pub(super) is_vector: bool,
    /// Rows and columns of the matrix that it is.
    pub(super) shape: (usize, usize),
}

/// The parameter `name`; a vector is one row.
pub(super) fn parameter(case: &Golden, name: &str) -> Result<HostMatrix, GoldenError> {
    let matrix = case.inputs().parameter(name)?;
    Ok(if case.inputs().array(name)?.shape.len() == 1 { matrix.transposed() } else { matrix })
}

/// The case was computed with Muon's digits.
pub(super) fn check_muons_digits(case: &Golden) -> Result<(), GoldenError> {
    case.hyper_must_be("ns_coeffs", vec![3.4445, -4.7750, 2.0315])
}

impl<B: Backend> Run<'_, B> {
    /// Takes all steps with `rule`, and holds weights and buffers against what is recorded. `before(j, t, state)` may put
    /// buffers in their place before step t.
    pub(super) fn compare<R: UpdateRule<B> + Clone>(
        &mut self,
        rule: &R,
        before: impl Fn(usize, usize, &mut State<B::Matrix>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let rates = Rates::new(self.lr);
        self.compare_each(|_| (rule.clone(), rates), before)
    }

    /// The same with a rule and rates for each parameter.
    pub(super) fn compare_each<R: UpdateRule<B>>(
        &mut self,
        rule: impl Fn(&Parameter) -> (R, Rates),
        before: impl Fn(usize, usize, &mut State<B::Matrix>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let inputs: Vec<&str> = self.case.inputs().names().collect();
        let workspace = &mut self.subject.workspace();
        for j in (0..).take_while(|j| inputs.contains(&format!("P{j}_0").as_str())) {
            let initial = parameter(self.case, &format!("P{j}_0"))?;
            self.judge.at(initial.rows, initial.cols);
            let mut weights = self.subject.upload(&initial)?;
            let is_vector = self.case.inputs().array(&format!("P{j}_0"))?.shape.len() == 1;
            let (rule, rates) = rule(&Parameter { is_vector, shape: initial.shape() });
            let mut state = ParameterState::<B, R>::new(rule)?;
            for t in (1..).take_while(|t| inputs.contains(&format!("G{j}_{t}").as_str())) {
                before(j, t, &mut state.block.state)?;
                let gradient = self.subject.upload(&parameter(self.case, &format!("G{j}_{t}"))?)?;
                state.step(&mut weights, &Gradient::new(&gradient), rates, workspace)?;
                self.judge_output(&format!("P{j}_{t}"), Some(&weights))?;
                for (prefix, buffer) in self.buffers {
                    self.judge_output(&format!("{prefix}{j}_{t}"), state.state().get(buffer))?;
                }
            }
        }
        Ok(self.case.finish()?)
    }

    /// Holds a matrix against the output `name`, if there is one.
    fn judge_output(&mut self, name: &str, computed: Option<&B::Matrix>) -> Result<(), Failure> {
        if !self.case.outputs().names().any(|output| output == name) {
            return Ok(());
        }
        let golden = self.case.outputs().array(name)?.to_f64();
        let (Some(golden), Some(computed)) = (golden, computed) else {
            return Err(Failure::Suite {
                reason: format!("{}: nothing to hold {name} against", self.case.name),
            });
        };
        let tolerance = tolerance::golden(self.subject.precision(), self.case.tolerance_of(name)?);
        let error = max_error(&self.subject.download(computed)?.data, &golden);
        self.judge.compare(format_args!("{} {name}", self.case.name), error, tolerance)
    }
}
