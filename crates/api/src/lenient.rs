//! Reads a record field by field, so that an unreadable field costs only itself.
//!
//! Unreadable are, for example, a number beyond any double, half a character, or a list in place of a number. The last of
//! duplicate keys counts. This is slow compared with `wire`, and so used only for records that `wire` cannot read.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::wire::{Conversation, Handoff, IsPresent, LenientString, Turn, Turns};

/// The names of fields that could not be read and are treated as absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnreadableFields(BTreeSet<&'static str>);

impl UnreadableFields {
    pub(crate) fn one(name: &'static str) -> Self {
        Self(BTreeSet::from([name]))
    }

    /// Whether all fields could be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads `value`, or notes `name` and returns the default.
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

/// Returns the readable fields of a record and the names of the others; `None` if it is not an object.
pub(crate) fn read(record: &RawValue) -> Option<(Conversation<'_>, UnreadableFields)> {
    let mut read = Conversation::default();
    let mut unreadable = UnreadableFields::default();
    let is_object = for_each_entry(record, |key, value| match key {
        "id" => read.id = unreadable.field("id", value),
        "started_at" => read.started_at = unreadable.field("started_at", value),
        "in_progress" => read.in_progress = unreadable.field("in_progress", value),
        "channel" => read.channel = unreadable.field("channel", value),
        "variant_id" => read.variant_id = unreadable.field("variant_id", value),
        "variant_name" => read.variant_name = unreadable.field("variant_name", value),
        "total_duration" => read.total_duration = unreadable.field("total_duration", value),
        "polyai_duration" => read.polyai_duration = unreadable.field("polyai_duration", value),
        "num_turns" => read.num_turns = unreadable.field("num_turns", value),
        "num_silences" => read.num_silences = unreadable.field("num_silences", value),
        "num_ood" => read.num_ood = unreadable.field("num_ood", value),
        "handoff" => read.handoff = handoff(value, &mut unreadable),
        "handoff_reason" => read.handoff_reason = unreadable.field("handoff_reason", value),
        "handoff_destination" => read.handoff_destination = unreadable.field("handoff_destination", value),
        "turns" => read.turns = turns(value, &mut unreadable),
        _ => {}
    });
    is_object.then_some((read, unreadable))
}

/// An object means that there was a handoff, whatever it contains.
fn handoff<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Handoff<'a> {
    let read: Handoff<'_> = unreadable.field("handoff", value);
    let happened = if value.get().starts_with('{') { Some(true) } else { read.happened };
    Handoff { happened, ..read }
}

fn turns<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Turns<'a> {
    let mut read = Turns::default();
    if for_each_element(value, |value| read.push(turn(value, unreadable))) {
        read
    } else {
        unreadable.field("turns", value)
    }
}

/// An unreadable turn is an empty one, because it happened.
fn turn<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Turn<'a> {
    let mut read = Turn::default();
    let is_object = for_each_entry(value, |key, value| match key {
        // Any value other than a string or null also means that something was said.
        "user_input" => {
            read.user_input = serde_json::from_str(value.get()).unwrap_or(IsPresent(true));
        }
        "agent_response_datetime" => {
            read.agent_response_datetime = unreadable.field("agent_response_datetime", value);
        }
        "user_input_datetime" => read.user_input_datetime = unreadable.field("user_input_datetime", value),
        "latency" => read.latency = unreadable.field("latency", value),
        "is_ood" => read.is_ood = unreadable.field("is_ood", value),
        "is_silence" => read.is_silence = unreadable.field("is_silence", value),
        "barge_in" => read.barge_in = unreadable.field("barge_in", value),
        _ => {}
    });
    if is_object { read } else { unreadable.field::<Option<Turn<'_>>>("turns", value).unwrap_or_default() }
}

/// Calls `f` for each entry of an object; returns false if `value` is not one.
fn for_each_entry<'a>(value: &'a RawValue, f: impl FnMut(&str, &'a RawValue)) -> bool {
    serde_json::Deserializer::from_str(value.get()).deserialize_map(ForEach(f)).is_ok()
}

/// Calls `f` for each element of a list; returns false if `value` is not one.
fn for_each_element<'a>(value: &'a RawValue, mut f: impl FnMut(&'a RawValue)) -> bool {
    let f = |_: &str, value| f(value);
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(ForEach(f)).is_ok()
}

struct ForEach<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for ForEach<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((key, value)) = object.next_entry::<&RawValue, &RawValue>()? {
            // A key that is not valid text must not end the object.
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

    fn unreadable(fields: &str) -> String {
        let record = format!(r#"{{"id":"X"{fields}}}"#);
        let record: &RawValue = serde_json::from_str(&record).unwrap();
        read(record).unwrap().1.to_string()
    }

    #[test]
    fn unreadable_fields_are_named_once() {
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
            assert_eq!(unreadable(fields), expected, "{fields}");
        }
    }

    #[test]
    fn fixtures_read_the_same_strictly_and_leniently() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/api");
        let mut alike = 0;
        for file in std::fs::read_dir(fixtures).unwrap() {
            let path = file.unwrap().path();
            let json = std::fs::read_to_string(&path).unwrap();
            let Ok(strict) = serde_json::from_str::<Conversation<'_>>(&json) else { continue };
            let (lenient, unreadable) = read(serde_json::from_str(&json).unwrap()).unwrap();
            let seen =
                [strict, lenient].map(|record| polyai_domain::conversation::Conversation::try_from(&record));
            assert_eq!(seen[0], seen[1], "{}", path.display());
            assert!(unreadable.is_empty(), "{unreadable} in {}", path.display());
            alike += 1;
        }
        assert!(alike > 25, "only {alike}");
    }
}
