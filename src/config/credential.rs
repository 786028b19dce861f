//! The API key of a target, from the environment, a file or the configuration itself.
//!
//! Owns: where the key comes from and whether a request could carry it. Never: anything printed of its value, nor of the
//! value of the keys that lead to it, where a key is easily pasted by mistake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::CREDENTIALS;
use super::reader::{Entry, Reader, Section, text_of};
use super::secret::{Origin, Secret};
use exporter_schema::Location;
use exporter_schema::TrackedFiles;

/// Far more than any key; a file beyond it is the wrong file.
const MOST_BYTES: u64 = 64 * 1024;

/// What surrounds the configuration. Not for debug output: API keys are among the variables.
pub(super) struct ConfigContext<'a> {
    /// The environment variables.
    pub(super) env: &'a BTreeMap<String, String>,
    /// Where relative paths in the configuration start.
    pub(super) folder: PathBuf,
    /// Whether there is no file, only the environment.
    pub(super) without_file: bool,
}

/// Reads the key of the target at `section`; exactly one source must be given. Sources in the environment replace those
/// of the file.
pub(super) fn api_key(
    reader: &mut Reader,
    section: &Section<'_>,
    around: &ConfigContext<'_>,
) -> Option<Secret> {
    let mut given: Vec<(&str, Entry<'_>)> =
        CREDENTIALS.into_iter().filter_map(|name| section.entry(name).map(|entry| (name, entry))).collect();
    if given.iter().any(|(_, entry)| entry.node.is_from_environment()) {
        given.retain(|(_, entry)| entry.node.is_from_environment());
    }
    let path = format!("{}.api_key", section.path);
    match given.as_slice() {
        [] => {
            let sentence = "is missing; give one of api_key_env, api_key_file or api_key";
            reader.complain(&section.place(), &path, sentence);
            None
        }
        [(name, entry)] => {
            let Some(text) = text_of(entry.node) else {
                reader.type_error(entry);
                return None;
            };
            let key = match *name {
                "api_key_env" => from_environment(text, around.env),
                "api_key_file" => from_file(text, &around.folder, &mut reader.sources),
                _ => validate_header_value(text).map(|key| match &entry.node.location {
                    Location::Variable(name) => key.found_in(Origin::Variable(name.clone())),
                    Location::File(_)
                    | Location::Line(..)
                    | Location::Flag(_)
                    | Location::Environment
                    | Location::Program => key,
                }),
            };
            key.map_err(|sentence| reader.complain(&entry.node.location, &entry.path, sentence)).ok()
        }
        [.., (_, last)] => {
            let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
            let sentence = format!("found {} together; keep one of them", names.join(" and "));
            reader.complain(&last.node.location, &path, sentence);
            None
        }
    }
}

fn from_environment(name: &str, env: &BTreeMap<String, String>) -> Result<Secret, String> {
    let value = env.get(name.trim()).ok_or(
        "the environment variable that it names is not set; export it (this key holds the variable's name, not the API key)",
    )?;
    validate_header_value(value)
        .map(|key| key.found_in(Origin::Variable(name.trim().to_owned())))
        .map_err(|sentence| format!("the environment variable that it names: {sentence}"))
}

fn from_file(text: &str, folder: &Path, sources: &mut TrackedFiles) -> Result<Secret, String> {
    let path = folder.join(text);
    let shown = if looks_like_path(text, folder) {
        path.display().to_string()
    } else {
        "the file (a bare name, not shown: if it is the API key itself, use api_key)".to_owned()
    };
    let bytes = sources.read(&path, MOST_BYTES).map_err(|sentence| format!("{shown}: {sentence}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{shown}: this is not text; a key file holds the key and nothing else"))?;
    validate_header_value(&text)
        .map(|key| key.found_in(Origin::File(path)))
        .map_err(|sentence| format!("{shown}: {sentence}"))
}

/// Whether `text` can only be a path: a key that was pasted here by mistake must not be repeated.
fn looks_like_path(text: &str, folder: &Path) -> bool {
    let path = Path::new(text);
    let nested = path.parent().is_some_and(|parent| parent != Path::new(""));
    (path.is_absolute() || text.starts_with('.') || nested)
        && path.parent().is_some_and(|parent| folder.join(parent).is_dir())
}

/// The key in `text`, if an HTTP header can carry it (RFC 9110, section 5.5: visible ASCII and inner blanks).
fn validate_header_value(text: &str) -> Result<Secret, String> {
    let key = text.trim();
    if key.is_empty() {
        return Err("the API key is empty".to_owned());
    }
    match key.chars().position(|letter| !(' '..='~').contains(&letter)) {
        None => Ok(Secret::new(key)),
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
    fn a_key_must_fit_into_a_header() {
        assert_eq!(validate_header_value(" abc\r\n").unwrap().expose_secret(), "abc");
        for (key, said) in
            [("  \n", "empty"), ("ab\ncd", "position 3"), ("ключ", "position 1"), ("a\0", "position 2")]
        {
            let sentence = validate_header_value(key).unwrap_err();
            assert!(sentence.contains(said), "{sentence}");
        }
    }

    #[test]
    fn a_pasted_key_does_not_look_like_a_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        for path in ["/run/key", "./key", "../key", "keys/prod"] {
            assert!(
                looks_like_path(path, folder.path()) || path == "/run/key" && !Path::new("/run").is_dir()
            );
        }
        for pasted in ["sk-1234", "c2VjcmV0/a2V5+", "/9j/4AAQSkZJRg"] {
            assert!(!looks_like_path(pasted, folder.path()), "{pasted}");
        }
    }
}
