//! The gradients of a step, before anything changes: checks, pre-clip, norm clip. What `spectra_core` does to a list of
//! matrices is done here to the gradients of a module.

use super::blocks::rank;
use super::hybrid::Member;
use super::pre_clip::PreClipped;
use super::shared::Arithmetic;
use super::spectral::{Spectral, see, unsee};
use crate::{BurnBackend, BurnMatrix, BurnScalar};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use spectra_core::backend::{Backend, Coefficient, Error, ErrorKind, Matrix, Result, Scalar, ScalarOp};
use spectra_core::linalg::{UnitNorm, norm_unit, squares_suffice};
use spectra_core::optimizer::Config;
use spectra_core::optimizer::plan::Rule;
use spectra_core::rules::check_gradient;

/// What was found out.
pub(super) struct Measured {
    /// The norm over all gradients before the clips, if anybody asked for it.
    pub(super) norm: Option<UnitNorm<BurnScalar>>,
    /// The factor of the norm clip.
    pub(super) scale: Option<BurnScalar>,
}

/// Looks at every gradient, takes those of frozen parameters out, and replaces those that a clip changes.
///
/// # Errors
/// A parameter without a rule, a gradient that does not fit; with `check_finite` one that is not finite or too large for its
/// rule. All name the parameter.
pub(super) fn prepare<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    members: &[Member],
    spectral: &Spectral,
    (settings, pre_clip_factor): (&Config, f64),
) -> Result<Measured> {
    let Config { clip_norm, pre_clip, check_finite, .. } = *settings;
    let mut all = Gradients { module, gradients, members };
    if !check_finite && clip_norm.is_none() {
        all.visit(&mut Shapes)?;
    }
    // Its constants are host numbers whatever the device.
    let backend = BurnBackend::<f32>::new(&Device::flex());
    let (mut norm, mut bound) = (None, f64::INFINITY);
    if check_finite || (clip_norm.is_some() && pre_clip.is_none()) {
        let squares = all.squares()?;
        let value = if check_finite { Some(squares.sum.read()?) } else { squares.sum.known() };
        if check_finite {
            match value.filter(|value| value.is_finite()) {
                Some(value) => bound = value.sqrt(),
                None => all.visit(&mut Finite)?,
            }
        }
        norm = Some(all.norm(squares, value, clip_norm.is_some() && pre_clip.is_none())?);
    }
    let mut clipped = norm.clone();
    if pre_clip.is_some() {
        all.visit(&mut PreClipped { spectral, factor: pre_clip_factor })?;
        if clip_norm.is_some() {
            let squares = all.squares()?;
            let value = squares.sum.known();
            clipped = Some(all.norm(squares, value, true)?);
        }
    }
    let scale = match (clip_norm, &clipped) {
        (Some(limit), Some(norm)) => Some(norm.clip_factor(limit, 1e-6, &backend)?),
        _ => None,
    };
    if check_finite {
        let bound = (pre_clip_factor, bound);
        all.visit(&mut InRange { settings, scale: scale.as_ref(), bound })?;
    }
    Ok(Measured { norm, scale })
}

/// What takes the place of a gradient, if anything does.
type Replacement<E> = Option<BurnMatrix<E>>;

/// What is done with each gradient.
pub(super) trait Look {
    /// Looks at one, and gives what takes its place, if anything does.
    fn look<E: Arithmetic>(
        &mut self,
        backend: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        member: &Member,
    ) -> Result<Replacement<E>>;
}

struct Gradients<'a, M> {
    module: &'a M,
    gradients: &'a mut GradientsParams,
    members: &'a [Member],
}

impl<M: Module> Gradients<'_, M> {
    fn visit(&mut self, look: &mut impl Look) -> Result<()> {
        let mut visitor = Visitor { gradients: self.gradients, members: self.members, look, error: None };
        self.module.visit(&mut visitor);
        visitor.error.map_or(Ok(()), Err)
    }

    fn squares(&mut self) -> Result<Squares> {
        let (sum, is_wide) = (BurnScalar::host(0.0), true);
        let mut squares = Squares { sum, is_wide, entries: 0, has_single: false, has_double: false };
        self.visit(&mut squares)?;
        Ok(squares)
    }

    /// The norm from a sum of squares, whose value the host may have looked at. Where that does not suffice it is measured in
    /// units, and all gradients are divided by theirs if `replace`.
    fn norm(&mut self, squares: Squares, value: Option<f64>, replace: bool) -> Result<UnitNorm<BurnScalar>> {
        let Squares { sum, is_wide, entries, has_single, has_double } = squares;
        let backend = BurnBackend::<f32>::new(&Device::flex());
        if (!has_single || squares_suffice::<f32>(value, entries, is_wide))
            && (!has_double || squares_suffice::<f64>(value, entries, is_wide))
        {
            return UnitNorm::plain(sum, &backend);
        }
        let mut largest = Largest(BurnScalar::host(0.0));
        self.visit(&mut largest)?;
        let unit = if has_double {
            norm_unit(&largest.0, &BurnBackend::<f64>::new(&Device::flex()))?
        } else {
            norm_unit(&largest.0, &backend)?
        };
        let inverse = BurnScalar::combine(ScalarOp::Div, &BurnScalar::host(1.0), &unit)?;
        let mut divided = Divided { inverse, sum: BurnScalar::host(0.0), replace };
        self.visit(&mut divided)?;
        Ok(UnitNorm::in_units(unit, divided.sum))
    }
}

