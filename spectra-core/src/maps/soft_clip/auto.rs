//! Which way to the soft clip: by the bound of `sigma_1 / c`.

use super::gram::Gram;
use super::restarted;
use crate::backend::{Backend, Coefficient, Element, Error, ErrorKind, Matrix, Result, Scalar};
use crate::linalg::{Directions, Info, MAX_DEFLATED, Workspace, power_of_two, tiny};
use num_traits::Float;

/// `out = H_c(X)` to `tolerance`.
pub(super) fn clip<B: Backend>(
    x: &B::Matrix,
    c: f64,
    tolerance: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    // Where c^2 or the fourth powers of rho = sigma / c may leave the range: scale X by a power of two first.
    let room = libm::sqrt(libm::sqrt(B::Element::max_value().widen()));
    if c > 1.0 / room && c < room {
        let problem = Problem { c, gamma: 1.0 / (c * c), kappa: 1.0, tolerance };
        if let Some(info) = problem.solve(x, out, workspace)? {
            return Ok(info);
        }
    }
    let largest = x.max_abs()?.read()?;
    if !largest.is_finite() {
        return Err(Error::new("soft_clip", ErrorKind::NonFinite { what: "matrix" }));
    }
    let zero = Coefficient::ZERO;
    if largest == 0.0 {
        out.copy_from(x)?;
        return Ok(Info { bound: Some(0.0), accuracy: Some(0.0), ..Info::default() });
    }
    let scale = power_of_two(largest.max(tiny::<B::Element>()));
    // Singular values below eps^2 sigma_1 are lost in any case: a smaller c only scales the result.
    let (wanted, floor) = (c / scale, B::Element::EPSILON * B::Element::EPSILON);
    let c = wanted.max(floor);
    let mut scaled = workspace.take_like(x, x.shape().1)?;
    scaled.scale_add(zero, (1.0 / scale).into(), x)?;
    let problem = Problem { c, gamma: 1.0, kappa: 1.0 / (c * c), tolerance };
    let info = problem.solve(&scaled, out, workspace)?;
    let Some(mut info) = info else {
        return Err(Error::new("soft_clip", ErrorKind::NonFinite { what: "Gram matrix" }));
    };
    out.scale_add((scale * wanted / c).into(), zero, &scaled)?;
    workspace.give(scaled);
    info.bound = info.bound.map(|b| b * scale);
    Ok(info)
}

/// `H_c` of a matrix for whose Gram matrix `G = gamma X X^T` all fourth powers are in range;
/// `gamma kappa = 1 / c^2`.
#[derive(Clone, Copy)]
struct Problem {
    c: f64,
    gamma: f64,
    kappa: f64,
    tolerance: f64,
}

impl Problem {
    /// `None` if the Gram matrix left the range.
    fn solve<B: Backend>(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Option<Info>> {
        let eps = workspace.backend().product_epsilon();
        let gram = Gram::new(x, self.gamma, workspace)?;
        let square = gram.bound()? * self.kappa;
        let bound = Some(self.c * libm::sqrt(square));
        if !square.is_finite() {
            gram.release(workspace);
            return Ok(None);
        }
        if square <= eps {
            // rho^2 / 2 is below rounding.
            out.copy_from(x)?;
            gram.release(workspace);
            return Ok(Some(Info { products: 2, bound, accuracy: Some(square), ..Info::default() }));
        }
        let alpha = 1.0 + square;
        // Where no restart is needed there is nothing to gain.
        let mut info = if eps * alpha <= 8.0 * self.tolerance {
            restarted::clip(&gram, x, (self.c, self.kappa, alpha), self.tolerance, out, workspace)?
        } else {
            self.large(&gram, alpha, x, out, workspace)?
        };
        gram.release(workspace);
        info.bound = bound;
        Ok(Some(info))
    }

    /// Deflates the large directions if they are few, else iterates with restarts.
    fn large<B: Backend>(
        &self,
        gram: &Gram<B>,
        alpha: f64,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        let r = x.shape().0.min(x.shape().1);
        // Deflation must be cheap where restarts are good enough; elsewhere it is the only way.
        let good = 0.2 * workspace.backend().product_epsilon() * libm::sqrt(alpha) <= self.tolerance;
        let most = MAX_DEFLATED.min(if good { r / 2 } else { r });
        if gram.effective_rank(workspace)? <= if good { 0.5 } else { 0.95 } * most as f64
            && let Some(info) = self.deflated(alpha, most, x, out, workspace)?
        {
            return Ok(info);
        }
        restarted::clip(gram, x, (self.c, self.kappa, alpha), self.tolerance, out, workspace)
    }

    /// `H(X) = U diag(h(sigma)) V^T + H((I - U U^T) X (I - V V^T))` for the directions with `sigma >= 3 c`
    /// that have converged; `None` if the rest is hardly smaller than X.
    fn deflated<B: Backend>(
        &self,
        alpha: f64,
        most: usize,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Option<Info>> {
        let c = self.c;
        let mut k = most.min(8);
        let directions = loop {
            out.copy_from(x)?;
            let directions = Directions::leading(out, k, 3.0 * c, self.tolerance, workspace)?;
            // The values in the block beyond the wanted ones make those converge.
            if directions.smallest <= c || k == most {
                break directions;
            }
            directions.release(workspace);
            k = most.min(4 * k);
        };
        let mut rest = workspace.take_like(x, x.shape().1)?;
        directions.remainder(x, &mut rest, workspace)?;
        let gram = Gram::new(&rest, self.gamma, workspace)?;
        let square = gram.bound()? * self.kappa;
        let better = directions.kept > 0 && 4.0 * square < alpha;
        let info = if better {
            let sizes = (c, self.kappa, 1.0 + square);
            let info = restarted::clip(&gram, &rest, sizes, self.tolerance, out, workspace)?;
            // What rounding put into the deflated directions was driven to c there.
            directions.project(out, workspace)?;
            directions.add(|s| s / libm::sqrt(1.0 + (s / c) * (s / c)), out, workspace)?;
            let accuracy = Some(self.tolerance);
            let own = Info { products: 2, deflated: directions.kept, accuracy, ..Info::default() };
            Some(own.and(info))
        } else {
            None
        };
        gram.release(workspace);
        workspace.give(rest);
        directions.release(workspace);
        Ok(info)
    }
}
