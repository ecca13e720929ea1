//! Which fields of a case have been used. A number that nobody reads is one that the code has guessed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Golden, GoldenError};

/// The fields used so far: those read, and those said to be unused, with the reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(RefCell<BTreeMap<String, Option<&'static str>>>);

impl Fields {
    pub(super) fn read(&self, field: String) {
        self.0.borrow_mut().insert(field, None);
    }
}

impl Golden {
    /// Lists a field (`hyper.lr`, `inputs.X`, `outputs.Y`) as not used, with the reason.
    ///
    /// # Errors
    /// [`GoldenError::Missing`] if the case has no such field.
    pub fn unused(&self, field: &str, reason: &'static str) -> Result<(), GoldenError> {
        let fields = self.fields();
        if !fields.iter().any(|present| present == field) {
            let (case, wanted) = (self.name.clone(), field.to_owned());
            return Err(GoldenError::Missing { case, wanted, present: fields });
        }
        self.used.0.borrow_mut().entry(field.to_owned()).or_insert(Some(reason));
        Ok(())
    }

    /// The fields that have been neither read nor listed as [`unused`](Self::unused).
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        let used = self.used.0.borrow();
        self.fields().into_iter().filter(|field| !used.contains_key(field)).collect()
    }

    /// To be called when a case has been replayed.
    ///
    /// # Errors
    /// [`GoldenError::Content`] if a field has been neither read nor listed as [`unused`](Self::unused), with its name.
    pub fn finish(&self) -> Result<(), GoldenError> {
        let unread = self.unread();
        if unread.is_empty() {
            return Ok(());
        }
        let problem = format!("{} neither read nor listed as unused", unread.join(", "));
        Err(GoldenError::Content { case: self.name.clone(), problem })
    }

    /// Every field; of hyperparameters that are objects every leaf, `hyper.onecycle.pct_start`.
    fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        leaves("hyper", &self.hyper, &mut fields);
        for arrays in [self.inputs(), self.outputs()] {
            fields.extend(arrays.names().map(|name| arrays.field(name)));
        }
        fields
    }
}

fn leaves(path: &str, value: &Value, fields: &mut Vec<String>) {
    match value.as_object() {
        Some(object) => {
            object.iter().for_each(|(name, value)| leaves(&format!("{path}.{name}"), value, fields))
        }
        None => fields.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::{Golden, GoldenError};

    #[test]
    fn every_field_counts_until_it_is_read_or_listed() {
        let case = Golden::load("schedules_lr").unwrap();
        let all = case.unread();
        assert!(
            ["hyper.onecycle.pct_start", "hyper.fract_decay", "inputs.t", "outputs.onecycle_cos"]
                .iter()
                .all(|field| all.iter().any(|f| f == field))
        );
        assert_eq!(case.hyper_number("onecycle.pct_start").unwrap(), 0.1);
        case.inputs().integers("t").unwrap();
        case.unused("hyper.base_lr", "a test").unwrap();
        let left = case.unread();
        assert_eq!(left.len(), all.len() - 3);
        assert!(case.finish().unwrap_err().to_string().contains("hyper.fract_decay"));
        assert!(matches!(case.unused("hyper.no_such", "a test"), Err(GoldenError::Missing { .. })));
    }

    /// Whose optimizer is not implemented; every other case is replayed, which reads or lists all of its fields.
    const NOT_REPLAYED: [&str; 0] = [];

    /// The prefixes of the replays: `replay_*` and the suite's own checks.
    const REPLAYED: [&str; 29] = [
        "baseline_adamw",
        "baseline_ademamix",
        "baseline_dion_",
        "baseline_mars_adamw",
        "baseline_muon_",
        "baseline_signum_",
        "baseline_soap_",
        "frank_wolfe_",
        "peer_dion2_",
        "peer_dion3_",
        "peer_shampoo_",
        "peer_adamuon_",
        "peer_cautious_",
        "peer_hyperball_",
        "peer_lion",
        "peer_normuon_",
        "peer_polar_express_",
        "peer_polargrad_default",
        "peer_polargrad_first",
        "peer_polargrad_qdwh",
        "peer_scion_",
        "schedules_clip_threshold",
        "schedules_lr",
        "soft_clip_",
        "spectra_power_iteration_",
        "spectra_step_",
        "spectra_wrapper_",
        "spectral_ops_",
        "vector_clip",
    ];

    #[test]
    fn every_case_is_replayed_or_listed() {
        for name in names("").unwrap() {
            let prefixes = REPLAYED.iter().chain(&NOT_REPLAYED);
            assert_eq!(prefixes.filter(|prefix| name.starts_with(**prefix)).count(), 1, "{name}");
        }
    }
}
