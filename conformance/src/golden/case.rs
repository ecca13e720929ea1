//! One golden case: its description and its arrays.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;

use super::fields::Fields;
use super::{Array, GoldenError, Values, files};
use crate::HostMatrix;

/// One golden case, read whole.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The case's name, which is its file's.
    pub name: String,
    /// Which program or paper the results come from.
    pub source: String,
    /// What was computed, the conventions, and how the results were verified.
    pub about: String,
    pub(super) hyper: Value,
    inputs: BTreeMap<String, Array>,
    outputs: BTreeMap<String, Array>,
    pub(super) used: Fields,
}

impl Golden {
    /// Reads the case `name`.
    ///
    /// # Errors
    /// [`GoldenError`] if there is no such file, or it is not a golden case.
    pub fn load(name: &str) -> Result<Self, GoldenError> {
        Self::from_bytes(name, &files::read(name)?)
    }

    /// Reads a case from the bytes of its file; `name` is the name it must bear.
    ///
    /// # Errors
    /// [`GoldenError`] if the bytes are not that golden case.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, GoldenError> {
        let format_error = |source| GoldenError::Format { case: name.to_owned(), source };
        let content_error = |problem| GoldenError::Content { case: name.to_owned(), problem };

        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format_error)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(format_error)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |field: &str| {
            let missing = || content_error(format!("its metadata lack {field:?}"));
            metadata.get(field).cloned().ok_or_else(missing)
        };
        let hyper = serde_json::from_str(&text("hyper")?)
            .map_err(|error| content_error(format!("hyper is not JSON: {error}")))?;
        if text("name")? != name {
            return Err(content_error(format!("it calls itself {:?}", text("name")?)));
        }

        let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        for (tensor, view) in tensors.iter() {
            let (group, key) = match tensor.split_once('.') {
                Some(("inputs", key)) => (&mut inputs, key),
                Some(("outputs", key)) => (&mut outputs, key),
                _ => return Err(content_error(format!("tensor {tensor:?} is neither input nor output"))),
            };
            let array =
                Array::from_view(&view).map_err(|problem| content_error(format!("{tensor}: {problem}")))?;
            group.insert(key.to_owned(), array);
        }
        Ok(Self {
            name: name.to_owned(),
            source: text("source")?,
            about: text("about")?,
            hyper,
            inputs,
            outputs,
            used: Fields::default(),
        })
    }

    /// What the case computes from.
    #[must_use]
    pub fn inputs(&self) -> Arrays<'_> {
        Arrays { case: self, group: "inputs", arrays: &self.inputs }
    }

    /// What the case computes.
    #[must_use]
    pub fn outputs(&self) -> Arrays<'_> {
        Arrays { case: self, group: "outputs", arrays: &self.outputs }
    }
}

/// The inputs or the outputs of a case, by name and in the wanted form.
#[derive(Clone, Copy, Debug)]
pub struct Arrays<'a> {
    case: &'a Golden,
    group: &'static str,
    arrays: &'a BTreeMap<String, Array>,
}

