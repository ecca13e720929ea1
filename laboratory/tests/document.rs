//! The document says what the files of results say.

use std::path::Path;

use spectra_laboratory::report::{fill, page, sections};

#[test]
fn tables_are_those_of_the_results() {
    // Where the program is called: results are named from there.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the workspace");
    let document = std::fs::read_to_string("docs/laboratory.md").expect("the document");
    let sections = sections().expect("results that can be read");
    let filled = fill(&document, &sections).expect("marks in order");
    // Line by line, so that a failure names the line.
    for (number, (there, expected)) in document.lines().zip(filled.lines()).enumerate() {
        assert_eq!(there, expected, "line {}: call `lab report`", number + 1);
    }
    assert_eq!(document.len(), filled.len(), "call `lab report`");
    for section in &sections {
        assert!(
            document.contains(&format!("<!-- lab {} -->", section.name)),
            "{} has no place",
            section.name
        );
    }
    assert!(page(&sections).matches("<h2").count() == sections.len());
}
