//! What happens to the gradients of a step before any parameter is updated: checks, pre-clip, norm clip.

use super::Optimizer;
use super::member::Member;
use super::policy::{self, Given, Gradients, OverRanks};
use crate::backend::{Backend, Error, ErrorKind, Matrix, Result, check_shape};
use crate::linalg::squares_suffice;
use crate::rules::Dots;
use alloc::vec::Vec;

/// Gradients that were checked, and the factor of the global norm clip; valid for one step.
#[derive(Debug)]
pub struct Prepared<B: Backend> {
    /// What takes the place of the caller's gradients, by parameter index: the result of the pre-clip, or gradients divided
    /// by the unit of their norm.
    pub(super) replaced: Vec<(usize, B::Matrix)>,
    /// The factor of the norm clip.
    pub(super) scale: Option<B::Scalar>,
}

impl<B: Backend> Prepared<B> {
    /// What takes the place of the gradient of parameter `index`, if anything does.
    pub(super) fn replaced(&self, index: usize) -> Option<&B::Matrix> {
        find(&self.replaced, index)
    }
}

fn find<M>(replaced: &[(usize, M)], index: usize) -> Option<&M> {
    replaced.iter().find(|(i, _)| *i == index).map(|(_, matrix)| matrix)
}

impl<B: Backend> Optimizer<B> {
    /// Checks the gradients `(parameter index, G)` of a step, and computes the factor of the norm clip. Nothing
    /// is changed. Where matrices are distributed over ranks nobody is told of missing gradients here: a rank may have none;
    /// [`DistributedOptimizer`](crate::distributed::DistributedOptimizer) tells. Frozen parameters are ignored; a parameter may be absent (it had no gradient), though not all of them, nor any
    /// under [`Config::require_gradients`](super::Config::require_gradients).
    ///
    /// Waits for the device once if [`Config::check_finite`](super::Config::check_finite) is set; more often where entries are so large that their squares
    /// or the state may leave the range of the element type.
    ///
    /// # Errors
    /// Shapes, an unknown index, memory for the state; with [`Config::check_finite`](super::Config::check_finite) a NaN or an infinity, and a gradient that is
    /// too large for its rule ([`check_gradient`](crate::rules::check_gradient)): each names the parameter. A gradient that
    /// is missing; an earlier step that is [not whole](Self::check_whole).
    pub fn prepare<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
    ) -> Result<Prepared<B>>
    where
        B::Matrix: 'g,
    {
        let prepared = self.measure("prepare", gradients.clone(), true)?;
        match self.reserve(gradients) {
            Ok(()) => {
                // Who takes no part in this step has none.
                self.members.iter_mut().for_each(|member| member.report = None);
                Ok(prepared)
            }
            Err(error) => {
                self.take_back(prepared.replaced);
                Err(error)
            }
        }
    }

    /// [`prepare`](Self::prepare), but that nothing is made ready for a step. `all`: whether gradients that are missing may be refused.
    pub(super) fn measure<'g>(
        &mut self,
        operation: &'static str,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
        all: bool,
    ) -> Result<Prepared<B>>
    where
        B::Matrix: 'g,
    {
        self.check_whole(operation)?;
        let _scope = self.workspace.scope();
        for (index, gradient) in gradients.clone() {
            let spec = self.spec(index)?;
            check_shape(operation, (spec.rows, spec.cols), gradient.shape())
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        if all && self.backend().ranks().is_none() {
            self.check_present(gradients.clone().map(|(index, _)| index))?;
        }
        self.check_rates(self.rates)?;
        let pre_clip_factor = self.pre_clip_factor_now();
        let Self { config, rules, members, workspace, spare, .. } = self;
        let (members, backend) = (&members[..], workspace.backend().clone());
        let live = gradients.clone().filter(|(index, _)| members[*index].is_live());
        let given = live.map(|(index, gradient)| {
            let Member { spec, rule, .. } = &members[index];
            let (update, rank) = (&*rules[*rule], spec.rows.min(spec.cols));
            Given { index, name: Some(&spec.name), rule: spec.rule, update, rank, gradient }
        });
        let mut list = Gradients { given, replaced: core::mem::take(spare), workspace };
        let concerned =
            |index: usize| config.pre_clip.is_some_and(|clip| clip.concerns(members[index].spec.rule));
        let is_divided = |gradient: &B::Matrix| gradient.layout() != 0;
        let measured = match backend.ranks() {
            // It takes the whole matrix.
            Some(_)
                if gradients.clone().any(|(index, gradient)| concerned(index) && is_divided(gradient)) =>
            {
                let what = "a clip of raw gradients that are divided among ranks";
                Err(Error::new("prepare", ErrorKind::Unsupported { what }))
            }
            None => policy::prepare(config, pre_clip_factor, false, &backend, &mut [&mut list]),
            Some(ranks) => {
                let live = || members.iter().filter(|member| member.is_live());
                let shape = |member: &Member<B>| (member.spec.rows, member.spec.cols);
                let limit = |member: &Member<B>| {
                    let limits =
                        rules[member.rule].gradient_limits(shape(member), Dots { known: false, wide: false });
                    limits.entry.min(limits.norm)
                };
                let entries = live().map(shape).map(|(rows, cols)| rows * cols).sum();
                let harmless = live().map(limit).fold(f64::INFINITY, f64::min);
                let exact = config.clip_norm.is_some();
                let is_wide = backend.zeros(1, 1, None)?.has_wide_dot();
                let suffice = squares_suffice::<B::Element>;
                let mut all =
                    OverRanks { list: &mut list, ranks, entries, harmless, exact, is_wide, suffice };
                policy::prepare(config, pre_clip_factor, false, &backend, &mut [&mut all])
            }
        };
        let replaced = list.replaced;
        match measured {
            Ok(measured) => Ok(Prepared { replaced, scale: measured.scale }),
            Err(error) => {
                self.take_back(replaced);
                Err(error)
            }
        }
    }

    /// Keeps what a step has used for the next.
    pub(super) fn take_back(&mut self, mut replaced: Vec<(usize, B::Matrix)>) {
        for (_, matrix) in replaced.drain(..) {
            self.workspace.give(matrix);
        }
        self.spare = replaced;
    }
}
