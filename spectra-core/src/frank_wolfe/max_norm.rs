//! The regulariser whose minimiser is no map of singular values: the largest entry.

use super::RegularizerRule;
use crate::backend::{Backend, Coefficient, Element, Error, ErrorKind, Matrix, Result, Scalar, domain};
use crate::linalg::{Polar, Workspace};
use crate::maps::{HardClip, HardClipMethod};
use num_traits::Zero;

/// How the subproblem of a [`MaxNorm`] is solved.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MaxNormForm {
    /// To a proven accuracy, by ADMM (Boyd et al. 2011): of the range `radius ||G||_*` of the values at most this fraction above the
    /// minimum, in (0, 1).
    Solved {
        /// The fraction.
        tolerance: f64,
    },
    /// `-clip_radius((||G||_1 / b) sign(G))`: the minimiser without the ball, moved into it. With it Frank-Wolfe is Signum with its update
    /// spectrally clipped (2603.14315, section 3.1). Not the minimiser: [`solve`](MaxNorm::solve) tells how far it is from it.
    ClippedSign,
}

/// `psi(X) = (b / 2) max_ij |x_ij|^2` (2603.14315, section 3.1). Its conjugate is `||Z||_1^2 / (2 b)`, with the sum of the entries' sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MaxNorm {
    /// > 0; a normal number of the element type, also times the radius.
    pub b: f64,
    /// How its subproblem is solved.
    pub form: MaxNormForm,
}

/// What is known of a point V of the ball.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxNormSolution {
    /// `<G, V> + psi(V)`
    pub value: f64,
    /// A proven lower bound of the minimum.
    pub bound: f64,
    /// `(||G||_1 / b) sign(G)` clipped, above the bound: what the approximation costs.
    pub clipped_sign_excess: f64,
    /// Iterations of the ADMM; 0 where the first point was good enough.
    pub iterations: usize,
}

/// Where the bound is computed, which takes a nuclear norm.
const CHECK_EVERY: usize = 10;
const MOST_ITERATIONS: usize = 20_000;

impl MaxNorm {
    /// Solved to 1e-6 of the range.
    pub const fn new(b: f64) -> Self {
        Self { b, form: MaxNormForm::Solved { tolerance: 1e-6 } }
    }

