//! The label values of a conversation, and the cap on how many there may be.
//!
//! Owns: normalising and folding. Never: another field as a value than `channel`, the variant, and the handoff's reason and
//! destination, in which `conversation` has masked telephone numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::dimension::Dimension;
use polyai_domain::conversation::{ConversationData, MAX_LABEL_CHARS, truncate_chars};

/// What folded values are called.
pub const OTHER: &str = "other";

/// The values of the optional dimensions, in their configured order.
pub type LabelValues = Arc<[Arc<str>]>;

/// The values of a conversation under `dimensions`, before folding.
pub(super) fn raw_values<'a>(
    dimensions: &[Dimension],
    data: &'a ConversationData,
) -> Vec<(Dimension, &'a str)> {
    dimensions
        .iter()
        .map(|&dimension| {
            let value = match dimension {
                Dimension::Channel => data.channel.as_deref(),
                Dimension::Variant => data.variant.as_deref(),
            };
            (dimension, value.unwrap_or(default_value(dimension)))
        })
        .collect()
}

/// The value of a dimension that a conversation does not name.
const fn default_value(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Channel => "unknown",
        Dimension::Variant => "none",
    }
}

/// The values of a conversation that counted under `counted`, as far as they are known, under `dimensions`.
pub fn labels_from_row(dimensions: &[Dimension], counted: &[(Dimension, Box<str>)]) -> LabelValues {
    let value = |&dimension: &Dimension| {
        let known = counted.iter().find(|(other, _)| *other == dimension).map(|(_, value)| &**value);
        Arc::from(known.unwrap_or(default_value(dimension)))
    };
    dimensions.iter().map(value).collect()
}

/// The values that each label of one target has taken, up to a cap.
#[derive(Debug, Clone)]
pub struct LabelLimiter {
    most: NonZeroUsize,
    known: BTreeMap<&'static str, BTreeSet<Arc<str>>>,
}

impl LabelLimiter {
    /// Admits up to `most` values per label, and those that are [kept](Self::retain).
    pub fn new(most: NonZeroUsize) -> Self {
        Self { most, known: BTreeMap::new() }
    }

    /// The value to use for `value`: itself if it is known or there is room, else [`OTHER`].
    pub fn limit(&mut self, label: &'static str, value: &str) -> LimitedLabel {
        let value = truncate_chars(value, MAX_LABEL_CHARS);
        let known = self.known.entry(label).or_default();
        if let Some(value) = known.get(value) {
            return LimitedLabel { value: value.clone(), folded: false };
        }
        if known.len() >= self.most.get() {
            return LimitedLabel { value: Arc::from(OTHER), folded: value != OTHER };
        }
        let value: Arc<str> = Arc::from(value);
        if &*value != OTHER {
            known.insert(value.clone());
        }
        LimitedLabel { value, folded: false }
    }

    /// Takes up a value that has series already, whether or not there is room: series that exist go on.
    pub fn retain(&mut self, label: &'static str, value: &Arc<str>) {
        if &**value != OTHER {
            self.known.entry(label).or_default().insert(value.clone());
        }
    }

    /// The dimension values that `data` counts under.
    pub fn values(&mut self, dimensions: &[Dimension], data: &ConversationData) -> LabelValues {
        let raw = raw_values(dimensions, data).into_iter();
        raw.map(|(dimension, value)| self.limit(dimension.as_str(), value).value).collect()
    }
}

/// The outcome of [`LabelLimiter::limit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedLabel {
    /// The value to use.
    pub value: Arc<str>,
    /// Whether the true value was folded.
    pub folded: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_cap_new_values_fold_and_known_ones_stay() {
        let mut cap = LabelLimiter::new(NonZeroUsize::new(2).unwrap());
        let admit = |cap: &mut LabelLimiter, value: &str| {
            let admitted = cap.limit("channel", value);
            (admitted.value.to_string(), admitted.folded)
        };
        assert_eq!(admit(&mut cap, "VOICE-SIP"), ("VOICE-SIP".into(), false));
        assert_eq!(admit(&mut cap, "CHAT"), ("CHAT".into(), false));
        assert_eq!(admit(&mut cap, "FAX"), ("other".into(), true));
        assert_eq!(admit(&mut cap, "CHAT"), ("CHAT".into(), false));
        assert_eq!(admit(&mut cap, "other"), ("other".into(), false));
    }

    #[test]
    fn each_label_has_its_own_cap() {
        let mut cap = LabelLimiter::new(NonZeroUsize::new(1).unwrap());
        assert!(!cap.limit("channel", "CHAT").folded);
        assert!(!cap.limit("reason", "billing").folded);
        assert!(cap.limit("reason", "refund").folded);
    }

    #[test]
    fn an_essay_is_cut_to_a_name() {
        let mut cap = LabelLimiter::new(NonZeroUsize::new(9).unwrap());
        assert_eq!(cap.limit("reason", &"é".repeat(500)).value.chars().count(), MAX_LABEL_CHARS);
    }
}
