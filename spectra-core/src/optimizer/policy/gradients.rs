//! All gradients of a step before anything changes: finite check, pre-clip, norm clip, range check.

use super::GradientList;
use crate::backend::{Backend, Result, Scalar, ScalarOp};
use crate::linalg::UnitNorm;
use crate::optimizer::Config;

/// What [`prepare`] found out.
#[derive(Debug, Clone)]
pub struct Measured<S> {
    /// The norm of all gradients before the clips, if it was asked for or the norm clip goes by it.
    pub norm: Option<UnitNorm<S>>,
    /// The factor of the norm clip, `min(1, clip_norm / (||G|| + 1e-6))`; of gradients that were divided by the unit of their norm,
    /// times that.
    pub scale: Option<S>,
}

/// Checks the gradients of a step and computes the factor of the norm clip. The lists together are the model's, one for each
/// arithmetic type; what takes the place of a gradient is left in its list. `measure`: whether the norm is asked for. Of
/// `backend` only the constants count.
///
/// Waits for the device once if [`Config::check_finite`] is set; more often where entries are so large that their squares or the
/// state may leave the range of the element type.
///
/// # Errors
/// With [`Config::check_finite`] a NaN or an infinity, and a gradient that is too large for its rule
/// ([`check_gradient`](crate::rules::check_gradient)): each names the parameter. A threshold outside its domain; those of the backend.
pub fn prepare<B: Backend>(
    config: &Config,
    pre_clip_factor: f64,
    measure: bool,
    backend: &B,
    lists: &mut [&mut dyn GradientList<B::Scalar>],
) -> Result<Measured<B::Scalar>> {
    let Config { clip_norm, pre_clip, check_finite, .. } = *config;
    if let Some(clip) = &pre_clip {
        lists.iter().try_for_each(|list| list.check_threshold(clip, pre_clip_factor))?;
    }
    let clips_raw = clip_norm.is_some() && pre_clip.is_none();
    let (mut norm, mut bound) = (None, f64::INFINITY);
    if check_finite || clips_raw {
        let squares = squares(lists, backend)?;
        let value = if check_finite { Some(squares.read()?) } else { squares.known() };
        if check_finite {
            match value.filter(|value| value.is_finite()) {
                Some(value) => bound = libm::sqrt(value),
                // Their sum of squares may have overflown.
                None => lists.iter().try_for_each(|list| list.check_entries())?,
            }
        }
        if clips_raw || measure {
            norm = Some(unit_norm(lists, squares, value, clips_raw, backend)?);
        }
    }
    let mut clipped = None;
    if let Some(clip) = &pre_clip {
        for list in &mut *lists {
            list.pre_clip(clip, pre_clip_factor, check_finite)?;
        }
        if clip_norm.is_some() {
            let squares = squares(lists, backend)?;
            let value = squares.known();
            clipped = Some(unit_norm(lists, squares, value, true, backend)?);
        }
    }
    let scale = match (clip_norm, clipped.as_ref().or(norm.as_ref())) {
        (Some(limit), Some(norm)) => Some(norm.clip_factor(limit, 1e-6, backend)?),
        _ => None,
    };
    if check_finite {
        for list in &*lists {
            list.check_range(config, (pre_clip_factor, bound), scale.as_ref())?;
        }
    }
    Ok(Measured { norm, scale })
}

/// The sum of the squares of all entries.
fn squares<B: Backend>(lists: &[&mut dyn GradientList<B::Scalar>], backend: &B) -> Result<B::Scalar> {
    lists.iter().try_fold(backend.scalar(0.0)?, |sum, list| list.add_squares(sum))
}

/// The norm of all gradients from the sum of their squares, whose value the host may have looked at. Where that does not suffice
/// it is measured in units, and all are replaced by themselves divided by theirs if `replace`.
fn unit_norm<B: Backend>(
    lists: &mut [&mut dyn GradientList<B::Scalar>],
    squares: B::Scalar,
    value: Option<f64>,
    replace: bool,
    backend: &B,
) -> Result<UnitNorm<B::Scalar>> {
    let entries = lists.iter().map(|list| list.entries()).sum();
    let is_wide = lists.iter().all(|list| list.has_wide_dots());
    if lists.iter().all(|list| list.squares_suffice(value, entries, is_wide)) {
        return UnitNorm::plain(squares, backend);
    }
    let mut largest = backend.scalar(0.0)?;
    for list in &*lists {
        largest = list.largest(largest)?;
    }
    // That of the type with the largest range.
    let mut unit = None;
    for list in lists.iter().filter(|list| list.entries() > 0) {
        let other = list.unit(&largest)?;
        unit = Some(match unit {
            Some(unit) => B::Scalar::combine(ScalarOp::Max, &unit, &other)?,
            None => other,
        });
    }
    let unit = unit.map_or_else(|| backend.scalar(1.0), Ok)?;
    let inverse = B::Scalar::combine(ScalarOp::Div, &backend.scalar(1.0)?, &unit)?;
    let mut sum = backend.scalar(0.0)?;
    for list in lists {
        sum = list.divide(&inverse, sum, replace)?;
    }
    Ok(UnitNorm::in_units(unit, sum))
}
