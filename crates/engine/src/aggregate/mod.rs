//! From transitions of conversations to series: which updates each contributes, and the series that add them up.

pub mod catalogue;
mod contributions;
mod exemplar;
mod histogram;
mod labels;
pub mod native;
mod recent_window;
mod series;

pub use catalogue::{Kind, Metric};
pub use contributions::{Contributions, contributions};
pub use exemplar::{EXEMPLAR_LABEL, Exemplar, ExemplarId, ExemplarSource};
pub use histogram::{BucketBounds, Histogram};
pub(crate) use labels::counted_labels;
pub use labels::{LabelLimiter, LabelValues, limited_label};
pub use native::{NativeBuckets, NativeHistogram};
pub(crate) use recent_window::{RecentConversation, RecentWindow};
pub use series::{Counter, Series, SeriesKey, SeriesOp, SeriesSchema, SeriesUpdate, TargetSeries, Value};
