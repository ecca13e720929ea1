//! The diagnosis of the core's optimizer.

use super::{Diagnoses, Examination, Figures, Subject};
use crate::backend::{Backend, Error, ErrorKind, Matrix, Result, Scalar, check_shape};
use crate::optimizer::Optimizer;
use crate::optimizer::member::Member;
use crate::optimizer::plan::{Plan, Rule};
use crate::optimizer::policy::scaled;
use alloc::vec::Vec;

const OPERATION: &str = "diagnose";

impl<B: Backend> Optimizer<B> {
    /// What ails the matrices `weights`, `(index, X)`, and what to do about it: a dry run of a step by these gradients `(parameter index, G)`, of which any may be
    /// absent, zero or not finite. `plan` is the one whose [parameters](Plan::parameters) the optimizer was made of. Neither weights
    /// nor state nor [reports](Self::report) change, and the run has the same bits. **Waits** for the device.
    ///
    /// All gradients are given, as to a step, which clips by the norm over them; a gradient that is not finite is found and left out.
    ///
    /// # Errors
    /// A plan of another model; shapes, an unknown index, a gradient that is too large for its rule; an earlier step that is
    /// [not whole](Self::check_whole); matrices that are divided among ranks; those of the device.
    pub fn diagnose<'g>(
        &mut self,
        plan: &Plan,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
        weights: &[(usize, &B::Matrix)],
    ) -> Result<Diagnoses>
    where
        B::Matrix: 'g,
    {
        self.check_whole(OPERATION)?;
        if self.backend().ranks().is_some() {
            let what = "a diagnosis of a model that is divided among ranks";
            return Err(Error::new(OPERATION, ErrorKind::Unsupported { what }));
        }
        let subjects = Subject::all(plan, &self.config)?;
        self.check_plan(&subjects)?;
        for (index, gradient) in gradients.clone() {
            self.check_matrix(index, gradient)?;
        }
        weights.iter().try_for_each(|(index, weights)| self.check_matrix(*index, weights))?;
        let mut usable = Vec::new();
        for (index, gradient) in gradients.clone().filter(|(index, _)| self.members[*index].is_live()) {
            if gradient.max_abs()?.read()?.is_finite() {
                usable.push((index, gradient));
            }
        }
        if usable.is_empty() {
            return self.diagnose_all(&subjects, gradients, weights, |_| None, None);
        }
        let prepared = self.measure(OPERATION, usable.iter().copied(), false)?;
        let is_usable =
            |index: usize| usable.iter().find(|(of, _)| *of == index).map(|(_, gradient)| *gradient);
        let stepped = |index: usize| prepared.replaced(index).or(is_usable(index));
        let seen = self.diagnose_all(&subjects, gradients, weights, stepped, prepared.scale.as_ref());
        self.take_back(prepared.replaced);
        seen
    }

    fn diagnose_all<'g, 'p>(
        &mut self,
        subjects: &[Subject<'_>],
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
        weights: &[(usize, &B::Matrix)],
        stepped: impl Fn(usize) -> Option<&'p B::Matrix>,
        scale: Option<&'p B::Scalar>,
    ) -> Result<Diagnoses>
    where
        B::Matrix: 'g + 'p,
    {
        let Self { config, rules, members, workspace, rates, steps, .. } = self;
        let mut blocks = Vec::with_capacity(weights.len());
        for (index, weights) in weights {
            let (member, subject) = (&members[*index], &subjects[*index]);
            let Member { spec, rule, block, .. } = member;
            let rule = &*rules[*rule];
            let (signature, figures) = if member.is_live() {
                let examination = Examination {
                    weights: *weights,
                    gradient: gradients.clone().find(|(of, _)| of == index).map(|(_, gradient)| gradient),
                    stepped: stepped(*index).map(|gradient| scaled(gradient, scale)),
                    rates: rates.of(config, spec, *steps),
                    nearest: subject.nearest(),
                };
                (rule.signature(), block.examine(rule, examination, workspace))
            } else {
                ("frozen".into(), Figures::of_frozen(*weights))
            };
            let figures = figures.map_err(|error| error.for_parameter(&spec.name))?;
            blocks.push(subject.diagnose(signature, (block.steps, *steps), figures));
        }
        Ok(Diagnoses::of_run(*steps, scale.map(Scalar::read).transpose()?, blocks))
    }

    fn check_matrix(&self, index: usize, matrix: &B::Matrix) -> Result<()> {
        let spec = self.spec(index)?;
        let checked = check_shape(OPERATION, (spec.rows, spec.cols), matrix.shape());
        checked.map_err(|error| error.for_parameter(&spec.name))
    }

    /// An error unless these blocks are the optimizer's parameters.
    fn check_plan(&self, subjects: &[Subject<'_>]) -> Result<()> {
        let refuse =
            |name: &str, reason| Err(Error::new(OPERATION, ErrorKind::Name { name: name.into(), reason }));
        for (subject, Member { spec, .. }) in subjects.iter().zip(&self.members) {
            let same_rule = (subject.rule() == Rule::Frozen) == (spec.rule == Rule::Frozen);
            if *subject.name() != *spec.name || subject.shape() != (spec.rows, spec.cols) || !same_rule {
                return refuse(
                    &spec.name,
                    "is not at its place in the plan: that is the plan of another model",
                );
            }
        }
        let (mine, given) = (self.members.get(subjects.len()), subjects.get(self.members.len()));
        let extra = mine.map(|member| &*member.spec.name).or(given.map(Subject::name));
        extra.map_or(Ok(()), |name| {
            refuse(name, "is a parameter of the optimizer or of the plan, but not of both")
        })
    }
}
