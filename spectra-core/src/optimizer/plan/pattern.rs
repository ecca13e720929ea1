//! Globs: `*` for any characters (dots too), `?` for one.

/// Whether `pattern` matches the whole of `name`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    // What is left of both right after the last `*`, with the characters that it has taken so far removed.
    let mut last_star = None;
    loop {
        let (mut next_pattern, mut next_name) = (pattern.clone(), name.clone());
        match (next_pattern.next(), next_name.next()) {
            (Some('*'), _) => {
                last_star = Some((next_pattern.clone(), name.clone()));
                pattern = next_pattern;
                continue;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                (pattern, name) = (next_pattern, next_name);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // Go back and let the last `*` take one character more.
        let Some((after_star, rest)) = &mut last_star else { return false };
        if rest.next().is_none() {
            return false;
        }
        (pattern, name) = (after_star.clone(), rest.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        let yes = [
            ("a", "a"),
            ("*", ""),
            ("*", "a.b"),
            ("layers.*.attn.*", "layers.11.attn.q.weight"),
            ("*.weight", "a.weight.weight"),
            ("*ab*ab", "ababab"),
            ("layers.?.w", "layers.3.w"),
            ("?", "\u{e9}"),
            ("a**b", "ab"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        let no = [
            ("", "a"),
            ("a", ""),
            ("a", "ab"),
            ("ab", "a"),
            ("?", ""),
            ("layers.?.w", "layers.13.w"),
            ("*.weight", "a.bias"),
            ("*a*b", "ba"),
            ("layers.*", "model.layers.0"),
        ];
        for (pattern, name) in no {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
