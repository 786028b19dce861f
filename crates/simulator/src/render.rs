//! Records as JSON, in the project's dialect.
//!
//! Owns: field names, order and forms of a conversation. Never: which records, nor the envelope around them.

use chrono::{DateTime, Utc};

use super::call::{MetricValue, Text, Turn};
use super::project::Project;
use super::quirks::{EmptyText, HandoffShape, LatencyShape, MetricShape, NumberShape, Quirks};
use super::shown::VisibleCall;
use super::stamp;
use polyai_domain::target::ApiVersion;

/// Writes the record of `shown`.
pub(crate) fn record(
    out: &mut Vec<u8>,
    shown: &VisibleCall<'_>,
    project: &Project,
    version: ApiVersion,
    include_latency: bool,
) {
    if let Some(raw) = &shown.call.raw {
        out.extend_from_slice(raw.as_bytes());
        return;
    }
    let quirks = &project.quirks;
    let mut writer = Writer {
        out,
        quirks,
        empty: if version == ApiVersion::V1 { EmptyText::Null } else { quirks.empty_text },
        first: true,
    };
    writer.record(shown, project, include_latency);
}

/// Writes `text` as a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing text to memory does not fail");
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    quirks: &'a Quirks,
    empty: EmptyText,
    first: bool,
}

