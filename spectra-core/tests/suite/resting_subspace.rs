//! Tail shrink with `refresh_every > 1`: a subspace rests only while it may be the dominant one.

use spectra_core::backend::{Backend, Element, Gradient, Matrix, Result};
use spectra_core::dense::Dense;
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::{SpectralMap, TailShrink, tail_shrink};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Recipe, plan::Rule};

const ROWS: usize = 48;
const COLS: usize = 64;
/// A spike is so many times as large as the root mean square of the other singular values.
const SPIKE: f64 = 100.0;

/// Which rows and columns a spike touches: half of them.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    First,
    Second,
}

impl Half {
    /// Entry `i` of a vector of length 1 on this half of `n` entries.
    fn entry(self, i: usize, n: usize) -> f64 {
        let mine = (self == Self::First) == (i < n / 2);
        let sign = if i.is_multiple_of(3) { -1.0 } else { 1.0 };
        if mine { sign / (n as f64 / 2.0).sqrt() } else { 0.0 }
    }
}

/// `SPIKE` in a half, and a tail whose singular values have a root mean square of 1, in that half's columns or in all.
fn spiked(half: Half, seed: u64, whole: bool) -> Vec<f64> {
    let entry = |at: usize| {
        let (i, j) = (at / COLS, at % COLS);
        let in_tail = whole || half.entry(j, COLS) != 0.0;
        // Entries of variance 1 / n: the m singular values have a mean square of 1.
        let tail = if in_tail { uniform(seed, i, j) * (3.0 / COLS as f64).sqrt() } else { 0.0 };
        SPIKE * half.entry(i, ROWS) * half.entry(j, COLS) + tail
    };
    (0..ROWS * COLS).map(entry).collect()
}

fn upload<B: Backend>(backend: &B, values: &[f64]) -> Result<B::Matrix> {
    let values: Vec<B::Element> = values.iter().map(|x| B::Element::narrow(*x)).collect();
    backend.upload(ROWS, COLS, &values)
}

fn download<M: Matrix>(matrix: &M) -> Result<Vec<f64>> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut values)?;
    Ok(values.iter().map(|x| x.widen()).collect())
}

/// `u^T O v` for the spike of a half after each of the steps, `M = mu M + G`, and V.
fn shrunk_spikes<B: Backend>(
    backend: &B,
    rank: usize,
    mu: f64,
    half: Half,
    gradients: &[Vec<f64>],
) -> Result<(Vec<f64>, Vec<f64>)> {
    let options =
        TailShrink { rank_ratio: rank as f64 / ROWS as f64, refresh_every: 1000, ..TailShrink::PAPER };
    let mut workspace = Workspace::new(backend.clone());
    let (mut m, mut cache) = (backend.zeros(ROWS, COLS, None)?, None);
    let mut seen = Vec::new();
    for (step, gradient) in gradients.iter().enumerate() {
        let gradient = upload(backend, gradient)?;
        let update = Some((mu, &Gradient::new(&gradient)));
        let shaped = tail_shrink(&options, &mut m, update, &mut cache, step as u64, &mut workspace)?;
        let Some((left, right)) = &shaped.correction else { panic!("k < r has a correction") };
        let (values, left, right) = (download(&m)?, download(left)?, download(right)?);
        let mut along = 0.0;
        for i in 0..ROWS {
            for j in 0..COLS {
                let low: f64 = (0..rank).map(|t| left[i * rank + t] * right[j * rank + t]).sum();
                along += half.entry(i, ROWS) * (values[i * COLS + j] - low) * half.entry(j, COLS);
            }
        }
        seen.push(along);
        shaped.release(&mut workspace);
    }
    let v = cache.as_ref().map(download).transpose()?.unwrap_or_default();
    Ok((seen, v))
}

/// A shrunk spike has the tail's scale, 1, which momentum makes 2 at most here; and the tail has a part of its own along the
/// same direction, of the same size.
const SHRUNK: f64 = 4.0;

fn backends(check: impl Fn(&str, &dyn Fn(usize, f64, Half, &[Vec<f64>]) -> Result<(Vec<f64>, Vec<f64>)>)) {
    check("dense f32", &|k, mu, half, g| shrunk_spikes(&Dense::<f32>::new(), k, mu, half, g));
    check("dense f64", &|k, mu, half, g| shrunk_spikes(&Dense::<f64>::new(), k, mu, half, g));
    #[cfg(feature = "faer")]
    check("faer f32", &|k, mu, half, g| {
        shrunk_spikes(&spectra_core::faer::Faer::<f32>::new(), k, mu, half, g)
    });
}

