//! A record that cannot be read in one go, field by field.
//!
//! Owns: that a field which cannot be read (a number beyond any double, half a character, a list where none belongs) costs
//! only itself, and which fields these were. Of a key that stands twice the last counts, as with most readers of JSON. Slow
//! beside `wire`, and hence only for the records that need it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::wire::{Conversation, Handoff, IsPresent, LenientString, Turn, Turns};

/// The names of fields that could not be read, and so count as absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnreadableFields(BTreeSet<&'static str>);

impl UnreadableFields {
    /// Of one thing only.
    pub(super) fn one(name: &'static str) -> Self {
        Self(BTreeSet::from([name]))
    }

    /// Whether all could be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn field<'a, T: Deserialize<'a> + Default>(&mut self, name: &'static str, value: &'a RawValue) -> T {
        serde_json::from_str(value.get()).unwrap_or_else(|_| {
            self.0.insert(name);
            T::default()
        })
    }
}

impl fmt::Display for UnreadableFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// What can be read of a record, and what cannot; none if it is no object.
pub(super) fn read(record: &RawValue) -> Option<(Conversation<'_>, UnreadableFields)> {
    let mut read = Conversation::default();
    let mut unread = UnreadableFields::default();
    let is_object = for_each_entry(record, |key, value| match key {
        "id" => read.id = unread.field("id", value),
        "started_at" => read.started_at = unread.field("started_at", value),
        "in_progress" => read.in_progress = unread.field("in_progress", value),
        "channel" => read.channel = unread.field("channel", value),
        "variant_id" => read.variant_id = unread.field("variant_id", value),
        "variant_name" => read.variant_name = unread.field("variant_name", value),
        "total_duration" => read.total_duration = unread.field("total_duration", value),
        "polyai_duration" => read.polyai_duration = unread.field("polyai_duration", value),
        "num_turns" => read.num_turns = unread.field("num_turns", value),
        "num_silences" => read.num_silences = unread.field("num_silences", value),
        "num_ood" => read.num_ood = unread.field("num_ood", value),
        "handoff" => read.handoff = handoff(value, &mut unread),
        "handoff_reason" => read.handoff_reason = unread.field("handoff_reason", value),
        "handoff_destination" => read.handoff_destination = unread.field("handoff_destination", value),
        "turns" => read.turns = turns(value, &mut unread),
        _ => {}
    });
    is_object.then_some((read, unread))
}

/// An object says that there was one, whatever is in it.
fn handoff<'a>(value: &'a RawValue, unread: &mut UnreadableFields) -> Handoff<'a> {
    let read: Handoff<'_> = unread.field("handoff", value);
    let happened = if value.get().starts_with('{') { Some(true) } else { read.happened };
    Handoff { happened, ..read }
}

fn turns<'a>(value: &'a RawValue, unread: &mut UnreadableFields) -> Turns<'a> {
    let mut read = Turns::default();
    if elements(value, |value| read.push(turn(value, unread))) { read } else { unread.field("turns", value) }
}

/// One of which nothing can be read is an empty one: it happened.
fn turn<'a>(value: &'a RawValue, unread: &mut UnreadableFields) -> Turn<'a> {
    let mut read = Turn::default();
    let is_object = for_each_entry(value, |key, value| match key {
        "user_input" => read.user_input = user_input(value),
        "agent_response_datetime" => {
            read.agent_response_datetime = unread.field("agent_response_datetime", value);
        }
        "user_input_datetime" => read.user_input_datetime = unread.field("user_input_datetime", value),
        "latency" => read.latency = unread.field("latency", value),
        "is_ood" => read.is_ood = unread.field("is_ood", value),
        "is_silence" => read.is_silence = unread.field("is_silence", value),
        "barge_in" => read.barge_in = unread.field("barge_in", value),
        _ => {}
    });
    if is_object { read } else { unread.field::<Option<Turn<'_>>>("turns", value).unwrap_or_default() }
}

/// What is no text is there all the same.
fn user_input(value: &RawValue) -> IsPresent {
    serde_json::from_str(value.get()).unwrap_or(IsPresent(true))
}

/// Hands out the keys of an object with their values; false if `value` is none.
fn for_each_entry<'a>(value: &'a RawValue, take: impl FnMut(&str, &'a RawValue)) -> bool {
    serde_json::Deserializer::from_str(value.get()).deserialize_map(ForEach(take)).is_ok()
}

/// Hands out the elements of a list; false if `value` is none.
fn elements<'a>(value: &'a RawValue, mut take: impl FnMut(&'a RawValue)) -> bool {
    let take = |_: &str, value| take(value);
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(ForEach(take)).is_ok()
}

struct ForEach<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for ForEach<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((key, value)) = object.next_entry::<&RawValue, &RawValue>()? {
            // As written, because a key that is no text need not end the reading of the others.
            let key: LenientString<'_> = serde_json::from_str(key.get()).unwrap_or_default();
            (self.0)(&key.0, value);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<&RawValue>()? {
            (self.0)("", value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(fields: &str) -> String {
        let record = format!(r#"{{"id":"X"{fields}}}"#);
        let record: &RawValue = serde_json::from_str(&record).unwrap();
        read(record).unwrap().1.to_string()
    }

    #[test]
    fn the_fields_that_cannot_be_read_are_named_each_once() {
        let cases = [
            (r#","total_duration":60,"turns":[null,{"user_input":5},{"latency":{"label":1e999}}]"#, ""),
            (r#","total_duration":1e999"#, "total_duration"),
            (r#","num_ood":1e999,"turns":[{"latency":1e999},{"latency":1e999}]"#, "latency, num_ood"),
            (r#","turns":[5,[]]"#, "turns"),
            (r#","turns":7"#, "turns"),
            (r#","turns":{}"#, ""),
            (r#","handoff":{"reason":"\ud83d"}"#, "handoff"),
            (r#","\ud83d":1e999,"state":{"\ud83d":1e999}"#, ""),
        ];
        for (fields, expected) in cases {
            assert_eq!(unread(fields), expected, "{fields}");
        }
    }
    #[test]
    fn what_can_be_read_in_one_go_reads_alike_field_by_field() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/api");
        let mut alike = 0;
        for file in std::fs::read_dir(fixtures).unwrap() {
            let path = file.unwrap().path();
            let json = std::fs::read_to_string(&path).unwrap();
            let Ok(at_once) = serde_json::from_str::<Conversation<'_>>(&json) else { continue };
            let (by_field, unread) = read(serde_json::from_str(&json).unwrap()).unwrap();
            let seen = [at_once, by_field].map(|record| crate::conversation::Conversation::try_from(&record));
            assert_eq!(seen[0], seen[1], "{}", path.display());
            assert!(unread.is_empty(), "{unread} in {}", path.display());
            alike += 1;
        }
        assert!(alike > 25, "only {alike}");
    }
}
