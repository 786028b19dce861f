//! `values.schema.json`: rejects unknown keys and wrong types, and describes each value with its comment.

use serde_json::{Map, Value, json};

use super::values::{self, Key};

/// The schema as text.
pub(crate) fn schema() -> String {
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
    if !key.description.is_empty() {
        schema.insert("description".to_owned(), key.description.as_str().into());
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
    assert!(schema.contains_key("type") || schema.contains_key("enum"), "{} has no type", key.path);
    schema
}
