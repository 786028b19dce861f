//! The cost of rendering: everything, after one of many targets has changed, and when nothing has changed; against
//! the official Rust library with the same series.
//!
//!     cargo bench --bench exposition
//!
//! Prints the CPU time of one core and the ratios; `scripts/bench-scrape` measures the same over HTTP, against other servers.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a bench prints, measures real time, and may stop at any surprise"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exporter_exposition::{ContentEncoding, ExpositionCache, Format, FormatOptions};
use flate2::Compression;
use flate2::write::GzEncoder;
use polyai_domain::conversation::Amount;
use polyai_domain::target::{ClientEnv, Region, TargetKey};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::catalogue::TARGET_LABELS;
use polyai_engine::aggregate::{
    ExemplarId, ExemplarSource, Kind, Metric, SeriesKey, SeriesOp, SeriesSchema, TargetSeries, Value,
    catalogue,
};
use polyai_engine::recorder::Snapshot;
use polyai_exporter::config::Metrics;
use polyai_exporter::metrics_source::SnapshotSource;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const NOW: exporter_exposition::Timestamp = exporter_exposition::Timestamp::from_millis(START.millis());
const OPTIONS: FormatOptions = FormatOptions { native_histograms: true, openmetrics_created: false };

fn main() {
    for lines in [1_000, 10_000, 100_000] {
        measure(lines);
    }
}

fn measure(lines: usize) {
    let mut world = generation(1);
    let per_target = text_lines(&world);
    world = generation(lines.div_ceil(per_target));
    println!("\n{} lines of {} targets", text_lines(&world), world.targets.len());

    let peer = registry(&world);
    let encode = || {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, &peer).unwrap();
        out
    };
    let theirs = encode();
    let peer_plain = best(encode);
    println!("  prometheus-client     identity {:>9}          ({} bytes)", micros(peer_plain), theirs.len());
    let gzip = |level| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(encode().as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let peer_gzip = [Compression::default(), Compression::fast()].map(|level| best(|| gzip(level)));
    for (took, level) in peer_gzip.iter().zip(["6", "1"]) {
        println!("  prometheus-client     gzip -{level}  {:>9}", micros(*took));
    }

    for format in Format::ALL {
        for encoding in ContentEncoding::ALL {
            let peer = match encoding {
                ContentEncoding::Identity => peer_plain,
                ContentEncoding::Gzip => peer_gzip[1],
            };
            let source = source(&world);
            let render_first =
                || ExpositionCache::new(OPTIONS).render(format, encoding, &source, NOW, Vec::new);
            let bytes = render_first().to_bytes().len();
            let first = best(render_first);

            let cache = ExpositionCache::new(OPTIONS);
            let mut now = world.clone();
            let render = |now: &Snapshot| {
                let source = self::source(now);
                timed(|| cache.render(format, encoding, &source, NOW, Vec::new))
            };
            render(&now);
            let targets = now.targets.len();
            let all = best_of(20, || {
                (0..targets).for_each(|target| call(&mut now, target, 3.3));
                render(&now)
            });
            let mut next = 0;
            let one = best_of(200, || {
                next = (next + 7) % targets;
                call(&mut now, next, 3.3);
                render(&now)
            });
            let warm = best_of(200, || {
                timed(|| cache.get(format, encoding, now.number, NOW).unwrap_or_else(|| panic!("not cached")))
            });
            println!(
                "  {:<12} {:<8} first {:>9}  all changed {:>9} ({:.2} of prometheus-client)  one changed {:>9} ({:.3} of all)  warm {:>7}  ({bytes} bytes)",
                format!("{format:?}"),
                format!("{encoding:?}"),
                micros(first),
                micros(all),
                all.as_secs_f64() / peer.as_secs_f64(),
                micros(one),
                one.as_secs_f64() / all.as_secs_f64(),
                micros(warm),
            );
        }
    }
}

/// So many targets, each with every metric that a voice channel has.
fn generation(targets: usize) -> Snapshot {
    let target = |index| {
        let project = format!("project-{index:04}");
        let key = TargetKey { project, region: Region::Us1, client_env: ClientEnv::Live };
        (Arc::new(key), Arc::new(TargetSeries::default()))
    };
    let mut generation = Snapshot {
        number: 0,
        targets: (0..targets).map(target).collect(),
        schema: Some(Arc::new(SeriesSchema::from(&Metrics::default()))),
        state_bytes: 0,
    };
    for target in 0..targets {
        for seconds in [0.7, 1.4, 2.2, 4.9, 17.0, 55.0, 130.0] {
            call(&mut generation, target, seconds);
        }
    }
    generation
}

