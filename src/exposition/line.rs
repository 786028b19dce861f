//! The parts of a line that all text formats spell alike: labels, escapes, times, exemplars.
//!
//! Owns: the spelling. Never: which lines a format has, or in which order.

use super::family::Sample;
use super::number;
use crate::aggregate::{EXEMPLAR_LABEL, Exemplar};
use crate::timestamp::Timestamp;

pub(super) fn push_str(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes `name="value",...` without braces.
pub(super) fn write_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
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

/// Writes the labels of a sample after those that it shares with its neighbours, without braces; answers whether there
/// were any at all.
pub(super) fn labels(shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(shared);
    if !shared.is_empty() && !sample.names.is_empty() {
        out.push(b',');
    }
    write_labels(sample.labels(), out);
    !shared.is_empty() || !sample.names.is_empty()
}

/// Writes the name of a sample and its labels in braces, up to the space before the value.
pub(super) fn write_name_and_labels(
    name: &str,
    suffix: &str,
    shared: &[u8],
    sample: &Sample<'_>,
    out: &mut Vec<u8>,
) {
    push_str(out, name);
    push_str(out, suffix);
    let brace = out.len();
    out.push(b'{');
    if labels(shared, sample, out) {
        out.push(b'}');
    } else {
        out.truncate(brace);
    }
    out.push(b' ');
}

/// Writes a line for each of `buckets`, which are the spelled bound, the count, and what follows it.
pub(super) fn buckets<'a, T>(
    name: &str,
    shared: &[u8],
    sample: &Sample<'_>,
    buckets: impl Iterator<Item = (&'a str, u64, T)>,
    mut after: impl FnMut(&mut Vec<u8>, T),
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_str(out, name);
    push_str(out, "_bucket{");
    if labels(shared, sample, out) {
        out.push(b',');
    }
    push_str(out, "le=\"");
    let front = start..out.len();
    for (index, (bound, count, extra)) in buckets.enumerate() {
        // Labels are escaped once; every further line copies the front of the first.
        if index > 0 {
            out.extend_from_within(front.clone());
        }
        push_str(out, bound);
        push_str(out, "\"} ");
        number::count(out, count);
        after(out, extra);
        out.push(b'\n');
    }
}

/// Writes a help text: backslash and line feed are escaped.
pub(super) fn help(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| matches!(byte, b'\\' | b'\n'));
}

/// Writes a label value or a quoted help text: the double quote is escaped too.
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| matches!(byte, b'\\' | b'\n' | b'"'));
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

/// Writes a moment as seconds with three decimals.
pub(super) fn seconds(out: &mut Vec<u8>, at: Timestamp) {
    let millis = at.millis();
    if millis < 0 {
        out.push(b'-');
    }
    number::count(out, millis.unsigned_abs() / 1000);
    let rest = millis.unsigned_abs() % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        number::count(out, digit);
    }
}

/// Writes ` # {conversation_id="..."} value time`. Ids are plain, see [`crate::aggregate::ExemplarId`].
pub(super) fn exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    push_str(out, " # {");
    push_str(out, EXEMPLAR_LABEL);
    push_str(out, "=\"");
    write_escaped(out, exemplar.id());
    push_str(out, "\"} ");
    number::value(out, exemplar.value());
    out.push(b' ');
    seconds(out, exemplar.at());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_milliseconds() {
        let cases = [(0, "0.000"), (1_790_000_000_007, "1790000000.007"), (-1_250, "-1.250")];
        for (millis, text) in cases {
            let mut out = Vec::new();
            seconds(&mut out, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
