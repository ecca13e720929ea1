//! What a replayed step gives, and what it costs.

use crate::device::{Outcome, backend, check_violations, stream};
use crate::ensure;
use crate::model::{Failed, Model, SHAPES, seen};
use half::bf16;
use spectra_core::backend::{Backend, Error, Gradient, Matrix, Op, Scalar};
use spectra_core::linalg::{Workspace, uniform};
use spectra_cuda::directions::{DirectionRule, Target};
use spectra_cuda::linalg::Schedule;
use spectra_cuda::maps::{AlphaBound, Identity, SoftClip, SoftClipMethod};
use spectra_cuda::plan::Plan;
use spectra_cuda::rules::{Composed, Rounding, Rules};
use spectra_cuda::schedules::{FinalDecay, LearningRateSchedule, Span};
use spectra_cuda::state::State;
use spectra_cuda::{Config, CudaElement, Optimizer, Parameter, StepScale};

const STEPS: u64 = 20;

/// Presets that ask for the same operations whatever the numbers are. Of those that clip, clipped by a fixed number of steps.
fn configs() -> Result<Vec<(String, Config)>, Failed> {
    let mut configs = Vec::new();
    for name in [
        "spectra",
        "muon",
        "muon-gram",
        "adamw",
        "signum",
        "lion",
        "mars",
        "ademamix",
        "normuon",
        "adamuon",
        "muon-hyperball",
        "adamw-cautious",
    ] {
        configs.push((name.to_string(), Config::preset(name)?));
    }
    let clip = |bound| {
        let method = SoftClipMethod::Fixed { schedule: Schedule::Minimax, steps: 6, lower: 0.01, bound };
        SoftClip { method, ..SoftClip::AUTO }
    };
    for (name, bound) in
        [("spectra-adamw", AlphaBound::Frobenius), ("spectra-signum", AlphaBound::RowSumOrFrobenius)]
    {
        configs.push((format!("{name}, fixed"), Config::preset(name)?.soft_clip(clip(bound))));
    }
    Ok(configs)
}

fn schedule(step: u64) -> Result<f64, Failed> {
    Ok(0.02
        * LearningRateSchedule::wsd(STEPS, FinalDecay::default())?
            .with_warmup(Span::Steps(4), 0.1)?
            .factor(step))
}

/// Twenty steps of both, with a schedule; each must have the other's bits. From the third step on nothing but a graph and a copy reaches
/// the device.
fn side_by_side<E: CudaElement>(name: &str, config: Config) -> Outcome {
    let config = config.check_finite(false).clip_norm(1.0).weight_decay(0.1);
    let (mut own, mut plain) = (Model::<E>::new(config, true)?, Model::<E>::new(config, false)?);
    for step in 0..STEPS {
        for model in [&mut own, &mut plain] {
            model.optimizer.set_learning_rate(schedule(step)?)?;
            model.backward(step)?;
        }
        plain.step()?;
        let (before, tally) = (own.counts(), own.optimizer.backend().tally());
        check_violations()?;
        own.step()?;
        let (after, tally) = (own.counts(), own.optimizer.backend().tally() - tally);
        if after.replayed > before.replayed {
            let what = format!("{name}: step {step} costs {tally:?} and {:?}", seen());
            ensure(seen().is_none_or(|seen| seen == (1, 1, 0)), what.clone())?;
            let asked = (tally.graphs, tally.launches, tally.products, tally.allocations, tally.waits);
            ensure(asked == (1, 0, 0, 0, 0), what)?;
        }
        check_violations()?;
    }
    let counts = own.counts();
    println!("{name:24} {counts:?}");
    let (captured, uncaptured) = (counts.captured, counts.uncaptured);
    ensure(
        captured <= 2 && uncaptured <= 3 && counts.replayed == STEPS - captured - uncaptured,
        format!("{name}: {counts:?}"),
    )?;
    ensure(own.bits()? == plain.bits()?, format!("{name}: other bits after {STEPS} steps"))?;
    check_violations()
}

pub(crate) fn have_the_bits_of_single_launches() -> Outcome {
    for (name, config) in configs()? {
        side_by_side::<f32>(&name, config)?;
    }
    side_by_side::<f64>("spectra in f64", Config::preset("spectra")?)?;
    side_by_side::<f64>("adamw in f64", Config::preset("adamw")?)
}