fn source(snapshot: &Snapshot) -> SnapshotSource {
    SnapshotSource::new(Arc::new(snapshot.clone()))
}

/// A conversation counts: every series of the target moves.
fn call(generation: &mut Snapshot, target: usize, seconds: f64) {
    generation.number += 1;
    let number = generation.number;
    let layout = generation.schema.clone().unwrap();
    let series = Arc::make_mut(&mut generation.targets[target].1);
    let id = ExemplarId::new(&format!("CA7f3d8a52c1e94b06a7d2f0{number:010}")).unwrap();
    let at = Timestamp::from_millis(START.millis() + i64::try_from(number).unwrap());
    for definition in &catalogue::CATALOGUE {
        let labels = layout.label_names(definition.metric);
        let values: Arc<[Arc<str>]> = labels.iter().map(|name| value_of(name)).collect();
        match definition.kind {
            Kind::Gauge => series.set(definition.metric, &values, seconds, START),
            Kind::Counter | Kind::Histogram(_) => {
                let change = match definition.kind {
                    Kind::Counter => SeriesOp::Add(1),
                    Kind::Gauge | Kind::Histogram(_) => {
                        SeriesOp::Observe(Amount::from_units(seconds).unwrap())
                    }
                };
                let key = SeriesKey { metric: definition.metric, values };
                series.apply(&key, change, Some(ExemplarSource { id: &id, at }), &layout, START);
            }
        }
    }
}

fn value_of(label: &str) -> Arc<str> {
    match label {
        "channel" => Arc::from("VOICE-SIP"),
        "reason" => Arc::from("billing_dispute"),
        other => Arc::from(other),
    }
}

fn text_lines(generation: &Snapshot) -> usize {
    let body = ExpositionCache::new(OPTIONS).render(
        Format::Text,
        ContentEncoding::Identity,
        &source(generation),
        NOW,
        Vec::new,
    );
    body.to_bytes().split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count()
}

type Labels = Vec<(String, String)>;

/// The same series in the registry of the official library.
fn registry(generation: &Snapshot) -> Registry {
    let layout = generation.schema.as_ref().unwrap();
    let mut registry = Registry::default();
    let mut of_metric: BTreeMap<Metric, Vec<(Labels, &Value)>> = BTreeMap::new();
    for (target, series) in generation.targets.iter() {
        let own = [target.project.as_str(), target.region.as_str(), target.client_env.as_str()];
        for (key, one) in series.iter() {
            let names = layout.label_names(key.metric);
            let labels = TARGET_LABELS.into_iter().zip(own);
            let labels = labels.chain(names.into_iter().zip(key.values.iter().map(AsRef::as_ref)));
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            of_metric.entry(key.metric).or_default().push((labels, &one.value));
        }
    }
    for (metric, series) in of_metric {
        let definition = metric.definition();
        let name = definition.name.trim_end_matches("_total");
        match definition.kind {
            Kind::Counter => {
                let family = Family::<Labels, Counter>::default();
                for (labels, value) in series {
                    let Value::Counter(counter) = value else { panic!("{value:?}") };
                    family.get_or_create(&labels).inc_by(counter.count());
                }
                registry.register(name, definition.help, family);
            }
            Kind::Gauge => {
                let family = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
                for (labels, value) in series {
                    let Value::Gauge(value) = value else { panic!("{value:?}") };
                    family.get_or_create(&labels).set(*value);
                }
                registry.register(name, definition.help, family);
            }
            Kind::Histogram(_) => {
                let bounds: Vec<f64> = layout.bounds_of(metric).unwrap().units().collect();
                let make = move || Histogram::new(bounds.clone());
                let family = Family::<Labels, Histogram, _>::new_with_constructor(make);
                for (labels, value) in series {
                    let Value::Histogram(histogram) = value else { panic!("{value:?}") };
                    let mean = histogram.sum() / 7.0;
                    (0..histogram.count()).for_each(|_| family.get_or_create(&labels).observe(mean));
                }
                registry.register(name, definition.help, family);
            }
        }
    }
    registry
}

/// The shortest of many runs, which is the one that nothing else disturbed.
fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    best_of(20, || timed(&mut work))
}

fn best_of(runs: usize, mut run: impl FnMut() -> Duration) -> Duration {
    (0..runs).map(|_| run()).min().unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let made = work();
    let took = started.elapsed();
    drop(std::hint::black_box(made));
    took
}

fn micros(took: Duration) -> String {
    format!("{:.1} us", took.as_secs_f64() * 1e6)
}