impl Writer<'_> {
    fn record(&mut self, shown: &VisibleCall<'_>, project: &Project, include_latency: bool) {
        let call = shown.call;
        self.raw("{");
        self.text("id", &call.id);
        self.text("account_id", &project.account_id);
        self.text("project_id", &project.project_id);
        self.moment("started_at", call.start);
        if !self.quirks.sparse {
            let (variant_id, variant_name) =
                call.variant.as_ref().map_or(("", ""), |(id, name)| (id.as_ref(), name.as_ref()));
            self.text("variant_id", variant_id);
            self.text("variant_name", variant_name);
            self.text("environment", call.env.as_str());
            if let Some(channel) = &call.channel {
                self.text("channel", channel);
            }
            self.text("from_number", &call.numbers.0);
            self.text("to_number", &call.numbers.1);
            if !call.claims.no_in_progress {
                self.flag("in_progress", shown.in_progress);
            }
            self.count("num_turns", shown.num_turns);
            for (key, seconds) in
                [("total_duration", shown.total_duration), ("polyai_duration", shown.polyai_duration)]
            {
                if let Some(seconds) = seconds {
                    self.count(key, seconds.unsigned_abs());
                }
            }
            self.handoff(shown);
            self.count("num_silences", shown.num_silences);
            self.count("num_ood", shown.num_ood);
            self.metrics(shown);
            self.state(shown);
            self.key("turns");
            self.raw("[");
            for (index, turn) in shown.turns.iter().enumerate() {
                if index > 0 {
                    self.raw(",");
                }
                self.turn(turn, call.turn_at(index), include_latency);
            }
            self.raw("]");
        }
        self.raw("}");
    }

    fn handoff(&mut self, shown: &VisibleCall<'_>) {
        match (self.quirks.handoff, shown.handoff) {
            (HandoffShape::Boolean, handoff) => {
                self.flag("handoff", handoff.is_some());
                self.text("handoff_reason", handoff.map_or("", |h| &h.reason));
                self.text("handoff_destination", handoff.map_or("", |h| &h.destination));
            }
            (HandoffShape::Object, Some(handoff)) => {
                self.open("handoff");
                self.text("destination", &handoff.destination);
                self.text("reason", &handoff.reason);
                self.text("utterance", "I'll connect you with a colleague.");
                self.raw("}");
                self.first = false;
            }
            (HandoffShape::Object, None) => {
                self.key("handoff");
                self.raw("null");
            }
        }
    }

    fn state(&mut self, shown: &VisibleCall<'_>) {
        self.open("state");
        self.text("call_sid", &shown.call.id);
        self.text("from_", &shown.call.numbers.0);
        self.text("to", &shown.call.numbers.1);
        self.raw("}");
        self.first = false;
    }

    fn turn(&mut self, turn: &Turn, at: DateTime<Utc>, include_latency: bool) {
        let spoken = at
            + chrono::TimeDelta::milliseconds(if turn.latency.is_some_and(|s| s > 2.0) {
                4472
            } else {
                2190
            });
        self.raw("{");
        self.first = true;
        self.text("user_input", &turn.user);
        self.text("user_input_dtmf", "");
        self.moment("user_input_datetime", at);
        self.text("agent_response", &turn.agent);
        self.moment("agent_response_datetime", spoken);
        self.flag_or_null("barge_in", turn.barge_in);
        if include_latency {
            self.latency(turn.latency);
        }
        self.text("translated_user_input", "");
        self.text("english_agent_response", "");
        let nothing = if self.quirks.null_flags { "null" } else { "[]" };
        for key in ["intents", "entities"] {
            self.key(key);
            self.raw(nothing);
        }
        self.flag_or_null("is_ood", turn.ood);
        self.flag_or_null("is_silence", turn.silence);
        self.raw("}");
    }

    fn latency(&mut self, seconds: Option<f64>) {
        let number = |out: &mut Vec<u8>, seconds: Option<f64>| match seconds {
            Some(seconds) => out.extend_from_slice(zmij::Buffer::new().format(seconds).as_bytes()),
            None => out.extend_from_slice(b"null"),
        };
        let seconds = match self.quirks.latency {
            LatencyShape::Absent => return,
            LatencyShape::Number => {
                self.key("latency");
                return number(self.out, seconds);
            }
            LatencyShape::Object => seconds,
            LatencyShape::NullInside => None,
        };
        self.key("latency");
        self.raw(r#"{"label":null,"perceived_latency":"#);
        number(self.out, seconds);
        self.raw(r#","perceived_latency_percentile_1d":null}"#);
    }

    fn metrics(&mut self, shown: &VisibleCall<'_>) {
        let metrics = &shown.call.metrics;
        let written = shown.call.end().unwrap_or(shown.call.start);
        self.open("metrics");
        if !shown.in_progress {
            for (index, (name, _)) in metrics.iter().enumerate() {
                if metrics[..index].iter().any(|(earlier, _)| earlier == name) {
                    continue;
                }
                let values: Vec<&MetricValue> =
                    metrics.iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect();
                self.key(name);
                self.values(&values, written);
            }
        }
        self.raw("}");
        self.first = false;
    }

    fn values(&mut self, values: &[&MetricValue], written: DateTime<Utc>) {
        if let [MetricValue::Raw(json)] = values {
            return self.raw(json);
        }
        if let [value @ (MetricValue::Number(_) | MetricValue::Flag(_))] = values
            && self.quirks.metrics == MetricShape::Scalars
        {
            return self.raw(&plain(value));
        }
        let texts: Vec<Text> = values
            .iter()
            .flat_map(|value| match value {
                MetricValue::Many(texts) => texts.clone(),
                MetricValue::Text(_)
                | MetricValue::Number(_)
                | MetricValue::Flag(_)
                | MetricValue::Raw(_) => {
                    vec![plain(value)]
                }
            })
            .collect();
        let single =
            texts.len() == 1 && matches!(self.quirks.metrics, MetricShape::Text | MetricShape::Scalars);
        if !single {
            self.raw("[");
        }
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            if self.quirks.metrics == MetricShape::Objects {
                self.raw(r#"{"value":"#);
                string(self.out, text);
                self.raw(r#","timestamp":""#);
                stamp::write(self.out, written, super::quirks::Stamp::Naive);
                self.raw(r#""}"#);
            } else {
                string(self.out, text);
            }
        }
        if !single {
            self.raw("]");
        }
    }

    fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        string(self.out, key);
        self.out.push(b':');
    }

    fn open(&mut self, key: &str) {
        self.key(key);
        self.raw("{");
        self.first = true;
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        if text.is_empty() && self.empty == EmptyText::Null {
            self.raw("null");
        } else {
            string(self.out, text);
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.raw(if flag { "true" } else { "false" });
    }

    fn flag_or_null(&mut self, key: &str, flag: bool) {
        if self.quirks.null_flags && !flag {
            self.key(key);
            self.raw("null");
        } else {
            self.flag(key, flag);
        }
    }

    fn count(&mut self, key: &str, count: u64) {
        self.key(key);
        let quote = if self.quirks.numbers == NumberShape::Text { "\"" } else { "" };
        self.raw(quote);
        self.out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        self.raw(quote);
    }

    fn moment(&mut self, key: &str, moment: DateTime<Utc>) {
        self.key(key);
        self.out.push(b'"');
        stamp::write(self.out, moment, self.quirks.stamps);
        self.out.push(b'"');
    }
}

/// A metric value as the text that the documented shape shows.
fn plain(value: &MetricValue) -> Text {
    match value {
        MetricValue::Text(text) | MetricValue::Raw(text) => text.clone(),
        MetricValue::Number(number) => Text::Owned(number.to_string()),
        MetricValue::Flag(flag) => Text::Borrowed(if *flag { "true" } else { "false" }),
        MetricValue::Many(texts) => Text::Owned(texts.join(",")),
    }
}
