//! The types of values: what may be written, and what to write instead.

use std::fmt;
use std::time::Duration;

use crate::{Diagnostic, FromNode, Node, Value, closest, join_list, quoted};

/// The type and range of a value.
#[derive(Debug, Clone, Copy)]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// A number.
    Number {
        /// Whether it is in range.
        accepts: fn(f64) -> bool,
        /// The range, for messages.
        expected: &'static str,
    },
    /// A duration with its unit.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Text.
    Text {
        /// Whether the text has the right form.
        accepts: fn(&str) -> bool,
        /// The form, for messages.
        expected: &'static str,
    },
    /// Text with a form whose errors deserve messages of their own.
    Parsed {
        /// Returns the advice about a text of the wrong form.
        check: fn(&str) -> Result<(), String>,
        /// The form, for messages about values that are not text.
        expected: &'static str,
    },
    /// One of a closed set.
    OneOf(&'static [&'static str]),
    /// A list. A list of one may be written as that one.
    List(&'static ListType),
    /// Anything; checked elsewhere.
    Any,
}

/// The type of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListType {
    /// The type of each item.
    pub item: ValueType,
    /// The smallest number of items.
    pub min_items: usize,
    /// The largest number of items.
    pub max_items: usize,
    /// How the items follow each other.
    pub order: Order,
    /// The list, for messages.
    pub expected: &'static str,
}

/// How the items of a list follow each other.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// In any way.
    Any,
    /// In any order, without repeats.
    Distinct,
    /// Each greater than the one before when both are rounded to a multiple of this step. Only for numbers and durations.
    Ascending(f64),
}

/// The shortest name of a closed set that is suggested: most short texts resemble each other.
const MIN_SUGGESTED: usize = 6;

impl fmt::Display for ValueType {
    /// The accepted values, to end a message: "write ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Integer { min, max: u32::MAX } => write!(f, "a whole number from {min}"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { expected, .. } | Self::Text { expected, .. } | Self::Parsed { expected, .. } => {
                f.write_str(expected)
            }
            Self::Duration { min, max } => {
                write!(f, "a duration from {} to {}", format_duration(*min), format_duration(*max))
            }
            Self::OneOf(names) => f.write_str(&join_list(names.iter().copied(), "or")),
            Self::List(list) => f.write_str(list.expected),
            Self::Any => f.write_str("a value"),
        }
    }
}

impl ValueType {
    /// Checks `node`, the value of the key at `path`.
    pub(crate) fn check(&self, node: &Node, path: &str, is_required: bool, errors: &mut Vec<Diagnostic>) {
        let mut error = |node: &Node, path: &str, advice: &str| {
            let text = format!("found {}; {advice}", node.describe(path));
            errors.push(Diagnostic::new(&node.location, path, text));
        };
        if let Self::Any = self {
            return;
        }
        if node.value == Value::Null {
            let removable = if is_required { "" } else { ", or remove the key" };
            return error(node, path, &format!("write {self}{removable}"));
        }
        let Self::List(list) = self else {
            if let Err(advice) = self.check_one(node) {
                error(node, path, &advice);
            }
            return;
        };
        let Some(items) = node.list_items() else { return error(node, path, &format!("write {self}")) };
        // Items of a variable, or a single value instead of a list, have no index to be found by.
        let item_path = |index| match node.items() {
            Some(_) => format!("{path}[{index}]"),
            None => path.to_owned(),
        };
        let mut valid = true;
        for (index, item) in items.iter().enumerate() {
            if let Err(advice) = list.item.check_one(item) {
                error(item, &item_path(index), &advice);
                valid = false;
            }
        }
        if !valid {
            return;
        }
        if !(list.min_items..=list.max_items).contains(&items.len()) {
            let found = match items.len() {
                0 => "an empty list".to_owned(),
                count => format!("{count} items"),
            };
            return errors.push(Diagnostic::new(
                &node.location,
                path,
                format!("found {found}; write {self}"),
            ));
        }
        for (index, item) in items.iter().enumerate() {
            let earlier = items.get(..index).unwrap_or_default();
            let advice = match (list.order, earlier.last()) {
                (Order::Distinct, _) if earlier.iter().any(|other| other.value == item.value) => {
                    "it is in the list already; remove it"
                }
                (Order::Ascending(step), Some(before)) if steps(item, step) <= steps(before, step) => {
                    "each item must be greater than the one before"
                }
                _ => continue,
            };
            error(item, &item_path(index), advice);
        }
    }