impl<'a> Arrays<'a> {
    /// All names, sorted.
    pub fn names(self) -> impl Iterator<Item = &'a str> {
        self.arrays.keys().map(String::as_str)
    }

    /// The array `name` in its stored form.
    ///
    /// # Errors
    /// [`GoldenError::Missing`] if there is none.
    pub fn array(self, name: &str) -> Result<&'a Array, GoldenError> {
        let array = self.arrays.get(name).ok_or_else(|| GoldenError::Missing {
            case: self.case.name.clone(),
            wanted: self.field(name),
            present: self.names().map(str::to_owned).collect(),
        })?;
        self.case.used.read(self.field(name));
        Ok(array)
    }

    /// The array's name among the fields of the case.
    pub(super) fn field(self, name: &str) -> String {
        format!("{}.{name}", self.group)
    }

    /// The array `name`, which must be a matrix.
    ///
    /// # Errors
    /// [`GoldenError::Missing`] if there is none, [`GoldenError::Kind`] if it has another number of dimensions or
    /// holds integers.
    pub fn matrix(self, name: &str) -> Result<HostMatrix, GoldenError> {
        let array = self.array(name)?;
        match (array.shape.as_slice(), array.to_f64()) {
            (&[rows, cols], Some(data)) => Ok(HostMatrix::from_data(rows, cols, data)),
            _ => Err(self.kind(name, array, "a matrix")),
        }
    }

    /// The array `name`, which must be a vector.
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn vector(self, name: &str) -> Result<Vec<f64>, GoldenError> {
        let array = self.array(name)?;
        match (array.shape.len(), array.to_f64()) {
            (1, Some(data)) => Ok(data),
            _ => Err(self.kind(name, array, "a vector")),
        }
    }

    /// The array `name` as a model's parameter: a matrix, or a vector as one column.
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn parameter(self, name: &str) -> Result<HostMatrix, GoldenError> {
        if self.array(name)?.shape.len() == 1 {
            Ok(HostMatrix::column(&self.vector(name)?))
        } else {
            self.matrix(name)
        }
    }

    /// The array `name`, which must be a vector of integers.
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn integers(self, name: &str) -> Result<&'a [i64], GoldenError> {
        let array = self.array(name)?;
        match (array.shape.len(), &array.values) {
            (1, Values::I64(values)) => Ok(values),
            _ => Err(self.kind(name, array, "a vector of integers")),
        }
    }

    fn kind(self, name: &str, array: &Array, wanted: &str) -> GoldenError {
        GoldenError::Kind {
            case: self.case.name.clone(),
            wanted: self.field(name),
            found: format!("{}, not {wanted}", array.describe()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::array::Values;
    use super::super::{directory, names};
    use super::{Golden, GoldenError};

    const CASES: usize = 92;

    #[test]
    fn every_case_loads_with_description_arrays_and_tolerance() {
        let names = names("").unwrap();
        assert_eq!(names.len(), CASES);
        for name in &names {
            let case = Golden::load(name).unwrap();
            assert!(!case.about.is_empty() && !case.source.is_empty(), "{name}");
            assert!(case.inputs().names().count() >= 1, "{name}");
            assert!(case.tolerance().unwrap() <= 1e-6, "{name}");
            for output in case.outputs().names() {
                let array = case.outputs().array(output).unwrap();
                // Counters and places of selected slices are integers.
                let integers = match &array.values {
                    Values::I64(values) => Some(values.iter().map(|x| *x as f64).collect()),
                    Values::F64(_) | Values::F32(_) => None,
                };
                let numbers = array.to_f64().or(integers).unwrap();
                assert_eq!(numbers.len(), array.shape.iter().product::<usize>(), "{name} {output}");
                assert!(numbers.iter().all(|number| number.is_finite()), "{name} {output}");
            }
        }
    }

    #[test]
    fn prefixes_select() {
        assert_eq!(names("spectra_step_").unwrap().len(), 12);
        assert_eq!(names("spectra_power_iteration_").unwrap().len(), 6);
        assert!(names("no such case").unwrap().is_empty());
    }

    #[test]
    fn forms_are_typed() {
        let case = Golden::load("baseline_adamw").unwrap();
        assert_eq!(case.inputs().matrix("P0_0").unwrap().shape(), (10, 14));
        assert_eq!(case.inputs().vector("P2_0").unwrap().len(), 9);
        assert_eq!(case.inputs().parameter("P2_0").unwrap().shape(), (9, 1));
        assert!(matches!(case.inputs().matrix("P2_0"), Err(GoldenError::Kind { .. })));
        assert!(matches!(case.inputs().vector("P0_0"), Err(GoldenError::Kind { .. })));
        let error = case.outputs().matrix("P0_5").unwrap_err();
        assert!(error.to_string().contains("outputs.P0_5") && error.to_string().contains("P0_12"), "{error}");

        let schedules = Golden::load("schedules_lr").unwrap();
        assert_eq!(schedules.inputs().integers("t").unwrap()[..3], [0, 1, 2]);
        assert!(matches!(schedules.inputs().vector("t"), Err(GoldenError::Kind { .. })));
    }

    #[test]
    fn single_precision_widens_exactly() {
        let case = Golden::load("soft_clip_wide").unwrap();
        let single = case.outputs().matrix("official_ns10_f32_c10").unwrap();
        assert!(single.data.iter().all(|&entry| crate::Precision::F32.round(entry) == entry));
        let double = case.outputs().matrix("official_ns10_f64_c10").unwrap();
        let error = crate::distance::max_error(&single.data, &double.data);
        assert!(error > 1e-9 && error < case.tolerance_of("official_ns10_f32_c10").unwrap(), "{error:e}");
    }

    #[test]
    fn broken_files_are_errors() {
        assert!(matches!(Golden::load("no_such_case"), Err(GoldenError::Io { .. })));
        let bytes = std::fs::read(directory().join("vector_clip.safetensors")).unwrap();
        assert!(Golden::from_bytes("vector_clip", &bytes).is_ok());
        assert!(matches!(Golden::from_bytes("other", &bytes), Err(GoldenError::Content { .. })));
        for length in (0..bytes.len()).step_by(61) {
            let truncated = Golden::from_bytes("vector_clip", &bytes[..length]);
            assert!(matches!(truncated, Err(GoldenError::Format { .. })), "{length} bytes");
        }
    }
}