#[test]
fn a_spike_after_zero_gradients_is_shrunk_at_once() {
    let zero = vec![0.0; ROWS * COLS];
    backends(|name, run| {
        for (rank, zeros) in [(1, 1), (3, 1), (3, 4)] {
            let mut gradients = vec![zero.clone(); zeros];
            gradients.extend([spiked(Half::First, 1, true), spiked(Half::First, 2, true)]);
            let (spikes, _) = run(rank, 0.9, Half::First, &gradients).expect(name);
            for spike in &spikes[zeros..] {
                assert!(spike.abs() < SHRUNK, "{name}, k = {rank}: {spikes:?}");
            }
        }
    });
}

/// V lies in columns that M no longer has: it holds nothing of M, and no iteration would turn it.
#[test]
fn a_spike_outside_of_a_stale_subspace_is_shrunk_at_once() {
    backends(|name, run| {
        let gradients = [spiked(Half::First, 1, false), spiked(Half::Second, 2, false)];
        let (spikes, _) = run(2, 0.0, Half::Second, &gradients).expect(name);
        assert!(spikes[1].abs() < SHRUNK, "{name}: {spikes:?}");
    });
}

/// After a gradient of rank 1 three of four columns are zero. One iteration from random columns is what a step with a refresh
/// would do: it finds the spike up to `(tail / spike) sqrt(r / k)` of it, a tenth here with room for chance.
#[test]
fn a_subspace_with_zero_columns_does_not_rest_beside_a_tail() {
    let rank_one: Vec<f64> = (0..ROWS * COLS)
        .map(|at| 5.0 * Half::Second.entry(at / COLS, ROWS) * Half::Second.entry(at % COLS, COLS))
        .collect();
    backends(|name, run| {
        let gradients = [rank_one.clone(), spiked(Half::First, 2, true), spiked(Half::First, 2, true)];
        let (spikes, v) = run(4, 0.9, Half::First, &gradients).expect(name);
        assert!(spikes[1].abs() < 0.1 * SPIKE && spikes[2].abs() < SHRUNK, "{name}: {spikes:?}");
        let live = (0..4).all(|t| v.iter().skip(t).step_by(4).any(|x| *x != 0.0));
        assert!(live, "{name}: V still has zero columns");
    });
}

#[test]
fn a_subspace_that_holds_the_spike_rests() {
    backends(|name, run| {
        let first = [spiked(Half::First, 1, true)];
        let more = [spiked(Half::First, 1, true), spiked(Half::First, 2, true), spiked(Half::First, 3, true)];
        let ((_, one), (spikes, three)) =
            (run(2, 0.9, Half::First, &first).expect(name), run(2, 0.9, Half::First, &more).expect(name));
        assert_eq!(one, three, "{name}: V was iterated between refreshes");
        assert!(spikes.iter().all(|spike| spike.abs() < SHRUNK), "{name}: {spikes:?}");
    });
}

/// A run that is saved while all gradients were zero goes on as the one that was not interrupted.
#[test]
fn an_empty_subspace_survives_a_saved_state() -> Result<()> {
    let map = TailShrink { rank_ratio: 0.05, refresh_every: 1000, ..TailShrink::PAPER };
    let recipe = Recipe::preset("spectra")?.with_map(SpectralMap::TailShrink(map));
    let backend = Dense::<f32>::new();
    let new = || {
        let spec = ParameterSpec::new("w", (ROWS, COLS), Rule::Spectral);
        Optimizer::new(backend.clone(), Config::new(recipe).lr(0.01), [spec])
    };
    let (mut whole, mut resumed) = (new()?, new()?);
    let (zero, gradient) =
        (backend.zeros(ROWS, COLS, None)?, upload(&backend, &spiked(Half::First, 1, true))?);
    let mut weights = backend.zeros(ROWS, COLS, None)?;
    whole.step(&mut [(&mut weights, &zero)])?;
    let buffers: Vec<_> = whole.buffers().map(|(_, slot, matrix)| (slot, matrix.clone())).collect();
    resumed.restore(&whole.header()?, |_, slot, rows, cols| {
        let saved = buffers.iter().find(|(other, _)| *other == slot).map(|(_, matrix)| matrix.clone());
        saved.map_or_else(|| backend.zeros(rows, cols, None), Ok)
    })?;
    let mut other = weights.clone();
    for _ in 0..3 {
        whole.step(&mut [(&mut weights, &gradient)])?;
        resumed.step(&mut [(&mut other, &gradient)])?;
        assert_eq!(weights, other);
    }
    Ok(())
}
