//! The domains of settings, in the arithmetic type that will compute with them: what a setting must be, said once.
//!
//! In `f64` nearly every number is of use. In `f32` a setting may become 0 or infinite when it is narrowed, or its square may.

use super::{Element, Result, require};

/// The smallest normal number of E.
fn least<E: Element>() -> f64 {
    E::min_positive_value().widen()
}

/// The largest number of E.
pub(crate) fn largest<E: Element>() -> f64 {
    E::max_value().widen()
}

/// The largest that is still moderate: products of four are finite.
fn most<E: Element>() -> f64 {
    libm::sqrt(libm::sqrt(largest::<E>()))
}

/// A size of entries or singular values: a normal number of E.
pub(crate) fn normal<E: Element>(operation: &'static str, name: &'static str, x: f64) -> Result<()> {
    let ok = x >= least::<E>() && x <= largest::<E>();
    require(ok, operation, name, x, "positive and finite, and a normal number of the arithmetic type")
}

/// A size that meets squares and quotients of entries, such as a threshold or an eps: its square and the reciprocal of that
/// are normal numbers of E.
pub(crate) fn square_normal<E: Element>(operation: &'static str, name: &'static str, x: f64) -> Result<()> {
    let least = libm::sqrt(least::<E>());
    let requirement =
        "positive and finite, and so its square in the arithmetic type (in f32 from 1.1e-19 to 9.2e18)";
    require(x >= least && x <= 1.0 / least, operation, name, x, requirement)
}

/// A rate or a weight, 0 included: what it multiplies stays finite.
pub(crate) fn rate<E: Element>(operation: &'static str, name: &'static str, x: f64) -> Result<()> {
    let requirement =
        "non-negative and finite, also as a product of four in the arithmetic type (in f32 at most 4.2e9)";
    require(x >= 0.0 && x <= most::<E>(), operation, name, x, requirement)
}

/// A factor: a positive [`rate`] that does not vanish.
pub(crate) fn factor<E: Element>(operation: &'static str, name: &'static str, x: f64) -> Result<()> {
    let most = most::<E>();
    let requirement = "positive and finite, also as a product of four in the arithmetic type (in f32 from 2.4e-10 to 4.2e9)";
    require(x >= 1.0 / most && x <= most, operation, name, x, requirement)
}

/// The memory of an average: in [0, 1), also when it is narrowed to E; rounded to 1 it would never forget.
pub(crate) fn memory<E: Element>(operation: &'static str, name: &'static str, beta: f64) -> Result<()> {
    let ok = beta >= 0.0 && E::narrow(beta) < E::one();
    require(ok, operation, name, beta, "in [0, 1), and below 1 in the arithmetic type")
}

/// A relative error that a host compares with: in (0, 1).
pub(crate) fn tolerance(operation: &'static str, x: f64) -> Result<()> {
    require(x > 0.0 && x < 1.0, operation, "tolerance", x, "in (0, 1)")
}

/// A number of iterations, from `least` to [`MAX_STEPS`](crate::linalg::MAX_STEPS).
pub(crate) fn iterations(
    operation: &'static str,
    name: &'static str,
    count: usize,
    least: usize,
) -> Result<()> {
    let requirement = if least == 0 { "at most 100" } else { "from 1 to 100" };
    let ok = (least..=crate::linalg::MAX_STEPS).contains(&count);
    require(ok, operation, name, count as f64, requirement)
}
