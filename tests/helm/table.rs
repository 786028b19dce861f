//! The table of values in the chart's README, made from the values.

use super::values::{self, Key};

const BEGIN: &str = "<!-- values -->\n";
const END: &str = "<!-- /values -->";

/// `readme` with the table as it should be.
pub(crate) fn filled(readme: &str) -> String {
    let (before, rest) = readme.split_once(BEGIN).expect("the table has a beginning");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    rows(&values::keys(), &mut table);
    format!("{before}{BEGIN}{table}{END}{after}")
}

fn rows(keys: &[Key], table: &mut String) {
    for key in keys {
        if key.keys.is_empty() {
            let default = serde_json::to_string(&values::json(&key.default)).unwrap();
            let about = key.about.replace('|', "\\|");
            table.push_str(&format!("| `{}` | `{default}` | {about} |\n", key.path));
        }
        rows(&key.keys, table);
    }
}
