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

/// The names of the fields that could not be read.
pub(crate) type UnreadableFields = BTreeSet<&'static str>;

/// Sets the field of `$object` whose name is `$key`, if it is listed.
macro_rules! set_field {
    ($object:ident, $key:ident, $value:ident, $unreadable:ident: $($field:ident)*) => {
        match $key {
            $(stringify!($field) => $object.$field = field(stringify!($field), $value, $unreadable),)*
            _ => {}
        }
    };
}

/// Returns the readable fields of a record and the names of the others; `None` if it is not an object.
pub(crate) fn read(record: &RawValue) -> Option<(Conversation<'_>, UnreadableFields)> {
    let mut read = Conversation::default();
    let mut fields = UnreadableFields::new();
    let unreadable = &mut fields;
    let is_object = for_each_entry(record, |key, value| match key {
        "handoff" => read.handoff = handoff(value, unreadable),
        "turns" => read.turns = turns(value, unreadable),
        _ => set_field!(read, key, value, unreadable:
            id started_at environment in_progress channel variant_id variant_name total_duration polyai_duration num_turns
            num_silences num_ood handoff_reason handoff_destination),
    });
    is_object.then_some((read, fields))
}

/// Reads `value`, or notes `name` and returns the default.
fn field<'a, T>(name: &'static str, value: &'a RawValue, unreadable: &mut UnreadableFields) -> T
where
    T: Deserialize<'a> + Default,
{
    serde_json::from_str(value.get()).unwrap_or_else(|_| {
        unreadable.insert(name);
        T::default()
    })
}

/// An object means that there was a handoff, whatever it contains.
fn handoff<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Handoff<'a> {
    let read: Handoff<'_> = field("handoff", value, unreadable);
    let happened = if value.get().starts_with('{') { Some(true) } else { read.happened };
    Handoff { happened, ..read }
}

fn turns<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Turns<'a> {
    let mut read = Turns { present: true, ..Turns::default() };
    if for_each_element(value, |value| read.push(turn(value, unreadable))) {
        read
    } else {
        field("turns", value, unreadable)
    }
}

/// An unreadable turn is an empty one, because it happened.
fn turn<'a>(value: &'a RawValue, unreadable: &mut UnreadableFields) -> Turn<'a> {
    let mut read = Turn::default();
    let is_object = for_each_entry(value, |key, value| match key {
        // Any value other than a string or null also means that something was said.
        "user_input" => read.user_input = serde_json::from_str(value.get()).unwrap_or(IsPresent(true)),
        _ => set_field!(read, key, value, unreadable:
            agent_response_datetime user_input_datetime latency is_ood is_silence barge_in),
    });
    if is_object { read } else { field::<Option<Turn<'_>>>("turns", value, unreadable).unwrap_or_default() }
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
        Vec::from_iter(read(record).unwrap().1).join(", ")
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
            assert!(unreadable.is_empty(), "{unreadable:?} in {}", path.display());
            alike += 1;
        }
        assert!(alike > 25, "only {alike}");
    }
}
