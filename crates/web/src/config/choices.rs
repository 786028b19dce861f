//! Values that the file names, such as cipher suites.

use exporter_schema::{Located, Section, closest, join_list};

/// As [`check_name`], but blank text is the same as an absent key.
pub(super) fn check_optional_name<T>(text: &str, choices: &[(&str, T)]) -> Result<(), String> {
    if text.trim().is_empty() { Ok(()) } else { check_name(text, choices) }
}

/// Accepts the names of `choices`; the error says what to write instead.
pub(super) fn check_name<T>(text: &str, choices: &[(&str, T)]) -> Result<(), String> {
    let names = choices.iter().map(|(name, _)| *name);
    if names.clone().any(|name| name == text) {
        return Ok(());
    }
    Err(match closest(text, names.clone()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("write {}", join_list(names, "or")),
    })
}

/// The value of the key `name`; `None` if it is absent or not one of `choices`.
pub(super) fn choice<T: Copy>(
    section: &Section<'_>,
    name: &str,
    choices: &[(&str, T)],
) -> Option<Located<T>> {
    let text = section.located::<String>(name)?;
    let (_, value) = choices.iter().find(|(name, _)| *name == text.value)?;
    Some(text.map(|_| *value))
}

/// The list at the key `name`, with the values and the unsupported names in it; `None` if it is absent or empty.
pub(super) fn choices<T: Copy>(
    section: &Section<'_>,
    name: &str,
    choices: &[(&str, Option<T>)],
) -> Option<(Located<()>, Vec<T>, Vec<String>)> {
    let mut names = section.located::<Vec<String>>(name).filter(|names| !names.value.is_empty())?;
    let supported =
        |name: &String| choices.iter().find(|(choice, _)| choice == name).and_then(|(_, value)| *value);
    let values = names.value.iter().filter_map(supported).collect();
    names.value.retain(|name| supported(name).is_none());
    let unsupported = std::mem::take(&mut names.value);
    Some((names.map(|_| ()), values, unsupported))
}
