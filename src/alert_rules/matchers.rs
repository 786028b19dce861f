//! Label matchers that a user adds to expressions, such as `cluster="eu",project!~"test-.*"`.

/// The labels that the matchers in `text` name; `None` if it is not a list of matchers, which would break a rule.
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

/// Whether `name` is a valid label name.
pub(super) fn is_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// `text` as a PromQL string.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A regular expression that matches `text` alone.
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

/// The rest of `text` after the string at its beginning.
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
    fn only_matchers_are_accepted() {
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
    fn literals_match_themselves_alone() {
        assert_eq!(string(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(string(&literal("v1.2 (new)")), r#""v1\\.2 \\(new\\)""#);
    }
}