    /// Checks a single value; the error says what to write instead.
    fn check_one(&self, node: &Node) -> Result<(), String> {
        let fits = match self {
            Self::Bool => bool::from_node(node).is_some(),
            Self::Integer { min, max } => {
                u32::from_node(node).is_some_and(|number| (*min..=*max).contains(&number))
            }
            Self::Number { accepts, .. } => f64::from_node(node).is_some_and(accepts),
            Self::Duration { min, max } => {
                Duration::from_node(node).is_some_and(|duration| (*min..=*max).contains(&duration))
            }
            Self::Text { .. } | Self::Parsed { .. } | Self::OneOf(_) => match node.as_text() {
                Some(text) => return self.check_text(text),
                None => false,
            },
            Self::Any | Self::List(_) => true,
        };
        if fits { Ok(()) } else { Err(self.advice(node)) }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if let Self::Parsed { check, .. } = self {
            return check(text);
        }
        if let Self::Text { accepts, .. } = self
            && accepts(text)
        {
            return Ok(());
        }
        let Self::OneOf(names) = self else { return Err(format!("write {self}")) };
        if names.contains(&text) {
            return Ok(());
        }
        let near = closest(text, names.iter().copied()).filter(|near| near.len() >= MIN_SUGGESTED);
        Err(near.map_or_else(|| format!("write {self}"), |near| format!("did you mean `{near}`?")))
    }

    /// The advice for `node`, with the remedy of common mistakes.
    fn advice(&self, node: &Node) -> String {
        let scalar = node.scalar();
        let bare = scalar.as_deref().map(str::trim).filter(|text| text.parse::<f64>().is_ok());
        match (self, bare) {
            (Self::Duration { .. }, Some(number))
                if !number.starts_with(['-', '+', '.']) && number != "0" =>
            {
                format!("a duration needs a unit: write {}", quoted(&format!("{number}s")))
            }
            (Self::Integer { .. } | Self::Number { .. }, Some(_))
                if node.as_text().is_some() && !node.is_from_environment() =>
            {
                format!("write {self}, without quotes")
            }
            (Self::Text { .. } | Self::Parsed { .. }, _) => match scalar.map(|text| self.check_text(&text)) {
                Some(Ok(())) => "this is read as text: put it in quotes".to_owned(),
                Some(Err(advice)) => advice,
                None => format!("write {self}"),
            },
            _ => format!("write {self}"),
        }
    }
}

/// How many steps from zero a number or a duration (in seconds) is.
fn steps(node: &Node, step: f64) -> Option<f64> {
    let amount = f64::from_node(node).or_else(|| Duration::from_node(node).map(|span| span.as_secs_f64()))?;
    Some((amount / step).round())
}

/// A duration in its largest whole unit, as people write it in a file: `24h`, `90days`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = [("days", 24 * 3600), ("h", 3600), ("m", 60)]
        .into_iter()
        .find(|(unit, size)| seconds.is_multiple_of(*size) && (*unit != "days" || seconds > *size));
    match unit {
        Some((unit, size)) if duration.subsec_nanos() == 0 && (1..=366 * 24 * 3600).contains(&seconds) => {
            format!("{}{unit}", seconds / size)
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted_as_people_write_them() {
        for (seconds, text) in
            [(0, "0s"), (30, "30s"), (90, "1m 30s"), (300, "5m"), (86_400, "24h"), (90 * 86_400, "90days")]
        {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(format_duration(Duration::from_millis(1500)), "1s 500ms");
    }
}
