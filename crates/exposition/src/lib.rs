//! Metric families, the formats that Prometheus reads, and a cache of rendered output.
//!
//! A scrape takes this way: [`negotiate()`] picks format and compression from the request's headers, and [`ExpositionCache`]
//! returns a body that is recent enough or renders one. A render asks a [`Source`] which groups of series have changed, encodes
//! those with an [`Encoder`], and compresses the blocks of output that differ.
//!
//! Nothing here reads a clock or knows where the numbers come from.

mod blocks;
mod body;
mod buckets;
mod cache;
mod encoder;
mod family;
mod format_float;
mod from_prometheus;
mod gzip;
mod negotiate;
mod openmetrics;
mod openmetrics2;
mod protobuf;
mod rendered;
mod source;
#[cfg(test)]
mod test_support;
mod text;
mod text_common;

pub use body::{ContentEncoding, EncodedBody};
pub use buckets::{BucketBounds, NativeHistogram};
pub use cache::ExpositionCache;
pub use encoder::{Encoder, Format, FormatOptions};
pub use family::{
    Exemplar, Family, FamilyMeta, Histogram, HistogramView, Kind, Labels, Sample, SampleValue, Series,
    Timestamp, Unit, Value,
};
pub use from_prometheus::from_prometheus;
pub use negotiate::{Negotiated, negotiate};
pub use source::Source;
