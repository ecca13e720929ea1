//! The command line of the training examples.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use spectra_core::optimizer::Method;
use spectra_core::schedules::DecayCurve;

use crate::Failure;
use crate::numbers::{count, fraction, nonnegative, positive, share};
use crate::output::Existing;

/// What an optimizer's own rule updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApplyTo {
    /// Hidden matrices; AdamW the rest.
    Matrices,
    /// Everything: vectors by their norm.
    All,
}

/// Trains the same small language model once with each optimizer and compares them.
///
/// Writes a table, loss.png, spectrum.png, weights.png, metrics.csv, a sample of text and a checkpoint of each optimizer.
/// Where a preset clips singular values, every update's spectral norm is held against the clip's bound, and the run fails
/// if one exceeds it.
#[derive(Parser, Debug, Clone)]
#[command(version, max_term_width = 110, args_override_self = true)]
pub struct CommandLine {
    /// Text to train on, taken as bytes [default: the King James Bible]
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,

    /// Optimizers to compare, separated by commas or by repeating the flag
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["adamw", "spectra"],
          value_parser = PossibleValuesParser::new(Method::presets().chain(Method::experiments()).map(|(name, ..)| name)))]
    pub optimizer: Vec<String>,

    /// Peak learning rate of the hidden matrices, for all optimizers (0.001) or for one (spectra=0.002), separated by
    /// commas or by repeating the flag [default: as tuned here, see --sweep, for adamw, muon, spectra, spectra-adamw,
    /// -signum and -ademamix; what their authors take for dion, soap, lion, normuon and the like; else 0.001]
    #[arg(long, value_name = "[NAME=]RATE", value_delimiter = ',', allow_hyphen_values = true)]
    pub lr: Vec<String>,

    /// Peak learning rate of embedding, head and norms, which all optimizers give to AdamW [default: tuned]
    #[arg(long, value_name = "[NAME=]RATE", value_delimiter = ',', allow_hyphen_values = true)]
    pub elementwise_lr: Vec<String>,

    /// What an optimizer's own rule updates; what is no hidden matrix keeps --elementwise-lr
    #[arg(long, value_enum, default_value_t = ApplyTo::Matrices)]
    pub apply_to: ApplyTo,

    /// Adam's decay of the squared gradient, wherever Adam is used [default: tuned]
    #[arg(long, value_name = "[NAME=]NUMBER", value_delimiter = ',', allow_hyphen_values = true)]
    pub beta2: Vec<String>,

    /// Share of a matrix's singular directions that tail shrink takes for the spike [default: tuned]
    #[arg(long, value_name = "[NAME=]FRACTION", value_delimiter = ',', allow_hyphen_values = true)]
    pub rank_ratio: Vec<String>,

    /// Threshold c of the spectral clip, in the presets that clip: singular values of the update stay below it
    /// [default: the preset's, 10]
    #[arg(long, value_name = "[NAME=]NUMBER", value_delimiter = ',', allow_hyphen_values = true)]
    pub clip: Vec<String>,

    /// Keep the clip threshold as it is while the learning rate rises; without this flag their product stays
    #[arg(long)]
    pub fixed_clip: bool,

    /// Lower the clip threshold on this curve while the learning rate falls
    #[arg(long, value_name = "CURVE", value_parser = PossibleValuesParser::new(curves()))]
    pub clip_decay: Option<String>,

    /// Clip the gradients of the hidden matrices too, softly at this singular value, before the norm clip
    #[arg(long, value_name = "NUMBER", value_parser = positive, allow_hyphen_values = true)]
    pub pre_clip: Option<f64>,

    /// Lower the threshold of --pre-clip on this curve while the learning rate falls
    #[arg(long, value_name = "CURVE", requires = "pre_clip", value_parser = PossibleValuesParser::new(curves()))]
    pub pre_clip_decay: Option<String>,

    /// Training steps, one batch each; learning rates were tuned for 400
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = count, allow_hyphen_values = true)]
    pub steps: usize,

    /// Seed of the initial weights, the order of the data and the sample
    #[arg(long, value_name = "NUMBER", default_value_t = 1, allow_hyphen_values = true)]
    pub seed: u64,

    /// Move every initial weight by one unit in its last place, up or down as this seed says: how far apart rounding alone
    /// takes two runs
    #[arg(long, value_name = "SEED", allow_hyphen_values = true)]
    pub ulp: Option<u64>,

    /// Decoder layers
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = count, allow_hyphen_values = true)]
    pub layers: usize,

    /// Features of the residual stream
    #[arg(long, value_name = "COUNT", default_value = "128", value_parser = count, allow_hyphen_values = true)]
    pub width: usize,

    /// Features inside the SwiGLU
    #[arg(long, value_name = "COUNT", default_value = "352", value_parser = count, allow_hyphen_values = true)]
    pub hidden: usize,

    /// Attention heads; twice this number must divide the width
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = count, allow_hyphen_values = true)]
    pub heads: usize,

    /// Length of a training sequence, in bytes
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = count, allow_hyphen_values = true)]
    pub context: usize,

    /// Sequences in a batch
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = count, allow_hyphen_values = true)]
    pub batch: usize,

    /// Ranks that train each model together, each on its share of every batch: threads of this process
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = count, allow_hyphen_values = true,
          conflicts_with = "sweep")]
    pub workers: usize,

    /// Share of the steps, at the beginning, over which the learning rate rises
    #[arg(long, value_name = "FRACTION", default_value = "0.075", value_parser = fraction, allow_hyphen_values = true)]
    pub warmup: f64,

    /// Share of the steps, at the end, over which the learning rate falls to zero (1 - square root)
    #[arg(long, value_name = "FRACTION", default_value = "0.2", value_parser = fraction, allow_hyphen_values = true)]
    pub decay: f64,

    /// Decoupled weight decay, per unit of learning rate
    #[arg(long, value_name = "NUMBER", default_value = "0.1", value_parser = nonnegative, allow_hyphen_values = true)]
    pub weight_decay: f64,

    /// Longest gradient, all parameters taken together; a longer one is scaled down to it
    #[arg(long, value_name = "NORM", default_value = "1", value_parser = positive, allow_hyphen_values = true)]
    pub clip_norm: f64,

    /// Any other setting of the optimizers by its path in the configuration's serialized form, for all optimizers or for one
    /// (spectra:spectral.map.TailShrink.iterations=2), by repeating the flag. The value is JSON, or a word
    #[arg(long, value_name = "[NAME:]PATH=VALUE")]
    pub set: Vec<String>,

    /// Optimize queries, keys and values head by head, each a matrix of its own. Not with presets that clip, whose bound is checked
    /// on whole matrices
    #[arg(long)]
    pub by_head: bool,

    /// Validate and sample with an exponential average of the weights instead, whose memory is this share of the steps
    #[arg(long, value_name = "FRACTION", value_parser = share, allow_hyphen_values = true)]
    pub average: Option<f64>,

    /// Batches over which the validation loss is averaged
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = count, allow_hyphen_values = true)]
    pub validation_batches: usize,

    /// Steps between measurements of the validation loss
    #[arg(long, value_name = "STEPS", default_value = "25", value_parser = count, allow_hyphen_values = true)]
    pub eval_every: usize,

    /// Steps between checkpoints
    #[arg(long, value_name = "STEPS", default_value = "50", value_parser = count, allow_hyphen_values = true)]
    pub checkpoint_every: usize,

    /// Matrix whose singular values spectrum.png shows [default: the output projection of the middle layer]
    #[arg(long, value_name = "PARAMETER")]
    pub spectrum: Option<String>,

    /// Bytes of text to generate from each trained model
    #[arg(long, value_name = "BYTES", default_value_t = 400)]
    pub sample: usize,

    /// Folder for everything the run writes. It must hold no run yet, unless --resume or --overwrite is given, and one process
    /// at a time writes there
    #[arg(long, value_name = "DIR", default_value = "out/train_lm")]
    pub out: PathBuf,

    /// Go on from the checkpoints in --out; optimizers that have none there start from the beginning
    #[arg(long)]
    pub resume: bool,

    /// Replace what is in --out, checkpoints of the same run too
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,

    /// Tune each optimizer instead: change one setting after the other, train, keep what is best.
    /// About ten runs for each optimizer; writes sweep/sweep.csv and sweep/sweep.txt in --out
    #[arg(long, conflicts_with = "resume")]
    pub sweep: bool,
}

