//! The label values of a conversation, and the limit on how many there may be.
//!
//! The only texts of a record that become label values are the channel, the variant, and the reason and destination of a
//! handoff, in which the domain has masked phone numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use polyai_domain::conversation::{ConversationData, MAX_LABEL_CHARS, truncate_chars};

use crate::dimension::Dimension;

/// Replaces values beyond the limit.
const OTHER: &str = "other";

/// The values of the optional dimensions, in their configured order.
pub type LabelValues = Arc<[Arc<str>]>;

/// The label of this name, if its values come from the API, so that their number is limited.
pub fn limited_label(name: &str) -> Option<&'static str> {
    ["channel", "variant", "reason", "destination"].into_iter().find(|&label| label == name)
}

/// The values of a conversation, before any limit.
pub(super) fn raw_values<'a>(
    dimensions: &'a [Dimension],
    data: &'a ConversationData,
) -> impl Iterator<Item = (Dimension, &'a str)> {
    dimensions.iter().map(|&dimension| {
        let value = match dimension {
            Dimension::Channel => data.channel.as_deref(),
            Dimension::Variant => data.variant.as_deref(),
        };
        (dimension, value.unwrap_or(default_value(dimension)))
    })
}

/// The value of a dimension that is absent from a conversation.
const fn default_value(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Channel => "unknown",
        Dimension::Variant => "none",
    }
}

/// The values under `dimensions` of a conversation that was `counted` under perhaps other ones.
pub(crate) fn counted_labels(dimensions: &[Dimension], counted: &[(Dimension, Box<str>)]) -> LabelValues {
    let value = |&dimension: &Dimension| {
        let known = counted.iter().find(|(other, _)| *other == dimension).map(|(_, value)| &**value);
        Arc::from(known.unwrap_or(default_value(dimension)))
    };
    dimensions.iter().map(value).collect()
}

/// The values that each label of one target has taken, up to a limit.
#[derive(Debug, Clone)]
pub struct LabelLimiter {
    max_values: NonZeroUsize,
    known: BTreeMap<&'static str, BTreeSet<Arc<str>>>,
}

impl LabelLimiter {
    /// Admits up to `max_values` values per label, and those that are retained.
    pub fn new(max_values: NonZeroUsize) -> Self {
        Self { max_values, known: BTreeMap::new() }
    }

    /// The value to use for `value`: itself if it is known or there is room, else [`OTHER`].
    pub(crate) fn limit(&mut self, label: &'static str, value: &str) -> LimitedLabel {
        let value = truncate_chars(value, MAX_LABEL_CHARS);
        let known = self.known.entry(label).or_default();
        if let Some(value) = known.get(value) {
            return LimitedLabel { value: value.clone(), limited: false };
        }
        if known.len() >= self.max_values.get() {
            return LimitedLabel { value: Arc::from(OTHER), limited: value != OTHER };
        }
        let value: Arc<str> = Arc::from(value);
        if &*value != OTHER {
            known.insert(value.clone());
        }
        LimitedLabel { value, limited: false }
    }

    /// Admits a value that has series already, whether or not there is room.
    pub(crate) fn retain(&mut self, label: &'static str, value: &Arc<str>) {
        if &**value != OTHER {
            self.known.entry(label).or_default().insert(value.clone());
        }
    }

    /// The dimension values that a conversation counts under.
    pub(crate) fn values(&mut self, dimensions: &[Dimension], data: &ConversationData) -> LabelValues {
        let limit = |(dimension, value): (Dimension, _)| self.limit(dimension.as_str(), value).value;
        raw_values(dimensions, data).map(limit).collect()
    }
}

/// The value to count a label under.
pub(crate) struct LimitedLabel {
    pub(crate) value: Arc<str>,
    /// Whether it is [`OTHER`] instead of the true value.
    pub(crate) limited: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_beyond_the_limit_becomes_other() {
        let mut limiter = LabelLimiter::new(NonZeroUsize::new(2).unwrap());
        let limit = |limiter: &mut LabelLimiter, value: &str| {
            let limited = limiter.limit("channel", value);
            (limited.value.to_string(), limited.limited)
        };
        assert_eq!(limit(&mut limiter, "VOICE-SIP"), ("VOICE-SIP".into(), false));
        assert_eq!(limit(&mut limiter, "CHAT"), ("CHAT".into(), false));
        assert_eq!(limit(&mut limiter, "FAX"), ("other".into(), true));
        assert_eq!(limit(&mut limiter, "CHAT"), ("CHAT".into(), false));
        assert_eq!(limit(&mut limiter, "other"), ("other".into(), false));
    }

    #[test]
    fn each_label_has_its_own_limit() {
        let mut limiter = LabelLimiter::new(NonZeroUsize::new(1).unwrap());
        assert!(!limiter.limit("channel", "CHAT").limited);
        assert!(!limiter.limit("reason", "billing").limited);
        assert!(limiter.limit("reason", "refund").limited);
    }

    #[test]
    fn long_value_is_truncated() {
        let mut limiter = LabelLimiter::new(NonZeroUsize::new(9).unwrap());
        assert_eq!(limiter.limit("reason", &"é".repeat(500)).value.chars().count(), MAX_LABEL_CHARS);
    }
}
