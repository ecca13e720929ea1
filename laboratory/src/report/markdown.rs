//! Tables in Markdown, and the document that they are put into.

use std::fmt::Write;

use super::{Section, Table};
use spectra_examples::Failure;

/// A table as Markdown has it.
fn table(table: &Table) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
    };
    let mut text = format!("{}\n\n", table.title);
    text += &line(&mut table.titles.iter().copied());
    text += &line(&mut table.titles.iter().enumerate().map(|(at, _)| if at == 0 { ":--" } else { "--:" }));
    for row in &table.rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// What stands between the marks of a section.
pub fn tables(section: &Section) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} {}.\n", section.question, section.effort);
    let _ = writeln!(text, "Verdict: **{}**. By chance: {}\n", section.standing.text(), section.null);
    let _ = writeln!(text, "`{}`\n", section.command);
    let all: Vec<_> = section.tables.iter().map(table).collect();
    text + &all.join("\n")
}

/// The document with what stands between `<!-- lab NAME -->` and `<!-- end -->` replaced for every section that has such marks.
///
/// # Errors
/// If a mark has no end, or is of no section.
pub fn fill(document: &str, sections: &[Section]) -> Result<String, Failure> {
    const END: &str = "<!-- end -->";
    let (mut filled, mut rest) = (String::new(), document);
    while let Some((before, after)) = rest.split_once("<!-- lab ") {
        let (name, after) = after.split_once(" -->").ok_or_else(|| Failure::run("a mark is not closed"))?;
        let (_, after) =
            after.split_once(END).ok_or_else(|| Failure::run(format!("the mark of {name} has no end")))?;
        let section = sections
            .iter()
            .find(|section| section.name == name)
            .ok_or_else(|| Failure::run(format!("there is no experiment {name} to fill a mark with")))?;
        filled += &format!("{before}<!-- lab {name} -->\n\n{}\n{END}", tables(section));
        rest = after;
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    fn section() -> Section {
        Section {
            name: "language".into(),
            question: "Which?".into(),
            null: "none.".into(),
            standing: Standing::Undecided("too few".into()),
            command: "lab run language".into(),
            effort: "3 of 4 runs".into(),
            tables: vec![Table {
                title: "Losses.".into(),
                titles: vec!["optimizer", "loss"],
                rows: vec![vec!["a|b".into(), "1.5".into()]],
            }],
            figures: Vec::new(),
        }
    }

    #[test]
    fn a_mark_is_filled_and_filled_again_alike() {
        let document = "Text.\n<!-- lab language -->\nold\n<!-- end -->\nMore.\n";
        let filled = fill(document, &[section()]).expect("marks in order");
        assert!(filled.contains("| optimizer | loss |\n| :-- | --: |\n| a\\|b | 1.5 |\n"), "{filled}");
        assert!(filled.starts_with("Text.\n") && filled.ends_with("<!-- end -->\nMore.\n"));
        assert!(!filled.contains("old"));
        assert_eq!(fill(&filled, &[section()]).expect("marks in order"), filled);
    }

    #[test]
    fn strange_marks_are_refused() {
        for document in ["<!-- lab language -->", "<!-- lab other -->\n<!-- end -->", "<!-- lab language"] {
            assert!(fill(document, &[section()]).is_err(), "{document}");
        }
    }
}
