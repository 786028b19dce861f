//! From counted conversations to series: what each contributes, and the table that adds it up.
//!
//! Owns: the catalogue (each metric declared once), labels and their caps, the rules, counters, gauges and histograms,
//! and the conversations that stand behind them.
//! Never: the network, the store, or a format.

pub mod catalogue;
mod counter;
mod exemplar;
mod histogram;
mod labels;
pub mod native;
mod recent;
mod rules;
mod series;

pub use catalogue::{Kind, Metric};
pub use counter::Counter;
pub use exemplar::{EXEMPLAR_LABEL, Exemplar, ExemplarId, Witness};
pub use histogram::{Bounds, Histogram};
pub use labels::{Dimensions, LabelCap, OTHER, carried_over};
pub use native::{Native, Resolved};
pub use recent::{Recent, RecentConversation};
pub use rules::{Change, Contribution, Times, amendment, conversation};
pub use series::{Layout, Series, SeriesKey, TargetSeries, Value};
