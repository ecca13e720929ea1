//! The checks of a step, before anything changes.

use super::hybrid::Member;
use super::shared::Arithmetic;
use super::spectral::see;
use crate::{BurnBackend, BurnScalar};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, ErrorKind, Matrix, Result, Scalar, ScalarOp};
use spectra_core::optimizer::plan::Rule;

/// Looks at every gradient, and takes those of frozen parameters out. The sum of squares over all others, if `norm` asks
/// for it.
///
/// # Errors
/// A parameter without a rule, a gradient that does not fit; both name the parameter.
pub(super) fn measure<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    members: &[Member],
    norm: bool,
) -> Result<Option<BurnScalar>> {
    let norm_squared = norm.then(|| BurnScalar::host(0.0));
    let mut visitor = Visitor { gradients, members, norm_squared, error: None, suspect: None };
    module.visit(&mut visitor);
    visitor.error.map_or(Ok(visitor.norm_squared), Err)
}

/// The first parameter whose gradient is not finite.
pub(super) fn find_non_finite<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    members: &[Member],
) -> Error {
    let norm_squared = Some(BurnScalar::host(0.0));
    let mut visitor = Visitor { gradients, members, norm_squared, error: None, suspect: None };
    visitor.suspect = Some(Error::new("step", ErrorKind::NonFinite { what: "gradient (or its norm)" }));
    module.visit(&mut visitor);
    let Visitor { error, suspect, .. } = visitor;
    error.or(suspect).unwrap_or_else(|| Error::new("step", ErrorKind::NonFinite { what: "gradient" }))
}

struct Visitor<'a> {
    gradients: &'a mut GradientsParams,
    members: &'a [Member],
    norm_squared: Option<BurnScalar>,
    error: Option<Error>,
    /// To be named after the first parameter with a non-finite gradient.
    suspect: Option<Error>,
}

impl Visitor<'_> {
    fn look<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return Ok(()) };
        let Some(member) = self.members.iter().find(|member| member.found.id == param.id) else {
            let name = format!("{:?}", param.id).into();
            let reason = "is a parameter that the module did not have when its plan was made";
            return Err(Error::new("step", ErrorKind::Name { name, reason }));
        };
        if member.view.rule == Rule::Frozen {
            self.gradients.remove::<D>(param.id);
            return Ok(());
        }
        let named = |error: Error| error.for_parameter(&member.found.name);
        let weights = param.val();
        if !weights.is_autodiff() {
            // Burn's own step would panic.
            let what = "a module without autodiff (make it on `device.autodiff()`)";
            return Err(named(Error::new("step", ErrorKind::Unsupported { what })));
        }
        if weights.dims() != gradient.dims() {
            let shape =
                |dims: [usize; D]| (dims.first().copied().unwrap_or(1), dims.iter().skip(1).product());
            return Err(named(Error::shape("step", shape(weights.dims()), shape(gradient.dims()))));
        }
        let Some(sum) = &self.norm_squared else { return Ok(()) };
        let square = match weights.dtype() {
            DType::F64 => square::<f64, D>(gradient, member),
            _ => square::<f32, D>(gradient, member),
        };
        let square = square.map_err(named)?;
        if self.suspect.is_some() && !square.read()?.is_finite() {
            return self.suspect.take().map_or(Ok(()), |suspect| Err(named(suspect)));
        }
        self.norm_squared = Some(BurnScalar::combine(ScalarOp::Add, sum, &square)?);
        Ok(())
    }
}

fn square<E: Arithmetic, const D: usize>(gradient: Tensor<D>, member: &Member) -> Result<BurnScalar> {
    let backend = BurnBackend::<E>::new(&gradient.device());
    let gradient = see(&backend, gradient, member.view)?;
    gradient.dot(&gradient)
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
