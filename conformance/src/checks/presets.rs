//! Fifty steps of every preset against the reference with exact decompositions.

use spectra_core::backend::Backend;
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterSpec, plan::Rule};

use crate::distance::relative_distance;
use crate::oracle::{Reference, product_nt};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::{HostMatrix, tolerance};

/// A model of four parameters, one of them frozen: name, shape, rule, spread of the weights.
pub(crate) const MODEL: [(&str, (usize, usize), Rule); 4] = [
    ("tall", (20, 12), Rule::Spectral),
    ("wide", (9, 24), Rule::Spectral),
    ("norm", (1, 24), Rule::Elementwise),
    ("frozen", (3, 4), Rule::Frozen),
];

/// Its parameters, as the optimizer wants them.
pub(crate) fn specs() -> Vec<ParameterSpec> {
    let spec = |(name, (rows, cols), rule): (&str, _, _)| ParameterSpec::new(name, (rows, cols), rule);
    MODEL.into_iter().map(spec).collect()
}

/// Its weights before the first step.
pub(crate) fn initial<B: Backend>(subject: &Subject<B>) -> Vec<HostMatrix> {
    let weights = |(name, (rows, cols), _): (&str, (usize, usize), _)| {
        subject.random(name, rows, cols).map(|entry| 0.5 * entry).rounded(subject.precision())
    };
    MODEL.into_iter().map(weights).collect()
}

/// The gradients of a step: one direction that stays and dominates, noise, and one entry that is always zero. Their size
/// swings, so that the norm clip is active in some steps and not in others.
pub(crate) fn gradients<B: Backend>(subject: &Subject<B>, step: usize) -> Vec<HostMatrix> {
    let size = 1.0 + 0.5 * (step as f64).sin();
    let gradient = |(name, (rows, cols), _): (&str, (usize, usize), _)| {
        let side = |side: &str, length: usize| {
            let vector = subject.random(&format!("{name}, {side}"), length, 1);
            vector.map(|entry| entry / vector.frobenius_norm())
        };
        let spike = product_nt(&side("left", rows), &side("right", cols));
        let noise = subject.random(&format!("{name}, noise {step}"), rows, cols);
        let mut gradient = spike.zip(&noise, |spike, noise| size * (3.0 * spike + 0.1 * noise));
        gradient.data[1] = 0.0;
        gradient.rounded(subject.precision())
    };
    MODEL.into_iter().map(gradient).collect()
}

/// Uploads matrices.
pub(crate) fn upload_all<B: Backend>(
    subject: &Subject<B>,
    matrices: &[HostMatrix],
) -> Result<Vec<B::Matrix>, Failure> {
    matrices.iter().map(|matrix| subject.upload(matrix)).collect()
}

/// One step of the whole model.
pub(crate) fn take_step<B: Backend>(
    optimizer: &mut Optimizer<B>,
    weights: &mut [B::Matrix],
    gradients: &[B::Matrix],
) -> spectra_core::backend::Result<()> {
    optimizer.step(&mut weights.iter_mut().zip(gradients).collect::<Vec<_>>())
}

/// All gradients are scaled to this norm if theirs is larger.
const CLIP_NORM: f64 = 5.0;

/// The factor of the norm clip, as PyTorch has it.
fn clip_factor(gradients: &[HostMatrix]) -> f64 {
    let live = MODEL.iter().zip(gradients).filter(|((.., rule), _)| *rule != Rule::Frozen);
    let norm = live.map(|(_, gradient)| gradient.frobenius_norm().powi(2)).sum::<f64>().sqrt();
    (CLIP_NORM / (norm + 1e-6)).min(1.0)
}

