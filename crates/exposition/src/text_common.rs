//! The parts of a line that all text formats share: labels, escapes, timestamps, exemplars.

use crate::family::{Exemplar, Sample, Timestamp};
use crate::format_float::{write_count, write_value};

pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes `name="value",...` without braces.
pub(crate) fn write_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    for (index, (name, value)) in labels.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_str(out, name);
        push_str(out, "=\"");
        write_escaped(out, value);
        out.push(b'"');
    }
}

/// Writes the labels of the group and of the sample, without braces; returns whether there are any.
fn write_all_labels<H>(group_labels: &[u8], sample: &Sample<'_, H>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(group_labels);
    if !group_labels.is_empty() && !sample.names.is_empty() {
        out.push(b',');
    }
    write_labels(sample.labels(), out);
    !group_labels.is_empty() || !sample.names.is_empty()
}

/// Writes the name of a sample and its labels in braces, up to the space before the value.
pub(crate) fn write_name_and_labels<H>(
    name: &str,
    suffix: &str,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    push_str(out, name);
    push_str(out, suffix);
    let brace = out.len();
    out.push(b'{');
    if write_all_labels(group_labels, sample, out) {
        out.push(b'}');
    } else {
        out.truncate(brace);
    }
    out.push(b' ');
}

/// Writes a line for each of `buckets`: the `le` label, the count, and an exemplar.
pub(crate) fn write_buckets<'a, H>(
    name: &str,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    buckets: impl Iterator<Item = (&'a str, u64, Option<Exemplar<'a>>)>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_str(out, name);
    push_str(out, "_bucket{");
    if write_all_labels(group_labels, sample, out) {
        out.push(b',');
    }
    push_str(out, "le=\"");
    let prefix = start..out.len();
    for (index, (le, count, exemplar)) in buckets.enumerate() {
        // Labels are escaped once; every further line copies the prefix of the first.
        if index > 0 {
            out.extend_from_within(prefix.clone());
        }
        push_str(out, le);
        push_str(out, "\"} ");
        write_count(out, count);
        write_exemplar(out, exemplar);
        out.push(b'\n');
    }
}

/// Writes a help text of the Prometheus text format: backslash and line feed are escaped.
pub(crate) fn write_help(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| matches!(byte, b'\\' | b'\n'));
}

/// Writes a label value or a help text of OpenMetrics: the double quote is escaped too.
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| matches!(byte, b'\\' | b'\n' | b'"'));
}

fn escape(out: &mut Vec<u8>, text: &str, is_special: fn(u8) -> bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(if tail[0] == b'\n' { b'n' } else { tail[0] });
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
}

/// Writes a timestamp as seconds with three decimals.
pub(crate) fn write_seconds(out: &mut Vec<u8>, at: Timestamp) {
    let millis = at.millis();
    if millis < 0 {
        out.push(b'-');
    }
    write_count(out, millis.unsigned_abs() / 1000);
    let rest = millis.unsigned_abs() % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        write_count(out, digit);
    }
}

/// Writes ` # {name="value"} value timestamp`, if there is an exemplar.
pub(crate) fn write_exemplar(out: &mut Vec<u8>, exemplar: Option<Exemplar<'_>>) {
    let Some(exemplar) = exemplar else { return };
    push_str(out, " # {");
    write_labels([exemplar.label].into_iter(), out);
    push_str(out, "} ");
    write_value(out, exemplar.value);
    out.push(b' ');
    write_seconds(out, exemplar.timestamp);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_milliseconds() {
        let cases = [(0, "0.000"), (1_790_000_000_007, "1790000000.007"), (-1_250, "-1.250")];
        for (millis, text) in cases {
            let mut out = Vec::new();
            write_seconds(&mut out, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
