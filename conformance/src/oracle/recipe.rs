//! A whole optimizer step on one parameter, with exact singular value decompositions, and a bound of what rounding in the
//! backend's precision may have changed after any number of steps.
//!
//! Gradients are given, they do not depend on the weights: errors of the steps add up and do not feed back, except for
//! the subspace of the power iteration, where the gap damps them.

use spectra_core::linalg::{GramForm, Normalization, Polar, Schedule, Steps, SubspaceForm, uniform};
use spectra_core::maps::{HardClip, SpectralMap, TailShrink as Options};
use spectra_core::optimizer::{Recipe, StepScale};

use super::{
    Directed, MUON, OracleError, PolynomialIteration, ReferenceDirection, Svd, TailShrink, gram_bound,
    hard_clipped, orthonormal_basis, power_iteration, product,
};
use crate::{HostMatrix, Precision, tolerance};

/// One parameter on its way.
#[derive(Clone, Debug)]
pub struct Reference {
    recipe: Recipe,
    precision: Precision,
    direction: ReferenceDirection,
    subspace: Option<Subspace>,
    /// The weights.
    pub weights: HostMatrix,
    /// How far, in the Frobenius norm, a correct backend's weights may be from them.
    pub error: f64,
}

/// The cached right subspace of a tail shrink.
#[derive(Clone, Debug)]
struct Subspace {
    v: HostMatrix,
    /// How far a correct backend's may have turned, in radians.
    angle: f64,
}

/// A matrix, and how far in the Frobenius norm a computed one may be off.
struct Bounded {
    value: HostMatrix,
    error: f64,
}

impl Reference {
    /// A parameter before its first step.
    #[must_use]
    pub fn new(recipe: Recipe, precision: Precision, weights: HostMatrix) -> Self {
        let direction = ReferenceDirection::new(recipe.direction, precision, weights.shape());
        Self { recipe, precision, direction, subspace: None, weights, error: 0.0 }
    }

    /// `X <- (1 - lr wd) X - lr scale map(direction(G))`; the backend may know the entries of the gradient with the
    /// relative error `gradient_error`.
    ///
    /// # Errors
    /// [`OracleError`] for a setting or a spectrum that it has no answer for.
    pub fn step(&mut self, gradient: &HostMatrix, gradient_error: f64, lr: f64) -> Result<(), OracleError> {
        let Directed { value, error } = self.direction.advance(gradient, gradient_error)?;
        let mapped = self.map(Bounded { value, error: error.frobenius_norm() })?;
        let norm = mapped.value.frobenius_norm();
        let (scale, scale_error) = self.scale(&mapped)?;
        let (decay, rate) = (1.0 - lr * self.recipe.weight_decay, lr * scale);
        // Coefficients, products and the sum round the weights and the update.
        let rounding = 4.0 * self.precision.unit_roundoff() * (self.weights.frobenius_norm() + rate * norm);
        self.error = decay.abs() * self.error + rate * (mapped.error + scale_error * norm) + rounding;
        self.weights = self.weights.zip(&mapped.value, |x, o| decay * x - rate * o);
        Ok(())
    }

    /// The step scale, and its relative error.
    fn scale(&self, mapped: &Bounded) -> Result<(f64, f64), OracleError> {
        let (m, n) = (self.weights.rows as f64, self.weights.cols as f64);
        Ok(match self.recipe.scale {
            StepScale::InnerProduct => {
                return Err(OracleError::Undefined { what: "an inner product's error" });
            }
            StepScale::One => (1.0, 0.0),
            StepScale::AspectRatio => ((m / n).max(1.0).sqrt(), 0.0),
            StepScale::MaxDimension { factor } => (factor * m.max(n).sqrt(), 0.0),
            StepScale::RmsOperator { radius } => (radius * (m / n).sqrt(), 0.0),
            StepScale::PerInput { radius } => (radius / n, 0.0),
            StepScale::MatchNorm { rms, eps } => {
                let norm = mapped.value.frobenius_norm();
                let rounding = tolerance::norm(self.precision, mapped.value.data.len());
                (rms * (m * n).sqrt() / (norm + eps), mapped.error / norm.max(f64::MIN_POSITIVE) + rounding)
            }
            StepScale::MatchRms { rms, eps } => {
                let norm = mapped.value.frobenius_norm();
                let rounding = tolerance::norm(self.precision, mapped.value.data.len());
                (rms / (norm / (m * n).sqrt() + eps), mapped.error / norm.max(f64::MIN_POSITIVE) + rounding)
            }
        })
    }

