//! The reference of all keys, for people, from the same table that the checker reads.
//!
//! Owns: how the table is laid out. Never: what it says.

use super::environment::variable_of;
use super::keys::{DefaultValue, KEYS, Key};

/// Every key that this version reads, in the order of the documentation.
pub fn reference() -> &'static [Key] {
    KEYS
}

/// [`reference()`] as a Markdown table: key, what may be written, default, meaning.
pub fn reference_markdown() -> String {
    let mut text = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for key in KEYS {
        let default = match key.default {
            DefaultValue::Value(value) => format!("`{value}`"),
            DefaultValue::Derived(words) => words.to_owned(),
            DefaultValue::Required => "required".to_owned(),
        };
        text.push_str(&format!("| `{}` | {} | {default} | {} |\n", key.path, key.shape, key.description));
    }
    text
}

/// The environment variable that sets `key`; for a key of a list's entries, of the first entry.
pub fn variable(key: &Key) -> String {
    variable_of(key.path)
}
