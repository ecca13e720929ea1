//! Hyperparameters of a case. `onecycle.pct_start` is the entry `pct_start` of the object `onecycle`.

use serde_json::Value;

use super::{Golden, GoldenError};

impl Golden {
    /// The number `name`.
    ///
    /// # Errors
    /// [`GoldenError::Missing`] if the case has none, [`GoldenError::Kind`] if it is not a number.
    pub fn hyper_number(&self, name: &str) -> Result<f64, GoldenError> {
        self.hyper(name, "a number", Value::as_f64)
    }

    /// The count `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is not a whole number.
    pub fn hyper_count(&self, name: &str) -> Result<usize, GoldenError> {
        self.hyper(name, "a count", as_count)
    }

    /// The flag `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is neither true nor false.
    pub fn hyper_flag(&self, name: &str) -> Result<bool, GoldenError> {
        self.hyper(name, "a flag", Value::as_bool)
    }

    /// The text `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is not text.
    pub fn hyper_text(&self, name: &str) -> Result<&str, GoldenError> {
        self.hyper(name, "text", Value::as_str)
    }

    /// The list of numbers `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is not a list of numbers.
    pub fn hyper_numbers(&self, name: &str) -> Result<Vec<f64>, GoldenError> {
        self.hyper(name, "a list of numbers", |value| list(value, Value::as_f64))
    }

    /// The list of lists of numbers `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is none.
    pub fn hyper_rows(&self, name: &str) -> Result<Vec<Vec<f64>>, GoldenError> {
        self.hyper(name, "a list of lists of numbers", |value| list(value, |row| list(row, Value::as_f64)))
    }

    /// The list of counts `name`.
    ///
    /// # Errors
    /// As [`Self::hyper_number`], if it is not a list of whole numbers.
    pub fn hyper_counts(&self, name: &str) -> Result<Vec<usize>, GoldenError> {
        self.hyper(name, "a list of counts", |value| list(value, as_count))
    }

    /// The count `name`; `None` if the case has none, or null.
    ///
    /// # Errors
    /// [`GoldenError::Kind`] if it is something else.
    pub fn hyper_optional_count(&self, name: &str) -> Result<Option<usize>, GoldenError> {
        let present = self.hyper_value(name).is_some();
        let count = |value: &Value| if value.is_null() { Some(None) } else { as_count(value).map(Some) };
        if present { self.hyper(name, "a count or null", count) } else { Ok(None) }
    }

    /// Requires that `name` has the value that a replay has built in.
    ///
    /// # Errors
    /// [`GoldenError::Missing`] if the case has none, [`GoldenError::Kind`] if it has another.
    pub fn hyper_must_be(&self, name: &str, value: impl Into<Value>) -> Result<(), GoldenError> {
        let value = value.into();
        self.hyper(name, &value.to_string(), |found| (*found == value).then_some(()))
    }

    fn hyper_value(&self, name: &str) -> Option<&Value> {
        name.split('.').try_fold(&self.hyper, |value, part| value.get(part))
    }

    fn hyper<'a, T>(
        &'a self,
        name: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, GoldenError> {
        let value = self.hyper_value(name).ok_or_else(|| GoldenError::Missing {
            case: self.name.clone(),
            wanted: format!("hyper.{name}"),
            present: self.hyper.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect(),
        })?;
        self.used.read(format!("hyper.{name}"));
        read(value).ok_or_else(|| GoldenError::Kind {
            case: self.name.clone(),
            wanted: format!("hyper.{name}"),
            found: format!("{value}, not {wanted}"),
        })
    }
}

fn as_count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok())
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::{Golden, GoldenError};

    #[test]
    fn hyperparameters_are_typed() {
        let case = Golden::load("spectra_power_iteration_spike_tall").unwrap();
        assert_eq!(case.hyper_counts("T").unwrap(), [1, 2, 4, 8]);
        assert_eq!(case.hyper_count("k").unwrap(), 4);
        assert_eq!(case.hyper_text("v0").unwrap(), "warm");
        assert!(matches!(case.hyper_count("v0"), Err(GoldenError::Kind { .. })));
        let error = case.hyper_number("lr").unwrap_err();
        assert!(error.to_string().contains("hyper.lr"), "{error}");

        let muon = Golden::load("baseline_muon_kellerjordan").unwrap();
        assert!(muon.hyper_flag("nesterov").unwrap());
        let adamw = Golden::load("baseline_adamw").unwrap();
        assert_eq!(adamw.hyper_numbers("betas").unwrap(), [0.8, 0.999]);
        assert!(matches!(adamw.hyper_counts("betas"), Err(GoldenError::Kind { .. })));
    }
}
