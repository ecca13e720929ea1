#![doc = include_str!("../IMPLEMENTING.md")]
//!
//! # The whole example
//!
//! ```no_run
#![doc = include_str!("../examples/ndarray_backend.rs")]
//! ```

#[cfg(test)]
mod tests {
    const PAGE: &str = include_str!("../IMPLEMENTING.md");
    const EXAMPLE: &str = include_str!("../examples/ndarray_backend.rs");

    #[test]
    fn excerpts_are_the_examples_own_lines() {
        let mut excerpts = 0;
        for block in PAGE.split("```rust,ignore\n").skip(1) {
            let excerpt = block.split("```").next().unwrap_or_default();
            assert!(EXAMPLE.contains(excerpt), "{excerpt}");
            excerpts += 1;
        }
        assert!(excerpts >= 4, "{excerpts}");
    }

    #[test]
    fn the_line_count_is_told_and_small() {
        let lines = EXAMPLE.lines().count();
        assert!(PAGE.contains(&format!("{lines} lines")), "{lines}");
        assert!(lines < 200, "{lines}");
    }
}
