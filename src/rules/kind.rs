//! What each key of the values may hold.
//!
//! Owns: the kinds, told by the key's name, and the sentence for a value that does not fit. Never: whether values fit together.

use super::matchers;
use super::span;
use exporter_schema::{Node, Value, join_list};

/// What a key may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    /// A duration of Prometheus; 0s is one.
    Span,
    /// A duration that is longer than nothing.
    Age,
    /// One of the windows that are recorded.
    Window,
    /// More than 0 and less than 1.
    Share,
    /// A whole number from 1.
    Count,
    /// A number above 0.
    Positive,
    /// Ascending numbers above 0.
    Bounds,
    Severity,
    /// A word for the value of a label.
    Word,
    Matchers,
    LabelNames,
    Address,
    /// Text that may be empty.
    Text,
    /// Names and texts of the user's own.
    Labels,
    /// Values for single projects.
    Projects,
}

impl Kind {
    /// The kind of the key at `path`; none if a key of this name has no kind, and so is a section.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "common.alert_labels" | "operator.labels" => return Some(Self::Labels),
            "projects" => return Some(Self::Projects),
            _ if path.starts_with("common.severities.") => return Some(Self::Word),
            _ => {}
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        Some(match name {
            "enabled" => Self::Switch,
            "for" | "keep_firing_for" => Self::Span,
            "stale_after" | "age" | "remaining" => Self::Age,
            "window" => Self::Window,
            "ratio" | "goal" | "points" => Self::Share,
            "severity" => Self::Severity,
            "selector" | "target_selector" => Self::Matchers,
            "by" => Self::LabelNames,
            "runbook_url" | "dashboard_url" => Self::Address,
            "latency_buckets" | "duration_buckets" => Self::Bounds,
            "job" | "name" => Self::Word,
            "namespace" => Self::Text,
            "bound" | "short_conversation" | "seconds" | "factor" => Self::Positive,
            _ if name.starts_with("factor_") => Self::Positive,
            _ if name.starts_with("min_") => Self::Count,
            _ => return None,
        })
    }

    /// Whether `node` fits; what would be right, if not.
    pub(super) fn check(self, node: &Node) -> Result<(), String> {
        let text = text(node);
        let fits = match self {
            Self::Switch => matches!(node.value, Value::Bool(_)),
            Self::Span => text.is_some_and(|text| span::seconds(text).is_some()),
            Self::Age => text.is_some_and(|text| span::seconds(text).is_some_and(|seconds| seconds > 0)),
            Self::Window => text.is_some_and(|text| super::alert_windows().any(|window| window == text)),
            Self::Share => number(node).is_some_and(|share| share > 0.0 && share < 1.0),
            Self::Count => matches!(node.value, Value::Integer(1..=1_000_000_000)),
            Self::Positive => number(node).is_some_and(is_positive),
            Self::Bounds => numbers(node).is_some_and(|bounds| {
                !bounds.is_empty()
                    && bounds.iter().copied().all(is_positive)
                    && bounds.is_sorted_by(|low, high| low < high)
            }),
            Self::Severity => matches!(text, Some("critical" | "warning" | "info")),
            Self::Word => text.is_some_and(is_word),
            Self::Matchers => text.is_some_and(|text| matchers::labels(text).is_some()),
            Self::LabelNames => node.items().is_some_and(|items| {
                items.iter().all(|item| self::text(item).is_some_and(matchers::is_label))
            }),
            Self::Address => text.is_some_and(is_address),
            Self::Text => text.is_some_and(|text| text.is_empty() || is_word(text)),
            Self::Labels => node.entries().is_some_and(|labels| {
                labels.iter().all(|(name, value)| {
                    // Those of Kubernetes have dots and slashes.
                    name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter))
                        && self::text(value).is_some_and(|value| !value.contains(char::is_control))
                })
            }),
            Self::Projects => node.entries().is_some(),
        };
        if fits { Ok(()) } else { Err(self.right()) }
    }

    fn right(self) -> String {
        match self {
            Self::Switch => "write true or false".to_owned(),
            Self::Span => "write a duration as Prometheus does, such as \"90s\" or \"1h30m\"".to_owned(),
            Self::Age => "write a duration above 0 as Prometheus does, such as \"10m\"".to_owned(),
            Self::Window => format!("write one of {}", join_list(super::alert_windows(), "or")),
            Self::Share => "write a share above 0 and below 1, such as 0.25 for 25 %".to_owned(),
            Self::Count => "write a whole number from 1".to_owned(),
            Self::Positive => "write a number above 0".to_owned(),
            Self::Bounds => "write a list of ascending numbers above 0".to_owned(),
            Self::Severity => {
                "write critical, warning or info; common.severities says how yours are called".to_owned()
            }
            Self::Word => "write a word of letters, digits, dots, hyphens and underscores".to_owned(),
            Self::Matchers => {
                "write label matchers, such as 'cluster=\"eu\",project!~\"test-.*\"'".to_owned()
            }
            Self::LabelNames => "write a list of label names, such as [cluster]".to_owned(),
            Self::Address => "write an address that begins with http:// or https://".to_owned(),
            Self::Text => "write a name, or ''".to_owned(),
            Self::Labels => "write names with texts, such as {team: voice}".to_owned(),
            Self::Projects => {
                "write projects with alerts, such as {billing: {PolyAIHandoffRateHigh: {ratio: 0.65}}}"
                    .to_owned()
            }
        }
    }
}

/// The text of `node`, if it is text.
pub(super) fn text(node: &Node) -> Option<&str> {
    if let Value::Text(text) = &node.value { Some(text) } else { None }
}

/// The number of `node`, if it is one.
pub(super) fn number(node: &Node) -> Option<f64> {
    if let Value::Float(number) = node.value {
        Some(number)
    } else if let Value::Integer(number) = node.value {
        // Through text, because there is no exact conversion.
        number.to_string().parse().ok()
    } else {
        None
    }
}

/// The numbers of the list `node`, if it is one.
pub(super) fn numbers(node: &Node) -> Option<Vec<f64>> {
    node.items()?.iter().map(number).collect()
}

fn is_positive(number: f64) -> bool {
    number > 0.0 && number.is_finite()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

/// Nothing in it may end the line of YAML that it is written into.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._~:/@!&=+,;%".contains(letter))
            && !rest.ends_with(':')
    })
}
