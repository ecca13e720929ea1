//! A buffer that holds several matrices: each is stepped where it lies, with a state of its own.

use crate::buffers::random;
use crate::device::{Outcome, backend, check_violations, stream};
use crate::optimizer::ensure;
use half::bf16;
use spectra_core::rules::Rounding;
use spectra_cuda::plan::{Plan, Split};
use spectra_cuda::{Config, Optimizer, Parameter, PreClip, Tally};

/// Rows and columns of the whole, and where each block is: first row, first column, rows, columns.
type Case = (&'static [usize], Split, Vec<(usize, usize, usize, usize)>);

fn cases() -> [Case; 6] {
    [
        (&[48, 80], Split::rows([24, 12, 12]), vec![(0, 0, 24, 80), (24, 0, 12, 80), (36, 0, 12, 80)]),
        (&[48, 96], Split::columns(3), (0..3).map(|i| (0, 32 * i, 48, 32)).collect()),
        (&[3, 16, 40], Split::experts(), (0..3).map(|i| (16 * i, 0, 16, 40)).collect()),
        // GPT-2's, whose sides are no multiples of the tiles that are turned.
        (&[70, 99], Split::columns(3).transposed(), (0..3).map(|i| (0, 33 * i, 70, 33)).collect()),
        (&[3, 16, 40], Split::experts().transposed(), (0..3).map(|i| (16 * i, 0, 16, 40)).collect()),
        // A transposed convolution.
        (&[6, 4, 3, 3], Split::groups(2).transposed(), vec![(0, 0, 3, 36), (3, 0, 3, 36)]),
    ]
}

/// The bits of the steps over separate buffers; also with gaps between the rows of the whole.
pub(crate) fn they_step_as_separate_matrices_do() -> Outcome {
    let stream = stream()?;
    for (shape, split, parts) in cases() {
        // Of the matrix whose rows are those of the blocks.
        let cols = if shape[0] == 6 { 36 } else { *shape.last().ok_or("no shape")? };
        let is_turned = format!("{split:?}").contains("transposed: true");
        let rows = shape.iter().product::<usize>() / cols;
        let gap = if shape.len() == 2 { 7 } else { 0 };
        let ld = cols + gap;
        for preset in ["spectra", "adamw", "muon", "spectra-adamw"] {
            let config = Config::preset(preset)?.lr(1e-2).clip_norm(1.0).weight_decay(0.1);
            let builder = Plan::builder().split("w", split.clone());
            let mut whole = Optimizer::new(backend::<f32>()?, config, &builder, [("w", shape)])?;
            let names: Vec<String> = (0..parts.len()).map(|i| format!("w{i}")).collect();
            let seen = |rows, cols| if is_turned { [cols, rows] } else { [rows, cols] };
            let shapes: Vec<[usize; 2]> = parts.iter().map(|(_, _, rows, cols)| seen(*rows, *cols)).collect();
            let named = names.iter().zip(&shapes).map(|(name, shape)| (name.as_str(), &shape[..]));
            let mut apart = Optimizer::new(backend::<f32>()?, config, &Plan::builder(), named)?;

            let cut =
                |values: &[f32], (top, left, height, width): (usize, usize, usize, usize), ld: usize| {
                    let at = |i: usize, j: usize| values[(top + i) * ld + left + j];
                    let [rows, cols] = seen(height, width);
                    let entry = |i: usize, j: usize| if is_turned { at(j, i) } else { at(i, j) };
                    (0..rows * cols).map(|k| entry(k / cols, k % cols)).collect::<Vec<_>>()
                };
            let spread = |values: &[f32]| {
                let mut spread = vec![7.0; rows * ld];
                for (row, values) in values.chunks_exact(cols).enumerate() {
                    spread[row * ld..row * ld + cols].copy_from_slice(values);
                }
                spread
            };
            let start = random(1, rows * cols);
            let mut weights = stream.clone_htod(&spread(&start))?;
            let blocks = parts.iter().map(|part| Ok(stream.clone_htod(&cut(&start, *part, cols))?));
            let mut blocks = blocks.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
            for step in 0..4 {
                let values = random(2 + step, rows * cols);
                let gradient = stream.clone_htod(&values)?;
                let target = spectra_cuda::Target::from(&mut weights);
                let target = if gap > 0 { target.strided(ld) } else { target };
                whole.step(&mut [Parameter::new(target, &gradient)])?;
                let gradients = parts.iter().map(|part| Ok(stream.clone_htod(&cut(&values, *part, cols))?));
                let gradients = gradients.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
                let pairs = blocks.iter_mut().zip(&gradients);
                apart.step(&mut pairs.map(|(x, g)| Parameter::new(x, g)).collect::<Vec<_>>())?;
            }
            let found = stream.clone_dtoh(&weights)?;
            for (part, block) in parts.iter().zip(&blocks) {
                let same = cut(&found, *part, ld) == stream.clone_dtoh(block)?;
                ensure(same, format!("{preset}, {split:?}: block {part:?} has other bits"))?;
            }
            let gaps = found.chunks_exact(ld).all(|row| row[cols..].iter().all(|x| *x == 7.0));
            ensure(gaps, format!("{preset}, {split:?}: a gap between rows has changed"))?;
        }
    }
    check_violations()
}

/// What is stored `in x out` in bf16 has the bits of what lies the other way: it is turned in its own storage.
pub(crate) fn sixteen_bits_are_turned_as_they_are() -> Outcome {
    let stream = stream()?;
    let (rows, cols) = (40, 72);
    let turn = |values: &[bf16], rows: usize| {
        let cols = values.len() / rows;
        (0..values.len()).map(|k| values[k % rows * cols + k / rows]).collect::<Vec<_>>()
    };
    for rounding in [Rounding::Master, Rounding::Nearest] {
        // Nesterov's momentum and ademamix write the weights twice where they lie.
        for preset in ["spectra", "adamw", "ademamix", "muon"] {
            let config = Config::preset(preset)?.lr(1e-2).clip_norm(1.0).weight_decay(0.1).rounding(rounding);
            let config = config.pre_clip(PreClip::new(1.0));
            let turned = Plan::builder().split("w", Split::whole().transposed());
            let mut stored = Optimizer::new(backend::<f32>()?, config, &turned, [("w", &[rows, cols][..])])?;
            let mut plain =
                Optimizer::new(backend::<f32>()?, config, &Plan::builder(), [("w", &[cols, rows][..])])?;
            let start: Vec<_> = random(1, rows * cols).into_iter().map(bf16::from_f32).collect();
            let (mut w, mut x) = (stream.clone_htod(&start)?, stream.clone_htod(&turn(&start, rows))?);
            for step in 0..4 {
                let values: Vec<_> = random(2 + step, rows * cols).into_iter().map(bf16::from_f32).collect();
                let (g, h) = (stream.clone_htod(&values)?, stream.clone_htod(&turn(&values, rows))?);
                stored.step(&mut [Parameter::new(&mut w, &g)])?;
                plain.step(&mut [Parameter::new(&mut x, &h)])?;
            }
            let same = turn(&stream.clone_dtoh(&w)?, rows) == stream.clone_dtoh(&x)?;
            ensure(same, format!("{preset}, {rounding:?}: other bits"))?;
        }
    }
    check_violations()
}

/// Two turns of the weights and one of the gradient for each block, from the third step on without memory, and without a wait; and
/// such a step can be captured.
pub(crate) fn what_is_turned_costs_three_launches() -> Outcome {
    let stream = stream()?;
    let config = Config::preset("spectra")?.lr(1e-2).check_finite(false);
    let tally = |split: Split| -> Result<Tally, Box<dyn std::error::Error>> {
        let plan = Plan::builder().split("w", split);
        let mut optimizer = Optimizer::new(backend::<f32>()?, config, &plan, [("w", &[64, 192][..])])?;
        let mut weights = stream.clone_htod(&random(1, 64 * 192))?;
        let gradient = stream.clone_htod(&random(2, 64 * 192))?;
        let mut last = Tally::default();
        for _ in 0..3 {
            let before = optimizer.backend().tally();
            optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?;
            last = optimizer.backend().tally() - before;
        }
        Ok(last)
    };
    let (plain, turned) = (tally(Split::columns(3))?, tally(Split::columns(3).transposed())?);
    // As they lie the three step as one stack; turned ones step one after the other.
    ensure(turned.launches == 3 * plain.launches + 9, format!("{plain:?}, {turned:?}"))?;
    ensure((turned.allocations, turned.waits) == (0, 0), format!("{turned:?}"))?;
    check_violations()
}

/// Reports are asked for by the names of parameters and blocks.
pub(crate) fn reports_of_blocks() -> Outcome {
    let stream = stream()?;
    let plan = Plan::builder().split("w", Split::columns(2).transposed().names(["a", "b"]));
    let config = Config::preset("spectra")?.lr(1e-2).weight_decay(0.0).clip_norm(1.0).check_finite(false);
    let mut optimizer = Optimizer::new(backend::<f32>()?, config, &plan, [("w", &[48, 96][..])])?;
    optimizer.keep_reports(true);
    let start = random(1, 48 * 96);
    let mut weights = stream.clone_htod(&start)?;
    let gradient = stream.clone_htod(&random(2, 48 * 96))?;
    let before = optimizer.backend().tally();
    optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?;
    ensure((optimizer.backend().tally() - before).waits == 0, "a report waits before it is asked")?;
    let moved = stream.clone_dtoh(&weights)?;
    for (name, left) in [("w[a]", 0), ("w[b]", 48)] {
        let report = optimizer.report(name)?.ok_or("no report")?;
        let in_block = |k: &usize| (left..left + 48).contains(&(k % 96));
        let changes = (0..start.len()).filter(in_block).map(|k| f64::from(moved[k] - start[k]) / 1e-2);
        let rms = (changes.map(|x| x * x).sum::<f64>() / (48.0 * 48.0)).sqrt();
        // Weights of up to 1 are rounded to half a unit of 6e-8, and so is their difference, both divided by the rate; the RMS is 0.2.
        let found = report.update_rms()?;
        ensure((found - rms).abs() <= 2.0 * 6e-8 / 1e-2, format!("{name}: {found}, not {rms}"))?;
        let energy = report.info.energy.as_ref().ok_or("no energy")?.captured()?;
        ensure(energy > 0.0 && energy < 1.0, format!("{name}: captured {energy}"))?;
        ensure(report.info.one_sweep.is_none(), "the host is not told of fallbacks")?;
        ensure(report.gradient_scale.is_some(), "the norm of such a gradient is clipped")?;
    }
    ensure(optimizer.report("w").is_err(), "no block has the name of the whole")?;
    check_violations()
}