/// The weights of the whole model after each of fifty steps, with norm clip and decay.
///
/// The bound grows with the steps as [`Reference`] derives. It must stay well below the distance that the weights have
/// moved: a bound that allows anything would prove nothing.
fn compare<B: Backend>(subject: &Subject<B>, preset: &str) -> Outcome {
    const STEPS: usize = 50;
    const LR: f64 = 0.02;
    let mut judge = Judge::new();
    let config = Config::preset(preset)?.lr(LR).clip_norm(CLIP_NORM);
    let mut optimizer = Optimizer::new(subject.backend().clone(), config, specs())?;
    let initial = initial(subject);
    let mut weights = upload_all(subject, &initial)?;
    let recipe = |rule| {
        let method = if rule == Rule::Spectral { config.spectral } else { config.elementwise };
        let reason = || Failure::Suite { reason: format!("{preset}: no recipe, and no reference for it") };
        if let Method::Recipe(recipe) = method { Ok(recipe) } else { Err(reason()) }
    };
    let mut references = Vec::new();
    for ((.., rule), initial) in MODEL.iter().zip(&initial) {
        references.push(Reference::new(recipe(*rule)?, subject.precision(), initial.clone()));
    }

    let entries = initial.iter().map(|matrix| matrix.data.len()).sum();
    // The factor carries the error of the norm and of four scalar operations.
    let of_factor =
        tolerance::norm(subject.precision(), entries) + tolerance::elementwise(subject.precision(), 4);
    let (mut clipped, mut worst) = (0, 0.0_f64);
    for step in 1..=STEPS {
        let gradients = gradients(subject, step);
        let factor = clip_factor(&gradients);
        clipped += usize::from(factor < 1.0);
        let device_gradients = upload_all(subject, &gradients)?;
        take_step(&mut optimizer, &mut weights, &device_gradients)?;
        for (index, (name, (rows, cols), rule)) in MODEL.into_iter().enumerate() {
            judge.at(rows, cols);
            let computed = subject.download(&weights[index])?;
            let what = format!("{preset}, {name}, step {step}");
            if rule == Rule::Frozen {
                judge.require(computed == initial[index], format_args!("{what}: stays as it is"))?;
                continue;
            }
            let reference = &mut references[index];
            reference.step(&gradients[index].map(|g| factor * g), of_factor, LR)?;
            let moved = reference.weights.zip(&initial[index], |x, start| x - start).frobenius_norm();
            let tolerance = reference.error / moved;
            worst = worst.max(tolerance);
            let error = relative_distance(&computed, &reference.weights, moved);
            judge.compare(format_args!("{what}"), error, tolerance)?;
        }
    }
    if clipped == 0 || clipped == STEPS || worst > 0.1 {
        let reason =
            format!("{preset}: {clipped} of {STEPS} steps clipped, bounds up to {worst:e} of the way");
        return Err(Failure::Suite { reason });
    }
    judge.finish()
}

macro_rules! presets {
    ($($check:ident $preset:literal $finds:literal;)*) => {
        $(
            #[doc = concat!("Fifty steps of `", $preset, "`.\n\nFinds: ", $finds)]
            pub fn $check<B: Backend>(subject: &Subject<B>) -> Outcome {
                compare(subject, $preset)
            }
        )*

        /// Those whose check this is.
        #[cfg(test)]
        const PRESETS: &[&str] = &[$($preset),*];
    };
}

presets! {
    preset_spectra "spectra" "a subspace that is not handed on, a scale from another norm.";
    preset_spectra_adamw "spectra-adamw" "a threshold scaled with the learning rate.";
    preset_spectra_signum "spectra-signum" "a sign of zero that is not zero.";
    preset_spectra_ademamix "spectra-ademamix" "the slow momentum clipped apart.";
    preset_spectra_mars "spectra-mars" "a gradient kept before the norm clip.";
    preset_muon "muon" "another aspect ratio, a momentum that is not averaged.";
    preset_muon_gram "muon-gram" "a bound of the gradient, a step that is not stretched by it.";
    preset_d_muon "d-muon" "a scale by the short side.";
    preset_adamw_post_orth "adamw-post-orth" "a momentum made orthogonal before the division.";
    preset_frank_wolfe "frank-wolfe" "a clip of the gradient in place of the momentum.";
    preset_adamw "adamw" "decay coupled to the gradient, a bias correction of another step.";
    preset_signum "signum" "a sign of zero that is not zero, decay of the momentum.";
    preset_ademamix "ademamix" "a slow momentum that starts with the fast one.";
    preset_mars "mars" "the corrected gradient kept in the gradient's place.";
    preset_sgd_m "sgd-m" "an averaged momentum.";
    preset_lion "lion" "the momentum's beta in the blend.";
    preset_scion "scion" "a ratio that is kept from 1.";
    preset_scion_unconstrained "scion-unconstrained" "decay where there is none.";
}

/// Those that the checks of the golden data hold against their own programs; they have no reference beside these.
#[cfg(test)]
const GOLDEN: &[&str] = &[
    "adamw-cautious",
    "adam-hyperball",
    "lion-cautious",
    "muon-polar-express",
    "muon-hyperball",
    "normuon",
    "adamuon",
    "polargrad",
    "polargrad-first",
    "dion",
    "dion2",
    "dion3",
    "soap",
    "shampoo",
];

#[cfg(test)]
mod tests {
    use spectra_core::optimizer::Method;

    #[test]
    fn every_preset_has_its_check() {
        let mut all: Vec<&str> = Method::presets().map(|(name, ..)| name).collect();
        let mut checked = [super::PRESETS, super::GOLDEN].concat();
        all.sort_unstable();
        checked.sort_unstable();
        assert_eq!(checked, all);
    }
}
