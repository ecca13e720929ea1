//! Settings of a configuration by their path in its serialized form: what has no flag of its own.

use serde_json::Value;
use spectra_core::optimizer::Config;

use crate::Failure;

/// Of the flag's values those meant for `optimizer`, without its name.
pub(crate) fn of(optimizer: &str, values: &[String]) -> Vec<String> {
    let meant =
        |value: &String| match value.split_once('=').map_or(value.as_str(), |(path, _)| path).split_once(':')
        {
            Some((name, _)) if name == optimizer => Some(value[name.len() + 1..].to_string()),
            Some(_) => None,
            None => Some(value.clone()),
        };
    values.iter().filter_map(meant).collect()
}

/// The configuration with these fields set.
///
/// A field that is at its default may be left out of the serialized form, so that a path need not exist before; what counts is that the
/// configuration read back has the value there.
pub(crate) fn apply(config: Config, values: &[String]) -> Result<Config, Failure> {
    if values.is_empty() {
        return Ok(config);
    }
    let mut form = serde_json::to_value(config).map_err(Failure::input)?;
    for given in values {
        let refused = |problem: &dyn std::fmt::Display| Failure::input(format!("--set {given}: {problem}"));
        let (path, value) = given.split_once('=').ok_or_else(|| refused(&"it is no PATH=VALUE"))?;
        // A word need not stand in quotes.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        let mut place = &mut form;
        for key in path.split('.') {
            let Value::Object(fields) = place else {
                return Err(refused(&format!("there is nothing inside `{place}` to be called `{key}`")));
            };
            place = fields.entry(key).or_insert(Value::Null);
        }
        *place = value.clone();
        let read: Config = serde_json::from_value(form.clone()).map_err(|error| refused(&error))?;
        form = serde_json::to_value(read).map_err(Failure::input)?;
        let kept = path.split('.').try_fold(&form, |place, key| place.get(key));
        if !kept.is_some_and(|kept| same(kept, &value)) {
            return Err(refused(&"the configuration has no such field, or not for this value"));
        }
    }
    serde_json::from_value(form).map_err(Failure::input)
}

/// Whether a value that was read back is the one that was given: 1 is 1.0, and an object may have got its defaults.
fn same(read: &Value, given: &Value) -> bool {
    match (read, given) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(read), Value::Object(given)) => {
            given.iter().all(|(key, value)| read.get(key).is_some_and(|read| same(read, value)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => read == given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(preset: &str, values: &[&str]) -> Result<Config, Failure> {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        apply(Config::preset(preset).expect("a preset"), &of(preset, &values))
    }

    #[test]
    fn a_field_is_set_by_its_path() {
        let form = serde_json::to_value(Config::preset("spectra").expect("a preset")).expect("a form");
        println!("{form:#}");
        let config = set("spectra", &["lr=0.5", "muon:lr=7", "spectra:clip_norm=2"]).expect("sound settings");
        assert_eq!((config.lr, config.clip_norm), (0.5, Some(2.0)));
    }

    #[test]
    fn what_is_no_field_is_refused_by_its_path() {
        for wrong in ["lr", "lr=fast", "rate=1", "lr.peak=1", "spectral.map.Nonsense=1"] {
            let failure = set("spectra", &[wrong]).expect_err(wrong);
            assert!(failure.to_string().contains(wrong), "{failure}");
        }
    }
}
