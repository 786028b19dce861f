//! Conversation records as JSON, in the dialect of a project.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use polyai_domain::target::ApiVersion;
use serde_json::{Value, json};

use super::call::{Call, MetricValue, Piece, Turn};
use super::project::Project;
use super::quirks::{LatencyShape, MetricShape, TimestampFormat};
use super::visibility::VisibleCall;

/// The forms of a record that depend on the project and the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect<'a> {
    pub(crate) project: &'a Project,
    pub(crate) version: ApiVersion,
    pub(crate) include_latency: bool,
}

impl Dialect<'_> {
    pub(crate) fn write(&self, out: &mut Vec<u8>, visible: &VisibleCall<'_>) {
        let Call { raw, id, start, .. } = visible.call;
        let Some(pieces) = raw else {
            return out.extend_from_slice(self.record(visible).to_string().as_bytes());
        };
        for piece in pieces.iter() {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Id => out.extend_from_slice(id.as_bytes()),
                Piece::Timestamp(offset) => {
                    out.extend_from_slice(self.timestamp(*start + *offset).as_bytes())
                }
            }
        }
    }

    fn record(&self, visible: &VisibleCall<'_>) -> Value {
        let call = visible.call;
        let mut record = json!({
            "id": call.id,
            "account_id": self.project.account_id,
            "project_id": self.project.project_id,
            "started_at": self.timestamp(call.start),
        });
        if self.project.quirks.sparse {
            return record;
        }
        let (variant_id, variant_name) =
            call.variant.as_ref().map_or(("", ""), |(id, name)| (id.as_ref(), name.as_ref()));
        let (from, to) = (self.text(&call.numbers.0), self.text(&call.numbers.1));
        let (reason, destination) =
            visible.handoff.map_or(("", ""), |handoff| (&handoff.reason, &handoff.destination));
        let (reason, destination) = (self.text(reason), self.text(destination));
        let utterance = "I'll connect you with a colleague.";
        let object = || json!({"destination": destination, "reason": reason, "utterance": utterance});
        let flat = !self.project.quirks.handoff_object;
        let handoff: Value =
            if flat { visible.handoff.is_some().into() } else { visible.handoff.map(|_| object()).into() };
        let turns =
            visible.turns.iter().enumerate().map(|(index, turn)| self.turn(turn, call.turn_at(index)));
        let seconds = |seconds: Option<i64>| seconds.map(|seconds| self.count(seconds.unsigned_abs()));
        let fields = [
            ("variant_id", Some(self.text(variant_id))),
            ("variant_name", Some(self.text(variant_name))),
            ("environment", Some(call.env.as_str().into())),
            ("channel", call.channel.as_ref().map(|channel| self.text(channel))),
            ("in_progress", (!call.reported.no_in_progress).then_some(visible.in_progress.into())),
            ("num_turns", Some(self.count(visible.num_turns))),
            ("total_duration", seconds(visible.total_duration)),
            ("polyai_duration", seconds(visible.polyai_duration)),
            ("handoff", Some(handoff)),
            ("handoff_reason", flat.then_some(reason)),
            ("handoff_destination", flat.then_some(destination)),
            ("num_silences", Some(self.count(visible.num_silences))),
            ("num_ood", Some(self.count(visible.num_ood))),
            ("metrics", Some(self.metrics(visible))),
            ("state", Some(json!({"call_sid": call.id, "from_": from, "to": to}))),
            ("turns", Some(turns.collect())),
            ("from_number", Some(from)),
            ("to_number", Some(to)),
        ];
        let omitted = self.project.quirks.omitted_fields;
        for (key, value) in fields.into_iter().filter(|(key, _)| !omitted.contains(key)) {
            if let Some(value) = value {
                record[key] = value;
            }
        }
        record
    }

    fn turn(&self, turn: &Turn, at: DateTime<Utc>) -> Value {
        let delay = if turn.latency.is_some_and(|seconds| seconds > 2.0) { 4472 } else { 2190 };
        let nothing = if self.project.quirks.null_flags { Value::Null } else { json!([]) };
        let mut record = json!({
            "user_input": self.text(&turn.user),
            "user_input_dtmf": self.text(""),
            "user_input_datetime": self.timestamp(at),
            "agent_response": self.text(&turn.agent),
            "agent_response_datetime": self.timestamp(at + TimeDelta::milliseconds(delay)),
            "barge_in": self.flag(turn.barge_in),
            "translated_user_input": self.text(""),
            "english_agent_response": self.text(""),
            "intents": nothing,
            "entities": nothing,
            "is_ood": self.flag(turn.ood),
            "is_silence": self.flag(turn.silence),
        });
        let object = |seconds| json!({"label": null, "perceived_latency": seconds, "perceived_latency_percentile_1d": null});
        let factor = if self.project.quirks.latency_in_milliseconds { 1000.0 } else { 1.0 };
        let value = turn.latency.map(|seconds| seconds * factor);
        let latency = match self.project.quirks.latency {
            LatencyShape::Number => Some(json!(value)),
            LatencyShape::Object => Some(object(value)),
            LatencyShape::NullInside => Some(object(None)),
            LatencyShape::Absent => None,
        };
        if let Some(latency) = latency.filter(|_| self.include_latency) {
            record["latency"] = latency;
        }
        record
    }

    /// `metrics`, which a running call does not have yet.
    fn metrics(&self, visible: &VisibleCall<'_>) -> Value {
        let call = visible.call;
        let written = timestamp(call.end().unwrap_or(call.start), TimestampFormat::Naive);
        let mut by_name: BTreeMap<&str, Vec<&MetricValue>> = BTreeMap::new();
        for (name, value) in call.metrics.iter().filter(|_| !visible.in_progress) {
            by_name.entry(name).or_default().push(value);
        }
        by_name.into_iter().map(|(name, values)| (name.to_owned(), self.metric(&values, &written))).collect()
    }

    fn metric(&self, values: &[&MetricValue], written: &str) -> Value {
        let shape = self.project.quirks.metrics;
        match values {
            [MetricValue::Number(number)] if shape == MetricShape::Scalars => json!(number),
            [MetricValue::Flag(flag)] if shape == MetricShape::Scalars => json!(flag),
            [value] if matches!(shape, MetricShape::Text | MetricShape::Scalars) => json!(value.to_string()),
            values if shape == MetricShape::Objects => {
                let object = |value: &&MetricValue| json!({"value": value.to_string(), "timestamp": written});
                values.iter().map(object).collect()
            }
            values => values.iter().map(|value| value.to_string()).collect(),
        }
    }

    fn text(&self, text: &str) -> Value {
        let null = self.version == ApiVersion::V1 || self.project.quirks.null_text;
        if text.is_empty() && null { Value::Null } else { text.into() }
    }

    fn flag(&self, flag: bool) -> Value {
        if self.project.quirks.null_flags && !flag { Value::Null } else { flag.into() }
    }

    fn count(&self, count: u64) -> Value {
        if self.project.quirks.numbers_as_text { count.to_string().into() } else { count.into() }
    }

    fn timestamp(&self, moment: DateTime<Utc>) -> String {
        timestamp(moment, self.project.quirks.timestamps)
    }
}