/// Masters, rounding to nearest, and at random: the seeds are numbers of the step.
pub(crate) fn with_bf16_weights() -> Outcome {
    let stream = stream()?;
    for (preset, rounding) in [
        ("spectra", None),
        ("adamw", Some(Rounding::Nearest)),
        ("muon", Some(Rounding::Stochastic { seed: 7 })),
    ] {
        let mut config = Config::preset(preset)?.lr(0.01).check_finite(false);
        if let Some(rounding) = rounding {
            config = config.rounding(rounding);
        }
        let mut found = Vec::new();
        for graphs in [true, false] {
            let mut optimizer = Optimizer::<f32>::new(backend()?, config, &Plan::builder(), SHAPES)?;
            optimizer.set_graphs(graphs)?;
            let buffers = |seed: u64| -> Result<Vec<_>, Failed> {
                let of = |(i, (_, shape)): (usize, &(&str, &[usize]))| {
                    let count = shape.iter().product::<usize>();
                    let values = (0..count).map(|k| bf16::from_f64(uniform(seed + i as u64, k, 0)));
                    Ok(stream.clone_htod(&values.collect::<Vec<_>>())?)
                };
                SHAPES.iter().enumerate().map(of).collect()
            };
            let (mut weights, gradients) = (buffers(1)?, buffers(9)?);
            for _ in 0..8 {
                let pairs = weights.iter_mut().zip(&gradients);
                optimizer.step(&mut pairs.map(|(w, g)| Parameter::new(w, g)).collect::<Vec<_>>())?;
            }
            if let Some(counts) = optimizer.graph_counts() {
                ensure(counts.replayed >= 4, format!("{preset}, {rounding:?}: {counts:?}"))?;
            }
            let bits =
                |w: &_| Ok(stream.clone_dtoh(w)?.iter().map(|x: &bf16| x.to_bits()).collect::<Vec<_>>());
            found.push(weights.iter().map(bits).collect::<Result<Vec<_>, Failed>>()?);
        }
        ensure(found[0] == found[1], format!("{preset}, {rounding:?}: other bits"))?;
    }
    check_violations()
}

/// Parameters without gradients, buffers elsewhere, a setting: another graph, and the old one again when all is as before.
pub(crate) fn follow_what_changes() -> Outcome {
    for preset in ["spectra", "adamw"] {
        let config = Config::preset(preset)?.lr(0.01).check_finite(false);
        let (mut own, mut plain) = (Model::<f32>::new(config, true)?, Model::<f32>::new(config, false)?);
        let mut counts = Vec::new();
        let mut others = Model::<f32>::new(config, false)?.gradients;
        for step in 0..24 {
            for model in [&mut own, &mut plain] {
                model.backward(step)?;
            }
            let missing: &[usize] = match step {
                6..9 => &[1],
                9..12 => &[2, 3],
                _ => &[],
            };
            // In other buffers from here on, for three steps.
            if step == 15 || step == 18 {
                std::mem::swap(&mut own.gradients, &mut others);
                own.backward(step)?;
            }
            if step == 21 {
                own.optimizer.keep_reports(true);
                plain.optimizer.keep_reports(true);
            }
            own.step_without(missing)?;
            plain.step_without(missing)?;
            if step >= 21 {
                let rms = |model: &Model<f32>| -> Result<f64, Failed> {
                    let report = model.optimizer.report("h.0.up")?.ok_or("no report")?;
                    Ok(report.update_rms()?)
                };
                ensure(rms(&own)? == rms(&plain)?, "another report")?;
            }
            counts.push(own.counts());
        }
        println!("{preset}: {counts:#?}");
        for range in [3..6, 7..9, 10..12, 12..15, 17..18, 18..21] {
            // The last step of each stretch is a replay.
            let (before, after) = (counts[range.end - 2], counts[range.end - 1]);
            ensure(
                after.replayed == before.replayed + 1,
                format!("{preset}, step {}: {after:?}", range.end),
            )?;
        }
        // Back at the first buffers there is nothing to capture.
        ensure(counts[20].captured == counts[17].captured, format!("{preset}: {counts:?}"))?;
        ensure(own.bits()? == plain.bits()?, format!("{preset}: other bits"))?;
        check_violations()?;
    }
    Ok(())
}

