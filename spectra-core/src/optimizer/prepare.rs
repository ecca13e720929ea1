//! What happens to the gradients of a step before any parameter is updated: checks, pre-clip, norm clip.

use super::Optimizer;
use super::plan::Rule;
use crate::backend::{Backend, Coefficient, Error, ErrorKind, Matrix, Result, Scalar, ScalarOp, check_shape};
use crate::linalg::Workspace;
use alloc::vec::Vec;

/// Gradients that were checked, and the factor of the global norm clip; valid for one step.
#[derive(Debug)]
pub struct Prepared<B: Backend> {
    /// The gradients that the pre-clip changed, by parameter index.
    pub(super) clipped: Vec<(usize, B::Matrix)>,
    pub(super) scale: Option<(B::Scalar, B::Scalar)>,
}

impl<B: Backend> Prepared<B> {
    /// The pre-clipped gradient of parameter `index`, if there is one.
    pub(super) fn clipped(&self, index: usize) -> Option<&B::Matrix> {
        find(&self.clipped, index)
    }
}

/// A matrix of NaN with the shape of a gradient that holds one or an infinity.
fn not_a_number<B: Backend>(gradient: &B::Matrix, workspace: &mut Workspace<B>) -> Result<B::Matrix> {
    let mut matrix = workspace.take_like(gradient, gradient.shape().1)?;
    matrix.scale_add(Coefficient::ZERO, f64::NAN.into(), gradient)?;
    Ok(matrix)
}

fn find<M>(clipped: &[(usize, M)], index: usize) -> Option<&M> {
    clipped.iter().find(|(i, _)| *i == index).map(|(_, matrix)| matrix)
}

/// The factor `min(1, limit / (||G|| + 1e-6))` of the global norm clip, and its square, from `||G||^2`. Does not wait.
///
/// # Errors
/// Those of the backend.
pub fn norm_clip_factor<B: Backend>(
    backend: &B,
    norm_squared: &B::Scalar,
    limit: f64,
) -> Result<(B::Scalar, B::Scalar)> {
    let combine = <B::Scalar as Scalar>::combine;
    let norm = combine(ScalarOp::Add, &norm_squared.sqrt()?, &backend.scalar(1e-6)?)?;
    let factor = combine(ScalarOp::Div, &backend.scalar(limit)?, &norm)?;
    let factor = combine(ScalarOp::Min, &factor, &backend.scalar(1.0)?)?;
    let squared = combine(ScalarOp::Mul, &factor, &factor)?;
    Ok((factor, squared))
}

impl<B: Backend> Optimizer<B> {
    /// Checks the gradients `(parameter index, G)` of a step, and computes the factor of the norm clip. Nothing
    /// is changed. Frozen parameters are ignored; a parameter may be absent (it had no gradient), though not all of them, nor any
    /// under [`Config::require_gradients`](super::Config::require_gradients).
    ///
    /// Waits for the device once if [`Config::check_finite`](super::Config::check_finite) is set.
    ///
    /// # Errors
    /// Shapes, an unknown index, a NaN or an infinity, memory for the state: each names the parameter. A gradient that is
    /// missing; an earlier step that is [not whole](Self::check_whole).
    pub fn prepare<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
    ) -> Result<Prepared<B>>
    where
        B::Matrix: 'g,
    {
        self.check_whole("prepare")?;
        for (index, gradient) in gradients.clone() {
            let spec = self.spec(index)?;
            check_shape("prepare", (spec.rows, spec.cols), gradient.shape())
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        self.check_present(gradients.clone().map(|(index, _)| index))?;
        let mut square = None;
        if self.config.check_finite {
            let sum = self.squared_norm(gradients.clone())?;
            if !sum.read()?.is_finite() {
                return Err(self.find_non_finite(gradients)?);
            }
            square = Some(sum);
        }
        self.reserve(gradients.clone())?;
        let mut clipped = core::mem::take(&mut self.spare);
        if let Some(clip) = self.config.pre_clip {
            for (index, gradient) in gradients.clone() {
                let spec = &self.members[index].spec;
                if clip.concerns(spec.rule) {
                    let matrix = match clip.apply(gradient, self.pre_clip_factor, &mut self.workspace) {
                        // As in a step: nobody asked for the check, and the clip of what is not finite is NaN.
                        Err(error) if !self.config.check_finite && error.is_non_finite() => {
                            not_a_number(gradient, &mut self.workspace)
                        }
                        outcome => outcome,
                    };
                    clipped.push((index, matrix.map_err(|error| error.for_parameter(&spec.name))?));
                }
            }
            square = None;
        }
        let scale = match self.config.clip_norm {
            Some(limit) => {
                let square = match square {
                    Some(square) => square,
                    None => self.squared_norm(gradients.map(|(i, g)| (i, find(&clipped, i).unwrap_or(g))))?,
                };
                Some(norm_clip_factor(self.workspace.backend(), &square, limit)?)
            }
            None => None,
        };
        Ok(Prepared { clipped, scale })
    }

    /// The sum over all parameters that are not frozen of `||G||_F^2`.
    fn squared_norm<'g>(&self, gradients: impl Iterator<Item = (usize, &'g B::Matrix)>) -> Result<B::Scalar>
    where
        B::Matrix: 'g,
    {
        let mut sum = self.workspace.backend().scalar(0.0)?;
        for (index, gradient) in gradients {
            if self.spec(index)?.rule != Rule::Frozen {
                sum = <B::Scalar as Scalar>::combine(ScalarOp::Add, &sum, &gradient.dot(gradient)?)?;
            }
        }
        Ok(sum)
    }

    /// The error that names the first parameter with a non-finite gradient.
    fn find_non_finite<'g>(&self, gradients: impl Iterator<Item = (usize, &'g B::Matrix)>) -> Result<Error>
    where
        B::Matrix: 'g,
    {
        let error = Error::new("prepare", ErrorKind::NonFinite { what: "gradient (or its norm)" });
        for (index, gradient) in gradients {
            let spec = self.spec(index)?;
            if spec.rule != Rule::Frozen && !gradient.dot(gradient)?.read()?.is_finite() {
                return Ok(error.for_parameter(&spec.name));
            }
        }
        Ok(error)
    }
}
