//! A source for tests: web shops that count requests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::buckets::BucketBounds;
use crate::buckets::NativeHistogram;
use crate::encoder::FormatOptions;
use crate::family::{Exemplar, FamilyMeta, HistogramView, Kind, Sample, SampleValue, Timestamp};
use crate::source::Source;

/// When all series start.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// A minute later, when all requests happen.
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_790_000_060_000);
pub(crate) const OPTIONS: FormatOptions =
    FormatOptions { native_histograms: true, openmetrics_created: false };

const BOUNDS: [f64; 4] = [0.5, 2.0, 60.0, 600.0];
const REQUESTS: usize = 0;
const QUEUE: usize = 1;
const DURATION: usize = 2;

/// One group per shop.
#[derive(Debug, Clone)]
pub(crate) struct Shops {
    version: u64,
    layout: Arc<()>,
    shops: Vec<(String, Arc<Series>)>,
}

/// By family and path.
type Series = BTreeMap<(usize, Vec<Arc<str>>), Value>;

#[derive(Debug, Clone)]
enum Value {
    Counter(f64, String),
    Gauge(f64),
    Histogram(Box<Durations>),
}

#[derive(Debug, Clone, Default)]
struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
    exemplars: [Option<(f64, String)>; BOUNDS.len() + 1],
    zeros: u64,
    native: BTreeMap<i32, u64>,
}

#[derive(Debug)]
pub(crate) struct Layout {
    families: [FamilyMeta; 3],
    names: [Cow<'static, str>; 1],
    bounds: BucketBounds,
}

pub(crate) struct DurationsView<'a>(&'a Durations, &'a BucketBounds);

impl Shops {
    /// So many shops without series.
    pub(crate) fn new(shops: usize) -> Self {
        let shop = |index| (format!("shop-{index:03}"), Arc::default());
        Self { version: 1, layout: Arc::default(), shops: (0..shops).map(shop).collect() }
    }

    /// Counts a request.
    pub(crate) fn request(&mut self, shop: usize, path: &str, seconds: f64, trace: &str) {
        self.version += 1;
        let series = Arc::make_mut(&mut self.shops[shop].1);
        let path = vec![Arc::from(path)];
        let counter = series.entry((REQUESTS, path.clone())).or_insert(Value::Counter(0.0, String::new()));
        let Value::Counter(total, _) = counter else { unreachable!() };
        *counter = Value::Counter(*total + 1.0, trace.to_owned());
        let histogram = series.entry((DURATION, path)).or_insert(Value::Histogram(Box::default()));
        let Value::Histogram(histogram) = histogram else { unreachable!() };
        let bucket = BOUNDS.iter().filter(|bound| **bound < seconds).count();
        histogram.counts[bucket] += 1;
        histogram.sum += seconds;
        histogram.exemplars[bucket] = Some((seconds, trace.to_owned()));
        if seconds == 0.0 {
            histogram.zeros += 1;
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
            let index = seconds.log2().ceil() as i32;
            *histogram.native.entry(index).or_default() += 1;
        }
    }

    /// Sets the length of a queue.
    pub(crate) fn queue(&mut self, shop: usize, length: f64) {
        self.version += 1;
        Arc::make_mut(&mut self.shops[shop].1).insert((QUEUE, Vec::new()), Value::Gauge(length));
    }
}

impl Source for Shops {
    type Layout = Layout;
    type Histogram<'a> = DurationsView<'a>;

    fn version(&self) -> u64 {
        self.version
    }

    fn layout(&self) -> Layout {
        Layout {
            families: [
                FamilyMeta::new("requests_total", "Requests that were \"served\".", Kind::Counter),
                FamilyMeta::new("queue_length", "Requests in the queue.", Kind::Gauge),
                FamilyMeta::new("request_duration_seconds", "Duration of requests.", Kind::Histogram),
            ],
            names: ["path".into()],
            bounds: BucketBounds::new(BOUNDS),
        }
    }

    fn families(layout: &Layout) -> &[FamilyMeta] {
        &layout.families
    }

    fn same_layout(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layout, &other.layout)
    }

    fn groups(&self) -> usize {
        self.shops.len()
    }

    fn group_labels(&self, group: usize) -> impl Iterator<Item = (&str, &str)> {
        [("shop", self.shops[group].0.as_str())].into_iter()
    }

    fn same_series(&self, other: &Self, group: usize) -> bool {
        Arc::ptr_eq(&self.shops[group].1, &other.shops[group].1)
    }

    fn samples<'a>(
        &'a self,
        layout: &'a Layout,
        group: usize,
    ) -> impl Iterator<Item = (usize, Sample<'a, DurationsView<'a>>)> {
        self.shops[group].1.iter().map(|((family, values), value)| {
            let value = match value {
                Value::Counter(total, trace) => SampleValue::Counter(*total, Some(exemplar(1.0, trace))),
                Value::Gauge(value) => SampleValue::Gauge(*value),
                Value::Histogram(durations) => {
                    SampleValue::Histogram(DurationsView(durations, &layout.bounds))
                }
            };
            let start = (*family != QUEUE).then_some(START);
            (*family, Sample { names: &layout.names[..values.len()], values, value, start })
        })
    }
}

fn exemplar(value: f64, trace: &str) -> Exemplar<'_> {
    Exemplar { label: ("trace_id", trace), value, timestamp: LATER }
}

impl HistogramView for DurationsView<'_> {
    fn bounds(&self) -> &BucketBounds {
        self.1
    }

    fn counts(&self) -> &[u64] {
        &self.0.counts
    }

    fn sum(&self) -> f64 {
        self.0.sum
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar<'_>> {
        self.0.exemplars[index].as_ref().map(|(value, trace)| exemplar(*value, trace))
    }

    fn native(&self, max_buckets: usize) -> Option<NativeHistogram> {
        assert!(self.0.native.len() <= max_buckets);
        let buckets = self.0.native.iter().map(|(index, count)| (*index, *count)).collect();
        Some(NativeHistogram { schema: 0, zero_threshold: 1e-9, zero_count: self.0.zeros, buckets })
    }
}
