//! What a parameter's name says about it: the tables of names, and how a name is read.

use alloc::string::String;
use alloc::vec::Vec;

use super::entry::Reason;
use Place::{Anywhere, Top, Unnumbered};

/// Where a row of a table has to stand in a name.
#[derive(Clone, Copy)]
enum Place {
    /// Anywhere.
    Anywhere,
    /// It is the parameter or the module that owns it, behind no layer index.
    Unnumbered,
    /// The same, and nothing stands before it but a [wrapper](WRAPPERS) around the whole model.
    Top,
}

/// Segments, joined by a dot if there are two, and where they stand.
type Row = (&'static str, Place);

/// Output heads, beside every name whose last word is `head` or `heads`.
const HEADS: &[Row] = &[
    ("lm_head", Anywhere),                      // Hugging Face's language models
    ("markov_head", Anywhere),                  // DSpark: its factors, in numbered stages too
    ("shared_head.head", Anywhere),             // DeepSeek-V3: multi-token prediction, in a numbered layer
    ("embed_out", Anywhere),                    // GPT-NeoX
    ("unembed", Anywhere),                      // TransformerLens
    ("predictions.decoder", Anywhere),          // BERT, ALBERT
    ("seq_relationship", Anywhere),             // BERT
    ("qa_outputs", Anywhere),                   // BERT
    ("vocab_projector", Anywhere),              // DistilBERT
    ("classifier.out_proj", Anywhere),          // RoBERTa
    ("classification_head.out_proj", Anywhere), // BART
    ("output_projection", Unnumbered),          // fairseq
    ("output", Unnumbered),                     // Meta's LLaMA
    ("classifier", Unnumbered),
    ("score", Unnumbered),
    ("logits", Unnumbered),
    ("to_logits", Unnumbered),
    ("proj_out", Top), // Whisper; inside blocks (diffusion models) a hidden matrix
];

/// Embedding tables, beside every segment with a [word](is_embedding) for them.
const TABLES: &[Row] = &[
    ("tok", Unnumbered),
    ("token", Unnumbered),
    ("tokens", Unnumbered),
    ("token_type", Unnumbered),
    ("token_types", Unnumbered),
    ("vocab", Unnumbered),
    ("vocabulary", Unnumbered),
    ("pos", Unnumbered),
    ("position", Unnumbered),
    ("positions", Unnumbered),
    ("shared", Unnumbered), // T5, BART
];

/// Coefficients of recurrences, which are two-dimensional and no map between features.
const RECURRENCES: &[Row] = &[
    ("a_log", Anywhere), // Mamba
    ("a_logs", Anywhere),
    ("a_b_log", Anywhere),
    ("a_real", Anywhere), // S4
    ("a_imag", Anywhere),
    ("time_decay", Anywhere), // RWKV
    ("time_first", Anywhere),
    ("time_faaaa", Anywhere),
];

/// Modules around a whole model.
const WRAPPERS: [&str; 7] = ["model", "module", "net", "transformer", "decoder", "base_model", "_orig_mod"];

/// What training tools put between a module and its parameter (PEFT).
const TRANSPARENT: [&str; 4] = ["base_layer", "modules_to_save", "original_module", "default"];

/// With one of these words a segment names a map to or from an embedding, not the table.
const PROJECTIONS: [&str; 7] = ["proj", "project", "projection", "projector", "mapping", "linear", "dense"];

/// What follows the word `lora` in the name of a factor.
const FACTORS: [&str; 7] = ["a", "b", "down", "up", "mid", "embedding", "magnitude"];

/// A name in lower case, read.
pub(super) struct Name<'a> {
    segments: Vec<&'a str>,
}

impl<'a> Name<'a> {
    /// `lower` is in lower case.
    pub(super) fn new(lower: &'a str) -> Self {
        Self { segments: segments(lower).collect() }
    }

    /// What the name alone tells, the first that fits.
    pub(super) fn kind(&self) -> Option<Reason> {
        let is_head = |(_, segment): (usize, &str)| {
            words(segment).next_back().is_some_and(|w| w == "head" || w == "heads")
        };
        let table = |(_, segment): (usize, &str)| {
            words(segment).any(is_embedding) && !words(segment).any(|word| PROJECTIONS.contains(&word))
        };
        if self.owners().any(|(_, segment)| words(segment).any(|word| word == "bias")) {
            Some(Reason::Bias)
        } else if self.owners().any(|(_, segment)| words(segment).any(is_norm)) {
            Some(Reason::Norm)
        } else if self.is_low_rank() {
            Some(Reason::LowRank)
        } else if self.stands_in(RECURRENCES) {
            Some(Reason::Recurrence)
        } else if self.stands_in(HEADS)
            || self.owners().any(|owner| !self.in_a_layer(owner.0) && is_head(owner))
        {
            Some(Reason::Head)
        } else if self.owners().any(table) || self.stands_in(TABLES) {
            Some(Reason::Embedding)
        } else {
            None
        }
    }

