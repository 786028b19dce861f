//! The API key of a target, from the environment, a file or the configuration itself.
//!
//! Messages repeat neither its value nor the values of these keys, where an API key is easily pasted by mistake.

use std::collections::BTreeMap;
use std::path::Path;

use exporter_schema::{Diagnostic, Location, Report, Section, TrackedFiles};

use super::Context;
use super::layers::API_KEY_SOURCES;
use super::secret::{Origin, Secret};

/// Far more than any key; a file beyond it is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;

/// The API key of the target at `section`, from exactly one source. Sources in the environment replace those of the file.
pub(super) fn api_key(
    report: &mut Report,
    files: &mut TrackedFiles,
    section: &Section<'_>,
    context: &Context<'_>,
) -> Option<Secret> {
    let is_set = |name: &&str| section.contains(name);
    let mut names: Vec<&str> = API_KEY_SOURCES.into_iter().filter(is_set).collect();
    let is_from_environment =
        |name: &&str| section.entry(name).is_some_and(|entry| entry.value.is_from_environment());
    if names.iter().any(is_from_environment) {
        names.retain(is_from_environment);
    }
    let [name] = names[..] else {
        let last = names.last().and_then(|last| section.entry(last));
        let location = last.map_or_else(|| section.location(), |entry| entry.location);
        let text = match names[..] {
            [] => "is missing; give one of api_key_env, api_key_file or api_key".to_owned(),
            _ => format!("found {} together; keep one of them", names.join(" and ")),
        };
        report.errors.push(Diagnostic::new(&location, &format!("{}.api_key", section.path()), text));
        return None;
    };
    let text = section.located::<String>(name).filter(|text| !report.has_errors_in(&text.key))?;
    let key = match name {
        "api_key_env" => from_environment(&text.value, context.env),
        "api_key_file" => from_file(&text.value, context.directory, files),
        _ => match (validate_header_value(&text.value), &text.location) {
            (Ok(key), Location::Variable(name)) => Ok(key.with_origin(Origin::Variable(name.clone()))),
            (key, _) => key,
        },
    };
    key.map_err(|error| report.errors.push(text.diagnostic(error))).ok()
}

fn from_environment(name: &str, env: &BTreeMap<String, String>) -> Result<Secret, String> {
    let name = name.trim();
    let is_name = name.chars().all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_')) && is_words(name);
    let display = if is_name { name } else { "that it names" };
    let value = env.get(name).ok_or_else(|| {
        format!(
            "the environment variable {display} is not set; export it (this key holds the variable's name, not the API key)"
        )
    })?;
    validate_header_value(value)
        .map(|key| key.with_origin(Origin::Variable(name.to_owned())))
        .map_err(|error| format!("the environment variable {display}: {error}"))
}

fn from_file(text: &str, directory: &Path, files: &mut TrackedFiles) -> Result<Secret, String> {
    let path = directory.join(text);
    let display = if looks_like_path(text, directory) {
        path.display().to_string()
    } else {
        "the file (its name is not shown, because it may be the API key itself: that belongs in api_key)"
            .to_owned()
    };
    let bytes = files.read(&path, MAX_BYTES).map_err(|error| format!("{display}: {error}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{display}: this is not text; a key file holds the key and nothing else"))?;
    validate_header_value(&text)
        .map(|key| key.with_origin(Origin::File(path)))
        .map_err(|error| format!("{display}: {error}"))
}

/// Whether `text` can only be a path: a key that was pasted here by mistake must not be repeated.
fn looks_like_path(text: &str, directory: &Path) -> bool {
    let path = Path::new(text);
    let nested = path.parent().is_some_and(|parent| parent != Path::new(""));
    let is_relative = text.starts_with("./") || text.starts_with("../");
    let is_lowercase = !text.chars().any(|letter| letter.is_uppercase()) && is_words(text);
    is_relative
        || nested && (is_lowercase || path.parent().is_some_and(|parent| directory.join(parent).is_dir()))
}

/// Whether `text` consists of words and short numbers, as the names of files and variables do and keys do not.
fn is_words(text: &str) -> bool {
    let pieces = || text.split(['_', '-', '.', '/']).filter(|piece| !piece.is_empty());
    let is_word = |piece: &str| {
        let is_long = piece.len() > 4;
        piece.len() <= 16
            && piece.chars().all(|letter| letter.is_ascii_alphabetic() || !is_long && letter.is_ascii_digit())
    };
    pieces().count() > 1 && pieces().all(is_word)
}

/// The text that was copied together with a key; `None` if there is none.
fn wrapping(key: &str) -> Option<&'static str> {
    let starts_with =
        |start: &str| key.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    Some(match key.as_bytes() {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => "quotes around the API key",
        [b'{' | b'[', ..] => "JSON instead of an API key",
        _ if starts_with("bearer ") => "the word Bearer before the API key",
        _ if starts_with("x-api-key") => "the name of a header before the API key",
        _ if starts_with("-----begin") => "a certificate or a private key instead of an API key",
        _ => return None,
    })
}

/// The key in `text`, if an HTTP header can carry it (RFC 9110, section 5.5: visible ASCII and inner spaces).
fn validate_header_value(text: &str) -> Result<Secret, String> {
    let key = text.trim();
    if key.is_empty() {
        return Err("the API key is empty".to_owned());
    }
    if let Some(found) = wrapping(key) {
        return Err(format!("found {found}; give the API key alone"));
    }
    match key.chars().position(|letter| !(' '..='~').contains(&letter)) {
        None => Ok(Secret::new(key)),
        Some(_) if key.contains('\n') => Err("found several lines; give the API key alone".to_owned()),
        Some(index) => Err(format!(
            "the API key has a character that no HTTP header can carry, at position {}; copy it again",
            index + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_key_must_fit_into_a_header() {
        assert_eq!(validate_header_value(" abc\r\n").unwrap().expose_secret(), "abc");
        for (key, expected) in [
            ("  \n", "empty"),
            ("ab\ncd", "several lines"),
            ("ab\tcd", "position 3"),
            ("ключ", "position 1"),
            ("a\0", "position 2"),
        ] {
            let error = validate_header_value(key).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn unset_variable_is_named_unless_it_may_be_a_key() {
        let error = |name| from_environment(name, &BTreeMap::new()).unwrap_err();
        for name in ["POLYAI_API_KEY", "US1_KEY", " POLYAI_KEY_2 "] {
            assert!(error(name).contains(&format!("variable {} is not set", name.trim())), "{name}");
        }
        for pasted in ["sk-Qz7marker9X", "ABCDEFGH", "SK_9F8A7B6C5D", "SECRET_ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
            assert!(!error(pasted).contains(pasted), "{pasted}");
        }
    }

    #[test]
    fn pasted_api_key_is_no_path() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("keys")).unwrap();
        for path in ["/run/key", "./key", "../key", "keys/prod"] {
            assert!(
                looks_like_path(path, directory.path()) || path == "/run/key" && !Path::new("/run").is_dir()
            );
        }
        for missing in [
            "/secrets/polyai-api-keys/reservations",
            "/run/credentials/polyai-exporter.service/api-key",
            "/nowhere/us-1/key1",
            "absent/api-key.txt",
        ] {
            assert!(looks_like_path(missing, directory.path()), "{missing}");
        }
        for pasted in ["sk-1234", "sk/a1b2c3d4e5", "c2VjcmV0/a2V5+", "/9j/4AAQSkZJRg"] {
            assert!(!looks_like_path(pasted, directory.path()), "{pasted}");
        }
    }
}
