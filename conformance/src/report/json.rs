//! Every outcome and measurement as JSON.
//!
//! An array of backends; each has its checks, each check its points. A number that is no finite one (the error of a NaN) is
//! `null`.

use serde_json::{Value, json};

use super::Column;
use crate::suite::{Entry, Point, Status, minimum_executed};

pub(super) fn text(columns: &[Column]) -> Result<String, String> {
    let backends: Vec<Value> = columns.iter().map(backend).collect();
    let value = json!({ "suite": env!("CARGO_PKG_VERSION"), "backends": backends });
    serde_json::to_string(&value).map_err(|error| error.to_string())
}

fn backend(column: &Column) -> Value {
    let report = &column.report;
    json!({
        "backend": column.backend,
        "element": column.element.to_string(),
        "unit_roundoff": column.element.unit_roundoff(),
        "passed": report.passed(),
        "executed": report.executed(),
        "minimum_executed": minimum_executed(report.entries.len()),
        "failed": report.failures().count(),
        "checks": report.entries.iter().map(check).collect::<Vec<_>>(),
    })
}

fn check(entry: &Entry) -> Value {
    let mut value = json!({ "group": entry.group, "name": entry.name });
    match &entry.status {
        Status::Passed(measured) => {
            value["status"] = "passed".into();
            value["worst"] = measured.worst.clone().into();
            value["error"] = measured.error.into();
            value["tolerance"] = measured.tolerance.into();
            value["share"] = measured.fraction().into();
            value["comparisons"] = measured.comparisons.into();
        }
        Status::Failed(failure) => {
            value["status"] = "failed".into();
            value["failure"] = failure.to_string().into();
        }
        Status::Skipped => value["status"] = "skipped".into(),
    }
    value["points"] = entry.status.points().iter().map(point).collect();
    value
}

fn point(point: &Point) -> Value {
    json!({
        "input": point.input.map(|input| &input.name),
        "family": point.input.map(|input| format!("{:?}", input.family)),
        "rows": point.shape.0,
        "cols": point.shape.1,
        "condition": point.condition(),
        "error": point.error,
        "tolerance": point.tolerance,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::text;
    use crate::Precision;
    use crate::inputs::standard;
    use crate::report::Column;
    use crate::suite::{Entry, Failure, Measured, Point, Report, Status};

    #[test]
    fn what_is_written_can_be_read() {
        let input = &standard(Precision::F32)[0];
        let at = |error| Point { shape: input.matrix.shape(), input: Some(input), error, tolerance: 1e-5 };
        let measured = Measured {
            worst: "a \"quoted\" name".into(),
            error: 1e-6,
            tolerance: 1e-5,
            comparisons: 7,
            points: vec![at(1e-6)],
        };
        let failure = Failure::Inexact {
            what: "b".into(),
            error: f64::NAN,
            tolerance: 1e-5,
            points: vec![at(f64::NAN)],
        };
        let entry = |name, status| Entry { group: "g", name, status };
        let entries = vec![
            entry("passes", Status::Passed(measured)),
            entry("fails", Status::Failed(failure)),
            entry("rests", Status::Skipped),
        ];
        let column = Column { backend: "x".into(), element: Precision::F32, report: Report { entries } };
        let value: Value = serde_json::from_str(&text(&[column]).unwrap()).unwrap();
        let backend = &value["backends"][0];
        assert_eq!((backend["passed"].as_bool(), backend["executed"].as_u64()), (Some(false), Some(2)));
        let checks = &backend["checks"];
        assert_eq!(checks[0]["worst"], "a \"quoted\" name");
        assert_eq!(checks[0]["share"].as_f64(), Some(1e-6 / 1e-5));
        assert_eq!(checks[0]["points"][0]["condition"].as_f64(), at(0.0).condition());
        assert!(checks[1]["points"][0]["error"].is_null());
        assert_eq!((&checks[1]["status"], &checks[2]["status"]), (&"failed".into(), &"skipped".into()));
    }
}
