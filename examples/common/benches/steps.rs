//! A step of every preset: times, and what it allocates after the first.
//!
//! ```text
//! cargo bench -p spectra-examples -- [FILTER]      such as: muon, 4096x14336, qwen3, threads, rank
//! ```
//!
//! Without a filter it takes about a quarter of an hour on two cores. (`step_cost` sets times beside the machine's floors.)

use std::fmt;

use divan::{AllocProfiler, Bencher};
use spectra_core::faer::FaerElement;
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::{Config, Method, Recipe};
use spectra_examples::steps::{QWEN3_LAYER, Steps};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// One benchmark.
struct Case {
    method: Method,
    label: String,
    shapes: Vec<(usize, usize)>,
}

impl Case {
    fn new((preset, method): (&str, Method), shapes: &[(usize, usize)]) -> Self {
        let label = match shapes {
            [(rows, cols)] => format!("{preset} {rows}x{cols}"),
            _ => format!("{preset}, {} matrices", shapes.len()),
        };
        Self { method, label, shapes: shapes.to_vec() }
    }

    fn run<E: FaerElement>(&self, bencher: Bencher) {
        let mut steps = Steps::<E>::new(Config::new(self.method), &self.shapes).expect("a preset's settings");
        bencher.bench_local(|| steps.step().expect("finite gradients"));
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

fn presets() -> impl Iterator<Item = (&'static str, Method)> {
    Method::presets().map(|(name, method, _)| (name, method))
}

/// Every preset on single matrices, and on a layer of Qwen3-0.6B.
fn every() -> impl Iterator<Item = Case> {
    let shapes: [&[_]; 4] = [&[(1024, 3072)], &[(4096, 4096)], &[(4096, 14336)], &QWEN3_LAYER];
    presets().flat_map(move |preset| shapes.map(|shapes| Case::new(preset, shapes)))
}

/// The presets without products of whole matrices, on all of Qwen3-0.6B's.
fn qwen3() -> impl Iterator<Item = Case> {
    let light = |(_, method): &(_, Method)| {
        let map = method.recipe().map(|recipe| recipe.map);
        matches!(map, Some(SpectralMap::Identity | SpectralMap::TailShrink(_)))
    };
    presets().filter(light).map(|preset| Case::new(preset, &QWEN3_LAYER.repeat(28)))
}

/// Tail shrink with more directions.
fn ranks() -> impl Iterator<Item = Case> {
    let spectra = Recipe::preset("spectra").expect("a preset's name");
    [0.005, 0.015, 0.05, 0.15].into_iter().map(move |rank_ratio| {
        let map = SpectralMap::TailShrink(TailShrink { rank_ratio, ..TailShrink::PAPER });
        let case = Case::new(("spectra", spectra.with_map(map).into()), &[(4096, 4096)]);
        Case { label: format!("ratio {rank_ratio} {}", case.label), ..case }
    })
}

#[divan::bench(args = every(), sample_size = 1, sample_count = 20, max_time = 2)]
fn single(bencher: Bencher, case: &Case) {
    case.run::<f32>(bencher);
}

#[divan::bench(args = every().filter(|case| case.label.starts_with("spectra ")), sample_size = 1, sample_count = 20)]
fn double(bencher: Bencher, case: &Case) {
    case.run::<f64>(bencher);
}

#[divan::bench(args = qwen3(), sample_size = 1, sample_count = 10, max_time = 5)]
fn qwen3_all(bencher: Bencher, case: &Case) {
    case.run::<f32>(bencher);
}

#[divan::bench(args = ranks(), sample_size = 1, sample_count = 20, max_time = 5)]
fn rank(bencher: Bencher, case: &Case) {
    case.run::<f32>(bencher);
}

#[divan::bench(args = [1, 2, 4, 8], sample_size = 1, sample_count = 20)]
fn threads(bencher: Bencher, threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let config = Config::preset("spectra").expect("a preset's name");
    let mut steps = Steps::<f32>::new(config, &[(4096, 4096)]).expect("a preset's settings");
    bencher.bench_local(|| pool.install(|| steps.step()).expect("finite gradients"));
}
