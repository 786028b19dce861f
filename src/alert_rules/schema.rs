//! The declared keys of the thresholds: every key of the defaults, with a type by its name.

use exporter_schema::{DefaultValue, Key, ListType, Node, Order, ValueType, join_path};

use super::{ALERT_WINDOWS, matchers, prom_duration};

/// Sections with names of the user's own: labels with their values.
const LABEL_SECTIONS: [&str; 2] = ["common.alert_labels", "operator.labels"];
/// The same for annotations: of all alerts, and of those about a project.
const ANNOTATIONS: [&str; 2] = ["common.annotations", "projects.*.annotations"];

/// All keys: those of `defaults`, and those of each alert once more for single projects.
pub(super) fn keys(defaults: &Node) -> Vec<Key> {
    let mut keys = Vec::new();
    collect(defaults, "", &mut keys);
    let projects = keys.iter().filter_map(|key| {
        let path = format!("projects.*.{}", key.path.strip_prefix("alerts.")?);
        Some(Key { path: path.into(), ..key.clone() })
    });
    let projects: Vec<Key> = projects.collect();
    keys.extend(projects);
    // Braces would be a template, which may be invalid.
    let value_type =
        text(|text| !text.contains(char::is_control) && !text.contains("{{"), "text in one line without {{");
    keys.extend(ANNOTATIONS.map(|path| key(format!("{path}.*"), value_type)));
    keys
}

fn key(path: String, value_type: ValueType) -> Key {
    let default = DefaultValue::Derived("as in alerts/thresholds.yml");
    Key { path: path.into(), value_type, default, description: "" }
}

fn collect(node: &Node, path: &str, keys: &mut Vec<Key>) {
    let mut declare = |path: String, value_type| keys.push(key(path, value_type));
    if LABEL_SECTIONS.contains(&path) {
        declare(format!("{path}.*"), text(|text| !text.contains(char::is_control), "text in one line"));
    } else if let Some(value_type) = value_type(path) {
        declare(path.to_owned(), value_type);
    } else {
        for (name, entry) in node.entries().into_iter().flatten() {
            collect(entry, &join_path(path, name), keys);
        }
    }
}

const fn text(accepts: fn(&str) -> bool, expected: &'static str) -> ValueType {
    ValueType::Text { accepts, expected }
}

const WORD: ValueType = text(is_word, "a word of letters, digits, dots, hyphens and underscores");
const SHARE: ValueType = ValueType::Number {
    accepts: |share| share > 0.0 && share < 1.0,
    expected: "a share above 0 and below 1, such as 0.25 for 25 %",
};
const POSITIVE: ValueType =
    ValueType::Number { accepts: |number| number > 0.0, expected: "a number above 0" };
const BOUNDS: ValueType = ValueType::List(&ListType {
    item: POSITIVE,
    min_items: 1,
    max_items: usize::MAX,
    order: Order::Ascending(1e-6),
    expected: "a list of ascending numbers above 0",
});
const LABEL_NAMES: ValueType = ValueType::List(&ListType {
    item: text(matchers::is_label, "a label name"),
    min_items: 0,
    max_items: usize::MAX,
    order: Order::Distinct,
    expected: "a list of label names, such as [cluster]",
});

/// The type of the key at `path`; `None` for a section.
pub(super) fn value_type(path: &str) -> Option<ValueType> {
    if path.starts_with("common.severities.") {
        return Some(WORD);
    }
    Some(match path.rsplit('.').next().unwrap_or(path) {
        "enabled" => ValueType::Bool,
        "for" | "keep_firing_for" => text(
            |text| prom_duration::seconds(text).is_some(),
            "a duration of Prometheus, such as \"90s\" or \"1h30m\"",
        ),
        "stale_after" | "age" | "remaining" => text(
            |text| prom_duration::seconds(text).is_some_and(|seconds| seconds > 0),
            "a duration of Prometheus above 0, such as \"10m\"",
        ),
        "window" => ValueType::OneOf(&ALERT_WINDOWS),
        "ratio" | "goal" | "points" => SHARE,
        "severity" => text(
            |text| ["critical", "warning", "info"].contains(&text),
            "critical, warning or info; common.severities has the names that your Alertmanager routes",
        ),
        "selector" | "target_selector" => text(
            |text| matchers::labels(text).is_some(),
            "label matchers, such as 'cluster=\"eu\",project!~\"test-.*\"'",
        ),
        "by" => LABEL_NAMES,
        "runbook_url" | "dashboard_url" => text(is_url, "a URL that begins with http:// or https://"),
        "latency_buckets" | "duration_buckets" => BOUNDS,
        "job" | "name" => WORD,
        "namespace" => text(|text| text.is_empty() || is_word(text), "a name, or ''"),
        "bound" | "short_conversation" | "seconds" | "factor" => POSITIVE,
        name if name.starts_with("factor_") => POSITIVE,
        name if name.starts_with("min_") => ValueType::Integer { min: 1, max: u32::MAX },
        _ => return None,
    })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

/// A URL in which nothing ends the line of YAML that it is written into.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._~:/@!&=+,;%".contains(letter))
            && !rest.ends_with(':')
    })
}