/// The curves that get to zero: thresholds fall as far as the learning rate does.
fn curves() -> impl Iterator<Item = &'static str> {
    DecayCurve::ALL.into_iter().filter(|curve| *curve != DecayCurve::Exponential).map(DecayCurve::name)
}

impl CommandLine {
    /// What may be done with results that are in `out` already.
    pub(crate) fn existing(&self) -> Existing {
        match (self.resume, self.overwrite) {
            (true, _) => Existing::Resume,
            (false, true) => Existing::Replace,
            (false, false) => Existing::Refuse,
        }
    }

    /// Reads what follows the program's name. `Ok(None)`: help or version was asked for and has been printed.
    pub fn read(
        program: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Self>, Failure> {
        let arguments = std::iter::once(program.into()).chain(arguments);
        let matches = Self::command().name(program).try_get_matches_from(arguments);
        match matches.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches)) {
            Ok(command_line) => Ok(Some(command_line)),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                error.print().map_err(Failure::run)?;
                Ok(None)
            }
            Err(error) => Err(in_one_line(&error, program)),
        }
    }
}

#[cfg(test)]
impl CommandLine {
    pub(crate) fn try_for_tests(flags: &[&str]) -> Self {
        let line = Self::read("train_lm", flags.iter().map(Into::into));
        line.ok().flatten().expect("sound flags")
    }
}

/// clap explains over several lines; the first paragraph is the explanation.
fn in_one_line(error: &clap::Error, program: &str) -> Failure {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim();
    Failure::input(format!("{first} (see {program} --help)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Option<CommandLine>, Failure> {
        CommandLine::read("train_lm", arguments.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn optimizers_may_be_repeated_and_separated() {
        let names = |arguments| read(arguments).ok().flatten().map(|line| line.optimizer).unwrap_or_default();
        assert_eq!(names(""), ["adamw", "spectra"]);
        assert_eq!(names("--optimizer spectra --optimizer adamw,adamw"), ["spectra", "adamw", "adamw"]);
    }

    #[test]
    fn bad_numbers_are_one_line() {
        for arguments in [
            "--steps 0",
            "--steps -1",
            "--optimizer sgd",
            "--decay 2",
            "--clip-decay exponential",
            "--pre-clip-decay sqrt",
            "--clip-norm nan",
            "--average 0",
            "--nonsense",
            "--resume --overwrite",
        ] {
            let Err(Failure::Input(line)) = read(arguments) else { panic!("{arguments} was accepted") };
            assert!(!line.contains('\n') && line.ends_with("--help)"), "{line}");
        }
    }
}