    fn map(&mut self, direction: Bounded) -> Result<Bounded, OracleError> {
        let Bounded { value: d, error } = &direction;
        let clip = tolerance::clip(self.precision, d.shape());
        match self.recipe.map {
            SpectralMap::Identity => Ok(direction),
            // Both clips move by no more than their input does.
            SpectralMap::SoftClip { threshold, .. } => {
                let value = Svd::of(d)?.soft_clip(threshold);
                Ok(Bounded { error: error + clip * value.frobenius_norm(), value })
            }
            SpectralMap::HardClip { threshold, .. } => {
                let svd = Svd::of(d)?;
                let clipped = hard_clipped(&svd.sigma, threshold);
                // Values within the slack above the threshold may be left as they are.
                let slack = threshold * (1.0 + HardClip::AUTO.slack);
                let left = svd.sigma.iter().filter(|sigma| **sigma > threshold && **sigma <= slack);
                let left = left.map(|sigma| (sigma - threshold).powi(2)).sum::<f64>().sqrt();
                let polar = tolerance::by_polar_factors(self.precision, d.shape(), threshold);
                let value = svd.with_values(&clipped);
                Ok(Bounded { error: error + clip * value.frobenius_norm() + left + polar, value })
            }
            SpectralMap::Orthogonalize(polar) => self.orthogonalize(&polar, &direction),
            SpectralMap::TailShrink(options) => self.tail_shrink(&options, &direction),
            SpectralMap::Normalized { .. } | SpectralMap::NormalizedShrink { .. } => {
                Err(OracleError::Undefined { what: "a second moment beside a map" })
            }
        }
    }

    /// The polynomials on the exact singular values: a few steps do not converge, so the polar factor is no reference. Muon's are the
    /// published ones; others are the library's own, whose checks hold them against published digits.
    fn orthogonalize(&self, polar: &Polar, direction: &Bounded) -> Result<Bounded, OracleError> {
        let Steps::Fixed(steps) = polar.steps else {
            return Err(OracleError::Undefined { what: "a polar factor in steps that are not counted" });
        };
        let Bounded { value: d, error } = direction;
        let svd = Svd::of(d)?;
        let divisor = match polar.normalization {
            Normalization::Added { factor, eps } => factor * d.frobenius_norm() + eps,
            Normalization::Gram => gram_bound(&svd.sigma),
            _ => return Err(OracleError::Undefined { what: "another normalisation" }),
        };
        let polynomials = match polar.schedule {
            Schedule::Muon => vec![MUON; steps],
            schedule => schedule.polynomials(polar.lower, steps).map(|p| [p.a, p.b, p.c]).collect(),
        };
        let start: Vec<f64> = svd.sigma.iter().map(|sigma| sigma / divisor).collect();
        let paired = polar.gram != GramForm::Never;
        let run = PolynomialIteration::run(&start, &polynomials, paired);
        let rounding = tolerance::product(self.precision, d.rows.max(d.cols));
        let error = rounding * (run.amplification + run.lipschitz) + run.lipschitz * error / divisor;
        Ok(Bounded { value: svd.with_values(&run.values), error })
    }

