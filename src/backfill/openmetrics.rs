//! OpenMetrics 1.0 text with timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! The specification requires the order family, label set, time. The format has no staleness markers: where a series ends,
//! queries return its last value for five more minutes.

use std::io::{self, Write};

use chrono::{DateTime, Utc};

use super::samples::{Family, SampleStore, Series};

/// Writes all samples, with `labels` added to those of each series.
///
/// # Errors
/// If `out` fails.
pub fn write(samples: &SampleStore, labels: &[(&str, &str)], out: &mut impl Write) -> io::Result<()> {
    let added: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let added = added.join(",");
    let times: Vec<String> = samples.times.iter().map(seconds).collect();
    for family in &samples.families {
        head(family, out)?;
        for metric in &family.metrics {
            let mut cursors: Vec<Cursor<'_>> =
                metric.iter().map(|series| Cursor::new(series, &added)).collect();
            for (index, time) in times.iter().enumerate() {
                for cursor in &mut cursors {
                    if let Some(value) = cursor.at(index) {
                        for part in [&*cursor.name, " ", value, " ", time, "\n"] {
                            out.write_all(part.as_bytes())?;
                        }
                    }
                }
            }
        }
    }
    out.write_all(b"# EOF\n")
}

fn head(family: &Family, out: &mut impl Write) -> io::Result<()> {
    let name = match &*family.kind {
        "counter" => family.name.trim_end_matches("_total"),
        _ => &family.name,
    };
    // The text format escapes everything but the quote.
    let help = family.help.replace('"', "\\\"");
    writeln!(out, "# TYPE {name} {}\n# HELP {name} {help}", family.kind)
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn seconds(time: &DateTime<Utc>) -> String {
    format!("{}.{:03}", time.timestamp(), time.timestamp_subsec_millis())
}

/// A position in the samples of one series.
struct Cursor<'a> {
    name: String,
    series: &'a Series,
    run: usize,
}

impl<'a> Cursor<'a> {
    fn new(series: &'a Series, added: &str) -> Self {
        let name = match series.name.strip_suffix('}') {
            _ if added.is_empty() => series.name.to_string(),
            Some(front) => format!("{front},{added}}}"),
            None => format!("{}{{{added}}}", series.name),
        };
        Self { name, series, run: 0 }
    }

    /// The value in scrape `index`; indices ascend.
    fn at(&mut self, index: usize) -> Option<&'a str> {
        while self.series.runs.get(self.run).is_some_and(|run| run.last < index) {
            self.run += 1;
        }
        let run = self.series.runs.get(self.run)?;
        (run.first <= index).then_some(&*run.value)
    }
}
