//! `values.schema.json`, made from the values: no unknown key, the right type, the comment as description.

use serde_json::{Map, Value, json};

use super::values::{self, Key};

/// The schema as text.
pub(crate) fn written() -> String {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart polyai-exporter",
        "type": "object",
        "additionalProperties": false,
        "properties": properties(&values::keys()),
    });
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap())
}

fn properties(keys: &[Key]) -> Map<String, Value> {
    keys.iter().map(|key| (key.name().to_owned(), Value::Object(property(key)))).collect()
}

fn property(key: &Key) -> Map<String, Value> {
    let mut schema = Map::new();
    if !key.about.is_empty() {
        schema.insert("description".to_owned(), key.about.as_str().into());
    }
    let kind = match values::json(&key.default) {
        Value::Null => None,
        Value::Bool(_) => Some("boolean"),
        Value::Number(_) => Some("integer"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    };
    if let Some(kind) = kind {
        schema.insert("type".to_owned(), kind.into());
    }
    if !key.keys.is_empty() {
        schema.insert("additionalProperties".to_owned(), false.into());
        schema.insert("properties".to_owned(), Value::Object(properties(&key.keys)));
    }
    schema.extend(key.schema.clone());
    assert!(schema.contains_key("type") || schema.contains_key("enum"), "{} may be anything", key.path);
    schema
}

#[test]
fn every_value_is_explained() {
    fn look(keys: &[Key]) {
        for key in keys {
            assert!(!key.keys.is_empty() || key.about.ends_with(['.', '`']), "{}: {:?}", key.path, key.about);
            look(&key.keys);
        }
    }
    let keys = values::keys();
    look(&keys);
    assert!(keys.len() > 40, "{}", keys.len());
}
