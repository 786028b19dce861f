//! The recording and alert rules for Prometheus, made from templates and one file of thresholds.
//!
//! `alerts/thresholds.yml` has the defaults, and with them all keys (`thresholds`, `schema`). Files and options of the user are
//! checked key by key and merged over it, and then checked against each other (`validate`). The templates in `alerts/templates`
//! are split into rules (`template`), and each rule is rendered with the values (`context`, `render`).

mod context;
mod matchers;
mod prom_duration;
mod render;
mod schema;
mod template;
mod thresholds;
mod validate;

use exporter_schema::{ConfigErrors, Diagnostic};

pub use render::{Format, TemplateError, render};
pub use thresholds::{DEFAULT_VALUES, Source, Values};

impl Values {
    /// The defaults, with `sources` over them in their order.
    ///
    /// # Errors
    /// Every unknown key and every value that cannot work, with its location and what would be right.
    pub fn load(sources: &[Source]) -> Result<Self, ConfigErrors> {
        let (values, mut errors) = Self::merge(sources);
        // Whether values fit together matters only if each is valid alone.
        if errors.is_empty() {
            errors = validate::errors(&values);
        }
        ConfigErrors::from_diagnostics(errors).map_or(Ok(values), Err)
    }

    /// The values that change nothing in rules of this form, with the reasons.
    pub fn without_effect(&self, format: Format) -> Vec<Diagnostic> {
        validate::without_effect(self, format)
    }
}

/// The windows over which ratios and percentiles are recorded. Long windows are read in steps, so that a month of a thousand
/// targets stays within the samples that a query may load; none is evaluated less often than Prometheus forgets a sample (5m).
const RECORDED_WINDOWS: [RecordedWindow; 9] = [
    RecordedWindow { name: "5m", range: "5m", interval: "1m" },
    RecordedWindow { name: "15m", range: "15m", interval: "1m" },
    RecordedWindow { name: "30m", range: "30m", interval: "1m" },
    RecordedWindow { name: "1h", range: "1h", interval: "1m" },
    RecordedWindow { name: "2h", range: "2h", interval: "1m" },
    RecordedWindow { name: "6h", range: "6h", interval: "1m" },
    RecordedWindow { name: "1d", range: "1d", interval: "3m" },
    RecordedWindow { name: "3d", range: "3d:15m", interval: "3m" },
    RecordedWindow { name: "30d", range: "30d:1h", interval: "3m" },
];

/// The windows that alerts may use; over the others, only what has an objective is recorded.
const ALERT_WINDOWS: [&str; 6] = ["5m", "15m", "30m", "1h", "6h", "1d"];

/// A recorded window.
#[derive(Debug, Clone, Copy)]
struct RecordedWindow {
    name: &'static str,
    /// The range selector, with the step of a subquery.
    range: &'static str,
    /// How often it is evaluated.
    interval: &'static str,
}
