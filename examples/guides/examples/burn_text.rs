//! Burn's text-classification example with our optimizer: is a verse of the King James text from the Old or the New Testament?
//!
//! `cargo run --release --features spectra-guides/burn --example burn_text`

use std::error::Error;
use std::process::ExitCode;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::InMemDataset;
use burn::data::dataset::transform::SamplerDataset;
use burn::lr_scheduler::noam::NoamLrSchedulerConfig;
use burn::nn::attention::{SeqLengthOption, generate_padding_mask};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_examples::{Failure, Text};
use spectra_guides::learner::{Renderer, Seen};
use spectra_guides::{Guide, Program, losses};

/// Bytes of a verse that are read.
const LENGTH: usize = 96;
/// The 256 bytes, and the padding 0.
const VOCABULARY: usize = 257;
/// Verses of an epoch.
const EPOCH: usize = 1280;

#[derive(Clone, Debug)]
struct Verse {
    text: Vec<u8>,
    is_new: bool,
}

/// Verses of both Testaments in equal numbers; every tenth is for validation.
fn verses() -> Result<(Vec<Verse>, Vec<Verse>), Failure> {
    let text = Text::king_james()?;
    let lines: Vec<&[u8]> = text.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let matthew =
        lines.iter().position(|line| line.starts_with(b"The book of the generation of Jesus Christ"));
    let (old, new) = lines.split_at(matthew.ok_or_else(|| Failure::run("no Gospel in the text"))?);
    let each = old.len() / new.len().max(1);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (at, (old, new)) in old.iter().step_by(each).zip(new).enumerate() {
        let to = if at % 10 == 0 { &mut validation } else { &mut train };
        to.extend([(old, false), (new, true)].map(|(text, is_new)| Verse { text: text.to_vec(), is_new }));
    }
    Ok((train, validation))
}

#[derive(Clone, Debug, Default)]
struct VerseBatcher;

#[derive(Debug, Clone)]
struct VerseBatch {
    tokens: Tensor<2, Int>,
    labels: Tensor<1, Int>,
    mask_pad: Tensor<2, Bool>,
}

impl Batcher<Verse, VerseBatch> for VerseBatcher {
    fn batch(&self, items: Vec<Verse>, device: &Device) -> VerseBatch {
        let labels: Vec<i64> = items.iter().map(|verse| verse.is_new.into()).collect();
        let labels = Tensor::from_data(TensorData::new(labels, [items.len()]), device);
        let tokens = |verse: &Verse| verse.text.iter().map(|byte| usize::from(*byte) + 1).collect();
        let tokens = items.iter().map(tokens).collect();
        let mask = generate_padding_mask(0, tokens, SeqLengthOption::Fixed(LENGTH), device);
        VerseBatch { tokens: mask.tensor, labels, mask_pad: mask.mask }
    }
}

#[derive(Module, Debug)]
struct TextClassificationModel {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextClassificationModel {
    fn new(transformer: &TransformerEncoderConfig, device: &Device) -> Self {
        Self {
            transformer: transformer.init(device),
            embedding_token: EmbeddingConfig::new(VOCABULARY, transformer.d_model).init(device),
            embedding_pos: EmbeddingConfig::new(LENGTH, transformer.d_model).init(device),
            output: LinearConfig::new(transformer.d_model, 2).init(device),
        }
    }

    fn forward(&self, item: VerseBatch) -> ClassificationOutput {
        let [batch, length] = item.tokens.dims();
        let positions =
            Tensor::arange(0..length as i64, &item.tokens.device()).reshape([1, length]).repeat_dim(0, batch);
        let embedding =
            (self.embedding_pos.forward(positions) + self.embedding_token.forward(item.tokens)) / 2;
        let encoded =
            self.transformer.forward(TransformerEncoderInput::new(embedding).mask_pad(item.mask_pad));
        let output = self.output.forward(encoded).slice([0..batch, 0..1]).reshape([batch, 2]);
        let loss =
            CrossEntropyLossConfig::new().init(&output.device()).forward(output.clone(), item.labels.clone());
        ClassificationOutput { loss, output, targets: item.labels }
    }
}

impl TrainStep for TextClassificationModel {
    type Input = VerseBatch;
    type Output = ClassificationOutput;

    fn step(&self, item: VerseBatch) -> TrainOutput<ClassificationOutput> {
        let item = self.forward(item);
        TrainOutput::new(self, item.loss.backward(), item)
    }
}

impl InferenceStep for TextClassificationModel {
    type Input = VerseBatch;
    type Output = ClassificationOutput;

    fn step(&self, item: VerseBatch) -> ClassificationOutput {
        self.forward(item)
    }
}

// ANCHOR: config
#[derive(Config, Debug)]
struct ExperimentConfig {
    transformer: TransformerEncoderConfig,
    /// Was: `AdamConfig`.
    optimizer: SpectralConfig,
    #[config(default = 32)]
    batch_size: usize,
    #[config(default = 3)]
    num_epochs: usize,
}
// ANCHOR_END: config

// ANCHOR: training
fn train(guide: &Guide, config: &ExperimentConfig, name: &str) -> Result<Seen, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(42);
    let model = TextClassificationModel::new(&config.transformer, &device.autodiff());
    let (train, validation) = verses()?;
    let loader = || DataLoaderBuilder::new(VerseBatcher).batch_size(config.batch_size).num_workers(1);
    let train = loader().build(SamplerDataset::new(InMemDataset::new(train), EPOCH));
    let validation = loader().build(SamplerDataset::new(InMemDataset::new(validation), EPOCH / 4));

    // Was: let optim = config.optimizer.init();
    let hybrid: Hybrid = config.optimizer.init_for(&model)?;
    println!("{}", hybrid.plan_table());
    let optim = hybrid.optimizer()?;

    let lr_scheduler = NoamLrSchedulerConfig::new(0.1)
        .with_warmup_steps(40)
        .with_model_size(config.transformer.d_model)
        .init()?;
    let seen = Seen::default();
    let folder = guide.path(name);
    let result = SupervisedTraining::new(&folder, train, validation)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .metric_train_numeric(LearningRateMetric::new())
        .with_default_checkpointers()
        .num_epochs(config.num_epochs)
        .renderer(Box::new(Renderer::new(name, seen.clone()))) // without it: burn's own
        .summary()
        .launch(Learner::new(model, optim, lr_scheduler));
    config.save(folder.join("config.json"))?;
    result.model.into_record().save(folder.join("model"))?;
    Ok(seen)
}
// ANCHOR_END: training

fn run(guide: &Guide) -> Result<(), Box<dyn Error>> {
    let transformer =
        TransformerEncoderConfig::new(64, 128, 4, 2).with_norm_first(true).with_quiet_softmax(true);
    let mut all = Vec::new();
    for name in ["adamw", "spectra"] {
        let config = ExperimentConfig::new(transformer.clone(), SpectralConfig::preset(name)?);
        all.push((name, train(guide, &config.with_num_epochs(guide.steps), name)?));
    }
    let curves = |metric: &str| all.iter().map(|(name, seen)| seen.validation(metric, name)).collect();
    let mut panels =
        [losses("Validation loss", curves("Loss")), losses("Validation accuracy, %", curves("Accuracy"))];
    for panel in &mut panels {
        panel.across = "epochs";
    }
    (panels[1].up, panels[1].logarithmic) = ("%", false);
    Ok(guide.picture("burn_text.png", &panels)?)
}

fn main() -> ExitCode {
    let about = "Burn's text classification with our optimizer, on the King James text; a step is an epoch";
    Program { name: "burn_text", about, steps: 3, resumes: false }.main(run)
}
