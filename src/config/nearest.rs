//! What somebody meant who wrote a key that does not exist.
//!
//! Owns: the distance between names and the choice of the nearest known key. Never: values.

use exporter_schema::{closest, join_list};
use strsim::osa_distance;

use super::environment::variable_of;
use super::keys::{KEYS, names_in};

/// Advice about the unknown `name` in the section at `pattern` (empty for the top).
pub(super) fn advice(pattern: &str, name: &str) -> String {
    let wanted = normalize_key(name);
    let here = names_in(pattern);
    if let Some(same) = here.iter().find(|known| **known == wanted) {
        return format!("unknown key; write `{same}`");
    }
    if let Some(key) = KEYS.iter().find(|key| last_name(key.path) == wanted) {
        return format!("unknown key here; `{wanted}` belongs under {}", parent_section(key.path));
    }
    if let Some(near) = closest(&wanted, here.iter().copied(), |known| known) {
        return format!("unknown key; did you mean `{near}`?");
    }
    if let Some(near) = closest(&wanted, KEYS.iter().map(|key| key.path), last_name) {
        return format!(
            "unknown key here; did you mean `{}`, which belongs under {}?",
            last_name(near),
            parent_section(near)
        );
    }
    format!("unknown key; {} has {}", place_of(pattern), join_list(here.iter().copied(), "and"))
}

/// The variable that somebody meant who set `name`, which starts with the prefix of this program.
pub(super) fn variable(name: &str) -> String {
    let pieces: Vec<&str> = name.split("__").collect();
    let last = normalize_key(pieces.last().copied().unwrap_or_default());
    let exact = KEYS.iter().find(|key| last_name(key.path) == last);
    let near = KEYS.iter().min_by_key(|key| osa_distance(&variable_of(key.path), name));
    exact.or(near).map(|key| variable_of(key.path)).unwrap_or_default()
}

/// Where a key belongs, for people.
fn parent_section(path: &str) -> String {
    place_of(path.rsplit_once('.').map_or("", |(section, _)| section))
}

fn place_of(pattern: &str) -> String {
    match pattern.strip_suffix("[]") {
        Some(list) => format!("an entry of `{list}`"),
        None if pattern.is_empty() => "the top level".to_owned(),
        None => format!("`{pattern}`"),
    }
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Case and hyphens aside, which other tools write differently.
fn normalize_key(name: &str) -> String {
    name.chars()
        .take(60)
        .map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_nearest_key_or_the_right_place() {
        for (section, name, said) in [
            ("polling", "intervall", "unknown key; did you mean `interval`?"),
            ("polling", "Page-Size", "unknown key; write `page_size`"),
            ("", "interval", "unknown key here; `interval` belongs under `polling`"),
            (
                "polling",
                "regoin",
                "unknown key here; did you mean `region`, which belongs under an entry of `targets`?",
            ),
            ("polling", "account_id", "unknown key here; `account_id` belongs under an entry of `targets`"),
            ("", "target", "unknown key; did you mean `targets`?"),
            ("storage", "zebra", "unknown key; `storage` has path and ephemeral"),
            ("", "zebra", "unknown key; the top level has server, storage, polling, metrics and targets"),
        ] {
            assert_eq!(advice(section, name), said, "{section} {name}");
        }
    }
}