    /// The paper's Algorithms 1 and 2, from the start that this library documents.
    fn tail_shrink(&mut self, options: &Options, direction: &Bounded) -> Result<Bounded, OracleError> {
        /// Iterations from random columns at the first step.
        const BOOTSTRAP: usize = 8;
        let (m, m_error, r) = (&direction.value, direction.error, direction.value.min_extent());
        let k = ((options.rank_ratio * r as f64).round() as usize).clamp(1, r);
        if k == r {
            return Ok(Bounded { value: m.clone(), error: m_error });
        }
        let paper = Options { rank_ratio: options.rank_ratio, power: options.power, ..Options::PAPER };
        if options.power.form != SubspaceForm::ColumnNorms || *options != paper {
            return Err(OracleError::Undefined { what: "a tail shrink other than the paper's" });
        }
        let sigma = Svd::of(m)?.sigma;
        let ratio = sigma[k] / sigma[k - 1];
        if ratio > 0.4 {
            return Err(OracleError::Undefined { what: "a trajectory of the power iteration without a gap" });
        }
        let first = self.subspace.is_none();
        let start = self.subspace.take();
        let (v0, angle) = match start {
            Some(Subspace { v, angle }) => (v, angle),
            None => (HostMatrix::from_fn(m.cols, k, |row, col| uniform(options.power.seed, row, col)), 0.0),
        };
        let iterations = if first { BOOTSTRAP } else { options.power.iterations };
        let found = power_iteration(m, &v0, iterations)?;
        let (u, w, v) = if first {
            // Rotated so that the columns of W are orthogonal and decreasing.
            let svd = Svd::of(&found.w)?;
            let w = svd.u.scaled_columns(&svd.sigma);
            (orthonormal_basis(&product(&found.u, &svd.v))?, w, svd.u)
        } else {
            (found.u, found.w, found.v)
        };
        let (u, w) = (with_signs(&u, m, &w), w);

        // Each product with M damps what lies outside the subspace by the ratio at the gap, and adds its rounding and M's
        // error. The factor 2 covers a subspace that has not settled.
        let norm = m.frobenius_norm();
        let added = tolerance::subspace_angle(self.precision, m.shape(), k, norm / sigma[k - 1])
            + m_error / sigma[k - 1];
        let (mut angle_u, mut angle_v) = (0.0, angle);
        for _ in 0..iterations {
            angle_u = 2.0 * (ratio * angle_v + added);
            angle_v = 2.0 * (ratio * angle_u + added);
        }
        let shrunk = TailShrink::from_factors(m, &u, &w, &v);
        let projection = tolerance::projection(self.precision, m.shape());
        let tail = shrunk.tail.frobenius_norm();
        let of_tail = m_error + (2.0 * angle_u + projection) * norm;
        let relative = tolerance::tail_norm(self.precision, projection, m.data.len(), tail / norm, false);
        let of_scale = relative * shrunk.sigma_tail + of_tail / ((r - k) as f64).sqrt();
        let error = of_tail + (k as f64).sqrt() * (of_scale + shrunk.sigma_tail * (angle_u + angle_v));
        self.subspace = Some(Subspace { v, angle: angle_v });
        Ok(Bounded { value: shrunk.shaped, error })
    }
}

