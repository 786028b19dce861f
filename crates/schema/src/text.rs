//! How values, key names and lists appear in messages, and suggestions for misspelt names.

use strsim::osa_distance;

/// The most characters of a value or key that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// `text` in quotes, cut to 60 characters, with everything that a terminal would not print plainly escaped.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// `text` without quotes, cut and escaped in the same way.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == MAX_QUOTED_CHARS {
            escaped.push_str("...");
            break;
        }
        if letter == '\'' {
            escaped.push(letter);
        } else {
            escaped.extend(letter.escape_debug());
        }
    }
    escaped
}

/// The name of an unknown key, unless it may contain a value, as in `{api_key:abc}` without a space.
pub fn display_key(name: &str) -> String {
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    if is_name && (1..=32).contains(&name.len()) {
        name.to_owned()
    } else {
        "(a name that is not shown)".to_owned()
    }
}

/// Whether values of `key` may be secret, judged by its name; such values are never repeated.
pub fn is_sensitive(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    ["key", "secret", "password", "token"].iter().any(|word| name.contains(word))
}

/// `first, second and third`, with `last` as the word before the last item.
pub fn join_list<'a>(items: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let items: Vec<_> = items.into_iter().collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// `section.name`, or the name alone at the top level.
pub fn join_path(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The candidate that is nearest to `wanted`, if it is near enough to be a typing error.
pub fn closest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = normalize_name(wanted);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&wanted, &normalize_name(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `name` without regard to case and hyphens, which other tools write differently.
pub(crate) fn normalize_name(name: &str) -> String {
    let letters = name.chars().take(60);
    letters.map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_short_and_printable() {
        assert_eq!(quoted("us-1"), "\"us-1\"");
        assert_eq!(quoted("a\u{1b}[31m\n\"'"), "\"a\\u{1b}[31m\\n\\\"'\"");
        assert_eq!(quoted("\u{202e}"), "\"\\u{202e}\"", "no direction override reaches the terminal");
        assert_eq!(quoted(&"x".repeat(1000)), format!("\"{}...\"", "x".repeat(60)));
    }

    #[test]
    fn key_names_mark_secret_values() {
        for key in
            ["targets[0].api_key", "targets[12].api_key_file", "webhook.secret_env", "a.Password", "token"]
        {
            assert!(is_sensitive(key), "{key}");
        }
        for key in ["targets[0].region", "polling.interval", "keys.region"] {
            assert!(!is_sensitive(key), "{key}");
        }
    }
}
