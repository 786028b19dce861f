//! From counted conversations to series: what each contributes, and the table that adds it up.
//!
//! Owns: the catalogue (each metric declared once), labels and their caps, the rules, counters, gauges and histograms.
//! Never: the network, the store, or a format.

pub mod catalogue;
mod histogram;
mod labels;
mod recent;
mod rules;
mod series;

pub use catalogue::{Kind, Metric};
pub use histogram::{Bounds, Histogram};
pub use labels::{Dimensions, LabelCap, OTHER, carried_over};
pub use recent::{Recent, RecentConversation};
pub use rules::{Change, Contribution, amendment, conversation};
pub use series::{Layout, Series, SeriesKey, TargetSeries, Value};
