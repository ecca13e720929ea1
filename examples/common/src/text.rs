//! The text to learn from, as bytes, and its split into a training and a validation part.

use std::path::Path;

use bible_lib::{Bible, Translation};

use crate::Failure;

/// The share of the text, at its end, that is never trained on.
pub const VALIDATION_SHARE: f64 = 0.05;

/// A text and where it came from.
pub struct Text {
    /// The file's name, or the book's.
    pub title: String,
    /// The bytes a model is trained on; the vocabulary is the 256 byte values.
    pub bytes: Vec<u8>,
}

impl Text {
    /// The King James Bible in canonical order, a verse a line, a blank line between chapters.
    ///
    /// `bible-lib` 1.2.2 drops what follows a second colon in a verse, so about a sixth of the book is missing.
    pub fn king_james() -> Result<Self, Failure> {
        let failed = |error: bible_lib::error::BibleLibError| Failure::run(format!("bible-lib: {error}"));
        let bible = Bible::new(Translation::KingJames).map_err(failed)?;
        let mut bytes = Vec::with_capacity(3_600_000);
        for book in bible.get_sorted_books() {
            let mut chapters = bible.get_chapters(&book).map_err(failed)?;
            chapters.sort_unstable();
            for chapter in chapters {
                let mut verses: Vec<_> = bible.verses[&book][&chapter].iter().collect();
                verses.sort_unstable();
                for (_, verse) in verses {
                    bytes.extend_from_slice(verse.as_bytes());
                    bytes.push(b'\n');
                }
                bytes.push(b'\n');
            }
        }
        Ok(Self { title: "King James Bible".into(), bytes })
    }

    /// Any file, taken as bytes.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|error| {
            Failure::input(format!(
                "cannot read the text {}: {error}; name a file with --text",
                path.display()
            ))
        })?;
        Ok(Self { title: path.display().to_string(), bytes })
    }

    /// Cuts off the validation part. Each part must hold one window of `context` bytes and the byte after it.
    pub fn split(&self, context: usize) -> Result<Split<'_>, Failure> {
        let length = self.bytes.len();
        let held_back = (length as f64 * VALIDATION_SHARE) as usize;
        let (train, validation) = self.bytes.split_at(length - held_back);
        if train.len().min(validation.len()) <= context {
            let needed = ((context as f64 + 1.0) / VALIDATION_SHARE).ceil();
            return Err(Failure::input(format!(
                "the text {} has {length} bytes; a context of {context} needs at least {needed}: \
                 pass a longer --text or a smaller --context",
                self.title
            )));
        }
        Ok(Split { train, validation })
    }

    /// 64 bits that tell this text from another one.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.bytes)
    }
}

/// 64 bits that tell these bytes from others (FNV-1a).
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// The two parts of a text.
#[derive(Clone, Copy)]
pub struct Split<'a> {
    /// What the model is trained on.
    pub train: &'a [u8],
    /// What it is measured on.
    pub validation: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn king_james_begins_and_ends_where_it_should() {
        let text = Text::king_james().expect("the text");
        assert!(text.bytes.starts_with(b"In the beginning God created the heaven and the earth.\n"));
        assert!(text.bytes.trim_ascii_end().ends_with(b"[be] with you all. Amen."));
        assert!(text.bytes.len() > 3_000_000);
    }

    #[test]
    fn a_short_text_is_refused() {
        for length in [0, 1, 100, 2579] {
            let text = Text { title: "t".into(), bytes: vec![b'a'; length] };
            assert!(matches!(text.split(128), Err(Failure::Input(_))), "{length}");
        }
        let text = Text { title: "t".into(), bytes: vec![b'a'; 2580] };
        assert_eq!(text.split(128).map(|split| split.validation.len()), Ok(129));
    }
}
