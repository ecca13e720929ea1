//! The papers' algorithms and AdamW against the golden data.

use spectra_core::backend::{Backend, Gradient, Scalar};
use spectra_core::directions::{Adam, Direction, Momentum};
use spectra_core::linalg::{PowerIteration, SubspaceForm};
use spectra_core::maps::{SpectralMap, TailShrink, tail_shrink};
use spectra_core::optimizer::{ParameterState, Rates, Recipe, StepScale};
use spectra_core::state::SUBSPACE;

use super::power_iteration::Iterated;
use crate::HostMatrix;
use crate::distance::max_error;
use crate::golden::{Golden, GoldenError, names};
use crate::oracle::product_nt;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// The cases that start with `prefix`; none is an error of the installation.
fn cases(prefix: &str) -> Result<Vec<Golden>, GoldenError> {
    names(prefix)?.iter().map(|name| Golden::load(name)).collect()
}

/// Holds `computed` against one output of a case.
fn compare<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    case: &Golden,
    output: &str,
    computed: &[f64],
) -> Result<(), Failure> {
    let golden = case.outputs().array(output)?;
    let Some(values) = golden.to_f64() else {
        return Err(Failure::Suite { reason: format!("{}: {output} holds integers", case.name) });
    };
    let tolerance = tolerance::golden(subject.precision(), case.tolerance_of(output)?);
    judge.compare(format_args!("{} {output}", case.name), max_error(computed, &values), tolerance)
}

/// The warm power iteration after 1, 2, 4 and 8 iterations: U, s, V and `U diag(s) V^T`.
///
/// Finds: another order of normalisation, another sign convention, an iteration too many.
pub fn golden_power_iteration<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for case in cases("spectra_power_iteration_")? {
        let (g, v0) = (case.inputs().matrix("G")?, case.inputs().matrix("V0")?);
        judge.at(g.rows, g.cols);
        case.hyper_must_be("sign_convention", "diag(R)>0")?;
        case.hyper_must_be("k", v0.cols)?;
        case.unused("hyper.v0", "it describes the input V0")?;
        for exact in ["outputs.s_exact_topk", "outputs.V_exact_topk_up_to_sign"] {
            case.unused(exact, "what infinitely many iterations would give")?;
        }
        for iterations in case.hyper_counts("T")? {
            let iterated = Iterated::run(subject, &g, &v0, iterations, SubspaceForm::ColumnNorms)?;
            let low_rank = product_nt(&iterated.u.scaled_columns(&iterated.s), &iterated.v);
            let outputs = [
                ("U", &iterated.u.data),
                ("s", &iterated.s),
                ("V", &iterated.v.data),
                ("lowrank", &low_rank.data),
            ];
            for (output, computed) in outputs {
                compare(&mut judge, subject, &case, &format!("{output}_T{iterations}"), computed)?;
            }
        }
        case.finish()?;
    }
    judge.finish()
}

