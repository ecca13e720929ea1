//! One page that needs no other file.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Section, Standing, Table};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1080px;padding:1rem;color:#222}\
    h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1rem 0;font-size:14px;display:block;overflow-x:auto}\
    td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left}td.number{text-align:right;white-space:nowrap}\
    th{background:#f4f4f4}img{max-width:100%}\
    code{background:#f4f4f4;padding:.1rem .3rem}.shown{border-left:6px solid #009e73}\
    .refuted{border-left:6px solid #d55e00}.undecided{border-left:6px solid #999}\
    .verdict{padding:.5rem .8rem;background:#fafafa}figure{margin:1rem 0}figcaption{font-size:14px;color:#555}\
    nav a{margin-right:1rem}";

/// The page of all sections.
pub fn page(sections: &[Section]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>spectra: laboratory</title><style>{STYLE}</style></head><body>\n\
         <h1>The laboratory of spectra</h1>\n<nav>"
    );
    for section in sections {
        let name = escaped(&section.name);
        // Writing to a string cannot fail.
        let _ = write!(page, "<a href=\"#{name}\">{name}</a>");
    }
    page += "</nav>\n";
    for section in sections {
        let (name, class) = (escaped(&section.name), class(&section.standing));
        let _ = write!(
            page,
            "<h2 id=\"{name}\">{name}</h2>\n<p>{} {}.</p>\n<p class=\"verdict {class}\"><b>{}</b><br>By chance: {}</p>\n\
             <p><code>{}</code></p>\n",
            escaped(&section.question),
            escaped(&section.effort),
            escaped(&section.standing.text()),
            escaped(&section.null),
            escaped(&section.command),
        );
        for one in &section.tables {
            page += &table(one);
        }
        for figure in &section.figures {
            let (image, caption) = (STANDARD.encode(&figure.png), escaped(&figure.caption));
            let _ = writeln!(
                page,
                "<figure><img alt=\"{caption}\" src=\"data:image/png;base64,{image}\"><figcaption>{caption}</figcaption></figure>"
            );
        }
    }
    page + "</body></html>\n"
}

fn class(standing: &Standing) -> &'static str {
    match standing {
        Standing::Shown(_) => "shown",
        Standing::Refuted(_) => "refuted",
        Standing::Undecided(_) => "undecided",
    }
}

fn table(table: &Table) -> String {
    let cells = |kind: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.enumerate().map(|(at, text)| cell(kind, at, text)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let mut html = format!("<p>{}</p>\n<table>\n", escaped(&table.title));
    html += &cells("th", &mut table.titles.iter().copied());
    for row in &table.rows {
        html += &cells("td", &mut row.iter().map(String::as_str));
    }
    html + "</table>\n"
}

/// Numbers stand to the right and on one line; what is in bold in Markdown is so here.
fn cell(kind: &str, at: usize, text: &str) -> String {
    let is_number =
        at > 0 && text.trim_start_matches(['*', '+', '-']).starts_with(|c: char| c.is_ascii_digit());
    let class = if kind == "td" && is_number { " class=\"number\"" } else { "" };
    let bold = text.strip_prefix("**").and_then(|rest| rest.strip_suffix("**"));
    let inner = bold.map_or_else(|| escaped(text), |inner| format!("<b>{}</b>", escaped(inner)));
    format!("<{kind}{class}>{inner}</{kind}>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::Figure;
    use super::*;

    #[test]
    fn the_page_is_whole_and_text_is_no_markup() {
        let section = Section {
            name: "a".into(),
            question: "1 < 2 & so on?".into(),
            null: "none".into(),
            standing: Standing::Shown("yes".into()),
            command: "lab run a".into(),
            effort: "1 run".into(),
            tables: vec![Table {
                title: "T".into(),
                titles: vec!["x", "y"],
                rows: vec![vec!["<b>".into(), "**-1**".into()]],
            }],
            figures: vec![Figure { caption: "c".into(), png: vec![1, 2, 3] }],
        };
        let page = page(&[section]);
        for part in [
            "1 &lt; 2 &amp; so on?",
            "<td>&lt;b&gt;</td><td class=\"number\"><b>-1</b></td>",
            "data:image/png;base64,AQID",
            "verdict shown",
            "</html>",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("http"));
    }
}