/// The state is replaced: its buffers lie elsewhere, or where others did.
pub(crate) fn go_on_after_a_restore() -> Outcome {
    for preset in ["spectra", "adamw"] {
        let config = Config::preset(preset)?.lr(0.01).check_finite(false);
        let (mut own, mut plain) = (Model::<f32>::new(config, true)?, Model::<f32>::new(config, false)?);
        let mut saved = None;
        for step in 0..16 {
            for model in [&mut own, &mut plain] {
                model.backward(step)?;
                model.step()?;
            }
            if step == 4 {
                saved = Some(plain.optimizer.snapshot()?);
            }
            if step == 8 {
                for model in [&mut own, &mut plain] {
                    model.optimizer.load_snapshot(saved.as_ref().ok_or("nothing saved")?)?;
                }
            }
        }
        let counts = own.counts();
        ensure(counts.replayed >= 8, format!("{preset}: {counts:?}"))?;
        ensure(own.bits()? == plain.bits()?, format!("{preset}: other bits"))?;
        check_violations()?;
    }
    Ok(())
}

/// `G G^T`, straight to square weights: a product by the learning rate.
#[derive(Debug)]
struct Square;

impl<B: Backend> DirectionRule<B> for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[]
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn advance(
        &self,
        _: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        _: u64,
        Target { out, beta, alpha }: Target<'_, B::Matrix>,
        _: &mut Workspace<B>,
    ) -> Result<(), Error> {
        out.gemm(beta.into(), alpha.into(), gradient.values, Op::Plain, gradient.values, Op::Transposed)
    }
}

/// Once the factors of a product have changed they lie on the device: its second graph is repeated with any.
pub(crate) fn of_products_whose_factors_change() -> Outcome {
    products::<f32>()?;
    products::<f64>()
}

fn products<E: CudaElement>() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("adamw")?.check_finite(false);
    let shapes: [(&str, &[usize]); 1] = [("w", &[12, 12])];
    let values = |seed: u64| (0..144).map(|i| E::narrow(uniform(seed, i, 0))).collect::<Vec<_>>();
    let mut found = Vec::new();
    for graphs in [true, false] {
        let rule = Composed::new(Square, Identity, StepScale::One).weight_decay(0.1);
        let plan = Plan::builder().group("*", |group| group.named("square"));
        let rules = Rules::new().with("square", rule);
        let mut optimizer = Optimizer::<E>::with_rules(backend()?, config, &plan, shapes, rules)?;
        optimizer.set_graphs(graphs)?;
        let (mut weights, gradient) = (stream.clone_htod(&values(1))?, stream.clone_htod(&values(2))?);
        let mut counts = Vec::new();
        for lr in [0.01, 0.01, 0.02, 0.03, 0.04] {
            optimizer.set_learning_rate(lr)?;
            optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?;
            counts.extend(optimizer.graph_counts());
        }
        if graphs {
            // The third step's graph takes the place of the first one's.
            let counted: Vec<_> = counts.iter().map(|c| (c.captured, c.replayed, c.kept)).collect();
            ensure(
                counted == [(1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 3, 1)],
                format!("{counts:?}"),
            )?;
        }
        found.push(stream.clone_dtoh(&weights)?.iter().map(|x| x.widen().to_bits()).collect::<Vec<_>>());
    }
    ensure(found[0] == found[1], "other bits")?;
    check_violations()
}

/// Two optimizers with graphs and single operations take turns on one backend: none overwrites another's numbers.
pub(crate) fn beside_others() -> Outcome {
    let config = Config::preset("spectra")?.lr(0.01).check_finite(false).clip_norm(1.0);
    let other = Config::preset("muon")?.lr(0.02).check_finite(false).clip_norm(1.0);
    let mut models = [
        Model::<f32>::new(config, true)?,
        Model::<f32>::new(config, false)?,
        Model::<f32>::new(other, true)?,
        Model::<f32>::new(other, false)?,
    ];
    let x = backend::<f32>()?.upload(2, 1, &[3.0, 4.0])?;
    for step in 0..8 {
        for model in &mut models {
            let squares = x.dot(&x)?;
            model.backward(step)?;
            model.step()?;
            ensure(squares.read()? == 25.0, "a number from before a step is another")?;
        }
    }
    let [a, b, c, d] = &models;
    ensure(a.bits()? == b.bits()? && c.bits()? == d.bits()?, "other bits")?;
    ensure(
        a.counts().replayed >= 4 && c.counts().replayed >= 4,
        format!("{:?} {:?}", a.counts(), c.counts()),
    )?;
    check_violations()
}
