//! A direction of one's own, RMSprop, in twenty lines; composed with a spectral map of the library.
//!
//! `cargo run --release --features spectra-guides/candle --example own_optimizer`

use std::error::Error;
use std::process::ExitCode;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, Optimizer as _, VarBuilder, VarMap, linear, seq};
use spectra_candle::directions::{DirectionRule, Target};
use spectra_candle::linalg::Workspace;
use spectra_candle::maps::{SpectralMap, TailShrink};
use spectra_candle::plan::Plan;
use spectra_candle::rules::Composed;
use spectra_candle::state::{SECOND_MOMENT, State};
use spectra_candle::{Config, Optimizer, OwnRules, StepScale};
use spectra_core::backend::{Backend, Gradient, Matrix, Result};
use spectra_guides::digits::{CLASSES, PIXELS, batch, columns, digits};
use spectra_guides::{Guide, Program, losses};

// ANCHOR: direction
/// `V = b V + (1 - b) G o G`, `d = G / (sqrt(V) + eps)`: `torch.optim.RMSprop` without momentum.
#[derive(Debug, Clone, Copy)]
struct RmsProp {
    beta: f64,
    eps: f64,
}

impl<B: Backend> DirectionRule<B> for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[SECOND_MOMENT]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn largest_gradient(&self) -> f64 {
        1e18 // its square is kept
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        _step: u64,
        Target { out, beta, alpha }: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let [v] = state.zeros([SECOND_MOMENT], gradient.values, workspace.backend())?;
        let mut g = workspace.take_like(v, v.shape().1)?;
        g.scale_add(0.0.into(), gradient.scale, gradient.values)?; // with the factor of a norm clip
        v.product_add(self.beta.into(), (1.0 - self.beta).into(), &g, &g)?;
        out.quotient_add(beta.into(), alpha.into(), &g, v, self.eps)?;
        workspace.give(g);
        Ok(())
    }
}
// ANCHOR_END: direction

// ANCHOR: rules
fn optimizer(vars: &VarMap, name: &str, lr: f64) -> std::result::Result<Optimizer, Box<dyn Error>> {
    let rms_prop = RmsProp { beta: 0.99, eps: 1e-8 };
    let shrink = SpectralMap::TailShrink(TailShrink { rank_ratio: 0.05, ..TailShrink::PAPER });
    let rules = OwnRules::new()
        .with("rmsprop", Composed::new(rms_prop, SpectralMap::Identity, StepScale::One))
        .with("rmsprop, shrunk", Composed::new(rms_prop, shrink, StepScale::RMS));
    // Matrices by the rule of that name; biases by what the configuration has for them, AdamW.
    let plan = Plan::builder().group("*.weight", |g| g.named(name));
    Ok(Optimizer::with_rules(named(vars), Config::preset("spectra")?.lr(lr), &plan, rules)?)
}
// ANCHOR_END: rules

fn named(vars: &VarMap) -> Vec<(String, candle_core::Var)> {
    let vars = vars.data().lock().unwrap();
    let mut named: Vec<_> = vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

fn run(guide: &Guide) -> std::result::Result<(), Box<dyn Error>> {
    let (train, _) = digits()?;
    let mut curves = Vec::new();
    // A shrunk step has a root mean square of 0.2 lr.
    for (name, lr) in [("rmsprop", 1e-3), ("rmsprop, shrunk", 5e-3)] {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let model = seq()
            .add(linear(PIXELS, 128, vb.pp("up"))?)
            .add_fn(|x| x.relu())
            .add(linear(128, 128, vb.pp("down"))?)
            .add_fn(|x| x.relu())
            .add(linear(128, CLASSES, vb.pp("head"))?);
        let mut optimizer = optimizer(&vars, name, lr)?;
        println!("{}", optimizer.plan_table());
        let mut run = guide.run(name);
        for step in 1..=guide.steps {
            let (pixels, classes) = columns(&batch(&train, 64, step));
            let x = Tensor::from_vec(pixels, (classes.len(), PIXELS), &Device::Cpu)?;
            let y = Tensor::new(classes, &Device::Cpu)?;
            let loss = candle_nn::loss::cross_entropy(&model.forward(&x)?, &y)?;
            optimizer.backward_step(&loss)?;
            run.step(step, loss.to_scalar::<f32>()?.into())?;
        }
        // It is saved and restored as the library's own are.
        optimizer.save(guide.path("state.safetensors"))?;
        self::optimizer(&vars, name, lr)?.load(guide.path("state.safetensors"))?;
        println!("{name}: loss {:.4} in {:.1} s; saved and restored", run.last(), run.seconds());
        curves.push(run.end());
    }
    Ok(guide.picture("own_optimizer.png", &[losses("A direction of one's own", curves)])?)
}

fn main() -> ExitCode {
    let about = "RMSprop, a direction of one's own, alone and with tail shrink";
    Program { name: "own_optimizer", about, steps: 200, resumes: false }.main(run)
}
