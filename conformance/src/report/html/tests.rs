use super::page;
use crate::Precision;
use crate::inputs::standard;
use crate::report::Column;
use crate::suite::{Entry, Failure, Measured, Point, Report, Status};

fn column(backend: &str, element: Precision) -> Column {
    let points = |scale: f64| {
        let inputs = standard(element).iter().take(5);
        let point = |input: &'static crate::inputs::Input| Point {
            shape: input.matrix.shape(),
            input: Some(input),
            error: scale * element.unit_roundoff(),
            tolerance: 10.0 * element.unit_roundoff(),
        };
        inputs.map(point).collect::<Vec<_>>()
    };
    let measured = Measured {
        worst: "beta < 1 & \"alpha\"".into(),
        error: 1.0,
        tolerance: 4.0,
        comparisons: 5,
        points: points(2.5),
    };
    let mut failing = points(2.5);
    failing[4].error = f64::NAN;
    let failure =
        Failure::Inexact { what: "<what>".into(), error: f64::NAN, tolerance: 1.0, points: failing };
    let entry = |group, name, status| Entry { group, name, status };
    let entries = vec![
        entry("first", "passes", Status::Passed(measured)),
        entry("first", "fails", Status::Failed(failure)),
        entry("second", "rests", Status::Skipped),
    ];
    Column { backend: backend.into(), element, report: Report { entries } }
}

fn example() -> String {
    page(&[column("a<b", Precision::F32), column("a<b", Precision::F64), column("other", Precision::F64)])
}

#[test]
fn the_page_needs_nothing_else() {
    let page = example();
    for reference in ["http", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn text_is_escaped_and_tags_are_closed() {
    let page = example();
    assert!(page.contains("a&lt;b f32") && page.contains("&lt;what&gt;"));
    assert!(page.contains("beta &lt; 1 &amp; &quot;alpha&quot;"));
    for tag in
        ["section", "table", "tbody", "tr", "div", "article", "svg", "p", "span", "dl", "dd", "ul", "li"]
    {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(!page.contains("NaN\"") && !page.contains("inf\""), "a coordinate that is no number");
}

#[test]
fn every_outcome_can_be_told() {
    let page = example();
    let count = |text: &str| page.matches(text).count();
    // A legend's entry and three columns of each.
    assert_eq!(count("class=\"failed\">FAILED"), 4);
    assert_eq!(count("class=\"skipped\">skipped"), 4);
    assert_eq!(count("style=\"--depth:50%\">25\u{a0}%"), 3);
    // Two checks with points in two charts each, two failed marks in the second check for each of three columns.
    assert_eq!(count("role=\"img\""), 4);
    assert_eq!(count("<circle"), 2 * 3);
}