    /// Whether the name says that several experts lie in one tensor: `experts`, and no index behind it.
    ///
    /// Among `words` it is enough that one word says so (`w_experts`).
    pub(super) fn stacks_experts(&self, by_words: bool) -> bool {
        self.segments.iter().enumerate().any(|(at, segment)| {
            let alone = self.segments.get(at + 1).is_none_or(|next| !is_index(next));
            let word = || words(segment).any(|w| w == "experts" || w == "expert");
            let shared = || words(segment).any(|w| w == "shared");
            alone && (*segment == "experts" || by_words && word() && !shared())
        })
    }

    /// Whether a word of the module or of the parameter begins or ends with `conv`: `conv1d`, `dwconv`.
    pub(super) fn is_convolution(&self) -> bool {
        self.owners()
            .any(|(_, s)| words(s).any(|word| word.starts_with("conv") || stem(word).ends_with("conv")))
    }

    /// Where `fc`, `fc1`, .. is the parameter or owns it, behind no layer index: the segments before it.
    pub(super) fn before_fc(&self) -> Option<&[&'a str]> {
        let (at, _) = self.owners().find(|(_, segment)| stem(segment) == "fc")?;
        let before = self.segments.get(..at)?;
        (!self.in_a_layer(at)).then_some(before)
    }

    /// The parameter, then the module that owns it, without the indices between and behind them.
    fn owners(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let named = |(_, segment): &(usize, &str)| !is_index(segment) && !TRANSPARENT.contains(segment);
        self.segments.iter().copied().enumerate().filter(named).rev().take(2)
    }

    fn in_a_layer(&self, at: usize) -> bool {
        self.segments.iter().take(at).any(|segment| is_index(segment))
    }

    fn stands_in(&self, table: &[Row]) -> bool {
        table.iter().any(|(row, place)| match place {
            Anywhere => {
                let row: Vec<&str> = segments(row).collect();
                self.segments.windows(row.len()).any(|found| found == row)
            }
            Unnumbered => self.owners().any(|(at, segment)| segment == *row && !self.in_a_layer(at)),
            Top => self.owners().any(|(at, segment)| {
                segment == *row && self.segments.iter().take(at).all(|before| WRAPPERS.contains(before))
            }),
        })
    }

    /// `lora_a`, `lora_B.default`, `to_q_lora.up`, burn's `weight.lora.a`.
    fn is_low_rank(&self) -> bool {
        let words: Vec<&str> = self.segments.iter().flat_map(|segment| words(segment)).collect();
        words.windows(2).any(|pair| pair[0] == "lora" && FACTORS.contains(&pair[1]))
    }
}

/// A name's parts between dots or slashes.
pub(super) fn segments(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '/'])
}

fn words(segment: &str) -> impl DoubleEndedIterator<Item = &str> {
    segment.split(['_', '-'])
}

/// Without the digits at its end.
pub(super) fn stem(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// A layer index: a number as it is printed, without leading zeros or a sign.
pub(super) fn is_index(segment: &str) -> bool {
    let digits = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    digits && (segment == "0" || !segment.starts_with('0'))
}

fn is_norm(word: &str) -> bool {
    let stem = stem(word);
    stem.starts_with("norm") || stem.ends_with("norm") || ["ln", "bn", "gn"].contains(&stem)
}

fn is_embedding(word: &str) -> bool {
    word.contains("embed") || ["emb", "embd", "wte", "wpe", "codebook"].contains(&word)
}

/// A name with its layer indices cut out, and the indices in their order.
pub(crate) fn without_indices(name: &str) -> (String, Vec<u64>) {
    let mut indices = Vec::new();
    let mut stem = String::with_capacity(name.len());
    for part in name.split_inclusive(['.', '/']) {
        let segment = part.trim_end_matches(['.', '/']);
        match segment.parse() {
            Ok(index) if is_index(segment) => {
                indices.push(index);
                stem.push(HOLE);
                stem.push_str(&part[segment.len()..]);
            }
            _ => stem.push_str(part),
        }
    }
    (stem, indices)
}

/// Where [`without_indices`] cut an index out.
pub(super) const HOLE: char = '\0';
