//! A tiny exporter: renders two sensors in the format that an `Accept` header asks for, or in every format.
//!
//!     cargo run -p exporter-exposition --example exporter -- 'application/openmetrics-text;version=1.0.0'
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::borrow::Cow;
use std::sync::Arc;

use exporter_exposition::{
    BucketBounds, ContentEncoding, Exemplar, ExpositionCache, Family, FamilyMeta, Format, FormatOptions,
    Histogram, HistogramView, Kind, Labels, Sample, SampleValue, Series, Source, Timestamp, Value, negotiate,
};

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const NOW: Timestamp = Timestamp::from_millis(1_790_000_060_000);

/// The state of all sensors. A changed sensor gets a new `Arc`, which is how a render notices.
#[derive(Clone)]
struct Sensors {
    version: u64,
    sensors: Vec<(String, Arc<Sensor>)>,
}

struct Sensor {
    /// The label values of the counter of errors.
    error_kind: [Arc<str>; 1],
    errors: u32,
    celsius: f64,
    read_times: Histogram,
}

/// The metadata that all samples share.
struct Layout {
    families: [FamilyMeta; 3],
    error_labels: [Cow<'static, str>; 1],
}

/// The histogram of a sensor with an exemplar for its slowest bucket.
struct ReadTimes<'a>(&'a Histogram);

impl HistogramView for ReadTimes<'_> {
    fn bounds(&self) -> &BucketBounds {
        &self.0.bounds
    }

    fn counts(&self) -> &[u64] {
        &self.0.counts
    }

    fn sum(&self) -> f64 {
        self.0.sum
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar<'_>> {
        let is_last = index + 1 == self.0.counts.len();
        is_last.then_some(Exemplar { label: ("trace_id", "4bf92f3577b34da6"), value: 1.5, timestamp: NOW })
    }
}

impl Source for Sensors {
    type Layout = Layout;
    type Histogram<'a> = ReadTimes<'a>;

    fn version(&self) -> u64 {
        self.version
    }

    fn layout(&self) -> Layout {
        Layout {
            families: [
                FamilyMeta::new("sensor_errors_total", "Failed reads.", Kind::Counter),
                FamilyMeta::new("sensor_temperature_celsius", "Temperature.", Kind::Gauge),
                FamilyMeta::new("sensor_read_duration_seconds", "Duration of reads.", Kind::Histogram),
            ],
            error_labels: ["kind".into()],
        }
    }

    fn families(layout: &Layout) -> &[FamilyMeta] {
        &layout.families
    }

    fn same_layout(&self, other: &Self) -> bool {
        self.sensors.iter().map(|(name, _)| name).eq(other.sensors.iter().map(|(name, _)| name))
    }

    fn groups(&self) -> usize {
        self.sensors.len()
    }

    fn group_labels(&self, group: usize) -> impl Iterator<Item = (&str, &str)> {
        [("sensor", self.sensors[group].0.as_str())].into_iter()
    }

    fn same_series(&self, other: &Self, group: usize) -> bool {
        Arc::ptr_eq(&self.sensors[group].1, &other.sensors[group].1)
    }

    fn samples<'a>(
        &'a self,
        layout: &'a Layout,
        group: usize,
    ) -> impl Iterator<Item = (usize, Sample<'a, ReadTimes<'a>>)> {
        let sensor = &self.sensors[group].1;
        let errors = SampleValue::Counter(sensor.errors.into(), None);
        let without_labels = |value, start| Sample { names: &[], values: &[], value, start };
        [
            Sample {
                names: &layout.error_labels,
                values: &sensor.error_kind,
                value: errors,
                start: Some(START),
            },
            without_labels(SampleValue::Gauge(sensor.celsius), None),
            without_labels(SampleValue::Histogram(ReadTimes(&sensor.read_times)), Some(START)),
        ]
        .into_iter()
        .enumerate()
    }
}

/// Metrics that are not grouped by sensor, gathered for each scrape.
fn own_metrics() -> Vec<Family> {
    let mut family = Family::new("exporter_build_info", "Version of this exporter.", Kind::Gauge);
    family.series.push(Series::new(Labels::new([("version", "1.0.0")]), Value::Gauge(1.0)));
    vec![family]
}

fn main() {
    let sensor = |kind: &str, celsius| Sensor {
        error_kind: [kind.into()],
        errors: 2,
        celsius,
        read_times: Histogram::new([0.01, 0.1], [40, 2, 1], 2.25),
    };
    let mut source = Sensors {
        version: 1,
        sensors: vec![
            ("cellar".to_owned(), Arc::new(sensor("timeout", 11.5))),
            ("attic".to_owned(), Arc::new(sensor("checksum", 29.0))),
        ],
    };
    let cache = ExpositionCache::new(FormatOptions { native_histograms: true, openmetrics_created: true });

    if let Some(accept) = std::env::args().nth(1) {
        let negotiated = negotiate([accept.as_str()].into_iter(), ["identity"].into_iter());
        let encoding = negotiated.encoding.expect("identity is acceptable");
        let body = cache.render(negotiated.format, encoding, &source, NOW, own_metrics);
        println!(
            "Content-Type: {}\n\n{}",
            negotiated.content_type,
            String::from_utf8_lossy(&body.to_bytes())
        );
        return;
    }
    for format in Format::ALL {
        let body = cache.render(format, ContentEncoding::Identity, &source, NOW, own_metrics);
        let bytes = body.to_bytes();
        println!("{format:?}: {} bytes\n{}", bytes.len(), String::from_utf8_lossy(&bytes));
    }
    // Only the sensor that has changed is encoded again.
    source.version += 1;
    source.sensors[1].1 = Arc::new(sensor("checksum", 29.5));
    assert!(cache.get(Format::Text, ContentEncoding::Identity, source.version, NOW).is_none());
    let body = cache.render(Format::Text, ContentEncoding::Identity, &source, NOW, own_metrics);
    println!("After a change:\n{}", String::from_utf8_lossy(&body.to_bytes()));
}
