//! What the ranks decide together.

use super::super::{Collectives, put_text, texts};
use super::Sharded;
use crate::backend::{Backend, Error, ErrorKind, Ranks, Result};
use crate::rules::non_finite;
use alloc::{format, string::String, vec};

impl<B: Backend, C: Collectives<B>> Ranks<B::Scalar> for Sharded<B, C> {
    fn here(&self, f: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let before = self.shared.quiet.replace(true);
        let done = f();
        self.shared.quiet.set(before);
        done
    }

    fn sum(&self, mut number: B::Scalar) -> Result<B::Scalar> {
        self.with_group(|group| group.sum(self.local(), &mut [], &mut [&mut number]))?;
        Ok(number)
    }

    fn max(&self, number: B::Scalar) -> Result<B::Scalar> {
        self.with_group(|group| group.max(self.local(), &number))
    }

    fn bound(&self) -> Result<Option<B::Scalar>> {
        let bound = self.shared.bound.get().filter(|bound| bound.is_finite());
        bound.map(|bound| self.local().scalar(bound * bound)).transpose()
    }

    fn vote(&self, outcome: Result<()>) -> Result<()> {
        let text = outcome.as_ref().err().map(to_text).unwrap_or_default();
        let lens = self.with_group(|group| group.words(&[text.len() as u64]))?;
        settle(self, outcome, &text, &lens)
    }
}

/// After every rank has told the length of its error's text (0: it has none): the error of the first that has one, on all. Only then the
/// texts are sent.
pub(in crate::distributed) fn settle<B: Backend, C: Collectives<B>>(
    sharded: &Sharded<B, C>,
    outcome: Result<()>,
    text: &str,
    lens: &[u64],
) -> Result<()> {
    let Some(first) = lens.iter().position(|len| *len > 0) else { return outcome };
    let longest = lens.iter().copied().max().unwrap_or(0) as usize;
    let mut words = vec![0; longest.div_ceil(8)];
    put_text(&mut words, text);
    let all = sharded.with_group(|group| group.words(&words))?;
    match outcome {
        Err(error) if first == sharded.rank() => Err(error),
        _ => {
            let theirs = texts(&all, words.len()).nth(first).unwrap_or_default();
            Err(from_text(first, theirs.get(..lens[first] as usize).unwrap_or(&theirs)))
        }
    }
}

/// What another rank needs to know of an error.
pub(in crate::distributed) fn to_text(error: &Error) -> String {
    let kind = if error.is_non_finite() { 'n' } else { 'e' };
    format!("{kind}{}\u{0}{error}", error.parameter().unwrap_or_default())
}

fn from_text(rank: usize, text: &str) -> Error {
    let (head, message) = text.split_once('\u{0}').unwrap_or_default();
    match head.strip_prefix('n') {
        Some("") => non_finite(),
        Some(parameter) => non_finite().for_parameter(parameter),
        None => Error::new("step", ErrorKind::Elsewhere { rank, message: message.into() }),
    }
}
