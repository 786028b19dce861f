//! The table of values in the README of the chart.

use super::values::{Key, json};

/// A row for each value.
pub(crate) fn table(keys: &[Key]) -> String {
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    push_rows(keys, &mut table);
    table
}

fn push_rows(keys: &[Key], table: &mut String) {
    for key in keys {
        if key.keys.is_empty() {
            let default = serde_json::to_string(&json(&key.default)).unwrap();
            let description = key.description.replace('|', "\\|");
            table.push_str(&format!("| `{}` | `{default}` | {description} |\n", key.path));
        }
        push_rows(&key.keys, table);
    }
}
