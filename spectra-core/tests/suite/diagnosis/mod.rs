//! Diagnoses: each kind of finding is provoked, and a healthy run is silent.
mod bits;
mod compared;
mod findings;
#[path = "../../../examples/diagnose/model.rs"]
mod model;
mod page;
#[path = "../../../examples/inspect_state/program.rs"]
mod program;
mod refused;
mod rules;
mod saved;
mod table;

use spectra_core::backend::Matrix;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::diagnosis::{Diagnoses, Finding, FindingKind};
use spectra_core::optimizer::plan::{Plan, PlanBuilder};
use spectra_core::optimizer::{Config, Optimizer};

type TestResult = Result<(), Box<dyn std::error::Error>>;
type M = DenseMatrix<f64>;

fn random(seed: u64, (rows, cols): (usize, usize)) -> M {
    DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j))
}

/// Matrices of one model with their optimizer, on gradients that a test makes up.
struct Run {
    plan: Plan,
    optimizer: Optimizer<Dense<f64>>,
    weights: Vec<M>,
}

impl Run {
    fn new(
        config: Config,
        builder: &PlanBuilder,
        shapes: &[(&str, &[usize])],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        Self::of_plan(config, builder.build(shapes.iter().copied())?)
    }

    fn of_plan(config: Config, plan: Plan) -> Result<Self, Box<dyn std::error::Error>> {
        let optimizer = Optimizer::new(Dense::new(), config, plan.parameters())?;
        let shapes = plan.parameters().map(|spec| (spec.rows, spec.cols));
        let weights = shapes.enumerate().map(|(i, shape)| random(i as u64, shape)).collect();
        Ok(Self { plan, optimizer, weights })
    }

    /// A gradient of each at step `t`.
    fn gradients(&self, t: u64) -> Vec<Option<M>> {
        let one = |(i, x): (usize, &M)| Some(random(1000 * t + 100 + i as u64, x.shape()));
        self.weights.iter().enumerate().map(one).collect()
    }

    fn step(&mut self, gradients: &[Option<M>]) -> TestResult {
        let given: Vec<_> =
            gradients.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?))).collect();
        let prepared = self.optimizer.prepare(given.iter().copied())?;
        for (i, g) in given {
            self.optimizer.update(i, &mut self.weights[i], g, &prepared)?;
        }
        self.optimizer.finish(prepared);
        Ok(())
    }

    fn diagnose(&mut self, gradients: &[Option<M>]) -> spectra_core::backend::Result<Diagnoses> {
        let given = gradients.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)));
        let weights: Vec<_> = self.weights.iter().enumerate().collect();
        self.optimizer.diagnose(&self.plan, given, &weights)
    }
}

/// The only finding of a block.
fn only<'a>(seen: &'a Diagnoses, block: &str) -> Result<&'a Finding, Box<dyn std::error::Error>> {
    let findings = &seen.block(block).ok_or_else(|| format!("no block {block}"))?.findings;
    match &findings[..] {
        [finding] => Ok(finding),
        other => Err(format!("{block}: {other:?}").into()),
    }
}

fn kinds(seen: &Diagnoses) -> Vec<FindingKind> {
    seen.all().map(|(_, finding)| finding.kind).collect()
}
