//! The optimizer is not why two frameworks' runs part.
//!
//! burn's `Linear` stores `in x out`; candle's optimizer calls the kernels of [`Faer`] on rows. Both start from the same bits
//! here and see the same function's gradients at their own weights. The same run with one ulp added to or taken from every
//! gradient entry, as two frameworks' backward passes do, is the yardstick. A whole model: `train_lm --ulp`.

use burn::tensor::{DType, Device, Tensor, TensorData};
use spectra_burn::BurnBackend;
use spectra_core::backend::{Backend, Gradient, Matrix, Result};
use spectra_core::faer::Faer;
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::{ParameterState, Rates, Recipe};
use spectra_core::state::{MOMENTUM, SUBSPACE};

const ROWS: usize = 24;
const COLS: usize = 40;
const BATCH: usize = 32;
const STEPS: usize = 120;

/// The gradient of `||tanh(W X) - tanh(W* X)||_F^2 / (2 B)` on a batch X of step `step`.
fn gradient(weights: &[f32], step: u64) -> Vec<f32> {
    let x = |j: usize, b: usize| uniform(1000 + step, j, b);
    let mut gradient = vec![0.0f64; ROWS * COLS];
    for i in 0..ROWS {
        for b in 0..BATCH {
            let product = |w: &dyn Fn(usize) -> f64| (0..COLS).map(|j| w(j) * x(j, b)).sum::<f64>().tanh();
            let (own, wanted) =
                (product(&|j| f64::from(weights[i * COLS + j])), product(&|j| uniform(7, i, j)));
            let slope = (own - wanted) * (1.0 - own * own) / BATCH as f64;
            (0..COLS).for_each(|j| gradient[i * COLS + j] += slope * x(j, b));
        }
    }
    gradient.iter().map(|g| *g as f32).collect()
}

/// Row-major values after every step.
#[derive(Default)]
struct Trace {
    weights: Vec<Vec<f32>>,
    momentum: Vec<Vec<f32>>,
    subspace: Vec<Vec<f32>>,
}

/// A run whose gradients are off by an ulp each, up or down as `ulps` (a seed) says.
fn run<B: Backend<Element = f32>>(
    backend: B,
    recipe: Recipe,
    lr: f64,
    matrix: impl Fn(&[f32]) -> Result<B::Matrix>,
    ulps: Option<u64>,
) -> Result<Trace> {
    let read = |matrix: &B::Matrix| -> Result<Vec<f32>> {
        let mut values = vec![0.0; matrix.shape().0 * matrix.shape().1];
        matrix.read(&mut values)?;
        Ok(values)
    };
    let start: Vec<f32> = (0..ROWS * COLS).map(|at| 0.1 * uniform(3, at / COLS, at % COLS) as f32).collect();
    let mut weights = matrix(&start)?;
    let (mut state, mut workspace) = (ParameterState::<B>::new(recipe)?, Workspace::new(backend));
    let mut trace = Trace::default();
    for step in 0..STEPS {
        let mut given = gradient(&read(&weights)?, step as u64);
        for (at, g) in given.iter_mut().enumerate() {
            match ulps.map(|seed| uniform(seed, step, at) < 0.0) {
                Some(true) => *g = g.next_down(),
                Some(false) => *g = g.next_up(),
                None => {}
            }
        }
        let given = matrix(&given)?;
        state.step(&mut weights, &Gradient::new(&given), Rates::new(lr), &mut workspace)?;
        trace.weights.push(read(&weights)?);
        trace.momentum.extend(state.state().get(MOMENTUM).map(&read).transpose()?);
        trace.subspace.extend(state.state().get(SUBSPACE).map(&read).transpose()?);
    }
    Ok(trace)
}

/// On the kernels that candle calls.
fn by_rows(recipe: Recipe, lr: f64, ulps: Option<u64>) -> Result<Trace> {
    let backend = Faer::<f32>::new();
    run(backend.clone(), recipe, lr, |values| backend.upload(ROWS, COLS, values), ulps)
}

/// As burn stores a `Linear`.
fn by_columns(recipe: Recipe, lr: f64) -> Result<Trace> {
    let backend = BurnBackend::<f32>::new(&Device::flex());
    let matrix = |values: &[f32]| {
        let tensor = Tensor::<2>::from_data(
            TensorData::new(values.to_vec(), [ROWS, COLS]),
            (&Device::flex(), DType::F32),
        );
        let stored = Tensor::<2>::from_data(tensor.transpose().into_data(), (&Device::flex(), DType::F32));
        backend.transposed(stored, (ROWS, COLS))
    };
    run(backend.clone(), recipe, lr, matrix, None)
}

/// `max |a - b| / max |b|`
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let largest = b.iter().fold(0.0f64, |most, b| most.max(f64::from(*b).abs()));
    let apart = a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - f64::from(*b)).abs()));
    apart / largest
}

/// How far two runs are apart after every step.
fn apart(a: &Trace, b: &Trace) -> Vec<f64> {
    a.weights.iter().zip(&b.weights).map(|(a, b)| distance(a, b)).collect()
}

/// The sums that run in another order have 40 terms at most: their rounding may be that many times one ulp of a term.
const LONGEST_SUM: f64 = 40.0;

#[test]
fn burn_and_candle_part_no_faster_than_runs_an_ulp_apart() -> Result<()> {
    let map = TailShrink { rank_ratio: 0.25, ..TailShrink::PAPER };
    let shrink = Recipe::preset("spectra")?.with_map(SpectralMap::TailShrink(map));
    for (name, recipe, lr) in [("tail shrink", shrink, 0.02), ("AdamW", Recipe::preset("adamw")?, 0.002)] {
        let (rows, columns) = (by_rows(recipe, lr, None)?, by_columns(recipe, lr)?);
        assert_eq!(rows.momentum[0], columns.momentum[0], "{name}: the first momentum is the gradient");
        if let (Some(a), Some(b)) = (rows.subspace.first(), columns.subspace.first()) {
            println!("{name}, first step: momentum the same bits, V apart by {:.1e}", distance(a, b));
        }
        let seen = apart(&columns, &rows);
        let mut yardstick = vec![0.0f64; STEPS];
        for seed in 1..=3 {
            let ulp = apart(&by_rows(recipe, lr, Some(seed))?, &rows);
            yardstick.iter_mut().zip(ulp).for_each(|(most, ulp)| *most = most.max(ulp));
        }
        for step in [1, 2, 5, 10, 20, 40, 80, 120] {
            let (seen, ulp) = (seen[step - 1], yardstick[step - 1]);
            println!("{name}, step {step:3}: burn and candle {seen:.1e} apart, an ulp makes {ulp:.1e}");
        }
        for (step, (seen, ulp)) in seen.iter().zip(&yardstick).enumerate() {
            // One rounding of the weights beside what an ulp of the gradient makes.
            let limit = LONGEST_SUM * (ulp + f64::from(f32::EPSILON));
            assert!(*seen <= limit, "{name}, step {}: {seen:e} apart, limit {limit:e}", step + 1);
        }
    }
    Ok(())
}
