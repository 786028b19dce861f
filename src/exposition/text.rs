//! The Prometheus text format, version 0.0.4.
//!
//! Owns: its spelling of names, labels and numbers. Never: exemplars and start timestamps, which this format lacks.
//!
//! Source: "Exposition formats" of the Prometheus documentation. Backslash and line feed are escaped in help texts and
//! label values, the double quote in label values alone.

use super::family::{Family, Histogram, Labels, Series, Value};
use super::number;

/// The `Content-Type` of this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes `families` to `out` in their order; those without series are left out, head and all.
pub fn encode(families: &[Family], out: &mut Vec<u8>) {
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        head(family, out);
        for one in &family.series {
            series(&family.name, one, out);
        }
    }
}

/// Writes the `# HELP` and `# TYPE` lines of `family`.
pub fn head(family: &Family, out: &mut Vec<u8>) {
    put(out, "# HELP ");
    put(out, &family.name);
    put(out, " ");
    escape(out, &family.help, |byte| matches!(byte, b'\\' | b'\n'));
    put(out, "\n# TYPE ");
    put(out, &family.name);
    put(out, " ");
    put(out, family.kind.as_str());
    put(out, "\n");
}

/// Writes the lines of `one`, a series of the family `name`.
pub fn series(name: &str, one: &Series, out: &mut Vec<u8>) {
    match &one.value {
        Value::Counter(value) | Value::Gauge(value) => {
            put(out, name);
            label_block(out, &one.labels);
            put(out, " ");
            number::value(out, *value);
            put(out, "\n");
        }
        Value::Histogram(histogram) => buckets(name, &one.labels, histogram, out),
    }
}

fn buckets(name: &str, labels: &Labels, histogram: &Histogram, out: &mut Vec<u8>) {
    let line = out.len();
    put(out, name);
    put(out, "_bucket{");
    if !labels.is_empty() {
        label_pairs(out, labels);
        put(out, ",");
    }
    put(out, "le=\"");
    let mut front = line..out.len();
    let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
    let mut cumulative: u64 = 0;
    for (bucket, (bound, count)) in bounds.zip(histogram.counts.iter()).enumerate() {
        // Labels are escaped once; every further line copies the front of the one before.
        if bucket > 0 {
            let start = out.len();
            out.extend_from_within(front.clone());
            front = start..out.len();
        }
        number::bound(out, bound);
        put(out, "\"} ");
        cumulative += count;
        number::count(out, cumulative);
        put(out, "\n");
    }

    put(out, name);
    put(out, "_sum");
    label_block(out, labels);
    put(out, " ");
    number::value(out, histogram.sum);
    put(out, "\n");

    put(out, name);
    put(out, "_count");
    label_block(out, labels);
    put(out, " ");
    number::count(out, cumulative);
    put(out, "\n");
}

fn label_block(out: &mut Vec<u8>, labels: &Labels) {
    if !labels.is_empty() {
        put(out, "{");
        label_pairs(out, labels);
        put(out, "}");
    }
}

fn label_pairs(out: &mut Vec<u8>, labels: &Labels) {
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            put(out, ",");
        }
        put(out, name);
        put(out, "=\"");
        escape(out, value, |byte| matches!(byte, b'\\' | b'\n' | b'"'));
        put(out, "\"");
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn escape(out: &mut Vec<u8>, text: &str, special: fn(u8) -> bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| special(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(if tail[0] == b'\n' { b'n' } else { tail[0] });
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
