//! What a saved state says of itself besides the numbers; read from every version's form.

use super::{Checksum, Setting};
use alloc::{boxed::Box, string::String, vec::Vec};

/// The version of a saved state's meaning that is written.
///
/// 2 added [`StateHeader::run`], [`SavedParameter::buffers`], a checksum of its own to [`Snapshot`](super::Snapshot), and tells averaged momentum, which is
/// smaller by the factor 1 - mu, from the other. 1 is what release 0.1 wrote.
pub const STATE_VERSION: u32 = 2;

/// The oldest version that is read.
pub const OLDEST_STATE_VERSION: u32 = 1;

/// What a saved state says of itself besides the numbers.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StateHeader {
    /// [`STATE_VERSION`] of the writer.
    pub version: u32,
    /// `"f32"` or `"f64"`.
    pub element: String,
    /// Steps taken.
    pub steps: u64,
    /// Learning rate of the hidden matrices when it was saved; it is reported, not restored.
    pub lr: f64,
    /// The parameters, in order.
    pub parameters: Vec<SavedParameter>,
    /// The run that saved it; none in version 1.
    pub run: Option<SavedRun>,
}

/// One parameter of a [`StateHeader`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SavedParameter {
    /// Its name.
    pub name: Box<str>,
    /// Rows of its matrix view.
    pub rows: usize,
    /// Columns of its matrix view.
    pub cols: usize,
    /// [`UpdateRule::signature_in`](crate::rules::UpdateRule::signature_in) the header's version, or `"frozen"`.
    pub rule: String,
    /// Steps it has taken.
    pub steps: u64,
    /// Its buffers; none in version 1, where they follow from the rule.
    #[cfg_attr(feature = "serde", serde(default))]
    pub buffers: Vec<SavedShape>,
}

/// A buffer's name and shape.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SavedShape {
    /// Its name.
    pub name: Box<str>,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub cols: usize,
}

/// The run that saved a state, of a [`StateHeader`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SavedRun {
    /// Factor of the clip threshold: how far its schedule had come.
    pub clip_factor: f64,
    /// Factor of the pre-clip's threshold.
    pub pre_clip_factor: f64,
    /// Its settings, to tell what differs.
    pub settings: Vec<Setting>,
}

impl StateHeader {
    /// Adds everything in the order of the fields to a checksum: numbers as a word (floats by their bits), texts as bytes, lists by their
    /// length and their entries, an option by 0, or by 1 and what it holds.
    pub fn add_to(&self, sum: &mut Checksum) {
        sum.word(self.version.into());
        sum.bytes(self.element.as_bytes());
        sum.word(self.steps);
        sum.word(self.lr.to_bits());
        sum.word(self.parameters.len() as u64);
        for SavedParameter { name, rows, cols, rule, steps, buffers } in &self.parameters {
            sum.bytes(name.as_bytes());
            sum.word(*rows as u64);
            sum.word(*cols as u64);
            sum.bytes(rule.as_bytes());
            sum.word(*steps);
            sum.word(buffers.len() as u64);
            for SavedShape { name, rows, cols } in buffers {
                sum.bytes(name.as_bytes());
                sum.word(*rows as u64);
                sum.word(*cols as u64);
            }
        }
        sum.word(self.run.is_some().into());
        if let Some(SavedRun { clip_factor, pre_clip_factor, settings }) = &self.run {
            sum.word(clip_factor.to_bits());
            sum.word(pre_clip_factor.to_bits());
            sum.word(settings.len() as u64);
            for Setting { name, value } in settings {
                sum.bytes(name.as_bytes());
                sum.bytes(value.as_bytes());
            }
        }
    }
}

/// Formats without field names (binary ones) tell by nothing but the version, which comes first, how many fields follow.
#[cfg(feature = "serde")]
mod reading {
    use super::*;
    use core::fmt;
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};

    /// As it is written today; `run` may be missing.
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        version: u32,
        element: String,
        steps: u64,
        lr: f64,
        parameters: Vec<SavedParameter>,
        #[serde(default)]
        run: Option<SavedRun>,
    }

    /// A parameter in version 1.
    #[derive(serde::Deserialize)]
    struct First {
        name: Box<str>,
        rows: usize,
        cols: usize,
        rule: String,
        steps: u64,
    }

    impl From<First> for SavedParameter {
        fn from(First { name, rows, cols, rule, steps }: First) -> Self {
            Self { name, rows, cols, rule, steps, buffers: Vec::new() }
        }
    }

    const FIELDS: &[&str] = &["version", "element", "steps", "lr", "parameters", "run"];

    struct Fields;

    impl<'de> Visitor<'de> for Fields {
        type Value = StateHeader;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the header of an optimizer state")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<StateHeader, A::Error> {
            fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
                fields: &mut A,
                at: usize,
            ) -> Result<T, A::Error> {
                fields.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &"six fields"))
            }
            let version = next(&mut fields, 0)?;
            let (element, steps, lr) = (next(&mut fields, 1)?, next(&mut fields, 2)?, next(&mut fields, 3)?);
            let parameters = if version < 2 {
                next::<Vec<First>, A>(&mut fields, 4)?.into_iter().map(Into::into).collect()
            } else {
                next(&mut fields, 4)?
            };
            Ok(StateHeader {
                version,
                element,
                steps,
                lr,
                parameters,
                run: if version < 2 { None } else { next(&mut fields, 5)? },
            })
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<StateHeader, A::Error> {
            let Named { version, element, steps, lr, parameters, run } =
                Named::deserialize(value::MapAccessDeserializer::new(fields))?;
            if version < 2 && run.is_some() {
                return Err(A::Error::custom("version 1 has no field `run`"));
            }
            Ok(StateHeader { version, element, steps, lr, parameters, run })
        }
    }

    impl<'de> Deserialize<'de> for StateHeader {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_struct("StateHeader", FIELDS, Fields)
        }
    }
}