impl Display for MetricValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Formats `moment`; by hand, because chrono's formatter is slow and a page holds thousands.
pub(crate) fn timestamp(moment: DateTime<Utc>, format: TimestampFormat) -> String {
    let (date, time) = (moment.date_naive(), moment.time());
    let (year, month, day) = (date.year(), date.month(), date.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let micros = (time.nanosecond() / 1000).min(999_999);
    let zone = match format {
        TimestampFormat::Spaced => {
            let fraction = micros / 10;
            return format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:05}");
        }
        TimestampFormat::Offset => "+00:00",
        TimestampFormat::Zulu => "Z",
        TimestampFormat::Naive => "",
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_formats_match_the_recorded_ones() {
        let moment = DateTime::from_timestamp_micros(1_787_217_302_370_120).unwrap();
        let cases = [
            (TimestampFormat::Offset, "2026-08-20T09:15:02.370120+00:00"),
            (TimestampFormat::Zulu, "2026-08-20T09:15:02.370120Z"),
            (TimestampFormat::Naive, "2026-08-20T09:15:02.370120"),
            (TimestampFormat::Spaced, "2026-08-20 09:15:02.37012"),
        ];
        for (format, expected) in cases {
            assert_eq!(timestamp(moment, format), expected);
        }
    }
}
