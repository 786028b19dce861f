//! The series of one target: the values that its conversations have added up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use polyai_domain::conversation::Amount;
use polyai_domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::catalogue::{Buckets, Kind, Metric};
use super::exemplar::{Exemplar, ExemplarSource};
use super::histogram::{BucketBounds, Histogram};
use super::labels::LabelValues;
use crate::dimension::Dimension;

/// Identifies a series of a target: the metric, and the values of its labels after the target's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The metric.
    pub metric: Metric,
    /// Label values, in the order of the metric's label names.
    pub values: LabelValues,
}

/// One update of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesUpdate {
    /// The series.
    pub key: SeriesKey,
    /// The change.
    pub op: SeriesOp,
    /// When what it counts happened.
    pub at: Timestamp,
}

/// A change of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOp {
    /// A counter grows.
    Add(u64),
    /// A histogram takes an observation.
    Observe(Amount),
    /// A gauge that holds the latest of several points in time.
    Latest(Timestamp),
}

/// A value and its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// When counting started, by what it counts and not by the clock of an instance; of a gauge, when it was set. A value that
    /// falls back has a new start.
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

impl Value {
    /// The value of a gauge; `None` of another type.
    pub fn gauge(&self) -> Option<f64> {
        match self {
            Self::Gauge(value) => Some(*value),
            Self::Counter(_) | Self::Histogram(_) => None,
        }
    }
}

/// A counter and the newest conversation that it counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    count: u64,
    exemplar: Option<Exemplar>,
}

impl Counter {
    /// Adds `amount`; `source` is the conversation that it comes from, if the metric has exemplars.
    fn add(&mut self, amount: u64, source: Option<ExemplarSource<'_>>) {
        self.count = self.count.saturating_add(amount);
        if let Some(source) = source {
            Exemplar::update(&mut self.exemplar, Amount::from_count(1), source);
        }
    }

    /// How much has been counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The newest conversation that was counted.
    pub fn exemplar(&self) -> Option<&Exemplar> {
        self.exemplar.as_ref()
    }

    /// Whether a stored counter is one that this program could have written.
    fn is_valid(&self) -> bool {
        let is_valid = |one: &Exemplar| one.amount() == Amount::from_count(1) && one.is_valid();
        self.exemplar.as_ref().is_none_or(|exemplar| self.count > 0 && is_valid(exemplar))
    }
}

/// The labels and buckets of all series, as configured.
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

    /// Whether a stored series has the type, labels and bounds of this schema.
    pub(crate) fn is_compatible(&self, key: &SeriesKey, value: &Value) -> bool {
        let same_labels = self.label_names(key.metric).len() == key.values.len();
        let same_type = match (key.metric.definition().kind, value) {
            (Kind::Counter, Value::Counter(counter)) => counter.is_valid(),
            (Kind::Gauge, Value::Gauge(_)) => true,
            (Kind::Histogram(buckets), Value::Histogram(histogram)) => {
                histogram.is_valid() && histogram.bounds() == self.bounds(buckets)
            }
            (Kind::Counter | Kind::Gauge | Kind::Histogram(_), _) => false,
        };
        same_labels && same_type
    }
}

/// All series of one target. A clone shares each series with the original until either changes it: it costs pointers, and
/// [`Arc::ptr_eq`] shows which series have not changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetSeries {
    series: BTreeMap<SeriesKey, Arc<Series>>,
}

impl TargetSeries {
    /// Applies an update of the series of `key`; one that does not exist yet starts at `start`. Returns whether anything
    /// changed. `source` becomes the exemplar, if the metric has exemplars and it is the newest.
    pub fn apply(
        &mut self,
        key: &SeriesKey,
        op: SeriesOp,
        source: Option<ExemplarSource<'_>>,
        schema: &SeriesSchema,
        start: Timestamp,
    ) -> bool {
        if let SeriesOp::Latest(at) = op {
            let before = self.series.get(key).and_then(|series| series.value.gauge());
            let changed = before.is_none_or(|before| before < at.seconds());
            if changed {
                self.put(key.clone(), at.seconds(), start);
            }
            return changed;
        }
        let source = source.filter(|_| key.metric.definition().exemplars);
        let series = match self.series.get_mut(key) {
            Some(series) => series,
            None => self.entry(key.clone(), schema, start),
        };
        match (&mut Arc::make_mut(series).value, op) {
            (Value::Counter(counter), SeriesOp::Add(amount)) => counter.add(amount, source),
            (Value::Histogram(histogram), SeriesOp::Observe(amount)) => histogram.observe(amount, source),
            (Value::Counter(_) | Value::Gauge(_) | Value::Histogram(_), _) => {
                debug_assert!(false, "{op:?} does not fit {:?}", key.metric);
            }
        }
        true
    }

    /// Lets the series of `key` start at `start` if that is earlier; for one that has not been exposed yet.
    pub(crate) fn backdate(&mut self, key: &SeriesKey, start: Timestamp) {
        if let Some(series) = self.series.get_mut(key).filter(|series| series.start > start) {
            Arc::make_mut(series).start = start;
        }
    }

