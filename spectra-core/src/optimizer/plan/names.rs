//! What a parameter's name says about it: see the table of the [module](super).

use alloc::string::String;
use alloc::vec::Vec;

use super::entry::Reason;

/// Heads, where no layer index comes before them.
const HEADS: [&str; 7] = ["head", "heads", "output", "classifier", "score", "logits", "to_logits"];

/// Bias, norm, embedding or head, if the name says so.
pub(super) fn kind_by_name(name: &str) -> Option<Reason> {
    let lower = name.to_ascii_lowercase();
    let segments: Vec<&str> = segments(&lower).collect();
    let in_a_layer = |at: usize| segments[..at].iter().any(|segment| is_index(segment));
    // The parameter and the module that owns it, without indices between them.
    let last_two = || {
        let named = segments.iter().copied().enumerate().filter(|(_, segment)| !is_index(segment));
        named.rev().take(2)
    };
    let words = || last_two().flat_map(|(_, segment)| segment.split(['_', '-']));

    if words().any(|word| word == "bias") {
        Some(Reason::Bias)
    } else if words().any(is_norm) {
        Some(Reason::Norm)
    } else if words().any(is_embedding) {
        Some(Reason::Embedding)
    } else if segments.contains(&"lm_head")
        || last_two().any(|(at, segment)| HEADS.contains(&segment) && !in_a_layer(at))
    {
        Some(Reason::Head)
    } else {
        None
    }
}

/// A name's parts between dots or slashes.
pub(super) fn segments(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '/'])
}

/// A layer index: a number as it is printed, without leading zeros or a sign.
pub(super) fn is_index(segment: &str) -> bool {
    let digits = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    digits && (segment == "0" || !segment.starts_with('0'))
}

fn is_norm(word: &str) -> bool {
    let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.starts_with("norm") || stem.ends_with("norm") || ["ln", "bn", "gn"].contains(&stem)
}

fn is_embedding(word: &str) -> bool {
    word.contains("embed") || ["emb", "wte", "wpe"].contains(&word)
}

/// A name with its layer indices cut out, and the indices in their order.
pub(super) fn without_indices(name: &str) -> (String, Vec<u64>) {
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
