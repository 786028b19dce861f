//! The file: OpenMetrics 1.0 text with timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! Owns: the order that the specification asks for (one family after another, in it one label set after another, in it one scrape
//! after another). Never: staleness markers, which the format cannot express: where a series ends, a query still sees its last
//! value for five minutes.

use std::io::{self, Write};

use chrono::{DateTime, Utc};

use super::columns::{Column, Family, SampleStore};

/// Writes all samples with `labels`, which are added to those of each series, and the end mark.
///
/// # Errors
/// When `out` fails.
pub fn write(columns: &SampleStore, labels: &[(&str, &str)], out: &mut impl Write) -> io::Result<()> {
    let added: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let added = added.join(",");
    let times: Vec<String> = columns.times.iter().map(seconds).collect();
    for family in &columns.families {
        head(family, out)?;
        for metric in &family.metrics {
            let mut cursors: Vec<Cursor<'_>> =
                metric.iter().map(|column| Cursor::new(column, &added)).collect();
            for (index, time) in times.iter().enumerate() {
                for cursor in &mut cursors {
                    if let Some(value) = cursor.at(index) {
                        for part in [&*cursor.series, " ", value, " ", time, "\n"] {
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
    // The text format escapes all but the quote.
    let help = family.help.replace('"', "\\\"");
    writeln!(out, "# TYPE {name} {}\n# HELP {name} {help}", family.kind)
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn seconds(time: &DateTime<Utc>) -> String {
    format!("{}.{:03}", time.timestamp(), time.timestamp_subsec_millis())
}

/// Walks along one series.
struct Cursor<'a> {
    series: String,
    column: &'a Column,
    run: usize,
}

impl<'a> Cursor<'a> {
    fn new(column: &'a Column, added: &str) -> Self {
        let series = match column.series.strip_suffix('}') {
            _ if added.is_empty() => column.series.to_string(),
            Some(front) => format!("{front},{added}}}"),
            None => format!("{}{{{added}}}", column.series),
        };
        Self { series, column, run: 0 }
    }

    /// The value in scrape `index`; indices ascend.
    fn at(&mut self, index: usize) -> Option<&'a str> {
        while self.column.runs.get(self.run).is_some_and(|run| run.last < index) {
            self.run += 1;
        }
        let run = self.column.runs.get(self.run)?;
        (run.first <= index).then_some(&*run.value)
    }
}
