#![doc = include_str!("../README.md")]

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
