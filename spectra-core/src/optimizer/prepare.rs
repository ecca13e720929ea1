//! What happens to the gradients of a step before any parameter is updated: checks, pre-clip, norm clip.

use super::member::Member;
use super::member::SharedRules;
use super::{Config, Optimizer};
use crate::backend::{Backend, Coefficient, Matrix, Result, Scalar, ScalarOp, check_shape};
use crate::linalg::{UnitNorm, Workspace, norm_unit, squares_suffice};
use crate::rules::{check_gradient, non_finite};
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

/// A matrix of NaN with the shape of a gradient that holds one or an infinity.
fn not_a_number<B: Backend>(gradient: &B::Matrix, workspace: &mut Workspace<B>) -> Result<B::Matrix> {
    let mut matrix = workspace.take_like(gradient, gradient.shape().1)?;
    matrix.scale_add(Coefficient::ZERO, f64::NAN.into(), gradient)?;
    Ok(matrix)
}

fn find<M>(replaced: &[(usize, M)], index: usize) -> Option<&M> {
    replaced.iter().find(|(i, _)| *i == index).map(|(_, matrix)| matrix)
}

impl<B: Backend> Optimizer<B> {
    /// Checks the gradients `(parameter index, G)` of a step, and computes the factor of the norm clip. Nothing
    /// is changed. Frozen parameters are ignored; a parameter may be absent (it had no gradient), though not all of them, nor any
    /// under [`Config::require_gradients`](super::Config::require_gradients).
    ///
    /// Waits for the device once if [`Config::check_finite`] is set; more often where entries are so large that their squares
    /// or the state may leave the range of the element type.
    ///
    /// # Errors
    /// Shapes, an unknown index, memory for the state; with [`Config::check_finite`] a NaN or an infinity, and a gradient that is
    /// too large for its rule ([`check_gradient`]): each names the parameter. A gradient that
    /// is missing; an earlier step that is [not whole](Self::check_whole).
    pub fn prepare<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
    ) -> Result<Prepared<B>>
    where
        B::Matrix: 'g,
    {
        self.check_whole("prepare")?;
        let _scope = self.workspace.scope();
        for (index, gradient) in gradients.clone() {
            let spec = self.spec(index)?;
            check_shape("prepare", (spec.rows, spec.cols), gradient.shape())
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        self.check_present(gradients.clone().map(|(index, _)| index))?;
        self.check_rates(self.rates)?;
        let pre_clip_factor = self.pre_clip_factor_now();
        self.config.pre_clip.map_or(Ok(()), |clip| clip.check_factor::<B::Element>(pre_clip_factor))?;
        let Self { config, rules, members, workspace, spare, .. } = self;
        let (members, replaced) = (&members[..], core::mem::take(spare));
        let live = gradients.clone().filter(|(index, _)| members[*index].is_live());
        let mut step = Preparation { config, rules, members, pre_clip_factor, workspace, replaced };
        let scale = step.run(live);
        let replaced = step.replaced;
        match scale.and_then(|scale| self.reserve(gradients).map(|()| scale)) {
            Ok(scale) => {
                // Who takes no part in this step has none.
                self.members.iter_mut().for_each(|member| member.report = None);
                Ok(Prepared { replaced, scale })
            }
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

/// The part of an optimizer that looks at the gradients of a step. None of them is frozen.
struct Preparation<'a, B: Backend> {
    config: &'a Config,
    rules: &'a SharedRules<B>,
    members: &'a [Member<B>],
    pre_clip_factor: f64,
    workspace: &'a mut Workspace<B>,
    replaced: Vec<(usize, B::Matrix)>,
}

impl<B: Backend> Preparation<'_, B> {
    /// The factor of the norm clip, if there is one.
    fn run<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
    ) -> Result<Option<B::Scalar>>
    where
        B::Matrix: 'g,
    {
        let Config { clip_norm, check_finite, .. } = *self.config;
        let (mut squares, mut norm) = (None, f64::INFINITY);
        if check_finite {
            let sum = self.squares(gradients.clone())?;
            let value = sum.read()?;
            if value.is_finite() {
                norm = libm::sqrt(value);
            } else {
                self.check_entries(gradients.clone())?;
            }
            squares = Some((sum, Some(value)));
        }
        if self.config.pre_clip.is_some() {
            self.pre_clip(gradients.clone())?;
            squares = None;
        }
        let scale = match clip_norm {
            Some(limit) => {
                let (sum, value) = match squares {
                    Some(squares) => squares,
                    None => {
                        let sum = self.squares(gradients.clone())?;
                        let value = sum.known();
                        (sum, value)
                    }
                };
                let norm = self.norm(gradients.clone(), sum, value)?;
                Some(norm.clip_factor(limit, 1e-6, self.workspace.backend())?)
            }
            None => None,
        };
        if check_finite {
            self.check_range(gradients, norm, scale.as_ref())?;
        }
        Ok(scale)
    }

    fn pre_clip<'g>(&mut self, gradients: impl Iterator<Item = (usize, &'g B::Matrix)>) -> Result<()>
    where
        B::Matrix: 'g,
    {
        let Some(clip) = &self.config.pre_clip else { return Ok(()) };
        for (index, gradient) in gradients {
            let spec = &self.members[index].spec;
            if clip.concerns(spec.rule) {
                let matrix = match clip.apply(gradient, self.pre_clip_factor, self.workspace) {
                    // As in a step: nobody asked for the check, and the clip of what is not finite is NaN.
                    Err(error) if !self.config.check_finite && error.is_non_finite() => {
                        not_a_number(gradient, self.workspace)
                    }
                    outcome => outcome,
                };
                self.replaced.push((index, matrix.map_err(|error| error.for_parameter(&spec.name))?));
            }
        }
        Ok(())
    }

    /// The sum of the squares of all entries.
    fn squares<'g>(&self, gradients: impl Iterator<Item = (usize, &'g B::Matrix)>) -> Result<B::Scalar>
    where
        B::Matrix: 'g,
    {
        let mut sum = self.workspace.backend().scalar(0.0)?;
        for (index, gradient) in gradients {
            let gradient = find(&self.replaced, index).unwrap_or(gradient);
            sum = B::Scalar::combine(ScalarOp::Add, &sum, &gradient.dot(gradient)?)?;
        }
        Ok(sum)
    }

    /// The norm of all gradients from the sum of their squares, whose value the host may have looked at. Where that does not
    /// suffice all are replaced by themselves divided by the norm's unit.
    fn norm<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
        squares: B::Scalar,
        value: Option<f64>,
    ) -> Result<UnitNorm<B::Scalar>>
    where
        B::Matrix: 'g,
    {
        let combine = <B::Scalar as Scalar>::combine;
        let (mut entries, mut is_wide) = (0, true);
        for (_, gradient) in gradients.clone() {
            entries += gradient.shape().0 * gradient.shape().1;
            is_wide &= gradient.has_wide_dot();
        }
        let backend = self.workspace.backend();
        if squares_suffice::<B::Element>(value, entries, is_wide) {
            return UnitNorm::plain(squares, backend);
        }
        let mut largest = backend.scalar(0.0)?;
        for (index, gradient) in gradients.clone() {
            let gradient = find(&self.replaced, index).unwrap_or(gradient);
            largest = combine(ScalarOp::Max, &largest, &gradient.max_abs()?)?;
        }
        let unit = norm_unit(&largest, backend)?;
        let inverse = combine(ScalarOp::Div, &backend.scalar(1.0)?, &unit)?;
        let mut sum = backend.scalar(0.0)?;
        for (index, gradient) in gradients {
            let place = self.replaced.iter().position(|(i, _)| *i == index);
            let source = place.map_or(gradient, |at| &self.replaced[at].1);
            let mut divided = self.workspace.take_like(source, source.shape().1)?;
            divided.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), source)?;
            sum = combine(ScalarOp::Add, &sum, &divided.dot(&divided)?)?;
            match place {
                Some(at) => self.workspace.give(core::mem::replace(&mut self.replaced[at].1, divided)),
                None => self.replaced.push((index, divided)),
            }
        }
        Ok(UnitNorm::in_units(unit, sum))
    }

    /// An error that names the first parameter with a non-finite gradient. (Their sum of squares may have overflown.)
    fn check_entries<'g>(&self, gradients: impl Iterator<Item = (usize, &'g B::Matrix)>) -> Result<()>
    where
        B::Matrix: 'g,
    {
        for (index, gradient) in gradients {
            if !gradient.max_abs()?.read()?.is_finite() {
                return Err(non_finite().for_parameter(&self.members[index].spec.name));
            }
        }
        Ok(())
    }

    /// An error that names the first parameter whose gradient is too large for its rule. `norm`: that of all gradients before
    /// the clips, or infinity.
    fn check_range<'g>(
        &self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)>,
        norm: f64,
        scale: Option<&B::Scalar>,
    ) -> Result<()>
    where
        B::Matrix: 'g,
    {
        for (index, gradient) in gradients {
            let Member { spec, rule, .. } = &self.members[index];
            let rank = spec.rows.min(spec.cols);
            let bound = self.config.gradient_bound(spec.rule, rank, self.pre_clip_factor, norm);
            let gradient = find(&self.replaced, index).unwrap_or(gradient);
            let checked = check_gradient(&*self.rules[*rule], gradient, scale, bound);
            checked.map_err(|error| error.for_parameter(&spec.name))?;
        }
        Ok(())
    }
}
