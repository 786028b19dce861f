//! Label matchers that a user adds to expressions, such as `cluster="eu",project!~"test-.*"`.
//!
//! Owns: their grammar, so that what is put between braces cannot break a rule. Never: which labels exist.

/// The labels that `text` matches on; none if it is not a list of matchers. Nothing matches on nothing.
pub(super) fn labels(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))?;
        let (name, tail) = rest.split_at(end);
        if !is_label(name) {
            return None;
        }
        let tail = tail.trim_start();
        let tail = ["=~", "!~", "!=", "="].iter().find_map(|operator| tail.strip_prefix(operator))?;
        let tail = after_string(tail.trim_start())?.trim_start();
        names.push(name);
        rest = match tail.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            Some(_) => return None,
            None if tail.is_empty() => tail,
            None => return None,
        };
    }
    Some(names)
}

/// Whether `name` can be the name of a label.
pub(super) fn is_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// `text` as a string of PromQL.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `text` where a regular expression is wanted, matching itself alone.
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// What follows the string that `text` begins with.
fn after_string(text: &str) -> Option<&str> {
    let mut letters = text.char_indices();
    let (_, '"') = letters.next()? else { return None };
    let mut escaped = false;
    for (at, letter) in letters {
        match letter {
            '"' if !escaped => return text.get(at + 1..),
            _ if letter.is_control() => return None,
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_and_anything_else_is_not() {
        assert_eq!(labels(""), Some(vec![]));
        assert_eq!(
            labels(r#"cluster="eu", project!~"a|\"b\"",x_1 != "","#.trim_end_matches(',')),
            Some(vec!["cluster", "project", "x_1"])
        );
        for text in [
            "cluster",
            "cluster=eu",
            r#"cluster="eu"#,
            r#"cluster="eu","#,
            r#"cluster="eu"}"#,
            r#"cluster="eu" or project="x""#,
            r#"1a="b""#,
            r#"a=="b""#,
            "a=\"b\nc\"",
            "a='b'",
        ] {
            assert_eq!(labels(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_matches_itself_alone() {
        assert_eq!(string(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(string(&literal("v1.2 (new)")), r#""v1\\.2 \\(new\\)""#);
    }
}
