//! The gradients of a module's step: which parameters have one, whether they fit, and what takes their place.

use super::gradients::{Checked, Seen, check};
use super::hybrid::Member;
use super::layout::{flat, see, unsee};
use super::shared::Arithmetic;
use super::spectral::Spectral;
use crate::BurnScalar;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::Config as Settings;
use spectra_core::optimizer::policy::{Measured, check_present};

/// Looks at every gradient, takes those of frozen parameters out, and replaces those that a clip changes. Also tells the places of
/// the parameters without one; those that are frozen, by the plan or by burn, do not count.
///
/// # Errors
/// A gradient of a parameter that the plan has not; a parameter of another shape or element type than when the plan was made;
/// a gradient that does not fit it; those of [`check_present`] and of the policy. All name the parameter.
pub(super) fn prepare<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    members: &[Member],
    spectral: &Spectral,
    (settings, pre_clip_factor): (&Settings, f64),
) -> Result<(Measured<BurnScalar>, Vec<usize>)> {
    let looks = settings.check_finite || settings.clip_norm.is_some() || settings.pre_clip.is_some();
    let settings_if = looks.then_some(settings);
    let (single, double, missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut visitor = Collect {
        gradients,
        members,
        spectral,
        settings: settings_if,
        single,
        double,
        missing,
        any: false,
        error: None,
    };
    module.visit(&mut visitor);
    let Collect { single, double, missing, any, error, .. } = visitor;
    if let Some(error) = error {
        return Err(error);
    }
    check_present(settings, any, || missing.first().map(|place| &*members[*place].found.name))?;
    let how = (settings, pre_clip_factor, looks);
    let Checked { measured, replaced } = check(spectral.shared(), how, (&single, &double))?;
    drop((single, double));
    if !replaced.is_empty() {
        module.visit(&mut Replace { gradients, members, replaced });
    }
    Ok((measured, missing))
}

pub(super) fn place_of(members: &[Member], id: ParamId) -> Option<usize> {
    members.iter().position(|member| member.found.id == id)
}

struct Collect<'a, 'g> {
    gradients: &'g mut GradientsParams,
    members: &'a [Member],
    spectral: &'a Spectral,
    /// `None`: nothing looks at values.
    settings: Option<&'a Settings>,
    single: Vec<Seen<'a, f32>>,
    double: Vec<Seen<'a, f64>>,
    missing: Vec<usize>,
    /// Whether a parameter that is not frozen has a gradient.
    any: bool,
    error: Option<Error>,
}

impl Collect<'_, '_> {
    fn visit<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let gradient = self.gradients.get::<D>(param.id);
        let Some(place) = place_of(self.members, param.id) else {
            if gradient.is_none() {
                return Ok(());
            }
            let name = format!("{:?}", param.id).into();
            let reason = "is a parameter that the module did not have when its plan was made";
            return Err(Error::new("step", ErrorKind::Name { name, reason }));
        };
        let member = &self.members[place];
        match gradient {
            _ if member.assigned.is_none() => {
                self.gradients.remove::<D>(param.id);
            }
            None if param.is_require_grad() => self.missing.push(place),
            None => {}
            Some(gradient) => {
                self.any = true;
                let fits = check_fit(&param.val(), &gradient, member);
                let seen = fits.and_then(|()| match member.found.dtype {
                    DType::F64 => {
                        see_one(self.spectral, gradient, (place, member), self.settings, &mut self.double)
                    }
                    _ => see_one(self.spectral, gradient, (place, member), self.settings, &mut self.single),
                });
                seen.map_err(|error| error.for_parameter(&member.found.name))?;
            }
        }
        Ok(())
    }
}

/// An error unless the parameter is that of the plan, and the gradient one of its own.
pub(super) fn check_fit<const D: usize>(
    weights: &Tensor<D>,
    gradient: &Tensor<D>,
    member: &Member,
) -> Result<()> {
    let found = &member.found;
    for dims in [weights.dims(), gradient.dims()] {
        if dims != *found.shape {
            return Err(Error::shape("step", flat(&found.shape), flat(&dims)));
        }
    }
    let named = |reason| {
        let name = found.name.as_str().into();
        Err(Error::new("step", ErrorKind::Name { name, reason }))
    };
    if (weights.dtype() == DType::F64) != (found.dtype == DType::F64) {
        return named("has another element type than when the optimizer was made");
    }
    if !weights.is_autodiff() {
        // Burn's own step would panic.
        let what = "a module without autodiff (make it on `device.autodiff()`)";
        return Err(Error::new("step", ErrorKind::Unsupported { what }));
    }
    match (gradient.dtype(), found.dtype) {
        (DType::BF16 | DType::F16 | DType::F32, _) | (DType::F64, DType::F64) => Ok(()),
        _ => named("has a gradient of an element type that its own does not contain"),
    }
}

fn see_one<'a, E: Arithmetic, const D: usize>(
    spectral: &Spectral,
    gradient: Tensor<D>,
    (place, member): (usize, &'a Member),
    settings: Option<&Settings>,
    list: &mut Vec<Seen<'a, E>>,
) -> Result<()> {
    let (Some(settings), Some(assigned)) = (settings, &member.assigned) else { return Ok(()) };
    let backend = spectral.backend::<E>(&gradient.device());
    let whole = see(&backend, gradient, member.view)?;
    let parameter = (place, Some(member.found.name.as_str()));
    list.push(Seen::new(parameter, (assigned, &member.blocks), (&backend, whole), settings, list)?);
    Ok(())
}

impl ModuleVisitor for Collect<'_, '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.visit(param)
        {
            self.error = Some(error);
        }
    }
}

struct Replace<'a> {
    gradients: &'a mut GradientsParams,
    members: &'a [Member],
    replaced: Vec<(usize, Tensor<2>)>,
}

impl ModuleVisitor for Replace<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(place) = place_of(self.members, param.id) else { return };
        let Some(at) = self.replaced.iter().position(|(of, _)| *of == place) else { return };
        let tensor = self.replaced.swap_remove(at).1;
        let dtype = tensor.dtype();
        let tensor = unsee(tensor, self.members[place].view, param.val().dims(), dtype);
        self.gradients.remove::<D>(param.id);
        self.gradients.register::<D>(param.id, tensor);
    }
}
