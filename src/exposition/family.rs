//! The family model: what every exposition format is written from.
//!
//! Owns: the shape of families, series and values. Never: how a value came to be, locks, or a format's spelling.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// The metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The full name as it stands in the text format; counters end in `_total`.
    pub name: Cow<'static, str>,
    /// One sentence for people.
    pub help: Cow<'static, str>,
    /// What the values are.
    pub kind: Kind,
    /// The unit that the name ends with (before `_total`), which OpenMetrics tells apart; see [`Unit::of_name`].
    pub unit: Option<Unit>,
    /// One per label set, each with a value of `kind`.
    pub series: Vec<Series>,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows, from its start on.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// A base unit of Prometheus, as a name ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `_seconds`
    Seconds,
    /// `_bytes`
    Bytes,
    /// `_ratio`, from 0 to 1.
    Ratio,
}

/// One label set of a family with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What tells it from its neighbours.
    pub labels: Labels,
    /// Its value now.
    pub value: Value,
    /// Since when a counter or histogram counts, where that is known; absent for gauges.
    pub start: Option<DateTime<Utc>>,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A total; finite and not negative. Whole up to 2^53, which is what Prometheus keeps.
    Counter(f64),
    /// Any number; `NaN` never stands for "missing": leave the series out instead.
    Gauge(f64),
    /// A distribution.
    Histogram(Histogram),
}

/// Observations in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bounds (inclusive), ascending and finite; the bucket beyond the last, `+Inf`, is implied.
    pub bounds: Arc<[f64]>,
    /// Observations of each bucket alone, not of those below it: one per bound, and last those beyond all bounds.
    pub counts: Arc<[u64]>,
    /// The sum of all observations.
    pub sum: f64,
    /// Examples of observations for the formats that can carry them: none, or one entry per bucket.
    pub exemplars: Arc<[Option<Exemplar>]>,
}

/// An observation that is named: it leads from a bucket to the very conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What names it.
    pub labels: Labels,
    /// The observation.
    pub value: f64,
    /// When it was made.
    pub at: Option<DateTime<Utc>>,
}

/// Label names with their values, in the order of exposition; clones share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Cow<'static, str>, Arc<str>)]>);

impl Labels {
    /// Labels in the given order. Names are distinct and valid (`[a-zA-Z_][a-zA-Z0-9_]*`), values any text.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Cow<'static, str>>,
        V: Into<Arc<str>>,
    {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// No labels.
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// These labels followed by `more`; values are shared.
    pub fn with<N, V>(&self, more: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Cow<'static, str>>,
        V: Into<Arc<str>>,
    {
        let more = more.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(self.0.iter().cloned().chain(more).collect())
    }

    /// Name and value of each label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Family {
    /// A family without series, its unit taken from the name.
    pub fn new(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        let name = name.into();
        let unit = Unit::of_name(&name);
        Self { name, help: help.into(), kind, unit, series: Vec::new() }
    }
}

impl Series {
    /// A series without a known start.
    pub const fn new(labels: Labels, value: Value) -> Self {
        Self { labels, value, start: None }
    }
}

impl Value {
    /// A counter that stands at `total`.
    #[expect(clippy::cast_precision_loss, reason = "a sample is a double in every format")]
    pub const fn total(total: u64) -> Self {
        Self::Counter(total as f64)
    }

    /// What kind of family this value belongs to.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

impl Histogram {
    /// A histogram without exemplars. `counts` has one entry more than `bounds`.
    pub fn new(bounds: impl Into<Arc<[f64]>>, counts: impl Into<Arc<[u64]>>, sum: f64) -> Self {
        Self { bounds: bounds.into(), counts: counts.into(), sum, exemplars: Arc::default() }
    }

    /// The number of all observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Kind {
    /// The word of the text format's `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// All units.
    pub const ALL: [Self; 3] = [Self::Seconds, Self::Bytes, Self::Ratio];

    /// The word that names end with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }

    /// The unit that `name` ends with, not counting `_total`.
    pub fn of_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix("_total").unwrap_or(name);
        Self::ALL
            .into_iter()
            .find(|unit| stem.strip_suffix(unit.as_str()).is_some_and(|front| front.ends_with('_')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_word_before_total() {
        let cases = [
            ("polyai_turn_latency_seconds", Some(Unit::Seconds)),
            ("polyai_exporter_api_response_bytes_total", Some(Unit::Bytes)),
            ("polyai_recent_handoff_ratio", Some(Unit::Ratio)),
            ("polyai_conversations_total", None),
            ("megabytes", None),
            ("seconds", None),
        ];
        for (name, unit) in cases {
            assert_eq!(Unit::of_name(name), unit, "{name}");
        }
    }

    #[test]
    fn labels_extend_in_order() {
        let target = Labels::new([("project", "reservations"), ("region", "us-1")]);
        let extended = target.with([("channel", "VOICE-SIP")]);
        let names: Vec<_> = extended.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["project", "region", "channel"]);
        assert!(Labels::none().is_empty());
    }
}
