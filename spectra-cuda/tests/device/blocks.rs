//! A buffer that holds several matrices: each is stepped where it lies, with a state of its own.

use crate::buffers::random;
use crate::device::{Outcome, backend, check_violations, stream};
use crate::optimizer::ensure;
use spectra_cuda::plan::{Plan, Split};
use spectra_cuda::{Config, Optimizer, Parameter};

/// Rows and columns of the whole, and where each block is: first row, first column, rows, columns.
type Case = (&'static [usize], Split, Vec<(usize, usize, usize, usize)>);

fn cases() -> [Case; 3] {
    [
        (&[48, 80], Split::rows([24, 12, 12]), vec![(0, 0, 24, 80), (24, 0, 12, 80), (36, 0, 12, 80)]),
        (&[48, 96], Split::columns(3), (0..3).map(|i| (0, 32 * i, 48, 32)).collect()),
        (&[3, 16, 40], Split::experts(), (0..3).map(|i| (16 * i, 0, 16, 40)).collect()),
    ]
}

/// The bits of the steps over separate buffers; also with gaps between the rows of the whole.
pub(crate) fn they_step_as_separate_matrices_do() -> Outcome {
    let stream = stream()?;
    for (shape, split, parts) in cases() {
        // Of the matrix whose rows are those of the blocks.
        let cols = *shape.last().ok_or("no shape")?;
        let rows = shape.iter().product::<usize>() / cols;
        let gap = if shape.len() == 2 { 7 } else { 0 };
        let ld = cols + gap;
        for preset in ["spectra", "adamw", "muon", "spectra-adamw"] {
            let config = Config::preset(preset)?.lr(1e-2).clip_norm(1.0).weight_decay(0.1);
            let builder = Plan::builder().split("w", split.clone());
            let mut whole = Optimizer::new(backend::<f32>()?, config, &builder, [("w", shape)])?;
            let names: Vec<String> = (0..parts.len()).map(|i| format!("w{i}")).collect();
            let shapes: Vec<[usize; 2]> = parts.iter().map(|(_, _, rows, cols)| [*rows, *cols]).collect();
            let named = names.iter().zip(&shapes).map(|(name, shape)| (name.as_str(), &shape[..]));
            let mut apart = Optimizer::new(backend::<f32>()?, config, &Plan::builder(), named)?;

            let cut =
                |values: &[f32], (top, left, height, width): (usize, usize, usize, usize), ld: usize| {
                    let row = |i: usize| (top + i) * ld + left;
                    (0..height).flat_map(|i| values[row(i)..row(i) + width].to_vec()).collect::<Vec<_>>()
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

pub(crate) fn what_is_stored_the_other_way_is_refused() -> Outcome {
    let builder = Plan::builder().split("w", Split::columns(3).transposed());
    let made =
        Optimizer::new(backend::<f32>()?, Config::preset("spectra")?, &builder, [("w", &[48, 96][..])]);
    let error = made.err().ok_or("it was taken")?.to_string();
    ensure(error.contains("w[0]") && error.contains("in x out"), error)?;
    check_violations()
}