    /// The point of the ball next to `x`, by two polar factors: no singular value is left above the radius.
    fn project<B: Backend>(
        x: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let clip = HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO };
        clip.apply(x, radius, out, workspace).map(|_| ())
    }

    /// `-clip((||G||_1 / b) sign(G))`
    fn clipped_sign<B: Backend>(
        &self,
        gradient: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let mut free = workspace.take_like(gradient, gradient.shape().1)?;
        free.sign_add(Coefficient::ZERO, Coefficient::ONE, gradient)?;
        let sum = gradient.dot(&free)?.read()?;
        free.sign_add(Coefficient::ZERO, (-sum / self.b).into(), gradient)?;
        Self::project(&free, radius, out, workspace)?;
        workspace.give(free);
        Ok(())
    }

    /// `<G, V> + psi(V)`
    fn value_at<B: Backend>(&self, gradient: &B::Matrix, v: &B::Matrix) -> Result<f64> {
        let largest = v.max_abs()?.read()?;
        Ok(gradient.dot(v)?.read()? + self.b / 2.0 * largest * largest)
    }

    /// `-radius ||G - Z||_* - ||Z||_1^2 / (2 b)`, below the minimum for every Z.
    fn bound<B: Backend>(
        &self,
        gradient: &B::Matrix,
        z: &B::Matrix,
        radius: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<f64> {
        let cols = gradient.shape().1;
        let (mut rest, mut other) =
            (workspace.take_like(gradient, cols)?, workspace.take_like(gradient, cols)?);
        rest.copy_from(gradient)?;
        rest.scale_add(Coefficient::ONE, (-1.0).into(), z)?;
        Polar::exact::<B::Element>().apply(&rest, &mut other, workspace)?;
        let nuclear = rest.dot(&other)?.read()?;
        other.sign_add(Coefficient::ZERO, Coefficient::ONE, z)?;
        let sum = other.dot(z)?.read()?;
        workspace.give(rest);
        workspace.give(other);
        Ok(-radius * nuclear - sum * sum / (2.0 * self.b))
    }

    /// Writes a V of the ball with `<G, V> + psi(V)` at most `tolerance radius ||G||_*` above the minimum, and says what proves it.
    ///
    /// ADMM on `V = W`: V is projected on the ball, W on a cube whose side the proximal map of psi finds, and the multiplier Z gives the
    /// bound `-radius ||G - Z||_* - ||Z||_1^2 / (2 b)`. Starts at the clipped sign. **Waits** for the device, and works on the
    /// host, in every iteration.
    ///
    /// # Errors
    /// Those of the maps; `tolerance` if 20 000 iterations do not reach it.
    pub fn solve<B: Backend>(
        &self,
        gradient: &B::Matrix,
        (radius, tolerance): (f64, f64),
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<MaxNormSolution> {
        domain::tolerance("max_norm", tolerance)?;
        let _scope = workspace.scope();
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let (rows, cols) = gradient.shape();
        let mut z = workspace.take_like(gradient, cols)?;
        z.scale_add(zero, zero, gradient)?;
        // The bound of Z = 0 is the range itself, that of Z = G the minimum without the ball.
        let range = -self.bound(gradient, &z, radius, workspace)?;
        self.clipped_sign(gradient, radius, out, workspace)?;
        let first = self.value_at::<B>(gradient, out)?;
        let (mut value, mut iterations) = (first, 0);
        let mut bound = (-range).max(self.bound(gradient, gradient, radius, workspace)?);
        let norm = gradient.dot(gradient)?.sqrt()?.read()?;
        let mut rho = norm / (radius * libm::sqrt(rows.min(cols) as f64)).max(f64::MIN_POSITIVE);
        let [mut w, mut y, mut x] = [
            workspace.take_like(gradient, cols)?,
            workspace.take_like(gradient, cols)?,
            workspace.take_like(gradient, cols)?,
        ];
        w.copy_from(out)?;
        y.scale_add(zero, zero, gradient)?;
        while value - bound > tolerance * range && iterations < MOST_ITERATIONS {
            iterations += 1;
            // V = clip(W - Y - G / rho)
            x.copy_from(&w)?;
            x.scale_add(one, (-1.0).into(), &y)?;
            x.scale_add(one, (-1.0 / rho).into(), gradient)?;
            Self::project(&x, radius, out, workspace)?;
            // X = V + Y, W = prox(X), Y = X - W
            let check = iterations.is_multiple_of(CHECK_EVERY);
            if check {
                z.copy_from(&w)?;
            }
            x.copy_from(&y)?;
            x.scale_add(one, one, out)?;
            self.shrink::<B>(&x, rho, &mut w, workspace)?;
            y.copy_from(&x)?;
            y.scale_add(one, (-1.0).into(), &w)?;
            if check {
                value = self.value_at::<B>(gradient, out)?;
                // How far V and W are from one another, and how far W has moved: kept alike.
                z.scale_add((-1.0).into(), one, &w)?;
                let moved = z.dot(&z)?.sqrt()?.read()?;
                x.copy_from(out)?;
                x.scale_add(one, (-1.0).into(), &w)?;
                let apart = x.dot(&x)?.sqrt()?.read()?;
                z.scale_add(zero, (-rho).into(), &y)?;
                bound = bound.max(self.bound(gradient, &z, radius, workspace)?);
                let factor = if apart > 4.0 * moved {
                    2.0
                } else if moved > 4.0 * apart {
                    0.5
                } else {
                    1.0
                };
                rho *= factor;
                y.scale_add((1.0 / factor).into(), zero, gradient)?;
            }
        }
        for matrix in [w, y, x, z] {
            workspace.give(matrix);
        }
        if !(value - bound).is_finite() {
            return Err(Error::new("max_norm", ErrorKind::NonFinite { what: "gradient" }));
        }
        if value - bound > tolerance * range {
            let requirement = "in reach of 20000 iterations and of the element type's accuracy";
            return Err(Error::argument("max_norm", "tolerance", tolerance, requirement));
        }
        Ok(MaxNormSolution { value, bound, clipped_sign_excess: first - bound, iterations })
    }

    /// `argmin_W psi(W) + (rho / 2) ||W - X||_F^2`: the entries of X kept in `[-t, t]`, where t is the root of the falling, convex
    /// `rho sum_ij max(|x_ij| - t, 0) - b t`, which Newton's steps from 0 reach from below, piece by piece.
    fn shrink<B: Backend>(
        &self,
        x: &B::Matrix,
        rho: f64,
        w: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (rows, cols) = x.shape();
        let (values, _) = workspace.scratch.slices(rows * cols, 0);
        x.read(values)?;
        let mut t = 0.0;
        loop {
            let above = values.iter().map(|x| x.widen().abs()).filter(|x| *x > t);
            let (sum, count) = above.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
            let next = rho * sum / (rho * count + self.b);
            if !(next > t) {
                break;
            }
            t = next;
        }
        let (low, high) = (B::Element::narrow(-t), B::Element::narrow(t));
        for x in values.iter_mut() {
            // A NaN stays one.
            if *x > high {
                *x = high;
            } else if *x < low {
                *x = low;
            } else if t == 0.0 {
                *x = *x * B::Element::zero();
            }
        }
        w.write(values)
    }
}

impl<B: Backend> RegularizerRule<B> for MaxNorm {
    fn validate(&self, radius: f64) -> Result<()> {
        domain::normal::<B::Element>("max_norm", "b", self.b)?;
        domain::normal::<B::Element>("max_norm", "b * radius", self.b * radius)?;
        match self.form {
            MaxNormForm::Solved { tolerance } => domain::tolerance("max_norm", tolerance),
            MaxNormForm::ClippedSign => Ok(()),
        }
    }

    fn value(&self, x: &B::Matrix, _: &mut Workspace<B>) -> Result<f64> {
        let largest = x.max_abs()?.read()?;
        Ok(self.b / 2.0 * largest * largest)
    }

    fn minimizer(
        &self,
        gradient: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        RegularizerRule::<B>::validate(self, radius)?;
        match self.form {
            MaxNormForm::Solved { tolerance } => {
                self.solve(gradient, (radius, tolerance), out, workspace).map(|_| ())
            }
            MaxNormForm::ClippedSign => {
                let _scope = workspace.scope();
                self.clipped_sign(gradient, radius, out, workspace)
            }
        }
    }
}
