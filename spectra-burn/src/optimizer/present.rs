//! Which parameters have a gradient in a step, and whether they are still those of the plan.

use super::hybrid::Member;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Result};

/// The places of the parameters without a gradient; those that are frozen, by the plan or by burn, do not count.
///
/// # Errors
/// A gradient of a parameter that the plan has not; a parameter of another shape or element type than when the plan was made;
/// no gradient at all, or, if each is required, one missing.
pub(super) fn missing_gradients<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    members: &[Member],
    require_each: bool,
) -> Result<Vec<usize>> {
    let mut visitor = Visitor { gradients, members, missing: Vec::new(), any: false, error: None };
    module.visit(&mut visitor);
    let Visitor { missing, any, error, .. } = visitor;
    if let Some(error) = error {
        return Err(error);
    }
    let refuse = |hint| Error::new("step", ErrorKind::MissingGradient { hint });
    match missing.first() {
        _ if !any => Err(refuse("the loss reaches no parameter, or the gradients are of another module")),
        Some(&place) if require_each => {
            Err(refuse("`require_gradients` is set").for_parameter(&members[place].found.name))
        }
        _ => Ok(missing),
    }
}

struct Visitor<'a> {
    gradients: &'a GradientsParams,
    members: &'a [Member],
    missing: Vec<usize>,
    /// Whether a parameter that is not frozen has a gradient.
    any: bool,
    error: Option<Error>,
}

impl Visitor<'_> {
    fn look<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let gradient = self.gradients.get::<D>(param.id);
        let Some(place) = self.members.iter().position(|member| member.found.id == param.id) else {
            if gradient.is_none() {
                return Ok(());
            }
            let name = format!("{:?}", param.id).into();
            let reason = "is a parameter that the module did not have when its plan was made";
            return Err(Error::new("step", ErrorKind::Name { name, reason }));
        };
        let Member { found, assigned, .. } = &self.members[place];
        if assigned.is_none() {
            return Ok(());
        }
        let Some(gradient) = gradient else {
            if param.is_require_grad() {
                self.missing.push(place);
            }
            return Ok(());
        };
        self.any = true;
        let shape =
            |dims: &[usize]| (dims.first().copied().unwrap_or(1), dims.iter().skip(1).product::<usize>());
        let value = param.val();
        if value.dims() != *found.shape {
            let error = Error::shape("step", shape(&found.shape), shape(&value.dims()));
            return Err(error.for_parameter(&found.name));
        }
        let named = |reason| {
            let name = found.name.as_str().into();
            Err(Error::new("step", ErrorKind::Name { name, reason }).for_parameter(&found.name))
        };
        if (value.dtype() == DType::F64) != (found.dtype == DType::F64) {
            return named("has another element type than when the optimizer was made");
        }
        match (gradient.dtype(), found.dtype) {
            (DType::BF16 | DType::F16 | DType::F32, _) | (DType::F64, DType::F64) => Ok(()),
            _ => named("has a gradient of an element type that its own does not contain"),
        }
    }
}

impl ModuleVisitor for Visitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.look(param)
        {
            self.error = Some(error);
        }
    }
}
