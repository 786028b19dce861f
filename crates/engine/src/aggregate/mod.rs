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
pub use exemplar::{EXEMPLAR_LABEL, Exemplar, ExemplarId, ExemplarSource};
pub use histogram::{BucketBounds, Histogram};
pub use labels::{LabelLimiter, LabelValues, OTHER, labels_from_row};
pub use native::{NativeBuckets, NativeHistogram};
pub use recent::{RecentConversation, RecentWindow};
pub use rules::{EventTimes, SeriesOp, SeriesUpdate, amendment, contributions_of};
pub use series::{Series, SeriesKey, SeriesSchema, TargetSeries, Value};
