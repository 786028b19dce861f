//! The series of one target: every value that its conversations have added up to.
//!
//! Owns: values and their start times. Never: which conversation adds what (`rules.rs`), or how a value is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::{Buckets, Kind, Metric};
use super::counter::Counter;
use super::exemplar::ExemplarSource;
use super::histogram::{BucketBounds, Histogram};
use super::labels::LabelValues;
use super::rules::SeriesOp;
use crate::dimension::Dimension;
use polyai_domain::timestamp::Timestamp;

/// Which series of a target: the metric, and the values of its labels after the target's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The metric.
    pub metric: Metric,
    /// Label values, in the order of the metric's label names.
    pub values: Arc<[Arc<str>]>,
}

/// A value and since when it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// When counting started: a value that falls back has a new start.
    pub start: Timestamp,
    /// The value.
    pub value: Value,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Of a counter.
    Counter(Counter),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// What the configuration decides about the shape of series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSchema {
    /// The optional dimensions.
    pub dimensions: Vec<Dimension>,
    latency: BucketBounds,
    duration: BucketBounds,
    turns: BucketBounds,
    lag: BucketBounds,
}

impl SeriesSchema {
    /// With the upper bounds of the latency and duration buckets, in seconds, ascending.
    pub fn new(dimensions: Vec<Dimension>, latency: &[f64], duration: &[f64]) -> Self {
        Self {
            dimensions,
            latency: BucketBounds::new(latency),
            duration: BucketBounds::new(duration),
            turns: BucketBounds::new(&[1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0]),
            lag: BucketBounds::new(&[
                5.0, 10.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0,
            ]),
        }
    }

    /// The names of the labels of `metric` after the target's.
    pub fn label_names(&self, metric: Metric) -> Vec<&'static str> {
        let dimensions: Vec<_> = self.dimensions.iter().map(|dimension| dimension.as_str()).collect();
        metric.definition().labels.names(&dimensions)
    }

    /// The bounds of the buckets of `metric`, if it is a histogram.
    pub fn bounds_of(&self, metric: Metric) -> Option<&BucketBounds> {
        match metric.definition().kind {
            Kind::Histogram(buckets) => Some(self.bounds(buckets)),
            Kind::Counter | Kind::Gauge => None,
        }
    }

    fn bounds(&self, buckets: Buckets) -> &BucketBounds {
        match buckets {
            Buckets::Latency => &self.latency,
            Buckets::Duration => &self.duration,
            Buckets::Turns => &self.turns,
            Buckets::Lag => &self.lag,
        }
    }

    fn empty(&self, metric: Metric) -> Value {
        match metric.definition().kind {
            Kind::Counter => Value::Counter(Counter::default()),
            Kind::Gauge => Value::Gauge(0.0),
            Kind::Histogram(buckets) => Value::Histogram(Histogram::new(self.bounds(buckets).clone())),
        }
    }

    /// Whether a stored series has the shape that these settings give it: the same type, labels and bounds.
    pub fn is_compatible(&self, key: &SeriesKey, value: &Value) -> bool {
        let same_labels = self.label_names(key.metric).len() == key.values.len();
        let same_shape = match (key.metric.definition().kind, value) {
            (Kind::Counter, Value::Counter(counter)) => counter.is_sound(),
            (Kind::Gauge, Value::Gauge(_)) => true,
            (Kind::Histogram(buckets), Value::Histogram(histogram)) => {
                histogram.is_sound() && histogram.bounds() == self.bounds(buckets)
            }
            (Kind::Counter | Kind::Gauge | Kind::Histogram(_), _) => false,
        };
        same_labels && same_shape
    }
}

/// All series of one target. A clone shares every series with the original until one of them changes it, so that it costs
/// pointers, and what has not changed can be told by [`Arc::ptr_eq`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetSeries {
    series: BTreeMap<SeriesKey, Arc<Series>>,
}

impl TargetSeries {
    /// Applies a change to the series of `key`; one that does not exist yet starts at `start`. Where the metric has exemplars,
    /// `witness` is offered for one.
    pub fn apply(
        &mut self,
        key: &SeriesKey,
        change: SeriesOp,
        witness: Option<ExemplarSource<'_>>,
        layout: &SeriesSchema,
        start: Timestamp,
    ) {
        let witness = witness.filter(|_| key.metric.definition().exemplars);
        let series = match self.series.get_mut(key) {
            Some(series) => series,
            None => self.entry(key.clone(), layout, start),
        };
        match (&mut Arc::make_mut(series).value, change) {
            (Value::Counter(counter), SeriesOp::Add(amount)) => counter.add(amount, witness),
            (Value::Histogram(histogram), SeriesOp::Observe(amount)) => histogram.observe(amount, witness),
            (Value::Counter(_) | Value::Gauge(_) | Value::Histogram(_), _) => {
                debug_assert!(false, "{change:?} does not fit {:?}", key.metric);
            }
        }
    }

    /// Makes the series of `key` exist, at its empty value; answers whether it is new.
    pub fn ensure(&mut self, key: SeriesKey, layout: &SeriesSchema, start: Timestamp) -> bool {
        let before = self.series.len();
        self.entry(key, layout, start);
        self.series.len() > before
    }

    fn entry(&mut self, key: SeriesKey, layout: &SeriesSchema, start: Timestamp) -> &mut Arc<Series> {
        let metric = key.metric;
        self.series.entry(key).or_insert_with(|| Arc::new(Series { start, value: layout.empty(metric) }))
    }

    /// Puts a series in place, as it was stored.
    pub fn restore(&mut self, key: SeriesKey, series: Series) {
        self.series.insert(key, Arc::new(series));
    }

