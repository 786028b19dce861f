//! The display of a value: unit, decimals, thresholds, value mappings, and the text for no value.
//!
//! Owns: Grafana's field options. Never: queries, places.

use serde_json::{Map, Value, json};

/// The colours that mean something; everything else takes the palette.
pub(crate) const GOOD: &str = "green";
pub(crate) const WARN: &str = "orange";
pub(crate) const BAD: &str = "red";
/// For volume, which is neither good nor bad.
pub(crate) const NEUTRAL: &str = "blue";
/// For what cannot be judged.
pub(crate) const MUTED: &str = "#8e8e99";

/// Field options under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    options: Map<String, Value>,
    custom: Map<String, Value>,
}

impl Field {
    /// Values of this unit, by Grafana's name for it, with so many decimals.
    pub(crate) fn unit(unit: &str, decimals: u8) -> Self {
        Self::default().set("unit", unit).set("decimals", decimals)
    }

    pub(crate) fn share() -> Self {
        Self::unit("percentunit", 1).set("min", 0)
    }

    pub(crate) fn seconds() -> Self {
        Self::unit("s", 1).set("min", 0)
    }

    /// From seconds to hours, with the decimals that they need.
    pub(crate) fn durations() -> Self {
        Self::default().set("unit", "s").set("min", 0)
    }

    pub(crate) fn number() -> Self {
        Self::unit("locale", 0).set("min", 0)
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// An option of the panel type.
    pub(crate) fn custom(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.custom.insert(name.to_owned(), value.into());
        self
    }

    /// Good below `warn`, bad from `bad` on.
    pub(crate) fn limits(self, warn: f64, bad: f64) -> Self {
        self.steps(&[(None, GOOD), (Some(warn), WARN), (Some(bad), BAD)])
    }

    /// Bad below `bad`, good from `good` on.
    pub(crate) fn floors(self, bad: f64, good: f64) -> Self {
        self.steps(&[(None, BAD), (Some(bad), WARN), (Some(good), GOOD)])
    }

    /// One colour for all values.
    pub(crate) fn colour(self, colour: &str) -> Self {
        self.set("color", json!({"mode": "fixed", "fixedColor": colour})).steps(&[(None, colour)])
    }

    /// Colours by value.
    pub(crate) fn steps(self, steps: &[(Option<f64>, &str)]) -> Self {
        let steps: Vec<Value> =
            steps.iter().map(|(from, colour)| json!({"color": colour, "value": from})).collect();
        self.set("thresholds", json!({"mode": "absolute", "steps": steps}))
    }

    /// The text for a missing value, in a neutral color.
    pub(crate) fn missing(self, text: &str) -> Self {
        let unknown = json!({"match": "null", "result": {"color": MUTED, "index": 99, "text": text}});
        self.mapping(json!({"options": unknown, "type": "special"})).set("noValue", text)
    }

    /// Words for values.
    pub(crate) fn words(self, words: &[(i32, &str, &str)]) -> Self {
        let options: Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(index, (value, text, colour))| {
                (value.to_string(), json!({"text": text, "color": colour, "index": index}))
            })
            .collect();
        self.mapping(json!({"options": options, "type": "value"}))
    }

    /// One more mapping of values to words.
    pub(crate) fn mapping(mut self, mapping: Value) -> Self {
        let mappings = self.options.entry("mappings").or_insert_with(|| json!([]));
        mappings.as_array_mut().unwrap().push(mapping);
        self
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// As the defaults of a panel.
    pub(crate) fn defaults(&self) -> Value {
        let mut options = self.options.clone();
        if !self.custom.is_empty() {
            options.insert("custom".to_owned(), Value::Object(self.custom.clone()));
        }
        Value::Object(options)
    }

    /// As an override for the field called `name`.
    pub(crate) fn for_field(&self, name: &str) -> Value {
        self.matching(&json!({"id": "byName", "options": name}))
    }

    /// As an override for all fields of the query `letter`.
    pub(crate) fn for_query(&self, letter: &str) -> Value {
        self.matching(&json!({"id": "byFrameRefID", "options": letter}))
    }

    fn matching(&self, matcher: &Value) -> Value {
        let plain = self.options.iter().map(|(id, value)| json!({"id": id, "value": value}));
        let custom =
            self.custom.iter().map(|(id, value)| json!({"id": format!("custom.{id}"), "value": value}));
        json!({"matcher": matcher, "properties": plain.chain(custom).collect::<Vec<_>>()})
    }
}
