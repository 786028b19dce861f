//! The recording and alert rules for Prometheus, made from templates and one file of values.
//!
//! Owns: which values there are, what each may be, and how templates become rules. Never: what the rules say (that stands in
//! `alerts/templates`), and no metrics: the names in the templates are checked against the catalogues by tests.
//!
//! The way of a number: `alerts/thresholds.yml` is the default and the list of all keys (`values`); files and options of the
//! user are laid over it, each value checked by what its key may hold (`kind`) and against the others (`sense`); the
//! templates are cut into rules (`template`), and each rule is written out with its values (`render`).

mod kind;
mod matchers;
mod overlay;
mod render;
mod scope;
mod sense;
mod span;
mod template;
mod values;

pub use render::{Format, TemplateError, render};
pub use values::{Source, Values};

/// The windows over which shares and percentiles are recorded, and which alerts may therefore use: the window, what stands
/// between the brackets, and how often it is evaluated. Long windows are read in steps, so that a month of a thousand targets
/// stays within the samples that a query may load; none is evaluated less often than Prometheus forgets a sample (5m).
const RECORDED_WINDOWS: [RecordedWindow; 9] = [
    RecordedWindow { name: "5m", range: "5m", interval: "1m", full: true },
    RecordedWindow { name: "15m", range: "15m", interval: "1m", full: true },
    RecordedWindow { name: "30m", range: "30m", interval: "1m", full: true },
    RecordedWindow { name: "1h", range: "1h", interval: "1m", full: true },
    RecordedWindow { name: "2h", range: "2h", interval: "1m", full: false },
    RecordedWindow { name: "6h", range: "6h", interval: "1m", full: true },
    RecordedWindow { name: "1d", range: "1d", interval: "3m", full: true },
    RecordedWindow { name: "3d", range: "3d:15m", interval: "3m", full: false },
    RecordedWindow { name: "30d", range: "30d:1h", interval: "3m", full: false },
];

/// A recorded window.
#[derive(Debug, Clone, Copy)]
struct RecordedWindow {
    name: &'static str,
    range: &'static str,
    interval: &'static str,
    /// Whether more than the counts with a goal are recorded.
    full: bool,
}

/// The windows that an alert may use.
fn alert_windows() -> impl Iterator<Item = &'static str> {
    RECORDED_WINDOWS.iter().filter(|window| window.full).map(|window| window.name)
}