/// The columns of u with the signs for which `w = M^T u`.
fn with_signs(u: &HostMatrix, m: &HostMatrix, w: &HostMatrix) -> HostMatrix {
    let projected = super::product_tn(m, u);
    let sign = |col| {
        let inner: f64 = (0..w.rows).map(|row| projected.at(row, col) * w.at(row, col)).sum();
        inner.signum()
    };
    u.scaled_columns(&(0..u.cols).map(sign).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use spectra_core::directions::{AdEmaMix, Adam, Direction, Mars, Momentum};
    use spectra_core::linalg::Polar;
    use spectra_core::maps::SpectralMap;
    use spectra_core::optimizer::{Recipe, StepScale};

    use super::Reference;
    use crate::distance::max_error;
    use crate::golden::Golden;
    use crate::{HostMatrix, Precision};

    /// Replays the matrices `P{j}_t` of a golden run.
    fn replay(case: &Golden, direction: Direction, map: SpectralMap, scale: StepScale) {
        let weight_decay = case.hyper_number("weight_decay").unwrap();
        let recipe = Recipe::new(direction, map, scale, weight_decay);
        let mut compared = 0;
        for j in 0..2 {
            let load = |name: &str| case.inputs().matrix(name);
            let mut reference = Reference::new(recipe, Precision::F64, load(&format!("P{j}_0")).unwrap());
            for t in (1..).map_while(|t| load(&format!("G{j}_{t}")).ok().map(|g| (t, g))) {
                let (t, gradient): (usize, HostMatrix) = t;
                reference.step(&gradient, 0.0, case.hyper_number("lr").unwrap()).unwrap();
                let output = format!("P{j}_{t}");
                let Ok(golden) = case.outputs().matrix(&output) else { continue };
                let error = max_error(&reference.weights.data, &golden.data);
                assert!(error <= case.tolerance().unwrap(), "{} {output}: {error:e}", case.name);
                // The bound is worth something, and no less than a rounding.
                let bound = reference.error / golden.frobenius_norm();
                assert!(bound > 1e-16 && bound < 1e-9, "{} {output}: {bound:e}", case.name);
                compared += 1;
            }
        }
        assert!(compared > 0, "{}", case.name);
    }

    fn adam(case: &Golden) -> Adam {
        let betas = case.hyper_numbers("betas").unwrap();
        Adam { beta1: betas[0], beta2: betas[1], eps: case.hyper_number("eps").unwrap() }
    }

    #[test]
    fn golden_baselines_are_reproduced() {
        let identity =
            |case: &Golden, direction| replay(case, direction, SpectralMap::Identity, StepScale::One);
        let case = Golden::load("baseline_adamw").unwrap();
        identity(&case, Direction::Adam(adam(&case)));
        for name in ["baseline_ademamix", "baseline_ademamix_warm"] {
            let case = Golden::load(name).unwrap();
            let warmup = |name| case.hyper_count(name).unwrap_or(0) as u64;
            let rule = AdEmaMix {
                adam: adam(&case),
                beta3: case.hyper_numbers("betas").unwrap()[2],
                alpha: case.hyper_number("alpha").unwrap(),
                alpha_warmup: warmup("alpha_warmup"),
                beta3_warmup: warmup("beta3_warmup"),
            };
            identity(&case, Direction::AdEmaMix(rule));
        }
        let case = Golden::load("baseline_mars_adamw").unwrap();
        let gamma = case.hyper_number("gamma").unwrap();
        identity(&case, Direction::Mars(Mars { adam: adam(&case), gamma }));
        let case = Golden::load("baseline_muon_kellerjordan").unwrap();
        let direction = Direction::Momentum(Momentum::muon(case.hyper_number("momentum").unwrap()));
        replay(&case, direction, SpectralMap::Orthogonalize(Polar::MUON), StepScale::AspectRatio);
    }

    #[test]
    fn what_has_no_reference_is_refused() {
        let recipe = Recipe::preset("muon").unwrap();
        let exact = recipe.with_map(SpectralMap::Orthogonalize(Polar::exact::<f64>()));
        let x = HostMatrix::from_fn(4, 3, |row, col| (row * col) as f64 + 1.0);
        let mut reference = Reference::new(exact, Precision::F64, x.clone());
        assert!(reference.step(&x, 0.0, 0.1).is_err());
        // All singular values equal: the subspace is not determined.
        let mut reference =
            Reference::new(Recipe::preset("spectra").unwrap(), Precision::F64, HostMatrix::zeros(5, 5));
        assert!(reference.step(&HostMatrix::identity(5), 0.0, 0.1).is_err());
    }
}