    /// Sets a gauge. One that has this value already stays the same allocation.
    pub fn set(&mut self, metric: Metric, values: &[Arc<str>], value: f64, start: Timestamp) {
        self.put(SeriesKey { metric, values: values.into() }, value, start);
    }

    /// Makes `gauges` all that there is of `metric`. Those that have their value already stay the same allocations.
    pub fn set_all(&mut self, metric: Metric, gauges: BTreeMap<LabelValues, f64>, start: Timestamp) {
        let gone: Vec<SeriesKey> = self
            .of(metric)
            .filter(|(key, _)| !gauges.contains_key(&key.values))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.series.remove(&key);
        }
        for (values, value) in gauges {
            self.put(SeriesKey { metric, values }, value, start);
        }
    }

    fn put(&mut self, key: SeriesKey, value: f64, start: Timestamp) {
        let stays = self.series.get(&key).is_some_and(|series| match series.value {
            Value::Gauge(before) => before.to_bits() == value.to_bits(),
            Value::Counter(_) | Value::Histogram(_) => false,
        });
        if !stays {
            self.series.insert(key, Arc::new(Series { start, value: Value::Gauge(value) }));
        }
    }

    /// The series of `metric`, by label values.
    pub fn of(&self, metric: Metric) -> impl Iterator<Item = (&SeriesKey, &Arc<Series>)> {
        let first = SeriesKey { metric, values: Arc::from([]) };
        self.series.range(first..).take_while(move |(key, _)| key.metric == metric)
    }

    /// The series of `key`.
    pub fn get(&self, key: &SeriesKey) -> Option<&Arc<Series>> {
        self.series.get(key)
    }

    /// All series, by metric and then by label values.
    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &Arc<Series>)> {
        self.series.iter()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyai_domain::conversation::Amount;

    const AT: Timestamp = Timestamp::from_millis(1_787_217_300_000);

    fn values(value: &str) -> LabelValues {
        Arc::from([Arc::from(value)])
    }

    fn key(metric: Metric, value: &str) -> SeriesKey {
        SeriesKey { metric, values: values(value) }
    }

    fn is_same(before: &TargetSeries, now: &TargetSeries, key: &SeriesKey) -> bool {
        Arc::ptr_eq(before.get(key).unwrap(), now.get(key).unwrap())
    }

    #[test]
    fn a_clone_shares_all_but_what_changes() {
        let layout = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
        let (phone, chat) = (key(Metric::Turns, "VOICE-SIP"), key(Metric::Turns, "CHAT"));
        let mut series = TargetSeries::default();
        series.ensure(phone.clone(), &layout, AT);
        series.ensure(chat.clone(), &layout, AT);
        let before = series.clone();
        series.apply(&phone, SeriesOp::Add(3), None, &layout, AT);
        assert!(!is_same(&before, &series, &phone));
        assert!(is_same(&before, &series, &chat));
        let turns = |series: &TargetSeries| match &series.get(&phone).unwrap().value {
            Value::Counter(counter) => counter.count(),
            Value::Gauge(_) | Value::Histogram(_) => panic!("turns are counted"),
        };
        assert_eq!((turns(&before), turns(&series)), (0, 3));
    }

    #[test]
    fn a_gauge_that_is_set_to_what_it_was_is_the_same_allocation() {
        let later = AT + std::time::Duration::from_secs(30);
        let open =
            |phone: f64, chat: f64| BTreeMap::from([(values("VOICE-SIP"), phone), (values("CHAT"), chat)]);
        let (phone, chat) = (key(Metric::InProgress, "VOICE-SIP"), key(Metric::InProgress, "CHAT"));
        let mut series = TargetSeries::default();
        series.set_all(Metric::InProgress, open(2.0, 1.0), AT);
        series.set(Metric::TargetUp, &[], 1.0, AT);
        let before = series.clone();
        series.set_all(Metric::InProgress, open(2.0, 0.0), later);
        series.set(Metric::TargetUp, &[], 1.0, later);
        assert!(is_same(&before, &series, &phone));
        assert!(!is_same(&before, &series, &chat));
        assert!(is_same(&before, &series, &SeriesKey { metric: Metric::TargetUp, values: Arc::from([]) }));

        series.set_all(Metric::InProgress, BTreeMap::from([(values("SMS"), 1.0)]), later);
        let left: Vec<_> = series.of(Metric::InProgress).map(|(key, _)| key.clone()).collect();
        assert_eq!(left, [key(Metric::InProgress, "SMS")]);
        assert_eq!(series.len(), 2, "other metrics stay");
    }

    #[test]
    fn only_metrics_that_are_declared_so_have_exemplars() {
        let layout = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
        let id = super::super::exemplar::ExemplarId::new("CA1").unwrap();
        let witness = Some(ExemplarSource { id: &id, at: AT });
        let mut series = TargetSeries::default();
        let mut has_exemplar = |metric: Metric, change| {
            series.apply(&key(metric, "VOICE-SIP"), change, witness, &layout, AT);
            match &series.get(&key(metric, "VOICE-SIP")).unwrap().value {
                Value::Counter(counter) => counter.exemplar().is_some(),
                Value::Histogram(histogram) => !histogram.exemplars().is_empty(),
                Value::Gauge(_) => false,
            }
        };
        assert!(has_exemplar(Metric::Handoffs, SeriesOp::Add(1)));
        assert!(has_exemplar(Metric::TurnLatency, SeriesOp::Observe(Amount::from_count(1))));
        assert!(!has_exemplar(Metric::Turns, SeriesOp::Add(1)));
        assert!(!has_exemplar(Metric::ConversationTurns, SeriesOp::Observe(Amount::from_count(1))));
    }
}
