//! The family model that every format is encoded from.
//!
//! Encoders take a [`FamilyMeta`] and [`Sample`]s, which borrow from wherever the numbers are stored. A [`Family`] owns its
//! series; it is for those that are gathered for each scrape.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::buckets::{BucketBounds, NativeHistogram};

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The time since `earlier`, or `None` if that is later.
    pub(crate) fn duration_since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(self.0.saturating_sub(earlier.0)).ok().map(Duration::from_millis)
    }
}

/// The metadata of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyMeta {
    /// The full name as in the text format; the name of a counter ends in `_total`.
    pub name: Cow<'static, str>,
    /// The help text.
    pub help: Cow<'static, str>,
    /// The type.
    pub kind: Kind,
    /// The unit that the name ends with (before `_total`), for formats that have units; see [`Unit::of_name`].
    pub unit: Option<Unit>,
}

/// The type of a family, with its number in the protobuf format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only increases.
    Counter = 0,
    /// Increases and decreases.
    Gauge = 1,
    /// Observations in buckets.
    Histogram = 4,
}

/// A base unit of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `_seconds`
    Seconds,
    /// `_bytes`
    Bytes,
    /// `_ratio`, from 0 to 1.
    Ratio,
}

/// One label set of a family with its value, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a, H> {
    /// The names of its labels, in order; distinct and valid (`[a-zA-Z_][a-zA-Z0-9_]*`).
    pub names: &'a [Cow<'static, str>],
    /// Their values, any text.
    pub values: &'a [Arc<str>],
    /// The value.
    pub value: SampleValue<'a, H>,
    /// When a counter or histogram started to count, if known; absent for gauges.
    pub start: Option<Timestamp>,
}

/// The value of a [`Sample`], with a [`HistogramView`] for histograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValue<'a, H> {
    /// A total, finite and not negative, and an exemplar of what it counts.
    Counter(f64, Option<Exemplar<'a>>),
    /// Any number. `NaN` does not mean "missing": leave the sample out instead.
    Gauge(f64),
    /// A histogram.
    Histogram(H),
}

/// An example of what a counter or a bucket counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a> {
    /// Name and value of its label; OpenMetrics allows 128 characters for both together.
    pub label: (&'a str, &'a str),
    /// The value that was observed; 1 for a counter of events.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Timestamp,
}

/// Observations in buckets, wherever they are stored.
pub trait HistogramView {
    /// The bounds of the classic buckets.
    fn bounds(&self) -> &BucketBounds;

    /// Observations of each bucket, not cumulative: one per bound, and last those above all bounds.
    fn counts(&self) -> &[u64];

    /// The sum of all observations.
    fn sum(&self) -> f64;

    /// An exemplar of the bucket at `index`.
    fn exemplar(&self, _index: usize) -> Option<Exemplar<'_>> {
        None
    }

    /// The same observations in at most `max_buckets` exponential buckets.
    fn native(&self, _max_buckets: usize) -> Option<NativeHistogram> {
        None
    }
}

/// A family that owns its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name, help text, type and unit.
    pub meta: FamilyMeta,
    /// One per label set, each with a value of the family's type.
    pub series: Vec<Series>,
}

/// One label set of a [`Family`] with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// The value.
    pub value: Value,
    /// As in [`Sample`].
    pub start: Option<Timestamp>,
}

/// The value of a [`Series`].
pub type Value = SampleValue<'static, Histogram>;

/// Observations in classic buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The bounds of the buckets.
    pub bounds: BucketBounds,
    /// As in [`HistogramView::counts`].
    pub counts: Vec<u64>,
    /// The sum of all observations.
    pub sum: f64,
}

/// Label names with their values, in order of exposition.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    names: Vec<Cow<'static, str>>,
    values: Vec<Arc<str>>,
}

impl Labels {
    /// Labels in the given order. Names are distinct and valid (`[a-zA-Z_][a-zA-Z0-9_]*`), values any text.
    pub fn new<N: Into<Cow<'static, str>>, V: Into<Arc<str>>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let (names, values) = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).unzip();
        Self { names, values }
    }

    /// Name and value of each label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip(&self.values).map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl FamilyMeta {
    /// Metadata with the unit that the name ends with.
    pub fn new(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        let name = name.into();
        let unit = Unit::of_name(&name);
        Self { name, help: help.into(), kind, unit }
    }

    /// The name of the family in OpenMetrics 1.0, which for a counter lacks `_total`.
    pub(crate) fn base_name(&self) -> &str {
        let base = self.name.strip_suffix("_total").filter(|_| self.kind == Kind::Counter);
        base.unwrap_or(&self.name)
    }
}

impl Family {
    /// A family without series.
    pub fn new(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        Self { meta: FamilyMeta::new(name, help, kind), series: Vec::new() }
    }
}

impl Series {
    /// A series without a known start.
    pub const fn new(labels: Labels, value: Value) -> Self {
        Self { labels, value, start: None }
    }

    /// The sample to encode.
    pub fn sample(&self) -> Sample<'_, &Histogram> {
        let value = match &self.value {
            Value::Counter(total, exemplar) => SampleValue::Counter(*total, *exemplar),
            Value::Gauge(value) => SampleValue::Gauge(*value),
            Value::Histogram(histogram) => SampleValue::Histogram(histogram),
        };
        Sample { names: &self.labels.names, values: &self.labels.values, value, start: self.start }
    }
}

impl<H> Sample<'_, H> {
    /// Name and value of each label.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip(self.values).map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl<H> SampleValue<'_, H> {
    /// A counter with this total.
    #[expect(clippy::cast_precision_loss, reason = "a sample is a double in every format")]
    pub const fn total(total: u64) -> Self {
        Self::Counter(total as f64, None)
    }
}

impl Histogram {
    /// `counts` has one element more than `bounds`.
    pub fn new(bounds: impl IntoIterator<Item = f64>, counts: impl Into<Vec<u64>>, sum: f64) -> Self {
        Self { bounds: BucketBounds::new(bounds), counts: counts.into(), sum }
    }
}

impl HistogramView for &Histogram {
    fn bounds(&self) -> &BucketBounds {
        &self.bounds
    }

    fn counts(&self) -> &[u64] {
        &self.counts
    }

    fn sum(&self) -> f64 {
        self.sum
    }
}

/// The exemplars of a histogram of the histogram as a whole: the newest, oldest first, because Prometheus
/// rejects an exemplar that is older than the one before.
pub(crate) fn newest_exemplars(histogram: &impl HistogramView) -> impl Iterator<Item = Exemplar<'_>> {
    const MAX_EXEMPLARS: usize = 10;
    let mut exemplars: Vec<_> =
        (0..histogram.counts().len()).filter_map(|index| histogram.exemplar(index)).collect();
    exemplars.sort_by_key(|exemplar| exemplar.timestamp);
    let skipped = exemplars.len().saturating_sub(MAX_EXEMPLARS);
    exemplars.into_iter().skip(skipped)
}

impl Kind {
    /// The word in the `# TYPE` line of the text format.
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

    /// The unit that `name` ends with, ignoring `_total`.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, last_word) = name.strip_suffix("_total").unwrap_or(name).rsplit_once('_')?;
        Self::ALL.into_iter().find(|unit| unit.as_str() == last_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_is_last_word_before_total() {
        let cases = [
            ("turn_latency_seconds", Some(Unit::Seconds)),
            ("api_response_bytes_total", Some(Unit::Bytes)),
            ("recent_handoff_ratio", Some(Unit::Ratio)),
            ("conversations_total", None),
            ("state_megabytes", None),
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
        assert_eq!(Labels::default().iter().count(), 0);
    }
}