    /// Lets every counter and histogram that starts later than `start` start there. Returns these.
    pub(crate) fn backdate_all(&mut self, start: Timestamp) -> Vec<SeriesKey> {
        let is_counted = |key: &SeriesKey| key.metric.definition().kind != Kind::Gauge;
        let later = self.series.iter_mut().filter(|(key, series)| is_counted(key) && series.start > start);
        let backdated = later.map(|(key, series)| {
            Arc::make_mut(series).start = start;
            key.clone()
        });
        backdated.collect()
    }

    /// The series that are about the target itself and not about its conversations.
    pub(crate) fn about_target(&self) -> Self {
        let series = self.series.iter().filter(|(key, _)| key.metric.is_about_target());
        Self { series: series.map(|(key, series)| (key.clone(), series.clone())).collect() }
    }

    /// Creates the series of `key`, with its empty value, unless it exists; returns whether it is new.
    pub(crate) fn ensure(&mut self, key: SeriesKey, schema: &SeriesSchema, start: Timestamp) -> bool {
        let before = self.series.len();
        self.entry(key, schema, start);
        self.series.len() > before
    }

    fn entry(&mut self, key: SeriesKey, schema: &SeriesSchema, start: Timestamp) -> &mut Arc<Series> {
        let metric = key.metric;
        self.series.entry(key).or_insert_with(|| Arc::new(Series { start, value: schema.empty(metric) }))
    }

    pub(crate) fn restore(&mut self, key: SeriesKey, series: Series) {
        self.series.insert(key, Arc::new(series));
    }

    /// Sets a gauge. One that has this value already stays the same allocation.
    pub fn set(&mut self, metric: Metric, values: &[Arc<str>], value: f64, start: Timestamp) {
        self.put(SeriesKey { metric, values: values.into() }, value, start);
    }

    /// Replaces all series of `metric` by `gauges`. Those that have their value already stay the same allocations.
    pub fn set_all(&mut self, metric: Metric, gauges: BTreeMap<LabelValues, f64>, start: Timestamp) {
        let gone = self.of(metric).filter(|(key, _)| !gauges.contains_key(&key.values));
        for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.series.remove(&key);
        }
        for (values, value) in gauges {
            self.put(SeriesKey { metric, values }, value, start);
        }
    }

    fn put(&mut self, key: SeriesKey, value: f64, start: Timestamp) {
        let before = self.series.get(&key).and_then(|series| series.value.gauge());
        if before.map(f64::to_bits) != Some(value.to_bits()) {
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
    fn clone_shares_unchanged_series() {
        let schema = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
        let (phone, chat) = (key(Metric::Turns, "VOICE-SIP"), key(Metric::Turns, "CHAT"));
        let mut series = TargetSeries::default();
        series.ensure(phone.clone(), &schema, AT);
        series.ensure(chat.clone(), &schema, AT);
        let before = series.clone();
        series.apply(&phone, SeriesOp::Add(3), None, &schema, AT);
        assert!(!is_same(&before, &series, &phone));
        assert!(is_same(&before, &series, &chat));
        let turns = |series: &TargetSeries| match &series.get(&phone).unwrap().value {
            Value::Counter(counter) => counter.count(),
            Value::Gauge(_) | Value::Histogram(_) => panic!("turns are counted"),
        };
        assert_eq!((turns(&before), turns(&series)), (0, 3));
    }

    #[test]
    fn unchanged_gauge_keeps_its_allocation() {
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
    fn exemplars_are_kept_only_where_declared() {
        let schema = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
        let id = crate::aggregate::ExemplarId::new("CA1").unwrap();
        let source = Some(ExemplarSource { id: &id, at: AT });
        let mut series = TargetSeries::default();
        let mut has_exemplar = |metric: Metric, change| {
            series.apply(&key(metric, "VOICE-SIP"), change, source, &schema, AT);
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

    #[test]
    fn counter_keeps_the_newest_exemplar() {
        let mut counter = Counter::default();
        counter.add(1, None);
        assert_eq!((counter.count(), counter.exemplar()), (1, None));
        for (id, at) in [("CA1", 10), ("CA2", 30), ("CA3", 20)] {
            let id = crate::aggregate::ExemplarId::new(id).unwrap();
            counter.add(1, Some(ExemplarSource { id: &id, at: Timestamp::from_millis(at) }));
        }
        counter.add(2, None);
        let exemplar = counter.exemplar().unwrap();
        assert_eq!((counter.count(), exemplar.id(), exemplar.at().millis()), (6, "CA2", 30));
        assert!((exemplar.value() - 1.0).abs() < f64::EPSILON);
        assert!(counter.is_valid());
        assert!(!Counter { count: 0, ..counter }.is_valid());
    }

    #[test]
    fn latest_time_only_moves_forward() {
        let schema = SeriesSchema::new(Vec::new(), &[], &[]);
        let key = SeriesKey { metric: Metric::LastConversation, values: Arc::from([]) };
        let mut series = TargetSeries::default();
        let mut apply = |seconds: i64| {
            let op = SeriesOp::Latest(Timestamp::from_millis(seconds * 1000));
            let changed = series.apply(&key, op, None, &schema, AT);
            (changed, series.get(&key).unwrap().value.gauge())
        };
        assert_eq!(
            [7, 5, 7, 9].map(&mut apply),
            [(true, Some(7.0)), (false, Some(7.0)), (false, Some(7.0)), (true, Some(9.0)),]
        );
    }
}
