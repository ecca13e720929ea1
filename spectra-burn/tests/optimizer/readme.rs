//! The project's README shows the code that is compiled as part of this crate's.

#[test]
fn both_readmes_show_the_same_program() {
    let program = |readme: &'static str, opening: &str| {
        let begin = readme.find(opening)? + opening.len();
        let length = readme[begin..].find("```")?;
        Some(&readme[begin..begin + length])
    };
    let compiled = program(include_str!("../../README.md"), "```rust\nuse burn::").unwrap();
    let shown = program(include_str!("../../../README.md"), "```rust,ignore\nuse burn::").unwrap();
    assert_eq!(compiled, shown);
}