/// Twelve Spectra steps: weights, tail scale, RMS, effective rate and the cached subspace.
///
/// Finds: an averaged momentum, a scale from the old update, eps at another place, a subspace not handed on.
pub fn golden_spectra_step<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for case in cases("spectra_step_")? {
        let (mu, eta) = (case.hyper_number("mu")?, case.hyper_number("eta")?);
        let (rms_scale, eps) = (case.hyper_number("rms_scale")?, case.hyper_number("eps")?);
        let power = PowerIteration { iterations: case.hyper_count("T")?, ..PowerIteration::default() };
        let map = TailShrink { rank_ratio: case.hyper_number("r")?, power, ..TailShrink::PAPER };
        let recipe = Recipe {
            direction: Direction::Momentum(Momentum::polyak(mu)),
            map: SpectralMap::TailShrink(map),
            scale: StepScale::MatchRms { rms: rms_scale, eps },
            weight_decay: case.hyper_number("weight_decay")?,
            ..Recipe::adamw()
        };
        let workspace = &mut subject.workspace();
        let mut state = ParameterState::<B>::new(recipe)?;
        let initial = case.inputs().matrix("W0")?;
        judge.at(initial.rows, initial.cols);
        case.hyper_must_be("k", map.rank(initial.rows, initial.cols))?;
        case.unused("hyper.bootstrap", "ours starts at random columns and iterates to the same subspace")?;
        case.unused("outputs.s", "the map does not tell them; sigma_tail and the weights follow from them")?;
        let mut weights = subject.upload(&initial)?;
        // Beside the optimizer the map alone, which tells the norms.
        let mut momentum = subject.upload(&HostMatrix::zeros(initial.rows, initial.cols))?;
        let mut cache = None;
        let (mut sigma_tail, mut rms, mut eta_eff) = (Vec::new(), Vec::new(), Vec::new());
        for step in 1..=case.hyper_count("steps")? {
            let values = subject.upload(&case.inputs().matrix(&format!("G_{step}"))?)?;
            let gradient = Gradient::new(&values);
            state.step(&mut weights, &gradient, Rates::new(eta), workspace)?;

            let index = step as u64 - 1;
            let shaped =
                tail_shrink(&map, &mut momentum, Some((mu, &gradient)), &mut cache, index, workspace)?;
            sigma_tail.push(shaped.sigma_tail.read()?);
            let measured = (shaped.norm_squared.read()? / initial.data.len() as f64).sqrt();
            shaped.release(workspace);
            rms.push(measured);
            eta_eff.push(rms_scale * eta / (measured + eps));

            let output = format!("W_{step}");
            if case.outputs().names().any(|name| name == output) {
                compare(&mut judge, subject, &case, &output, &subject.download(&weights)?.data)?;
            }
        }
        compare(&mut judge, subject, &case, "sigma_tail", &sigma_tail)?;
        compare(&mut judge, subject, &case, "rms", &rms)?;
        compare(&mut judge, subject, &case, "eta_eff", &eta_eff)?;
        let Some(subspace) = state.state().get(SUBSPACE) else {
            return Err(Failure::Rule { what: format!("{}: no subspace is kept", case.name) });
        };
        let golden = case.outputs().matrix("V_cache_final")?;
        let aligned = with_signs_of(&subject.download(subspace)?, &golden);
        compare(&mut judge, subject, &case, "V_cache_final", &aligned.data)?;
        case.finish()?;
    }
    judge.finish()
}

/// The same columns with the signs of their counterparts: a pair of singular vectors is determined up to its sign.
fn with_signs_of(columns: &HostMatrix, counterparts: &HostMatrix) -> HostMatrix {
    let signs: Vec<f64> = (0..columns.cols)
        .map(|col| {
            (0..columns.rows)
                .map(|row| columns.at(row, col) * counterparts.at(row, col))
                .sum::<f64>()
                .signum()
        })
        .collect();
    columns.scaled_columns(&signs)
}

/// Twelve AdamW steps of two matrices and a vector.
///
/// Finds: decay after the step or coupled to the gradient, a missing or misplaced bias correction, eps inside the root.
pub fn golden_adamw<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for case in cases("baseline_adamw")? {
        let betas = case.hyper_numbers("betas")?;
        let &[beta1, beta2] = betas.as_slice() else {
            return Err(Failure::Suite { reason: format!("{}: {} betas", case.name, betas.len()) });
        };
        let direction = Direction::Adam(Adam { beta1, beta2, eps: case.hyper_number("eps")? });
        let weight_decay = case.hyper_number("weight_decay")?;
        let recipe = Recipe { direction, weight_decay, ..Recipe::adamw() };
        compare_trajectories(&mut judge, subject, &case, recipe, case.hyper_number("lr")?)?;
        case.finish()?;
    }
    judge.finish()
}

/// Runs `recipe` on every parameter of a case and compares the weights wherever the case has them.
fn compare_trajectories<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    case: &Golden,
    recipe: Recipe,
    lr: f64,
) -> Result<(), Failure> {
    let inputs: Vec<&str> = case.inputs().names().collect();
    let workspace = &mut subject.workspace();
    for parameter in (0..).take_while(|parameter| inputs.contains(&format!("P{parameter}_0").as_str())) {
        let mut state = ParameterState::<B>::new(recipe)?;
        let initial = case.inputs().parameter(&format!("P{parameter}_0"))?;
        judge.at(initial.rows, initial.cols);
        let mut weights = subject.upload(&initial)?;
        let gradient_of = |step| format!("G{parameter}_{step}");
        for step in (1..).take_while(|step| inputs.contains(&gradient_of(*step).as_str())) {
            let gradient = subject.upload(&case.inputs().parameter(&gradient_of(step))?)?;
            state.step(&mut weights, &Gradient::new(&gradient), Rates::new(lr), workspace)?;
            let output = format!("P{parameter}_{step}");
            if case.outputs().names().any(|name| name == output) {
                compare(judge, subject, case, &output, &subject.download(&weights)?.data)?;
            }
        }
    }
    Ok(())
}