/// Nothing but what every visit checks.
struct Shapes;

impl Look for Shapes {
    fn look<E: Arithmetic>(
        &mut self,
        _: &BurnBackend<E>,
        _: &BurnMatrix<E>,
        _: &Member,
    ) -> Result<Replacement<E>> {
        Ok(None)
    }
}

/// The sum of all squares.
struct Squares {
    sum: BurnScalar,
    is_wide: bool,
    entries: usize,
    has_single: bool,
    has_double: bool,
}

impl Look for Squares {
    fn look<E: Arithmetic>(
        &mut self,
        _: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        _: &Member,
    ) -> Result<Replacement<E>> {
        self.sum = BurnScalar::combine(ScalarOp::Add, &self.sum, &gradient.dot(gradient)?)?;
        self.is_wide &= gradient.has_wide_dot();
        self.entries += gradient.shape().0 * gradient.shape().1;
        *(if E::DTYPE == DType::F64 { &mut self.has_double } else { &mut self.has_single }) = true;
        Ok(None)
    }
}

/// No entry is a NaN or an infinity.
struct Finite;

impl Look for Finite {
    fn look<E: Arithmetic>(
        &mut self,
        _: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        _: &Member,
    ) -> Result<Replacement<E>> {
        if gradient.max_abs()?.read()?.is_finite() {
            return Ok(None);
        }
        Err(Error::new("step", ErrorKind::NonFinite { what: "gradient" }))
    }
}

/// The largest entry of all.
struct Largest(BurnScalar);

impl Look for Largest {
    fn look<E: Arithmetic>(
        &mut self,
        _: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        _: &Member,
    ) -> Result<Replacement<E>> {
        self.0 = BurnScalar::combine(ScalarOp::Max, &self.0, &gradient.max_abs()?)?;
        Ok(None)
    }
}

/// Gradients in units of the norm, and the sum of their squares.
struct Divided {
    inverse: BurnScalar,
    sum: BurnScalar,
    replace: bool,
}

impl Look for Divided {
    fn look<E: Arithmetic>(
        &mut self,
        backend: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        _: &Member,
    ) -> Result<Replacement<E>> {
        let (rows, cols) = gradient.shape();
        let mut divided = backend.zeros(rows, cols, Some(gradient))?;
        divided.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &self.inverse), gradient)?;
        self.sum = BurnScalar::combine(ScalarOp::Add, &self.sum, &divided.dot(&divided)?)?;
        Ok(self.replace.then_some(divided))
    }
}

/// No gradient is too large for its rule.
struct InRange<'a> {
    settings: &'a Config,
    scale: Option<&'a BurnScalar>,
    /// The factor of the pre-clip's threshold, and a bound of the norm before the clips.
    bound: (f64, f64),
}

impl Look for InRange<'_> {
    fn look<E: Arithmetic>(
        &mut self,
        _: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        member: &Member,
    ) -> Result<Replacement<E>> {
        let rule = member.view.rule;
        let Some(assigned) = &member.assigned else { return Ok(None) };
        let (factor, norm) = self.bound;
        let rank = rank(&member.blocks, (member.view.rows, member.view.cols));
        let bound = self.settings.gradient_bound(rule, rank, factor, norm);
        check_gradient(assigned.rule::<E>(), gradient, self.scale, bound).map(|()| None)
    }
}

struct Visitor<'a, L> {
    gradients: &'a mut GradientsParams,
    members: &'a [Member],
    look: &'a mut L,
    error: Option<Error>,
}

impl<L: Look> Visitor<'_, L> {
    fn visit<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<()> {
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
        let replaced = match weights.dtype() {
            DType::F64 => self.look_at::<f64, D>(gradient, member),
            _ => self.look_at::<f32, D>(gradient, member),
        };
        if let Some(replaced) = replaced.map_err(named)? {
            self.gradients.remove::<D>(param.id);
            self.gradients.register::<D>(param.id, replaced);
        }
        Ok(())
    }

    fn look_at<E: Arithmetic, const D: usize>(
        &mut self,
        gradient: Tensor<D>,
        member: &Member,
    ) -> Result<Option<Tensor<D>>> {
        let (backend, shape) = (BurnBackend::<E>::new(&gradient.device()), gradient.dims());
        let gradient = see(&backend, gradient, member.view)?;
        let replaced = self.look.look(&backend, &gradient, member)?;
        Ok(replaced.map(|matrix| unsee(matrix, member.view, shape, E::DTYPE)))
    }
}

impl<L: Look> ModuleVisitor for Visitor<'_, L> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.visit(param)
        {
            self.error = Some(error);
        }
    }
}
