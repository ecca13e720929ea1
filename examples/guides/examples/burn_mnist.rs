//! Burn's MNIST example with our optimizer, on digits of 8 x 8 pixels, which need no network.
//!
//! `cargo run --release --features spectra-guides/burn --example burn_mnist`

use std::error::Error;
use std::process::ExitCode;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::InMemDataset;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, PaddingConfig2d};
use burn::optim::AdamWConfig;
use burn::prelude::*;
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep};
use spectra_burn::SpectralConfig;
use spectra_guides::digits::{CLASSES, Digit, SIDE, digits};
use spectra_guides::learner::{Renderer, Seen};
use spectra_guides::{Guide, Program, losses};

/// Burn's program gives this with its config; batches of it.
const BATCH: usize = 64;

#[derive(Clone, Debug, Default)]
struct DigitBatcher;

#[derive(Clone, Debug)]
struct DigitBatch {
    images: Tensor<3>,
    targets: Tensor<1, Int>,
}

impl Batcher<Digit, DigitBatch> for DigitBatcher {
    fn batch(&self, items: Vec<Digit>, device: &Device) -> DigitBatch {
        let pixels: Vec<f32> = items.iter().flat_map(|digit| digit.pixels).collect();
        let classes: Vec<i64> = items.iter().map(|digit| digit.class.into()).collect();
        DigitBatch {
            images: Tensor::from_data(TensorData::new(pixels, [items.len(), SIDE, SIDE]), device),
            targets: Tensor::from_data(TensorData::new(classes, [items.len()]), device),
        }
    }
}

#[derive(Module, Debug)]
struct Model {
    conv1: ConvBlock,
    conv2: ConvBlock,
    dropout: nn::Dropout,
    fc1: nn::Linear,
    fc2: nn::Linear,
    fc3: nn::Linear,
    activation: nn::Gelu,
}

impl Model {
    fn new(device: &Device) -> Self {
        Self {
            conv1: ConvBlock::new([1, 16], device),
            conv2: ConvBlock::new([16, 32], device),
            dropout: nn::DropoutConfig::new(0.25).init(),
            fc1: nn::LinearConfig::new(32 * 2 * 2, 64).init(device),
            fc2: nn::LinearConfig::new(64, 64).init(device),
            fc3: nn::LinearConfig::new(64, CLASSES).init(device),
            activation: nn::Gelu::new(),
        }
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<2> {
        let [batch, height, width] = input.dims();
        let x = self.conv1.forward(input.reshape([batch, 1, height, width]).detach());
        let x = self.conv2.forward(x);
        let [batch, channels, height, width] = x.dims();
        let x = self.fc1.forward(x.reshape([batch, channels * height * width]));
        let x = self.dropout.forward(self.activation.forward(x));
        let x = self.dropout.forward(self.activation.forward(self.fc2.forward(x)));
        self.fc3.forward(x)
    }

    fn forward_classification(&self, item: DigitBatch) -> ClassificationOutput {
        let (output, targets) = (self.forward(item.images), item.targets);
        let loss =
            CrossEntropyLossConfig::new().init(&output.device()).forward(output.clone(), targets.clone());
        ClassificationOutput { loss, output, targets }
    }
}

#[derive(Module, Debug)]
struct ConvBlock {
    conv: nn::conv::Conv2d,
    norm: BatchNorm,
    pool: MaxPool2d,
    activation: nn::Relu,
}

impl ConvBlock {
    fn new(channels: [usize; 2], device: &Device) -> Self {
        Self {
            conv: nn::conv::Conv2dConfig::new(channels, [3, 3])
                .with_padding(PaddingConfig2d::Same)
                .init(device),
            norm: nn::BatchNormConfig::new(channels[1]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            activation: nn::Relu::new(),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.pool.forward(self.activation.forward(self.norm.forward(self.conv.forward(input))))
    }
}

impl TrainStep for Model {
    type Input = DigitBatch;
    type Output = ClassificationOutput;

    fn step(&self, item: DigitBatch) -> TrainOutput<ClassificationOutput> {
        let item = self.forward_classification(item);
        TrainOutput::new(self, item.loss.backward(), item)
    }
}

impl InferenceStep for Model {
    type Input = DigitBatch;
    type Output = ClassificationOutput;

    fn step(&self, item: DigitBatch) -> ClassificationOutput {
        self.forward_classification(item)
    }
}

// ANCHOR: config
#[derive(Config, Debug)]
struct MnistTrainingConfig {
    #[config(default = 8)]
    num_epochs: usize,
    #[config(default = 42)]
    seed: u64,
    #[config(default = 3e-3)]
    learning_rate: f64,
    /// Was: `AdamWConfig`.
    optimizer: SpectralConfig,
}
// ANCHOR_END: config

// ANCHOR: training
fn train(
    guide: &Guide,
    config: &MnistTrainingConfig,
    burns: Option<AdamWConfig>,
) -> Result<Seen, Box<dyn Error>> {
    let (train, validation) = digits()?;
    let device = Device::flex();
    device.seed(config.seed);
    let batches = config.num_epochs * train.len().div_ceil(BATCH);
    let loader =
        || DataLoaderBuilder::new(DigitBatcher).batch_size(BATCH).shuffle(config.seed).num_workers(1);
    let (train, validation) =
        (loader().build(InMemDataset::new(train)), loader().build(InMemDataset::new(validation)));

    let model = Model::new(&device.autodiff());
    let name = if burns.is_some() { "burn-adamw" } else { "spectra" };
    let optimizer = match burns {
        Some(adamw) => adamw.init(),
        // Was: config.optimizer.init()
        None => {
            let optimizer = config.optimizer.init_for(&model)?;
            println!("{}", optimizer.plan_table());
            optimizer.optimizer()?
        }
    };
    let seen = Seen::default();
    let folder = guide.path(name);
    let result = SupervisedTraining::new(&folder, train, validation)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .metric_train_numeric(LearningRateMetric::new())
        .with_default_checkpointers()
        .num_epochs(config.num_epochs)
        .renderer(Box::new(Renderer::new(name, seen.clone()))) // without it: burn's own
        .summary()
        .launch(Learner::new(
            model,
            optimizer,
            CosineAnnealingLrSchedulerConfig::new(config.learning_rate, batches).init()?,
        ));
    result.model.into_record().save(folder.join("model"))?;
    Ok(seen)
}
// ANCHOR_END: training

fn run(guide: &Guide) -> Result<(), Box<dyn Error>> {
    let optimizer = SpectralConfig::preset("spectra")?.with_weight_decay(5e-5);
    let config = MnistTrainingConfig::new(optimizer).with_num_epochs(guide.steps);
    config.save(guide.path("config.json"))?;
    let burns = train(guide, &config, Some(AdamWConfig::new().with_weight_decay(5e-5)))?;
    let ours = train(guide, &config, None)?;
    let both =
        |metric: &str| vec![burns.validation(metric, "burn's AdamW"), ours.validation(metric, "spectra")];
    let mut panels =
        [losses("Validation loss", both("Loss")), losses("Validation accuracy, %", both("Accuracy"))];
    for panel in &mut panels {
        panel.across = "epochs";
    }
    (panels[1].up, panels[1].logarithmic) = ("%", false);
    Ok(guide.picture("burn_mnist.png", &panels)?)
}

fn main() -> ExitCode {
    let about = "Burn's MNIST example with our optimizer, on small digits; a step is an epoch";
    Program { name: "burn_mnist", about, steps: 8, resumes: false }.main(run)
}
