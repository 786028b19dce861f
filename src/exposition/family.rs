//! The family model: what every exposition format is written from.
//!
//! Owns: the shape of families, series and values. Never: how a value came to be, locks, or a format's spelling.
//!
//! Encoders take a [`FamilyMeta`] and, one by one, [`Sample`]s, which borrow from wherever the numbers live: the committed series of
//! a target, or a [`Family`] that was lifted from another registry.

use std::borrow::Cow;
use std::sync::Arc;

use super::ladder::BucketBounds;
use crate::aggregate::{Exemplar, NativeHistogram};
use crate::timestamp::Timestamp;

/// A name or another text that is usually known when the program is built.
pub type Text = Cow<'static, str>;

/// What stands before the samples of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyMeta {
    /// The full name as it stands in the text format; counters end in `_total`.
    pub name: Text,
    /// One sentence for people.
    pub help: Text,
    /// What the values are.
    pub kind: Kind,
    /// The unit that the name ends with (before `_total`), which some formats tell apart; see [`Unit::of_name`].
    pub unit: Option<Unit>,
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

/// One label set of a family with its value, borrowed: what an encoder writes.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The names of its labels, in order; distinct and valid (`[a-zA-Z_][a-zA-Z0-9_]*`).
    pub names: &'a [Text],
    /// Their values, any text.
    pub values: &'a [Arc<str>],
    /// The value.
    pub reading: SampleValue<'a>,
    /// Since when a counter or histogram counts, where that is known; absent for gauges.
    pub start: Option<Timestamp>,
}

/// The value of a [`Sample`].
#[derive(Debug, Clone, Copy)]
pub enum SampleValue<'a> {
    /// A total, finite and not negative, and one example of what it counts. Whole up to 2^53, which is what Prometheus
    /// keeps.
    Counter(f64, Option<&'a Exemplar>),
    /// Any number; `NaN` never stands for "missing": leave the sample out instead.
    Gauge(f64),
    /// A distribution.
    Histogram(HistogramRef<'a>),
}

/// Observations in buckets, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct HistogramRef<'a> {
    /// The bounds of the classic buckets.
    pub ladder: &'a BucketBounds,
    /// Observations of each bucket alone, not of those below it: one per bound, and last those beyond all bounds.
    pub counts: &'a [u64],
    /// The sum of all observations.
    pub sum: f64,
    /// Examples of observations for the formats that can carry them: none, or one entry per bucket.
    pub exemplars: &'a [Option<Exemplar>],
    /// The same observations in exponential buckets, for the formats that know them.
    pub native: Option<&'a NativeHistogram>,
}

/// A whole family that owns its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// What stands before them.
    pub head: FamilyMeta,
    /// One per label set, each with a value of the head's kind.
    pub series: Vec<Series>,
}

/// One label set of a [`Family`] with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What tells it from its neighbours.
    pub labels: Labels,
    /// Its value now.
    pub value: Value,
    /// As in [`Sample`].
    pub start: Option<Timestamp>,
}

/// The value of a [`Series`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A total.
    Counter(f64),
    /// A number.
    Gauge(f64),
    /// A distribution.
    Histogram(Histogram),
}

/// Observations in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The bounds of the buckets.
    pub ladder: Arc<BucketBounds>,
    /// As in [`HistogramRef`].
    pub counts: Vec<u64>,
    /// The sum of all observations.
    pub sum: f64,
}

/// Label names with their values, in the order of exposition.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    names: Vec<Text>,
    values: Vec<Arc<str>>,
}

impl Labels {
    /// Labels in the given order. Names are distinct and valid (`[a-zA-Z_][a-zA-Z0-9_]*`), values any text.
    pub fn new<N: Into<Text>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let (names, values) = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).unzip();
        Self { names, values }
    }

    /// No labels.
    pub fn none() -> Self {
        Self::default()
    }

    /// Name and value of each label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip(&self.values).map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl FamilyMeta {
    /// The unit is taken from the name.
    pub fn new(name: impl Into<Text>, help: impl Into<Text>, kind: Kind) -> Self {
        let name = name.into();
        let unit = Unit::of_name(&name);
        Self { name, help: help.into(), kind, unit }
    }
}

impl Family {
    /// A family without series.
    pub fn new(name: impl Into<Text>, help: impl Into<Text>, kind: Kind) -> Self {
        Self { head: FamilyMeta::new(name, help, kind), series: Vec::new() }
    }
}

impl Series {
    /// A series without a known start.
    pub const fn new(labels: Labels, value: Value) -> Self {
        Self { labels, value, start: None }
    }

    /// The series as an encoder takes it.
    pub fn sample(&self) -> Sample<'_> {
        let reading = match &self.value {
            Value::Counter(total) => SampleValue::Counter(*total, None),
            Value::Gauge(value) => SampleValue::Gauge(*value),
            Value::Histogram(histogram) => SampleValue::Histogram(HistogramRef {
                ladder: &histogram.ladder,
                counts: &histogram.counts,
                sum: histogram.sum,
                exemplars: &[],
                native: None,
            }),
        };
        Sample { names: &self.labels.names, values: &self.labels.values, reading, start: self.start }
    }
}

impl Sample<'_> {
    /// Name and value of each label.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip(self.values).map(|(name, value)| (name.as_ref(), value.as_ref()))
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
    /// `counts` has one entry more than `bounds`.
    pub fn new(bounds: impl IntoIterator<Item = f64>, counts: impl Into<Vec<u64>>, sum: f64) -> Self {
        Self { ladder: Arc::new(BucketBounds::new(bounds)), counts: counts.into(), sum }
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
    fn labels_keep_their_order() {
        let labels = Labels::new([("project", "reservations"), ("channel", "VOICE-SIP")]);
        assert_eq!(
            labels.iter().collect::<Vec<_>>(),
            [("project", "reservations"), ("channel", "VOICE-SIP")]
        );
        assert_eq!(Labels::none().iter().count(), 0);
    }
}
