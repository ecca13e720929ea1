//! Diagnoses of weights and gradients in device memory. What is found of which figures is tested in the core.

use crate::buffers::random;
use crate::device::{Outcome, backend, check_violations, stream};
use crate::optimizer::ensure;
use half::bf16;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::Optimizer as CpuOptimizer;
use spectra_core::rules::Rounding;
use spectra_cuda::diagnosis::{Diagnoses, FindingKind};
use spectra_cuda::plan::{Plan, Split};
use spectra_cuda::{Config, Optimizer, Parameter};

const NAMES: [(&str, &[usize]); 2] = [("layers.0.mlp.up.weight", &[24, 16]), ("norm.weight", &[16])];

fn kinds(seen: &Diagnoses) -> Vec<FindingKind> {
    seen.all().map(|(_, finding)| finding.kind).collect()
}

/// The same bits as without, and the figures of the core on the CPU.
pub(crate) fn figures_are_the_cpus_and_nothing_changes() -> Outcome {
    let stream = stream()?;
    for preset in ["spectra", "adamw", "muon", "spectra-adamw"] {
        let config = Config::preset(preset)?.lr(0.01).clip_norm(1.0);
        let new = || Optimizer::new(backend::<f32>()?, config, &Plan::builder(), NAMES);
        let (mut seen, mut alone) = (new()?, new()?);
        let plan = seen.plan().clone();
        let mut on_cpu = CpuOptimizer::new(Dense::<f32>::new(), config, plan.parameters())?;
        let sizes = [384, 16];
        let start: Vec<Vec<f32>> = (0..2).map(|i| random(i, sizes[i as usize])).collect();
        let upload = |values: &[f32]| stream.clone_htod(values);
        let mut weights = [upload(&start[0])?, upload(&start[1])?];
        let mut others = [upload(&start[0])?, upload(&start[1])?];
        let mut copies = [
            DenseMatrix::from_vec(24, 16, start[0].clone())?,
            DenseMatrix::from_vec(1, 16, start[1].clone())?,
        ];
        for step in 0..3 {
            let drawn: Vec<Vec<f32>> = (0..2).map(|i| random(10 * step + i + 2, sizes[i as usize])).collect();
            let gradients = [upload(&drawn[0])?, upload(&drawn[1])?];
            let pairs = weights.iter_mut().zip(&gradients);
            let found = seen.diagnose(&mut pairs.map(|(x, g)| Parameter::new(x, g)).collect::<Vec<_>>())?;
            let on_host = [
                DenseMatrix::from_vec(24, 16, drawn[0].clone())?,
                DenseMatrix::from_vec(1, 16, drawn[1].clone())?,
            ];
            let wanted: Vec<_> = copies.iter().enumerate().collect();
            let expected = on_cpu.diagnose(&plan, on_host.iter().enumerate(), &wanted)?;
            ensure(kinds(&found).is_empty(), format!("{preset}: {found}"))?;
            for (a, b) in found.blocks.iter().zip(&expected.blocks) {
                // Of f32: products of at most 24 terms, five quintic steps, and what norms lose.
                let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() <= 2e-3 * b.abs().max(1e-6),
                    (a, b) => a.is_none() && b.is_none(),
                };
                let same = near(a.figures.update_ratio(), b.figures.update_ratio())
                    && near(a.figures.weight_rms, b.figures.weight_rms)
                    && near(a.figures.gradient_rms, b.figures.gradient_rms)
                    && a.figures.dead == b.figures.dead;
                ensure(same, format!("{preset}: {a:?}, not {b:?}"))?;
            }
            for (optimizer, buffers) in [(&mut seen, &mut weights), (&mut alone, &mut others)] {
                let pairs = buffers.iter_mut().zip(&gradients);
                optimizer.step(&mut pairs.map(|(x, g)| Parameter::new(x, g)).collect::<Vec<_>>())?;
            }
            on_cpu.step(&mut copies.iter_mut().zip(&on_host).collect::<Vec<_>>())?;
        }
        for (a, b) in weights.iter().zip(&others) {
            ensure(stream.clone_dtoh(a)? == stream.clone_dtoh(b)?, format!("{preset}: other bits"))?;
        }
        ensure(seen.snapshot()? == alone.snapshot()?, format!("{preset}: another state"))?;
    }
    check_violations()
}

/// What is missing, NaN, of another size; bf16 that stagnates; blocks that are stored `in x out`.
pub(crate) fn each_buffer_is_looked_at_as_it_lies() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("spectra")?.lr(1e-4).rounding(Rounding::Nearest);
    let mut optimizer = Optimizer::new(backend::<f32>()?, config, &Plan::builder(), NAMES)?;
    let mut up = stream.clone_htod(&random(1, 384).iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>())?;
    let mut norm = stream.clone_htod(&random(2, 16))?;
    let gradient = stream.clone_htod(&random(3, 384))?;
    let seen = optimizer
        .diagnose(&mut [Parameter::new(&mut up, &gradient), Parameter::without_gradient(&mut norm)])?;
    ensure(kinds(&seen) == [FindingKind::Stagnation, FindingKind::MissingGradient], format!("{seen}"))?;
    ensure(optimizer.plan().entries()[0].format().is_none(), "a diagnosis changes no plan")?;

    let mut values = random(3, 384);
    values[7] = f32::NAN;
    let broken = stream.clone_htod(&values)?;
    let good = stream.clone_htod(&random(4, 16))?;
    let seen =
        optimizer.diagnose(&mut [Parameter::new(&mut up, &broken), Parameter::new(&mut norm, &good)])?;
    ensure(seen.blocks[0].findings[0].kind == FindingKind::NonFinite, format!("{seen}"))?;
    ensure(
        seen.blocks[1].findings.is_empty() && seen.blocks[1].figures.update_rms.is_some(),
        format!("{seen}"),
    )?;

    let refused = optimizer.diagnose(&mut [Parameter::new(&mut up, &gradient)]);
    ensure(refused.is_err_and(|error| error.to_string().contains("number of parameters")), "one is missing")?;
    let refused = optimizer.diagnose(&mut [Parameter::new(&mut up, &good), Parameter::new(&mut norm, &good)]);
    let named = refused.is_err_and(|error| error.parameter() == Some("layers.0.mlp.up.weight"));
    ensure(named, "a gradient that is too small")?;

    // GPT-2's: each third is a matrix whose rows are columns of the buffer. Column 33, the first row of the second third, is dead.
    let builder = Plan::builder().split("w", Split::columns(3).transposed());
    let mut turned =
        Optimizer::new(backend::<f32>()?, Config::preset("spectra")?, &builder, [("w", &[70, 99][..])])?;
    let mut whole = stream.clone_htod(&random(5, 70 * 99))?;
    let drawn: Vec<f32> =
        random(6, 70 * 99).iter().enumerate().map(|(at, x)| if at % 99 == 33 { 0.0 } else { *x }).collect();
    let gradient = stream.clone_htod(&drawn)?;
    let seen = turned.diagnose(&mut [Parameter::new(&mut whole, &gradient)])?;
    let dead = seen.blocks.iter().map(|block| block.figures.dead.map(|dead| (dead.rows, dead.columns)));
    ensure(dead.eq([Some((0, 0)), Some((1, 0)), Some((0, 0))]), format!("{seen}"))?;
    ensure(seen.blocks[1].shape == (33, 70), format!("{:?}", seen.blocks[1].shape))?;
    check_violations()
}
