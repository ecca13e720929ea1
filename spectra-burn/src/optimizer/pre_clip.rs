//! The pre-clip of a step's gradients.

use super::Spectral;
use super::hybrid::Member;
use super::shared::Arithmetic;
use super::spectral::{View, see, unsee};
use crate::BurnBackend;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, Result};
use spectra_core::optimizer::PreClip;

/// Replaces every gradient that the pre-clip concerns by the clipped one, `threshold factor` being its threshold.
///
/// # Errors
/// Those of the device, with the parameter's name.
pub(super) fn pre_clip<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    members: &[Member],
    spectral: &Spectral,
    factor: f64,
) -> Result<()> {
    let mut visitor = Visitor { gradients, members, spectral, factor, error: None };
    module.visit(&mut visitor);
    visitor.error.map_or(Ok(()), Err)
}

struct Visitor<'a> {
    gradients: &'a mut GradientsParams,
    members: &'a [Member],
    spectral: &'a Spectral,
    factor: f64,
    error: Option<Error>,
}

impl Visitor<'_> {
    fn replace<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let Some(member) = self.members.iter().find(|member| member.found.id == param.id) else {
            return Ok(());
        };
        let Some(clip) = self.spectral.pre_clip_of(member.view.rule) else { return Ok(()) };
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return Ok(()) };
        let clipped = match param.val().dtype() {
            DType::F64 => self.clipped::<f64, D>(clip, gradient, member.view),
            _ => self.clipped::<f32, D>(clip, gradient, member.view),
        };
        let clipped = clipped.map_err(|error| error.for_parameter(&member.found.name))?;
        self.gradients.register::<D>(param.id, clipped);
        Ok(())
    }

    fn clipped<E: Arithmetic, const D: usize>(
        &self,
        clip: &PreClip,
        gradient: Tensor<D>,
        view: View,
    ) -> Result<Tensor<D>> {
        let backend = BurnBackend::<E>::new(&gradient.device());
        let shape = gradient.dims();
        let gradient = see(&backend, gradient, view)?;
        let shared = self.spectral.shared();
        let clipped = shared.with_workspace(&backend, |w| clip.apply(&gradient, self.factor, w))?;
        Ok(unsee(clipped, view, shape, E::DTYPE))
    }
}

impl ModuleVisitor for Visitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.replace(param)
        {
            self.error = Some(error);
        }
    }
}
